"""Where a read or a subscription resumes after it was cut off.

Owns: taking note of what has been handed out, and the request for the rest: pure. Must not know: calls, errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from esdb_lite._event_fields import event_id
from esdb_lite._wire.read_request import UNLIMITED, ReadRequest
from esdb_lite._wire.read_response import ReadItem
from esdb_lite.client.read.continuity import Landmark
from esdb_lite.events import CaughtUp, Checkpoint, RecordedEvent

_Place = tuple[int, int]


class ReadProgress:
    """How far a request has got."""

    def __init__(self, request: ReadRequest, seen: RecordedEvent | None = None) -> None:
        """`seen`: the event that the request begins after, where that is known."""
        self.request = request
        """What was asked for."""
        self._seen: tuple[_Place | None, UUID | bytes | str] | None = None
        if seen is not None:
            self._seen = place_of(seen, request.stream_name), seen.original._id
        self._count = 0
        self._place: _Place | None = None
        self._only_new = False
        self.overfull = False
        """Whether more events have come than were asked for: what else comes is of no interest."""
        self.repeated = 0
        """How many events a server has sent although they, or some behind them, had come in the same call."""

    def remember(self, position: Checkpoint) -> None:
        """Take note of the event that is known of the place where the request begins."""
        if position.event_id is not None and self.request.stream_name is None:
            at, place = position.event_position, (position.commit_position, position.prepare_position)
            self._seen = place if at is None else (at, at), position.event_id

    def saw(self, items: Sequence[ReadItem], *, only_events: bool = False) -> Sequence[ReadItem]:
        """Take note of items, and return what is handed out; `only_events`: there is nothing else among them."""
        if only_events:
            self._count += len(items)
            self._at(items[-1])
            return items
        told: list[ReadItem] = []
        for item in items:
            self._count += isinstance(item, RecordedEvent)
            self._at(item)
            told.append(self._told(item) if isinstance(item, Checkpoint) else item)
        return told

    def _told(self, checkpoint: Checkpoint) -> Checkpoint:
        """A server does not say which event is at its checkpoints; the last one before is known."""
        place, raw = self._seen or (None, None)
        if raw is None or place is None or place[0] != place[1] or self.request.backwards:
            return checkpoint
        at = checkpoint.commit_position, checkpoint.prepare_position
        return replace(checkpoint, event_id=event_id(raw), event_position=None if at == place else place[0])

    def rest(self) -> ReadRequest | None:
        """Return the request for what was not handed out yet; None when nothing is missing."""
        request = self.request
        if self.overfull:
            return None
        if self._place is None:
            return request
        self._only_new = True
        left = None if request.limit is None else request.limit - self._count
        if left is not None and left <= 0:
            return None
        start: int | _Place = self._place
        if request.stream_name is not None:
            start = self._place[0]
            if request.limit is not None:
                start += -1 if request.backwards else 1
                if start < 0:
                    return None
        elif left is not None and (not request.backwards or request.index_name) and request.limit != UNLIMITED:
            left += 1  # a position is included where it is read from, and that event has been handed out
        if request.limit == UNLIMITED:
            left = UNLIMITED
        return request._replace(start=start, from_end=False, limit=left)

    @property
    def landmark(self) -> Landmark | None:
        """The last place that was seen, with the event that was there; None where nothing was."""
        place, raw = self._seen or (None, None)
        known = None if raw is None else event_id(raw)
        last = None if place is None else Landmark(self.request.stream_name, *place, known)
        if self._place is not None and (place is None or self._place > place) and not self.request.backwards:
            return Landmark(self.request.stream_name, *self._place, before=last)  # a checkpoint, behind the last event
        return last

    def without_known(self, items: Sequence[ReadItem]) -> Sequence[ReadItem]:
        """Leave out events that were handed out before the request was made again."""
        if self.request.limit not in (None, UNLIMITED):
            items = self._within_limit(items)
        if not self._only_new:
            return items if not items or self._goes_on(items) else self._without_repeated(items)
        kept = [item for item in items if not (isinstance(item, RecordedEvent) and self._is_known(item))]
        self._only_new = not any(isinstance(item, RecordedEvent) for item in kept)
        return kept

    def _within_limit(self, items: Sequence[ReadItem]) -> Sequence[ReadItem]:
        """Leave out what is beyond the limit.

        Servers keep to it, but an event that was asked for once more may be there no more, and another one instead.
        """
        left = (self.request.limit or 0) - self._count
        if len(items) <= left:
            return items
        new = [item for item in items if isinstance(item, RecordedEvent) and not self._is_known(item)]
        if len(new) <= left:
            return items
        self.overfull = True
        return new[:left]

    def _goes_on(self, items: Sequence[ReadItem]) -> bool:
        """Whether events come in order, as far as the ends of a batch tell: it is not worth looking at each."""
        first, last = items[0], items[-1]
        if not (isinstance(first, RecordedEvent) and isinstance(last, RecordedEvent)):
            events = [item for item in items if isinstance(item, RecordedEvent)]
            return not events or self._goes_on(events)
        stream, before = self.request.stream_name, self._seen
        begin = place_of(first, stream)
        if begin is None:
            return True
        if before is not None and before[0] is not None and not self._is_behind(begin, before[0]):
            return False
        if first is last:
            return True
        end = place_of(last, stream)
        if end is None:
            return True
        # All numbers of a stream differ, so that there are no more events than numbers.
        fits = stream is None or abs(end[0] - begin[0]) + 1 >= len(items)
        return fits and self._is_behind(end, begin)

    def _without_repeated(self, items: Sequence[ReadItem]) -> Sequence[ReadItem]:
        """Leave out events that are not behind those before them."""
        before = None if self._seen is None else self._seen[0]
        kept: list[ReadItem] = []
        for item in items:
            place = place_of(item, self.request.stream_name) if isinstance(item, RecordedEvent) else None
            if place is not None and before is not None and not self._is_behind(place, before):
                self.repeated += 1
                continue
            before = place or before
            kept.append(item)
        return kept

    def _is_behind(self, place: _Place, other: _Place) -> bool:
        return place < other if self.request.backwards else place > other

    def _is_known(self, event: RecordedEvent) -> bool:
        place = place_of(event, self.request.stream_name)
        if place is None or self._place is None:
            return False
        return place >= self._place if self.request.backwards else place <= self._place

    def _at(self, item: ReadItem) -> None:
        place: _Place | None = None
        if isinstance(item, RecordedEvent):
            place = place_of(item, self.request.stream_name)
            self._seen = place, item.original._id  # as it came: it is hardly ever looked at
        elif self.request.stream_name is None and isinstance(item, (Checkpoint, CaughtUp)):
            place = _place_said(item)
        if place is not None and (self.request.backwards or self._place is None or place > self._place):
            self._place = place


def place_of(event: RecordedEvent, stream_name: str | None) -> tuple[int, int] | None:
    """Return an event's place in a stream (with 0), or in all events; None where an old server does not tell it."""
    original = event.original
    if stream_name is not None:
        return original.stream_position, 0
    if original.commit_position is None:
        return None
    prepare = original.prepare_position
    return original.commit_position, original.commit_position if prepare is None else prepare


def _place_said(item: Checkpoint | CaughtUp) -> tuple[int, int] | None:
    commit, prepare = item.commit_position, item.prepare_position
    return None if commit is None or prepare is None else (commit, prepare)
