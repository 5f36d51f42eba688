"""What tests of more than one folder use: the command line as a process of its own, and what asyncio complains of."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 120.0
"""Seconds after which what should have answered or ended counts as hanging: many, as tests share their machine."""

_SCHEDULED = Path("/proc/thread-self/schedstat")
"""Of this thread, in nanoseconds: how long it has run, and how long it has waited for a core."""
_SOURCE_ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port for what has to know it before it listens, or to come back to it: below those that the system gives away.

    Until it is used, nobody takes it but another test that asks here, by a rare chance.
    """
    while True:
        port = random.SystemRandom().randint(20_000, 32_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def own_time() -> float:
    """Seconds on a clock that stands still while this thread waits for a core: others may use the machine, too.

    Where the system does not say how long that was, it never stands still.
    """
    waited = int(_SCHEDULED.read_text().split()[1]) / 1e9 if _SCHEDULED.exists() else 0.0
    return time.monotonic() - waited


@contextmanager
def asyncio_errors() -> Iterator[list[str]]:
    """What asyncio reports meanwhile: exceptions never retrieved, callbacks that failed, tasks destroyed."""
    log = logging.getLogger("asyncio")
    messages: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            cause = f": {record.exc_info[1]!r}" if record.exc_info else ""
            messages.append(record.getMessage() + cause)

    handler = Keeping(logging.ERROR)
    log.addHandler(handler)
    try:
        yield messages
    finally:
        log.removeHandler(handler)


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    status: int
    out: str
    err: str


def command(*arguments: str | Path) -> list[str]:
    """The command line of esdb-lite with this interpreter."""
    return [sys.executable, "-m", "esdb_lite", *map(str, arguments)]


def environment() -> dict[str, str]:
    """The environment for a process that has to find the same package as this one, wherever it runs."""
    folders = (str(_SOURCE_ROOT), str(_SOURCE_ROOT / "generated"), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), "PYTHONWARNINGS": "error"}


def run_command(*arguments: str | Path, folder: Path | None = None) -> Finished:
    """Run esdb-lite to its end."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
        cwd=folder,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


class ServeProcess:
    """A running `esdb-lite serve`, ready to answer."""

    def __init__(self, process: subprocess.Popen[str], first_line: str) -> None:
        self.process = process
        self.uri = first_line.strip()
        """The line it printed: the connection string."""

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return self.uri.partition("://")[2].partition("?")[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Finished:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return Finished(self.process.returncode, out, err)

    def kill(self) -> None:
        """End it if it still runs; its pipes are closed."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


def start_serve(*arguments: str | Path, folder: Path) -> ServeProcess:
    """Start `serve --port 0` and wait for its line; what it says on stderr instead is raised."""
    process = subprocess.Popen(
        command("serve", "--port", "0", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=folder,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, err = process.communicate(timeout=PATIENCE)
        raise AssertionError(f"serve did not start: {err}")
    return ServeProcess(process, line)


def plugin_arguments(config: pytest.Config) -> list[str]:
    """Arguments for an inner run of pytest that has our fixtures: none where the installation brings them."""
    return [] if config.pluginmanager.hasplugin("esdb_lite") else ["-p", "esdb_lite.pytest_plugin"]
