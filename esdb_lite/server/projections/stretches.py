"""Stretches of the log in which there is nothing for projections to see, because one of them has just written them.

Owns: those that are remembered. Must not know: the log.
"""

from __future__ import annotations

from bisect import bisect_right

_KEPT = 256
_LONG = 256 * 1024
"""Bytes from which on it is worth it to read up to a stretch, rather than into it."""


class LinkStretches:
    """The last stretches of links, without which somebody who catches up would look through all that he has written."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, stretch: range) -> None:
        """Remember a stretch of positions, which may go on where another one ends."""
        if not stretch:
            return
        at = bisect_right(self._starts, stretch.start)
        if at and self._ends[at - 1] == stretch.start:
            self._ends[at - 1] = stretch.stop
            return
        self._starts.insert(at, stretch.start)
        self._ends.insert(at, stretch.stop)
        if len(self._starts) > _KEPT:
            shortest = min(range(_KEPT), key=lambda index: self._ends[index] - self._starts[index])
            del self._starts[shortest], self._ends[shortest]

    def behind(self, position: int) -> int:
        """Where to read on: the end of the stretch that a position is in, or the position."""
        at = bisect_right(self._starts, position)
        return max(position, self._ends[at - 1]) if at else position

    def before(self, position: int, end: int) -> int:
        """Where to stop reading: the next long stretch, or the end."""
        for at in range(bisect_right(self._starts, position), len(self._starts)):
            if self._starts[at] >= end:
                break
            if self._ends[at] - self._starts[at] >= _LONG:
                return self._starts[at]
        return end
