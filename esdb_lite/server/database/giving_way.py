"""When the loop stands still for a moment, because a thread with work does not get the interpreter.

Owns: this decision, and the looks that it takes. Must not know: what the thread does.

A thread that comes back from SQLite asks for the interpreter only once nobody has let go of it for a whole switch
interval. A busy loop lets go in each turn, when it looks for what has come, and has it back before the thread has
woken up: the thread then waits for some hundred turns. What helps is to wait for something with the interpreter let go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LATE = 0.003
"""Seconds: what takes a thread as long may be for want of the interpreter."""
GIVEN = 0.001
"""Seconds at most that the loop stands still then."""
BUSY = 0.25
"""The part of these seconds that the loop has computed in: with less, the thread waits for something else."""


class Want:
    """Whether a thread that is at work may want for the interpreter; of clocks only the differences count."""

    def __init__(self, now: float, computed: float) -> None:
        """`computed`: the CPU time of the loop's thread."""
        self._now = now
        self._computed = computed

    def restart(self, now: float, computed: float) -> None:
        """The thread has done something."""
        self._now, self._computed = now, computed

    def look(self, now: float, computed: float) -> bool:
        """Whether the loop is to stand still now; if so, or if it has been idle, not again until LATE has passed."""
        waited, busy = now - self._now, computed - self._computed
        if waited < LATE:
            return False
        self.restart(now, computed)
        return busy >= waited * BUSY


class GivingWay:
    """Watches a thread, or several that do the same, while there is work. Called on the loop."""

    def __init__(
        self,
        wait: Callable[[float], object],
        *,
        now: Callable[[], float] = time.perf_counter,
        computed: Callable[[], float] = time.thread_time,
    ) -> None:
        """`wait` is called with GIVEN, lets go of the interpreter, and returns once the thread has no work left."""
        self._loop = asyncio.get_running_loop()
        self._wait = wait
        self._now = now
        self._computed = computed
        self._working = False
        self._watching = False
        self._want = Want(0.0, 0.0)

    def begin(self) -> None:
        """The thread has been given work."""
        if not self._working:
            self.progress(more=True)
        if not self._watching:
            self._watch()

    def progress(self, *, more: bool) -> None:
        """It has done some of it; whether there is more."""
        self._working = more
        if more:
            self._want.restart(self._now(), self._computed())

    def _watch(self) -> None:
        self._watching = True
        self._loop.call_later(LATE, self._look)

    def _look(self) -> None:
        self._watching = self._working
        if not self._working:
            return
        if self._want.look(self._now(), self._computed()):
            self._wait(GIVEN)
        self._watch()
