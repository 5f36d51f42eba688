"""The README is true: its Python blocks run in order against a fresh server, its commands are those of CI."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ServeProcess, environment, plugin_arguments

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE_NAME = re.compile(r"# (\w+\.py)\n")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language; line numbers stay those of the page."""
    return [
        "\n" * text.count("\n", 0, match.start(2)) + match[2] for match in BLOCK.finditer(text) if match[1] == language
    ]


def is_file(block: str) -> bool:
    """Whether a block is a file for pytest: it begins with a comment that names it."""
    return FILE_NAME.match(block.lstrip()) is not None


def test_python_blocks(serve: Callable[..., ServeProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    address = serve().address
    scope: dict[str, object] = {"__name__": "readme"}
    for block in blocks(README, "python"):
        if not is_file(block):
            code = compile(block.replace("localhost:2113", address), str(ROOT / "README.md"), "exec")
            exec(code, scope)


def test_the_example_of_the_fixtures(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example runs with a server for each test, and then with the conftest.py that makes it one for all."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    for block in filter(is_file, blocks(README, "python")):
        name = FILE_NAME.match(block.lstrip())
        assert name
        pytester.path.joinpath(name[1]).write_text(block, "utf-8")
        pytester.runpytest_subprocess(*plugin_arguments(pytestconfig)).assert_outcomes(passed=2)


def test_ci_runs_the_test_command() -> None:
    _, test_command = (block.strip() for block in blocks(README, "sh")[:2])
    assert test_command.count("\n") == 0
    assert f"\n{test_command}\n" in (ROOT / ".ci" / "run").read_text("utf-8")
