"""What somebody waits for a consumer to come to, where that need not be an event that it gets.

Owns: when to look for the last event that it does get. Must not know: consumers, how that is looked for.

A consumer may leave out the last event of what was written. Then nothing tells it that it is past that place before
the next event, or what its server says now and then of places that it has searched.
"""

from __future__ import annotations

from time import monotonic

from esdb_lite._rpc.deadline import Deadline

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds: most consumers are there before the first look."""


class Awaited:
    """A place of a stream, or of all events, and how long to wait for it."""

    def __init__(self, place: int | None, timeout: float | None, *, of_stream: bool) -> None:
        self.place = self.asked = place
        """None: there is nothing to wait for."""
        self.deadline = Deadline(timeout)
        self._pause = _FIRST_PAUSE
        self._look_at = None if of_stream else monotonic() + _FIRST_PAUSE

    @property
    def due(self) -> bool:
        """Whether to look now for the last event up to the place that the consumer gets."""
        return self._look_at is not None and monotonic() >= self._look_at

    def found(self, place: int | None) -> None:
        """Take note of that event: it is what is waited for."""
        self.place, self._look_at = place, None

    def not_found(self) -> None:
        """There is no telling yet: look again, later."""
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._look_at = monotonic() + self._pause

    def patience(self) -> float | None:
        """Seconds for which there is nothing to do but wait; None: without end."""
        left = self.deadline.remaining()
        if self._look_at is None:
            return left
        pause = max(0.0, self._look_at - monotonic())
        return pause if left is None else min(left, pause)
