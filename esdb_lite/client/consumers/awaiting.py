"""What somebody waits for a consumer to come to, where that need not be an event that it gets.

Owns: when to look for the last event that it does get. Must not know: consumers, how that is looked for.

A consumer may leave out the last event of what was written. Then nothing tells it that it is past that place before
the next event, or what its server says now and then of places that it has searched.
A stream of links has numbers of its own: nothing is known before the link was looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from esdb_lite._rpc.deadline import Deadline
from esdb_lite.errors import DeadlineExceeded, EsdbClientException, LinkError

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds: most consumers are there before the first look."""


@dataclass(frozen=True)
class WrittenPlace:
    """Where something was written."""

    number: int | None
    """A position in the consumer's stream, or in all events. None: the consumer has nothing to wait for."""
    in_all: bool
    """Whether it is one in all events."""


class Awaited:
    """A place of a stream, or of all events, and how long to wait for it."""

    def __init__(self, written: WrittenPlace, timeout: float | None, *, of_stream: bool) -> None:
        """`of_stream`: whether the consumer's own positions are those of a stream."""
        self.place = self.asked = written.number
        """None: there is nothing to wait for."""
        self.deadline = Deadline(timeout)
        self.elsewhere = of_stream and written.in_all
        """Whether the place is not of what the consumer consumes, so that it must be looked for first."""
        self.held_up: EsdbClientException | None = None
        """Why it was not found yet."""
        self._pause = _FIRST_PAUSE
        self._look_at = monotonic() + (0 if self.elsewhere else _FIRST_PAUSE) if written.in_all else None

    @property
    def due(self) -> bool:
        """Whether to look now for the last event up to the place that the consumer gets."""
        return self._look_at is not None and monotonic() >= self._look_at

    def found(self, place: int | None) -> None:
        """Take note of that event: it is what is waited for."""
        self.place, self._look_at, self.elsewhere = place, None, False

    def not_found(self, error: EsdbClientException) -> None:
        """There is no telling yet: look again, later. Raises the error where nothing else would say what is wrong."""
        self.held_up = error
        if self.elsewhere and not isinstance(error, LinkError):
            raise error
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        waited = self.elsewhere and isinstance(error, DeadlineExceeded)
        self._look_at = monotonic() + (0 if waited else self._pause)

    def patience(self) -> float | None:
        """Seconds for which there is nothing to do but wait; None: without end."""
        left = self.deadline.remaining()
        if self._look_at is None:
            return left
        pause = max(0.0, self._look_at - monotonic())
        return pause if left is None else min(left, pause)
