"""Whether a call with a timeout has ended in time.

Owns: what "in time" means on a machine that others use, too. Must not know: what was called.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic

SLACK = 3.0
"""Seconds by which a timeout may be late on a busy machine."""
_SCHEDULED = Path("/proc/thread-self/schedstat")
"""Of this thread, in nanoseconds: how long it has run, and how long it has waited for a core."""


def _waited() -> float:
    """Seconds that this thread has waited for a core so far; 0 where the system does not say."""
    return int(_SCHEDULED.read_text().split()[1]) / 1e9 if _SCHEDULED.exists() else 0.0


class Stopwatch:
    """One call; what is measured begins now."""

    def __init__(self) -> None:
        self._begun = monotonic()
        self._waited = _waited()

    @property
    def took(self) -> float:
        """Seconds since the call began."""
        return monotonic() - self._begun

    def is_late(self, timeout: float) -> bool:
        """Whether the call has gone on for longer than this timeout explains, and others on the machine."""
        return self.took > timeout + SLACK + _waited() - self._waited
