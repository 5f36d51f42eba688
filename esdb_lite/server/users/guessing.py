"""How long a refused login takes: nothing for those who mistype, a while for those who guess.

Owns: telling them apart, by how many logins were refused of late. Must not know: who was refused, passwords, the clock
(`now` in seconds).
"""

from __future__ import annotations

ALLOWANCE = 10
"""So many logins may be refused in short order before it takes longer."""
_FORGIVEN_AFTER = 6.0
"""Seconds after which one of them is forgotten."""
DELAY = 0.2
"""Seconds that the following ones take longer."""


class GuessBrake:
    """Counts refused logins of all callers: those with a right password never wait."""

    def __init__(self, *, delay: float = DELAY) -> None:
        self._delay = delay
        self._level = 0.0
        self._since = 0.0

    def refused(self, now: float) -> float:
        """A login is refused: return how many seconds its answer is to wait."""
        self._level = max(0.0, self._level - (now - self._since) / _FORGIVEN_AFTER)
        self._since = now
        if self._level > ALLOWANCE - 1:
            return self._delay
        self._level += 1
        return 0.0
