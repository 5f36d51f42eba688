"""Catch-up subscriptions: history, then `caught_up`, then live events, with checkpoints where a filter is used.

Owns: which messages a subscription sends, and in which order (sections 14 to 16 of the protocol notes).
Must not know: the wire, how pages are fetched, how live events arrive, the clock (`now` is an argument).

A subscription is driven like this. `start` once, with a view taken after live events began to be collected; while
`behind`, `page` until it says that the end was reached; then `caught_up`, and `live` for what has been collected.
Events that `page` has delivered already are left out by `live`, so the collection may begin early. Where it could not
hold all of them, `fall_behind` and read on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from esdb_lite.server.engine.filters import Selector
from esdb_lite.server.engine.links import ReadEvent, has_links, resolve, resolve_some
from esdb_lite.server.engine.model import length_of
from esdb_lite.server.engine.read import (
    LOGICAL_PAGE,
    NoRecordAt,
    PageSize,
    Picking,
    is_boundary,
    log_ends,
    records_before,
    stream_page,
)
from esdb_lite.server.engine.visibility import window_of
from esdb_lite.server.storage import TOMBSTONE, Reader, Record, Sketch

Position: TypeAlias = tuple[int, int]
"""Commit and prepare position. Compared in this order; the position of a record is the same number twice."""

_START: Position = (0, 0)


class PassedOver(NamedTuple):
    """Everything up to this position has been looked at and, if it matched, delivered before."""

    commit: int
    prepare: int


class ReachedLive(NamedTuple):
    """All history has been delivered: what follows is live. One of the two, or neither."""

    revision: int | None
    position: Position | None


Message: TypeAlias = ReadEvent | PassedOver | ReachedLive


class HistoryPart(NamedTuple):
    """A part of the history, and whether the end was reached."""

    messages: Sequence[Message]
    end: bool


class SubscriptionRules:
    """A subscription in progress, which resolves links where it was asked for."""

    ended: str | None = None
    """The stream that was tombstoned while live: the subscription is over."""

    def __init__(self, *, resolve_links: bool = False) -> None:
        self.resolves_links = resolve_links
        """Whether links are sent with the events that they point to."""
        self.behind = True
        """Whether there is history to be read."""
        self._size = PageSize()

    def start(self, reader: Reader, now: int) -> None:
        """Find the starting point. Raises StreamTombstoned."""
        raise AssertionError("each kind says where it starts")

    def page(self, reader: Reader, now: int) -> HistoryPart:
        """Return the next part of the history. Raises StreamTombstoned, NoRecordAt."""
        raise AssertionError("each kind says how it reads")

    def caught_up(self) -> Sequence[Message]:
        """End the history."""
        raise AssertionError("each kind says what it tells then")

    def live(self, records: Sequence[Record], reader: Reader | None, now: int) -> Sequence[Message]:
        """Return the messages for records of the live feed, in log order; those known from the history are left out."""
        raise AssertionError("each kind says what it sends")

    def fall_behind(self) -> None:
        """Go back to reading history: live events were lost."""
        self.behind = True

    def needs_reader(self, records: Sequence[Record]) -> bool:
        """Whether `live` has to look things up for these records."""
        return self.resolves_links and has_links(records)

    def _resolve(self, records: Sequence[Record], reader: Reader | None, now: int) -> Sequence[ReadEvent]:
        return resolve(reader, records, now) if self.resolves_links and reader is not None else records

    def _resolve_some(self, records: Sequence[Record], reader: Reader, now: int) -> Sequence[ReadEvent]:
        """Resolve as many as make a page."""
        return resolve_some(reader, records, now) if self.resolves_links else records


class StreamSubscription(SubscriptionRules):
    """A subscription to the events of a stream after revision `after`: -1 for all of them, None for new ones only."""

    def __init__(self, stream: str, after: int | None, *, resolve_links: bool) -> None:
        super().__init__(resolve_links=resolve_links)
        self._stream = stream
        self._from_end = after is None
        self._last = -1 if after is None else after

    def start(self, reader: Reader, now: int) -> None:
        """Find the starting point. Raises StreamTombstoned."""
        window_of(reader, self._stream, now)
        head = reader.head(self._stream)
        end = -1 if head is None else head.last_revision
        if self._from_end:
            self._last = end
        self.behind = self._last < end

    def page(self, reader: Reader, now: int) -> HistoryPart:
        """Return the next part of the history. Raises StreamTombstoned."""
        window = window_of(reader, self._stream, now)
        if window is None or self._last >= window.last:
            return HistoryPart([], end=True)
        records, following, end = stream_page(reader, self._stream, self._last + 1, self._size.limit, window)
        self._size.learn(records)
        events = self._resolve_some(records, reader, now)
        if len(events) < len(records):
            following, end = records[len(events)].revision, False
        if records:
            self._last = following - 1
        return HistoryPart(events, end)

    def caught_up(self) -> Sequence[Message]:
        """End the history."""
        self.behind = False
        return [ReachedLive(self._last if self._last >= 0 else None, None)]

    def live(self, records: Sequence[Record], reader: Reader | None, now: int) -> Sequence[Message]:
        """Return the messages for records of the live feed, in log order; those known from the history are left out."""
        new = [record for record in records if record.revision > self._last]
        if not new:
            return []
        self._last = new[-1].revision
        if self._last == TOMBSTONE:
            self.ended = self._stream
        return self._resolve(new, reader, now)


class AllSubscription(SubscriptionRules):
    """A subscription to $all after a position: (0, 0) for everything, None for new events only."""

    def __init__(self, after: Position | None, select: Selector, *, resolve_links: bool) -> None:
        super().__init__(resolve_links=resolve_links)
        self._select = select
        self._from_end = after is None
        self._delivered = self._cursor = after or _START
        self._begun = False

    def start(self, reader: Reader, now: int) -> None:
        """Find the starting point."""
        end = _of(reader.last_position())
        if self._from_end:
            self._delivered = end
        self._cursor = self._delivered
        self.behind = self._delivered < end
        self._begun = not self.behind

    def page(self, reader: Reader, now: int) -> HistoryPart:
        """Return the next part of the history. Raises NoRecordAt."""
        self._check_start(reader)
        limit = self._size.limit
        stored: Sequence[Record] = reader.log_forward(_first_after(self._cursor), limit)
        self._size.learn(stored)
        chosen = self._select(stored)
        events = self._resolve_some(chosen, reader, now)
        end = log_ends(reader, stored, limit)
        if len(events) < len(chosen):
            stored, end = records_before(stored, chosen[len(events)].position), False
        self._advance(stored, chosen[: len(events)])
        return HistoryPart(events, end)

    def _check_start(self, reader: Reader) -> None:
        if not self._begun and not is_boundary(reader, self._cursor[0]):
            raise NoRecordAt(self._cursor[0])
        self._begun = True

    def _advance(self, records: Sequence[Record], chosen: Sequence[Record]) -> None:
        """Go past records of the log, some of which have been chosen."""
        if records:
            self._cursor = _of(records[-1].position)
        if chosen:
            self._delivered = _of(chosen[-1].position)

    def caught_up(self) -> Sequence[Message]:
        """End the history."""
        self.behind = False
        return [ReachedLive(None, self._delivered)]

    def live(self, records: Sequence[Record], reader: Reader | None, now: int) -> Sequence[Message]:
        """Return the messages for records of the live feed, in log order; those known from the history are left out."""
        new = _after(records, self._cursor)
        chosen = self._select(new)
        self._advance(new, chosen)
        return self._resolve(chosen, reader, now)


class FilteredSubscription(SubscriptionRules):
    """A filtered subscription to $all, with checkpoints after `window` * `multiplier` records.

    The cadence is that of a server which reads pages of up to 32 matching or `window` considered records, whatever is
    fetched at once here. A checkpoint lags behind by up to such a page.
    """

    def __init__(
        self, after: Position | None, select: Selector, *, window: int, multiplier: int, resolve_links: bool
    ) -> None:
        super().__init__(resolve_links=resolve_links)
        self._select = select
        self._picking = Picking(select)
        self._from_end = after is None
        self._after = after or _START
        self._window = window
        self._interval = window * multiplier
        self._begun = False
        self._reported: Position | None = None
        """The last checkpoint sent."""

    def start(self, reader: Reader, now: int) -> None:
        """Find the starting point."""
        end = _of(reader.last_position())
        if self._from_end:
            self._after = end
        self._resume(self._after)
        self.behind = self._after < end
        self._begun = not self.behind
        self._counted = 0

    def _resume(self, after: Position) -> None:
        """Begin the first page of a history after a position; the record there is considered again."""
        self._after = self._running = after
        self._next = after[0]
        self._considered = self._matched = self._since_checkpoint = 0

    def fall_behind(self) -> None:
        """Go back to reading history: live events were lost."""
        super().fall_behind()
        self._resume(max(self._after, self._running))

    def page(self, reader: Reader, now: int) -> HistoryPart:
        """Return the next part of the history. Raises NoRecordAt."""
        if not self._begun and not is_boundary(reader, self._after[0]):
            raise NoRecordAt(self._after[0])
        self._begun = True
        looked_at, picked, end = self._picking.page(reader, self._next)
        chosen = _after(picked, self._after)
        resolved = self._resolve_some(chosen, reader, now)
        if len(resolved) < len(chosen):
            looked_at, end = records_before(looked_at, chosen[len(resolved)].position), False
        messages: list[Message] = []
        self._go_past(reader, looked_at, _places(looked_at, chosen[: len(resolved)]), resolved, messages)
        if looked_at:
            self._next = looked_at[-1].position + 1
        return HistoryPart(messages, end)

    def _go_past(
        self,
        reader: Reader,
        records: Sequence[Record | Sketch],
        places: Sequence[int],
        events: Sequence[ReadEvent],
        messages: list[Message],
    ) -> None:
        """Go past records of the history, of which those at some places are events to be sent, page by page."""
        done = sent = 0
        while done < len(records):
            end = done + self._window - self._considered
            last = sent + LOGICAL_PAGE - self._matched - 1  # the event that makes the page full
            if last < len(places):
                end = min(end, places[last] + 1)
            stop = min(end, len(records))
            before, sent = sent, bisect_left(places, stop, sent)
            messages += events[before:sent]
            self._considered += stop - done
            self._matched += sent - before
            if sent > before:
                self._running = _of(records[places[sent - 1]].position)
            if stop == end:
                self._end_page(reader, records[stop - 1], messages)
            done = stop

    def _end_page(self, reader: Reader, record: Record | Sketch, messages: list[Message]) -> None:
        self._since_checkpoint += self._considered
        self._considered = self._matched = 0
        if self._since_checkpoint >= self._interval:
            self._since_checkpoint %= self._interval
            self._report(messages)
        whole = record if isinstance(record, Record) else reader.log_at([record.position])[0]
        self._running = max(self._running, (record.position + length_of(whole), 0))

    def _report(self, messages: list[Message]) -> None:
        self._reported = self._running
        messages.append(PassedOver(*self._running))

    def caught_up(self) -> Sequence[Message]:
        """End the history, with a checkpoint unless it would say nothing new."""
        messages: list[Message] = []
        if self.behind and (self._reported is None or self._running > self._reported):
            self._report(messages)
        self.behind = False
        self._counted = 0
        self._after = max(self._after, _of(self._next - 1))
        messages.append(ReachedLive(None, self._running))
        return messages

    def live(self, records: Sequence[Record], reader: Reader | None, now: int) -> Sequence[Message]:
        """Return the messages for records of the live feed, in log order; those known from the history are left out.

        Every record counts towards the next checkpoint, known or not, matching or not.
        """
        chosen = self._select(_after(records, self._after))
        resolved = self._resolve(chosen, reader, now)
        if 0 < len(records) < self._interval - self._counted:  # no checkpoint falls due
            self._counted += len(records)
            self._after = max(self._after, _of(records[-1].position))
            if chosen:
                self._running = max(self._running, _of(chosen[-1].position))
            return resolved
        events = dict(zip((r.position for r in chosen), resolved, strict=True))
        messages: list[Message] = []
        for record in records:
            self._live_record(_of(record.position), events.get(record.position), messages)
        return messages

    def _live_record(self, position: Position, event: ReadEvent | None, messages: list[Message]) -> None:
        if event is not None:
            self._running = max(self._running, position)
            messages.append(event)
        self._after = max(self._after, position)
        self._counted += 1
        if self._counted >= self._interval:
            self._counted = 0
            if position >= self._running:
                self._running = position
                self._report(messages)


def _of(position: int) -> Position:
    return position, position


def _first_after(cursor: Position) -> int:
    """Return the lowest record position behind a cursor."""
    return cursor[0] if cursor[1] < cursor[0] else cursor[0] + 1


def _places(records: Sequence[Record | Sketch], chosen: Sequence[Record]) -> Sequence[int]:
    """Return where those that were chosen stand among the records."""
    if len(chosen) == len(records):
        return range(len(records))
    positions = {record.position for record in chosen}
    return [place for place, record in enumerate(records) if record.position in positions]


def _after(records: Sequence[Record], cursor: Position) -> Sequence[Record]:
    first = _first_after(cursor)
    return records if not records or records[0].position >= first else [r for r in records if r.position >= first]
