"""What one client may cost a server in frames that carry nothing.

Owns: the counting, as pure functions of the frames and the time. Must not know: connections, what becomes of a client
that overdoes it.

Requests are not counted: there may be only so many at a time, and each connection has its share of every turn of the
loop. What is counted has no such limit: resets (a request that is taken back at once costs as much as one that is not),
and frames that ask for an answer or are to be looked at, and that is all (pings, settings, priorities, empty data).
"""

from __future__ import annotations

import enum

_HEADERS, _RST_STREAM, _CONTINUATION = 1, 3, 9
UNCOUNTED = (_HEADERS, _CONTINUATION)
"""Types of frames of which there may be only so many at a time, anyway."""

RESETS, RESETS_PER_SECOND = 2000, 500
"""Resets at once, and in the long run. A client that breaks off its reads makes some hundred a second."""
IDLE, IDLE_PER_SECOND = 10_000, 1000
"""The same for frames that carry nothing."""
BYTES_PER_IDLE = 1024
"""For so many bytes of answers, one more such frame is due: those that open the window again."""
IDLE_PER_REQUEST = 4
"""So many are due with every request: grpcio opens two windows with each."""


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
        self._answered = 0
        self._requests = 0

    def request(self) -> None:
        """A request has begun."""
        self._requests += 1

    def frames(self, kind: int, number: int, *, answered: int, now: float) -> FloodVerdict:
        """Decide about so many frames of a kind. `answered`: bytes that were sent on the connection in all."""
        if kind in UNCOUNTED:
            return FloodVerdict.TAKE
        if kind == _RST_STREAM:
            return FloodVerdict.TAKE if self._resets.spend(number, now) else FloodVerdict.TOO_MUCH
        earned = (answered - self._answered) / BYTES_PER_IDLE + self._requests * IDLE_PER_REQUEST
        self._answered, self._requests = answered, 0
        return FloodVerdict.TAKE if self._idle.spend(number, now, earned) else FloodVerdict.TOO_MUCH
