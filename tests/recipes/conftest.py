"""What the tests of recipes share: programs that run beside a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import EmbeddedServer
from tests.support import PATIENCE, environment

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def variables(server: EmbeddedServer) -> dict[str, str]:
    """The environment of a program: warnings of other packages are their business."""
    return {**environment(), "ESDB_URI": server.uri, "PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def start(tmp_path: Path, variables: dict[str, str]) -> Iterator[Start]:
    """Starts `python -m ...` in the folder of the test."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **more: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        found = {**variables, "PYTHONPATH": f"{tmp_path}:{variables['PYTHONPATH']}", **more}
        process = subprocess.Popen([sys.executable, *arguments], cwd=tmp_path, env=found, **pipes)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate(timeout=PATIENCE)
