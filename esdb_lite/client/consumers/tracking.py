"""How far a consumer has come, and when its position is due to be stored.

Owns: the rules about positions: they only grow, when they are stored, what lag and rate are. Pure: time is passed in.
Must not know: how events come, who handles them, where positions are stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from esdb_lite.consumers import ConsumerPosition, ConsumerProgress
from esdb_lite.events import CaughtUp, Checkpoint, FellBehind, Reconnected, RecordedEvent, StreamPosition

QUIET_SECONDS = 1.0
"""So long a position that has moved without an event waits to be stored: filters may pass over a lot."""
RATE_SECONDS = 5.0
"""In this time the weight of what was handled falls to 37 % of what it was."""

Item = object
"""What a subscription hands out: an event, or a control object."""


@dataclass(frozen=True)
class HandledPart:
    """Events that are handled together, and where the consumer is when they are."""

    events: Sequence[RecordedEvent]
    position: ConsumerPosition | None
    """None: not moved."""
    caught_up: bool | None = None
    """What the server has said after the events; None: nothing."""


def parts(items: Sequence[Item], size: int, *, of_stream: bool) -> Iterator[HandledPart]:
    """Cut what has arrived into parts of up to `size` events; control objects belong to the events before them."""
    events: list[RecordedEvent] = []
    position: ConsumerPosition | None = None
    caught_up: bool | None = None
    for item in items:
        if isinstance(item, RecordedEvent):
            if len(events) == size or caught_up is not None:
                yield HandledPart(events, _identified(position, events), caught_up)
                events, caught_up = [], None
            events.append(item)
        elif isinstance(item, (CaughtUp, FellBehind, Reconnected)):
            caught_up = isinstance(item, CaughtUp)
        position = later(position, position_of(item, of_stream=of_stream))
    yield HandledPart(events, _identified(position, events), caught_up)


def _identified(position: ConsumerPosition | None, events: Sequence[RecordedEvent]) -> ConsumerPosition | None:
    """Return a position with the id of the event that is there, if it is the last one."""
    last = events[-1].original if events else None
    if last is None or position is None:
        return position
    if not isinstance(position, Checkpoint):
        return StreamPosition(position, last.id) if position == last.stream_position else position
    place = last.checkpoint
    return place if place == position else still_knowing(position, place)


def still_knowing(position: Checkpoint, before: ConsumerPosition | None) -> Checkpoint:
    """Return a position at which nothing is known with the event that is known of one before it."""
    if position.event_id is not None or not isinstance(before, Checkpoint) or before.event_id is None:
        return position
    at = before.event_position
    if at is None and before.commit_position != before.prepare_position:
        return position  # of a transaction: that is no place to read from
    return replace(position, event_id=before.event_id, event_position=before.commit_position if at is None else at)


def position_of(item: Item, *, of_stream: bool) -> ConsumerPosition | None:
    """Return where a consumer is after this; None: not known."""
    if isinstance(item, RecordedEvent):
        place = item.original
        return place.stream_position if of_stream else _in_all(place.commit_position, place.prepare_position)
    if isinstance(item, CaughtUp):
        return item.stream_position if of_stream else _in_all(item.commit_position, item.prepare_position)
    if isinstance(item, Checkpoint) and not of_stream:
        return replace(item, timestamp=None)
    return None


def later(first: ConsumerPosition | None, second: ConsumerPosition | None) -> ConsumerPosition | None:
    """Return the later of two positions."""
    if first is None or second is None:
        return second if first is None else first
    return second if _order(second) > _order(first) else first


def _in_all(commit: int | None, prepare: int | None) -> Checkpoint | None:
    return None if commit is None or prepare is None else Checkpoint(commit, prepare)


def _order(position: ConsumerPosition) -> tuple[int, int]:
    if isinstance(position, Checkpoint):
        return position.commit_position, position.prepare_position
    return position, position


class EventRate:
    """Events per second, smoothed: what was handled counts the less the longer ago it was."""

    def __init__(self, now: float) -> None:
        self._began = self._seen = now
        self._weight = 0.0

    def add(self, count: int, now: float) -> None:
        """Count events that have been handled."""
        self._weight = self._at(now) + count
        self._seen = now

    def read(self, now: float) -> float:
        """Return the rate, as if it had been the same before the beginning."""
        elapsed = now - self._began
        if elapsed <= 0:
            return 0.0
        return self._at(now) / (RATE_SECONDS * -math.expm1(-elapsed / RATE_SECONDS))

    def _at(self, now: float) -> float:
        return self._weight * math.exp((self._seen - now) / RATE_SECONDS)


class Tracker:
    """Where a consumer is."""

    def __init__(self, *, of_stream: bool, every: int | None, interval: float | None, now: float) -> None:
        """`every` events and every `interval` seconds the position is due; with neither after every part."""
        self._of_stream = of_stream
        self._every = 1 if every is None and interval is None else every
        self._interval = interval
        self._rate = EventRate(now)
        self._saved_at: float | None = None
        self._unsaved = 0
        self._handled = 0
        self._waiting = 0
        self._last: RecordedEvent | None = None
        self._end: int | None = None
        self._caught_up = False
        self.position: ConsumerPosition | None = None
        """Up to where everything is handled."""
        self.stored: ConsumerPosition | None = None
        """The position in the store."""

    def loaded(self, position: ConsumerPosition | None, now: float) -> None:
        """Begin at a position that was in the store."""
        self.position = self.stored = position
        self._saved_at = None if position is None else now

    def known_end(self, position: int | None) -> None:
        """Take note of the last position of the stream."""
        if self._of_stream and position is not None:
            self._end = position if self._end is None else max(self._end, position)

    def fetched(self, items: Sequence[Item]) -> None:
        """Take note of what has arrived."""
        self._waiting = sum(isinstance(item, RecordedEvent) for item in items)
        last = next((item for item in reversed(items) if isinstance(item, RecordedEvent)), None)
        if last is not None:
            self.known_end(last.original.stream_position)

    def handled(self, part: HandledPart, now: float) -> None:
        """Take note of what has been handled."""
        count = len(part.events)
        before, self.position = self.position, later(self.position, part.position)
        if isinstance(self.position, Checkpoint):
            self.position = still_knowing(self.position, before)
        if part.caught_up is not None:
            self._caught_up = part.caught_up
        if count:
            self._last = part.events[-1]
            self._handled += count
            self._unsaved += count
            self._waiting = max(0, self._waiting - count)
            self._rate.add(count, now)
        if not self.unsaved:  # stored with the effects
            self._unsaved = 0

    def saved(self, position: ConsumerPosition, now: float) -> None:
        """Take note of what has been stored."""
        self.stored = position
        self._saved_at = now
        if position == self.position:
            self._unsaved = 0

    @property
    def caught_up(self) -> bool:
        """Whether everything was handled that was stored; servers before 23.10 say so of streams only."""
        return self._caught_up or (self._of_stream and self._end is not None and self._lag_events() == 0)

    def reached(self, place: int, *, in_all: bool) -> bool:
        """Whether an event at this stream position, or commit position, was handled."""
        if self.position is None:
            return False
        if isinstance(self.position, Checkpoint):
            commit = self.position.commit_position
            return in_all and (commit > place or commit == place == self.position.prepare_position)
        return not in_all and self.position >= place

    @property
    def unsaved(self) -> bool:
        """Whether the store does not have the position."""
        return self.position is not None and self.position != self.stored

    def due(self, now: float) -> bool:
        """Whether the position should be stored now."""
        if not self.unsaved:
            return False
        if self._every is not None and self._unsaved >= self._every:
            return True
        left = self.due_in(now)
        return left is not None and left <= 0

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds the position should be stored if nothing happens; None: not before that."""
        if not self.unsaved:
            return None
        if self._unsaved and self._interval is None:
            return None
        if self._saved_at is None:
            return 0.0
        pause = self._interval if self._unsaved else max(QUIET_SECONDS, self._interval or 0.0)
        return max(0.0, self._saved_at + (pause or 0.0) - now)

    def progress(self, now: float, time: datetime) -> ConsumerProgress:
        """Return all of it, `time` being the time of day."""
        idle = self._caught_up and not self._waiting
        return ConsumerProgress(
            position=self.position,
            stored=self.stored,
            handled=self._handled,
            rate=self._rate.read(now),
            lag=0.0 if idle else self._lag(time),
            lag_events=0 if idle and self._of_stream else self._lag_events(),
            caught_up=self._caught_up,
        )

    def _lag(self, time: datetime) -> float | None:
        recorded = None if self._last is None else self._last.original.recorded_at
        return None if recorded is None else max(0.0, (time - recorded).total_seconds())

    def _lag_events(self) -> int | None:
        if not self._of_stream or self._end is None:
            return None
        done = self.position if isinstance(self.position, int) else -1
        return max(0, self._end - done)
