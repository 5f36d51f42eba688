"""The README and the manuals are true: their Python blocks run, twice, and their links lead somewhere.

The commands of the README are those of CI.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ServeProcess, environment, plugin_arguments
from tests.typed_pages import run as run_checker
from tests.typed_pages import write_pages

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MANUALS = [
    README,
    *sorted(
        path
        for folder in ("esdb_lite", "proto", "tests")
        for path in (ROOT / folder).rglob("*.md")
        if "node_modules" not in path.parts
    ),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE_NAME = re.compile(r"# ([\w/]+\.py)\n")
LINK = re.compile(r"\]\(([^)\s]+)\)")
IN_THE_REPOSITORY = (ROOT / "esdb_lite" / "__init__.py").exists()


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language; line numbers stay those of the page."""
    text = path.read_text("utf-8")
    return [
        "\n" * text.count("\n", 0, match.start(2)) + match[2] for match in BLOCK.finditer(text) if match[1] == language
    ]


def is_file(block: str) -> bool:
    """Whether a block is a file for pytest: it begins with a comment that names it."""
    return FILE_NAME.match(block.lstrip()) is not None


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


WITH_PYTHON = [path for path in MANUALS if any(not is_file(block) for block in blocks(path, "python"))]


def test_every_manual_is_found() -> None:
    assert {"README.md", "esdb_lite/client/README.md", "esdb_lite/server/README.md"} <= set(map(name, WITH_PYTHON))


def test_consumers_of_many_streams_meet_only_their_own_events() -> None:
    """Whoever tries one manual after the other on one server: what one has written must not fail another's consumer."""
    all_blocks = [block for path in MANUALS for block in blocks(path, "python")]
    marks: dict[str, str] = {}
    for block in all_blocks:
        if re.search(r"consumer\((?![^\n]*stream_name=)", block) and ".on(" in block:
            own = re.findall(r'prefixes=\["([\w-]+)"\]', block) or re.findall(r'register\("(\w+)"\)', block)
            marks |= dict.fromkeys(own, block)
    assert {"ItemBought", "shop-"} <= set(marks)
    for mark, block in marks.items():
        assert not [other for other in all_blocks if other is not block and f'"{mark}' in other], mark


@pytest.mark.parametrize("path", WITH_PYTHON, ids=name)
def test_python_blocks(
    path: Path, serve: Callable[..., ServeProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the page; the second time with the database and the files that the first time has left."""
    monkeypatch.chdir(tmp_path)
    address = serve().address
    for _ in range(2):
        scope: dict[str, object] = {"__name__": "readme"}
        for block in blocks(path, "python"):
            if not is_file(block):
                code = compile(block.replace("localhost:2113", address), str(path), "exec", dont_inherit=True)
                exec(code, scope)


@pytest.mark.slow
def test_python_blocks_are_typed(tmp_path: Path) -> None:
    """As a user's program is checked: `mypy --strict`. The environment `types` of tox has pyright do it, too."""
    pytest.importorskip("mypy")
    write_pages(tmp_path)
    done = run_checker("mypy", tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_example_of_the_fixtures(
    pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example runs with a server for each test, and then with the conftest.py that makes it one for all."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    server = ROOT / "esdb_lite" / "server" / "README.md"
    files = [block for path in (README, server) for block in blocks(path, "python") if is_file(block)]
    assert len(files) == 2
    for block in files:
        found = FILE_NAME.match(block.lstrip())
        assert found
        pytester.path.joinpath(found[1]).write_text(block, "utf-8")
        pytester.runpytest_subprocess(*plugin_arguments(pytestconfig)).assert_outcomes(passed=2)


def test_ci_runs_the_test_command() -> None:
    demo_command, test_command = (block.strip() for block in blocks(README, "sh")[:2])
    assert demo_command.endswith(" demo")
    assert test_command.count("\n") == 0
    assert f"\n{test_command}\n" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize("name", ["APPLICATIONS.md", "RECIPES.md", "client/README.md", "server/README.md"])
def test_contents_are_complete(name: str) -> None:
    text = (ROOT / "esdb_lite" / name).read_text("utf-8")
    contents = re.findall(r"^- \[(.+)\]\(#", text, re.MULTILINE)
    assert contents == re.findall(r"^## (.+)$", BLOCK.sub("", text), re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The names under which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.skipif(not IN_THE_REPOSITORY, reason="the source that pages link to is not here")
@pytest.mark.parametrize("path", MANUALS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", path.read_text("utf-8"))):
        if link.startswith(("http:", "https:")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
