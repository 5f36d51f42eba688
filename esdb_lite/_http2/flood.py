"""What one client may cost a server in frames that carry nothing.

Owns: the counting, as pure functions of the frames and the time. Must not know: connections, what becomes of a client
that overdoes it.

Requests are not counted: there may be only so many at a time, and each connection has its share of every turn of the
loop. What is counted has no such limit: resets (a request that is taken back at once costs as much as one that is not),
and frames that ask for an answer or are to be looked at, and that is all (pings, settings, priorities, empty data).
"""

from __future__ import annotations

import enum
from typing import NamedTuple

_HEADERS, _RST_STREAM, _CONTINUATION = 1, 3, 9
UNCOUNTED = (_HEADERS, _CONTINUATION)
"""Types of frames of which there may be only so many at a time, anyway."""

RESETS, RESETS_PER_SECOND = 2000, 500
"""Resets at once, and in the long run, beside one for each piece of an answer: reads are broken off, and Java's client
resets every frame of data that is still on its way then."""
IDLE, IDLE_PER_SECOND = 10_000, 1000
"""The same for frames that carry nothing."""
BYTES_PER_IDLE = 1024
"""For so many bytes of answers, one more such frame is due: those that open the window again."""
IDLE_PER_STEP = 4
"""So many are due with every request, and whenever an answer goes on: grpcio opens two windows with each request, and
clients that measure the line (Go's, Java's) open one and ping for each piece of an answer, however small it is."""


class Traffic(NamedTuple):
    """What a connection has carried."""

    requests: int = 0
    pieces: int = 0
    """DATA frames of answers."""
    answered: int = 0
    """Their bytes."""


class FloodVerdict(enum.Enum):
    """What to do with a frame."""

    TAKE = "take it"
    TOO_MUCH = "end the connection with ENHANCE_YOUR_CALM"


class FrameAllowance:
    """So many at once, and so many a second in the long run."""

    def __init__(self, most: int, per_second: int, now: float) -> None:
        self._most = most
        self._per_second = per_second
        self._left = float(most)
        self._since = now

    def spend(self, number: int, now: float, earned: float = 0.0) -> bool:
        """Take some away; False when there is not so much left. `earned`: what was added meanwhile beside the time."""
        self._left = min(self._most, self._left + (now - self._since) * self._per_second + earned) - number
        self._since = now
        return self._left >= 0


class FloodWatch:
    """The frames of one connection."""

    def __init__(self, now: float) -> None:
        self._resets = FrameAllowance(RESETS, RESETS_PER_SECOND, now)
        self._idle = FrameAllowance(IDLE, IDLE_PER_SECOND, now)
        self._at_reset = self._at_idle = Traffic()

    def frames(self, kind: int, number: int, traffic: Traffic, now: float) -> FloodVerdict:
        """Decide about so many frames of a kind, after so much traffic on the connection in all."""
        if kind in UNCOUNTED:
            return FloodVerdict.TAKE
        if kind == _RST_STREAM:
            earned: float = traffic.pieces - self._at_reset.pieces
            allowance, self._at_reset = self._resets, traffic
        else:
            steps = traffic.requests + traffic.pieces - self._at_idle.requests - self._at_idle.pieces
            earned = steps * IDLE_PER_STEP + (traffic.answered - self._at_idle.answered) / BYTES_PER_IDLE
            allowance, self._at_idle = self._idle, traffic
        return FloodVerdict.TAKE if allowance.spend(number, now, earned) else FloodVerdict.TOO_MUCH
