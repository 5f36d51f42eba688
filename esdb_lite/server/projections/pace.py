"""How much of a busy server the system projections take: how long their pages are, and how long they pause between.

Owns: the decision. Must not know: what pages hold, who appends. Times are seconds of the event loop.
"""

from __future__ import annotations

PAGE_EVENTS = 512
_BUSY_EVENTS = 128
"""A page while others append: nobody is to wait long for the links to it."""
_SHARE = 4
"""While others append, there is a pause of so many times what the page before has taken."""
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


class LinkPace:
    """The rounds of all who read the same pages: a page is asked for, is handed out, and the next one is asked for."""

    def __init__(self) -> None:
        self._asked = 0.0
        self._handed_out = 0.0
        self._round = 0.0
        self._appends = 0
        self._others_append = False
        self._row = 0

    def ask(self, now: float, appends: int) -> None:
        """The next page is asked for; by now there have been so many appends."""
        self._asked, self._round = now, now - self._handed_out
        self._others_append, self._appends = appends != self._appends, appends

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
        long = self._round * _SHARE if self._others_append and self._round > _SHORT else 0.0
        return self._asked + min(max(long, _PAUSE if self._row > _ROW else 0.0), _LONGEST_PAUSE) - now
