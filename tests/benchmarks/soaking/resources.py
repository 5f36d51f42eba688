"""What a soak uses: memory, tasks, threads, descriptors; and whether all of it is given back.

Owns: counting. Must not know: what uses it.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20
_NOTABLE = 200
"""Objects of a type by which their number has to grow to be worth telling."""


def memory(pid: int | None = None) -> float:
    """Resident memory of a process in MB; 0 where it cannot be seen."""
    try:
        return int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def give_back() -> None:
    """Have the allocator return what is free to the system, where it can: what is left is in use."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def descriptors() -> list[str]:
    """What the open descriptors of this process are."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


def kind_of(descriptor: str) -> str:
    """What a descriptor is, without what tells it from others of its kind."""
    return descriptor.partition("[")[0] if descriptor.startswith(("socket:", "pipe:")) else descriptor


def census() -> Counter[str]:
    """How many objects of each type there are, as far as the collector knows of them."""
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects())


@dataclass
class Holding:
    """What is held at one moment."""

    threads: set[threading.Thread]
    descriptors: Counter[str]

    @classmethod
    def now(cls) -> Holding:
        """Look."""
        gc.collect()
        return cls(set(threading.enumerate()), Counter(map(kind_of, descriptors())))

    def left(self, before: Holding) -> list[str]:
        """What is held that was not before."""
        threads = [repr(thread) for thread in self.threads - before.threads]
        return threads + [f"{count} x {name}" for name, count in (self.descriptors - before.descriptors).items()]


@dataclass
class Gauge:
    """Resident memory over time."""

    pid: int | None = None
    warm: float = 0.0
    """After the warm-up."""
    peak: float = 0.0
    last: float = 0.0
    objects_warm: Counter[str] = field(default_factory=Counter)
    objects_end: Counter[str] = field(default_factory=Counter)
    seen: list[float] = field(default_factory=list)
    """All that was seen, once a second."""

    async def watch(self, warm_up: float) -> None:
        """Look every second, until cancelled."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            self.look()
            if not self.warm and loop.time() - begun >= warm_up:
                self.objects_warm = census()
                give_back()
                self.look()
                self.warm = self.last
            await asyncio.sleep(1.0)

    def look(self) -> None:
        """Look once."""
        self.last = memory(self.pid)
        self.peak = max(self.peak, self.last)
        self.seen.append(self.last)

    def end(self) -> None:
        """Look for the last time, while everything is still open."""
        self.objects_end = census()
        give_back()
        self.look()

    @property
    def grown(self) -> dict[str, tuple[int, int]]:
        """Types of which there are many more objects than after the warm-up: how many then, and at the end."""
        warm = self.objects_warm
        return {
            name: (warm[name], count) for name, count in self.objects_end.most_common() if count > warm[name] + _NOTABLE
        }
