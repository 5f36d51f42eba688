"""Turns of the event loop: how much is read and sent in one of them, so that appends do not wait for all readers.

Owns: the order of those who wait (first come, first served). Must not know: what they do when it is their turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from time import perf_counter
from typing import Any, Generic, TypeVar

T = TypeVar("T")

ROOM = 64
"""Units that fit into one turn."""
PAGE = 16
"""Units of a page that is read from storage and sent: some milliseconds."""
_MUCH_LEFT = ROOM // 2
"""Units that are left for a turn where those before have not used much."""
UNITS_PER_SECOND = 8_000
OTHERS = 8
"""How many times what a costly call takes is left to others."""
BATCH = 1
"""Units of a few live events that are sent to one subscriber."""
FEW = 1
"""Units of a few events that are read from storage and sent at once."""


class LoopShare:
    """Lets in what fits into this turn of the loop; the others wait for the next ones."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = ROOM
        self._counting = False
        self._waiting: deque[tuple[int, Callable[[], bool]]] = deque()

    async def enter(self, units: int) -> None:
        """Return when there is room, at once if there is any now."""
        if self.enter_at_once(units):
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((units, partial(_let_in, turn)))
        await turn

    def enter_at_once(self, units: int) -> bool:
        """Enter if there is room now; False where there is none."""
        if not self._has_room:
            return False
        self._spend(units)
        return True

    def when(self, units: int, act: Callable[[], bool]) -> None:
        """Have something done when there is room, at once if there is any now.

        `act` must not raise, and returns whether there was something to do.
        """
        if not self._has_room:
            self._waiting.append((units, act))
        elif act():
            self._spend(units)

    @property
    def _has_room(self) -> bool:
        return self._left > 0 and not self._waiting

    def _spend(self, units: int) -> None:
        self._left -= units
        self._see_to_the_next()

    def _see_to_the_next(self) -> None:
        """Count anew in the next turn, where much was used: a turn of the loop costs as much as a small read."""
        if not self._counting and (self._waiting or self._left < _MUCH_LEFT):
            self._counting = True
            self._loop.call_soon(self._next)

    def charge(self, seconds: float, units: int) -> None:
        """Count what took long for more than the units that it entered with: others come later for it."""
        spent = int(seconds * UNITS_PER_SECOND)
        if spent > units:
            self._spend(spent - units)

    async def costly(self, act: Callable[[], T]) -> T:
        """Do something that takes long in a turn of its own, and count it several times."""
        await self.enter(ROOM)
        began = perf_counter()
        try:
            return act()
        finally:
            self.charge((perf_counter() - began) * OTHERS, ROOM)

    def metered(self, work: Awaitable[T]) -> Awaitable[T]:
        """Do something, and count several times what its steps take, but not what it waits for: most of the loop's
        time is for others, who are done in a few turns."""
        return _Metered(work, self)

    def _next(self) -> None:
        self._left = ROOM + min(self._left, 0)
        while self._waiting and self._left > 0:
            units, act = self._waiting.popleft()
            if act():
                self._left -= units
        self._counting = False
        self._see_to_the_next()


class _Metered(Generic[T]):
    """An awaitable whose steps are counted."""

    def __init__(self, work: Awaitable[T], turns: LoopShare) -> None:
        self._work = work
        self._turns = turns

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._work.__await__()
        step: Callable[[], object] = partial(next, steps)
        while True:
            began = perf_counter()
            try:
                waits_for = step()
            except StopIteration as ended:
                result: T = ended.value
                return result
            finally:
                self._turns.charge((perf_counter() - began) * OTHERS, 0)
            try:
                yield waits_for
            except BaseException as error:
                step = partial(_throw, steps, error)
            else:
                step = partial(next, steps)


def _throw(steps: Generator[Any, Any, object], error: BaseException) -> object:
    return steps.throw(error)


def _let_in(turn: asyncio.Future[None]) -> bool:
    if turn.done():
        return False
    turn.set_result(None)
    return True
