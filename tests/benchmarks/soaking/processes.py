"""A server in a process of its own that can be killed and started again at the same port, on the same file.

Owns: the process. Must not know: when it is killed.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.support import PATIENCE, command, environment, free_port


class KillableServer:
    """`serve` on a file; started, killed and started again from whatever thread, one after the other."""

    def __init__(self, database: Path) -> None:
        self.port = free_port()
        self.uri = f"esdb://127.0.0.1:{self.port}?tls=false"
        self._log = database.with_suffix(".log")
        self._command = command("serve", "--db", database, "--port", str(self.port), "--log-level", "warning")
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """Its process."""
        return None if self._process is None else self._process.pid

    def launch(self) -> None:
        """Start it without waiting for it."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment()
            )

    def start(self) -> None:
        """Start it; returns when it is ready."""
        self.launch()
        assert self._process is not None
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise AssertionError(f"serve did not start: {self.log()[-2000:]}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is dead. Idempotent."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; returns when it has ended."""
        self._end(signal.SIGTERM)

    def log(self) -> str:
        """What all of its processes have said on stderr."""
        return self._log.read_text() if self._log.exists() else ""

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.communicate(timeout=PATIENCE)
