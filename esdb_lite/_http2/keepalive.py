"""Noticing a peer that is gone without saying so: a frozen process, a pulled cable.

Owns: when a connection that is silent is asked for a sign of life, and when it counts as dead: pure, with the time as
an argument. Must not know: sockets, HTTP/2, timers.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

LATE = 1.0
"""Seconds by which a timer may be late before the fault is looked for here: what has come may not be read yet."""


class KeepAlive(NamedTuple):
    """How long silence may last, in seconds."""

    interval: float
    """After so long without a sign of life the peer is asked for one."""
    timeout: float
    """So long it may take to answer."""

    def rarer(self) -> KeepAlive:
        """Return what to keep to with a peer that finds this too often."""
        return KeepAlive(2 * self.interval, self.timeout)


class Act(enum.Enum):
    """What to do now."""

    NOTHING = "nothing"
    ASK = "send a ping"
    GIVE_UP = "close the connection"


class Pulse:
    """The signs of life of one connection."""

    def __init__(self, keep_alive: KeepAlive, now: float) -> None:
        self._keep_alive = keep_alive
        self._asked: float | None = None
        self._excused = False
        self.heard = now
        """When something came last."""
        self.due = now + keep_alive.interval
        """When `check` wants to be called next."""

    def check(self, now: float) -> Act:
        """Decide what to do, and when to look again."""
        interval, timeout = self._keep_alive.interval, self._keep_alive.timeout
        # once only: between this look and the next one, what has come is read
        late, act = now - self.due > LATE and not self._excused, Act.NOTHING
        if self._asked is not None and self.heard >= self._asked:
            self._asked = None
        if self._asked is None and now >= self.heard + interval:
            self._asked, self._excused, act = now, False, Act.ASK
        elif self._asked is not None and now >= self._asked + timeout:
            self._excused, act = True, Act.NOTHING if late else Act.GIVE_UP
        if self._asked is None:
            self.due = self.heard + interval
        else:  # soon again where the timer was late, so that what has come meanwhile is read first
            self.due = max(min(self._asked + timeout, now + interval), now + LATE / 10)
        return act
