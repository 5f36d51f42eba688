"""How long a refused login takes: nothing for those who mistype, a while for those who guess.

Owns: telling them apart, by how many logins were refused of late, of one source and of all. Must not know: what a
source is, passwords, the clock (`now` in seconds).
"""

from __future__ import annotations

ALLOWANCE = 10
"""So many logins of one source may be refused in short order before it takes longer."""
ALLOWANCE_OF_ALL = 100
"""So many of all sources: then it takes longer for each of them."""
_FORGIVEN_AFTER = 60.0
"""Seconds after which all of an allowance is forgotten."""
DELAY = 0.2
"""Seconds that the following ones take longer."""
SOURCES = 1000
"""That are remembered; the one that was refused longest ago is forgotten first."""


class GuessBrake:
    """Counts refused logins: those with a right password never wait, and nobody for what a few others guess."""

    def __init__(self, *, delay: float = DELAY) -> None:
        self._delay = delay
        self._sources: dict[str, _Refusable] = {}
        self._all = _Refusable(ALLOWANCE_OF_ALL)

    def refused(self, source: str, now: float) -> float:
        """A login is refused: return how many seconds its answer is to wait."""
        own = self._sources.pop(source, None) or _Refusable(ALLOWANCE)
        self._sources[source] = own
        if len(self._sources) > SOURCES:
            del self._sources[next(iter(self._sources))]
        if not own.take(now):
            return self._delay
        return 0.0 if self._all.take(now) else self._delay


class _Refusable:
    """What may be refused at once, and comes back with time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._level = 0.0
        self._since = 0.0

    def take(self, now: float) -> bool:
        """Take one of it. False: nothing is left."""
        self._level = max(0.0, self._level - (now - self._since) * self._most / _FORGIVEN_AFTER)
        self._since = now
        if self._level > self._most - 1:
            return False
        self._level += 1
        return True
