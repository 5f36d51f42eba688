"""How much of a busy server projections take: how long their pages are, and how long they pause between.

Owns: the decisions. Must not know: what pages hold, who appends. Times are seconds of the event loop.
"""

from __future__ import annotations

from collections.abc import Callable

PAGE_EVENTS = 512
_BUSY_EVENTS = 64
"""A page while others append: nobody is to wait long for the links to it."""
_LATELY = 0.1
"""Others append as long as the last of their appends is no longer ago: who appends one event after the other may be
waiting, while pages are asked for, for the links to the page before."""
SHARE = 4
"""While others append, system projections pause for so many times what the page before has taken."""
_SHORT = 0.0003
"""Unless that was less."""
_LONGEST_PAUSE = 0.1
_PAUSE = 0.005
"""The least where events come one right after the other: what comes meanwhile is written together, so that whoever
appends like that pays little for it."""
_DENSE = 0.0015
"""Events that come later than so much after those before them do not wait."""
_ROW = 50
"""Nor do the first so many in a row."""
_TURN, _WAY = 0.002, 0.0001
"""A script's thread works for so long, and then lets others have the interpreter for so long."""


class LinkPace:
    """The rounds of all who read the same pages: a page is asked for, is handed out, and the next one is asked for."""

    def __init__(self, share: float = SHARE, longest: float = _LONGEST_PAUSE) -> None:
        self._share = share
        self._longest = longest
        self._asked = 0.0
        self._handed_out = 0.0
        self._round = 0.0
        self._appends = 0
        self._appended = -_LATELY
        self._others_append = False
        self._row = 0

    def ask(self, now: float, appends: int) -> None:
        """The next page is asked for; by now there have been so many appends."""
        self._asked, self._round = now, now - self._handed_out
        if appends != self._appends:
            self._appends, self._appended = appends, now
        self._others_append = now - self._appended < _LATELY

    def hand_out(self, now: float) -> None:
        """The page is there."""
        self._handed_out = now

    def arrive(self, now: float) -> None:
        """Events of users have arrived at the end of the log, where somebody waits for them."""
        self._row = self._row + 1 if now - self._asked < _DENSE else 0

    @property
    def page_events(self) -> int:
        """How many events the page is to hold at most."""
        return _BUSY_EVENTS if self._others_append else PAGE_EVENTS

    def left(self, now: float) -> float:
        """How long the page has still to wait, or less than nothing."""
        long = self._round * self._share if self._others_append and self._round > _SHORT else 0.0
        return self._asked + min(max(long, _PAUSE if self._row > _ROW else 0.0), self._longest) - now


class ScriptPace:
    """The pauses of a script's thread, in which the loop gets the interpreter at once, rather than after the
    milliseconds for which Python lets a thread go on. Used in that thread."""

    def __init__(self, appends: Callable[[], int]) -> None:
        """`appends`: how many there have been by now."""
        self._count = appends
        self._appends = appends()
        self._appended = -_LATELY
        self._paused = 0.0

    def left(self, now: float) -> float:
        """How long to pause between two events; 0: not yet, or nobody appends."""
        if now - self._paused < _TURN:
            return 0.0
        self._paused = now
        appends = self._count()
        if appends != self._appends:
            self._appends, self._appended = appends, now
        return _WAY if now - self._appended < _LATELY else 0.0
