"""A server, and the command line in this process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from esdb_lite import EmbeddedServer
from esdb_lite.__main__ import main


class Done(NamedTuple):
    """How a command has ended."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        """The lines of its output."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(run_projections="all") as running:
        yield running


@pytest.fixture
def uri(server: EmbeddedServer) -> str:
    return server.uri


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line, in pipes."""

    def run_here(*arguments: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Done(status, out, err)

    return run_here
