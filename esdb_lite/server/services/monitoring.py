"""The Monitoring service: figures of this process and of the log, under the names that a real server uses.

Owns: which figures there are, and how often they are sent (section 23 of the protocol notes).
Must not know: how the figures of the log come about.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timezone

from esdb_lite_protos.event_store.client.monitoring import MonitoringBase, StatsReq, StatsResp

from esdb_lite.server.services.unary import encoded

SHORTEST_PERIOD = 0.1
"""Seconds between two messages, however short a period is asked for."""

_FRESH = 0.02
"""Seconds for which the figures are not gathered again, if the log has not gone on: many may ask at once."""

_UNKNOWN = "-1"


class Monitoring(MonitoringBase):
    """Statistics, once at the start of a call and then regularly until it is cancelled."""

    def __init__(
        self,
        log_end: Callable[[], int],
        waiting: Callable[[], int],
        path: str | None,
        *,
        counts: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """`log_end`: the position behind the last record. `waiting`: commands that the writer has not done yet.
        `path`: the database file, None in memory. `counts`: more figures by their names."""
        self._counts = counts
        self._log_end = log_end
        self._waiting = waiting
        self._folder = os.path.dirname(os.path.abspath(path)) if path else os.getcwd()
        self._started = datetime.now(timezone.utc)
        self._measured = (time.monotonic(), time.process_time())
        self._answer = b""
        self._answered = (-1.0, -1)
        """When it was made, and where the log ended."""

    async def stats(self, stats_req: StatsReq) -> AsyncIterator[StatsResp]:
        """Tell the figures again and again."""
        period = max(SHORTEST_PERIOD, stats_req.refresh_time_period_in_ms / 1000)
        while True:
            yield encoded(StatsResp, self.answer(time.monotonic()))
            await asyncio.sleep(period)

    def answer(self, now: float) -> bytes:
        """The figures as a message, which may be some milliseconds old."""
        made, log_end = self._answered
        if not 0 <= now - made < _FRESH or log_end != self._log_end():
            self._answered = now, self._log_end()
            self._answer = bytes(StatsResp(stats=self.figures()))
        return self._answer

    def figures(self) -> dict[str, str]:
        """The statistics by name; bytes, seconds and percents as a real server gives them, -1 for what is not known."""
        log_end = str(self._log_end())
        return {
            "proc-id": str(os.getpid()),
            "proc-startTime": self._started.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
            "proc-mem": str(_memory()),
            "proc-cpu": f"{self._cpu():.3f}",
            "proc-threadsCount": str(threading.active_count()),
            "proc-contentionsRate": _UNKNOWN,
            "proc-thrownExceptionsRate": _UNKNOWN,
            "es-checksum": log_end,
            "es-checksumNonFlushed": log_end,
            "es-queue-StorageWriterQueue-queueName": "StorageWriterQueue",
            "es-queue-StorageWriterQueue-length": str(self._waiting()),
            **{name: str(count) for name, count in self._counts().items()},
            **_disk(),
            **_system(),
            **_drive(self._folder),
        }

    def _cpu(self) -> float:
        """Percent of one processor since the last time."""
        wall, cpu = self._measured
        self._measured = (time.monotonic(), time.process_time())
        return 100 * (self._measured[1] - cpu) / max(self._measured[0] - wall, 1e-6)


def _memory() -> int:
    """Resident bytes, -1 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return -1


def _disk() -> dict[str, str]:
    """What this process has read and written, where the system says so."""
    found: dict[str, str] = {}
    try:
        with open("/proc/self/io", encoding="ascii") as file:
            found = dict(line.split(": ") for line in file.read().splitlines())
    except (OSError, ValueError):
        pass
    names = {"readBytes": "read_bytes", "readOps": "syscr", "writeOps": "syscw", "writtenBytes": "write_bytes"}
    return {f"proc-diskIo-{name}": found.get(key, _UNKNOWN) for name, key in names.items()}


def _system() -> dict[str, str]:
    figures = {"sys-cpu": _UNKNOWN}
    if hasattr(os, "getloadavg"):
        for name, value in zip(("1m", "5m", "15m"), os.getloadavg(), strict=True):
            figures[f"sys-loadavg-{name}"] = f"{value:.2f}"
    for key, name in (("sys-totalMem", "SC_PHYS_PAGES"), ("sys-freeMem", "SC_AVPHYS_PAGES")):
        try:
            figures[key] = str(os.sysconf(name) * os.sysconf("SC_PAGE_SIZE"))
        except (AttributeError, ValueError, OSError):
            figures[key] = _UNKNOWN
    return figures


def _drive(folder: str) -> dict[str, str]:
    usage = shutil.disk_usage(folder)
    name = f"sys-drive-{_mount(folder)}-"
    return {
        f"{name}totalBytes": str(usage.total),
        f"{name}availableBytes": str(usage.free),
        f"{name}usedBytes": str(usage.used),
        f"{name}usage": str(100 * usage.used // usage.total if usage.total else 0),
    }


def _mount(folder: str) -> str:
    """The place at which the drive of a folder is mounted."""
    folder = os.path.realpath(folder)
    while not os.path.ismount(folder):
        folder = os.path.dirname(folder)
    return folder
