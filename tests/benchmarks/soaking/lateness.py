"""Whether a call with a timeout has ended in time.

Owns: what "in time" means on a machine that others use, too. Must not know: what was called.
"""

from __future__ import annotations

from time import monotonic

from tests.support import own_time

SLACK = 3.0
"""Seconds by which a timeout may be late on a busy machine."""


class Stopwatch:
    """One call; what is measured begins now."""

    def __init__(self) -> None:
        self._begun, self._own = monotonic(), own_time()

    @property
    def took(self) -> float:
        """Seconds since the call began."""
        return monotonic() - self._begun

    def is_late(self, timeout: float) -> bool:
        """Whether the call has gone on for longer than this timeout explains, and others on the machine."""
        return own_time() - self._own > timeout + SLACK
