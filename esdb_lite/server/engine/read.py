"""Reads of a stream and of $all, page by page.

Owns: which events and which position messages a read is answered with (sections 11 and 12 of the protocol notes).
Must not know: the wire, how pages are fetched, the clock (`now` is an argument of each page).

A read is an object whose `page` is called with a view of the database until it says that it is done. Views may differ
from page to page: what is appended during a forward read is part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from esdb_lite.server.engine.filters import Selection, Selector, shown
from esdb_lite.server.engine.links import ReadEvent, resolve_some
from esdb_lite.server.engine.model import length_of
from esdb_lite.server.engine.visibility import Window, first_readable, window_of
from esdb_lite.server.storage import FIRST_POSITION, Reader, Record, Sketch

Placed = TypeVar("Placed", bound="Record | Sketch")

LOGICAL_PAGE = 32
"""Events that a real server reads at once; it shows in which position messages are sent, and in checkpoints."""

_FIRST_PAGE, _LARGEST_PAGE = 32, 512
_FEW = 32
"""A filter that picks less than one event in so many picks few."""
_PAGE_BYTES = 256 * 1024


class NoRecordAt(Exception):
    """A position in $all at which no record begins."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class NotFound(NamedTuple):
    """The stream has no events, or was deleted."""

    stream: str


class FirstPosition(NamedTuple):
    """The read goes on here, behind what is no longer readable."""

    revision: int


class LastPosition(NamedTuple):
    """Number of the last event of the stream."""

    revision: int


class AnswerPage(NamedTuple):
    """A part of the answer: messages before the events, the events, messages after them."""

    before: Sequence[NotFound | FirstPosition]
    events: Sequence[ReadEvent]
    after: Sequence[LastPosition]
    done: bool


class Read(Protocol):
    """A read in progress."""

    def page(self, reader: Reader, now: int) -> AnswerPage:
        """Return the next part of the answer. Raises StreamTombstoned, NoRecordAt."""
        ...


class PageSize:
    """How many records to fetch at once, so that a page has about as many bytes as it should."""

    def __init__(self) -> None:
        self.limit = _FIRST_PAGE

    def learn(self, records: Sequence[Record]) -> None:
        """Look at the records of a page, to choose the size of the next."""
        if records:
            size = 200 * len(records) + sum([len(record.data) + len(record.metadata) for record in records])
            self.limit = max(1, min(_LARGEST_PAGE, self.limit * 4, _PAGE_BYTES * len(records) // size))


class Picked(NamedTuple):
    """A part of the log, and the events in it that a reader sees."""

    looked_at: Sequence[Record | Sketch]
    chosen: Sequence[Record]
    end: bool
    """Whether there is nothing behind."""


class Picking:
    """How a filter's events get out of the log: where it picks few, the others are not read."""

    def __init__(self, select: Selector) -> None:
        self._select = select
        self._few = False
        self._size = PageSize()

    def page(self, reader: Reader, first: int, limit: int | None = None) -> Picked:
        """Look at the log from a position on: at so many records at most, or at as many as make a page."""
        limit = self._size.limit if limit is None else min(limit, self._size.limit)
        if self._few and isinstance(self._select, Selection):
            return self._sketched(reader, self._select, reader.log_sketched(self._select.on.named, first, limit), limit)
        stored = reader.log_forward(first, limit)
        self._size.learn(stored)
        return self._picked(stored, self._select(stored), end=log_ends(reader, stored, limit))

    def _sketched(self, reader: Reader, select: Selection, sketches: Sequence[Sketch], limit: int) -> Picked:
        matching = select.matching(sketches, reader)
        chosen = reader.log_at([sketch.position for sketch in matching])
        if len(chosen) < len(matching):  # they are large: the others are for another page
            sketches, limit = records_before(sketches, matching[len(chosen)].position), 0
        return self._picked(sketches, shown(chosen), end=log_ends(reader, sketches, limit))

    def _picked(self, looked_at: Sequence[Record | Sketch], chosen: Sequence[Record], *, end: bool) -> Picked:
        self._few = len(chosen) * _FEW < len(looked_at)
        return Picked(looked_at, chosen, end)


# --- streams ----------------------------------------------------------------------------------------------------------


class _StreamRead:
    """What both directions have in common."""

    def __init__(self, stream: str, count: int, *, resolve_links: bool, positions: bool) -> None:
        self._stream = stream
        self._left = count
        self._resolve_links = resolve_links
        self._positions = positions
        self._size = PageSize()
        self._begun = False

    def page(self, reader: Reader, now: int) -> AnswerPage:
        """Return the next part of the answer. Raises StreamTombstoned."""
        window = window_of(reader, self._stream, now)
        begun, self._begun = self._begun, True
        if window is None:
            return AnswerPage([] if begun else [NotFound(self._stream)], [], [], done=True)
        before = [] if begun or not self._positions else self._announcements(reader, window)
        records, done = self._records(reader, window)
        events = resolve_some(reader, records, now) if self._resolve_links else records
        if len(events) < len(records):
            self._go_back(records[len(events)].revision)
            done = False
        self._left -= len(events)
        done = done or self._left == 0
        if not done:
            self._size.learn(records)
        after = [LastPosition(window.last)] if done and self._positions else []
        return AnswerPage(before, events, after, done)

    def _limit(self) -> int:
        return min(self._size.limit, self._left)

    def _announcements(self, reader: Reader, window: Window) -> list[NotFound | FirstPosition]:
        raise AssertionError("each direction says what it announces")

    def _records(self, reader: Reader, window: Window) -> tuple[Sequence[Record], bool]:
        raise AssertionError("each direction says how it reads")

    def _go_back(self, revision: int) -> None:
        """Go on with the event of this number."""
        raise AssertionError("each direction says where it goes on")


class StreamForwards(_StreamRead):
    """A read of a stream from revision `start` on, ascending, of at most `count` events (at least 1)."""

    def __init__(self, stream: str, start: int, count: int, *, resolve_links: bool, positions: bool) -> None:
        super().__init__(stream, count, resolve_links=resolve_links, positions=positions)
        self._next = start
        self._logical_page = min(LOGICAL_PAGE, count)

    def _announcements(self, reader: Reader, window: Window) -> list[NotFound | FirstPosition]:
        """Say where the read goes on, for each of the real server's first pages that has nothing in it."""
        found: list[NotFound | FirstPosition] = []
        start = self._next
        if start + self._logical_page <= window.first:
            start = window.first
            found.append(FirstPosition(start))
        readable = first_readable(reader, self._stream, start, window)
        if readable > window.last:
            readable = window.last + 1
        elif readable < start + self._logical_page:
            return found
        if readable != start:
            found.append(FirstPosition(readable))
        return found

    def _records(self, reader: Reader, window: Window) -> tuple[Sequence[Record], bool]:
        records, self._next, done = stream_page(reader, self._stream, self._next, self._limit(), window)
        return records, done

    def _go_back(self, revision: int) -> None:
        self._next = revision


def stream_page(
    reader: Reader, stream: str, start: int, limit: int, window: Window
) -> tuple[Sequence[Record], int, bool]:
    """Return up to `limit` readable events from `start` on, where to go on, and whether the end was reached."""
    first = first_readable(reader, stream, start, window)
    stored = reader.stream_forward(stream, first, limit) if first <= window.last else []
    if not stored:
        return [], max(first, start), True
    oldest = window.oldest
    records = stored if oldest is None else [record for record in stored if record.created >= oldest]
    following = stored[-1].revision + 1
    return records, following, following > window.last


class StreamBackwards(_StreamRead):
    """A read of a stream from revision `start` (None: the last one) down, of at most `count` events (at least 1)."""

    def __init__(self, stream: str, start: int | None, count: int, *, resolve_links: bool, positions: bool) -> None:
        super().__init__(stream, count, resolve_links=resolve_links, positions=positions)
        self._next = start

    def _announcements(self, reader: Reader, window: Window) -> list[NotFound | FirstPosition]:
        return []

    def _records(self, reader: Reader, window: Window) -> tuple[Sequence[Record], bool]:
        start = window.last if self._next is None else min(self._next, window.last)
        if start < window.first:
            return [], True
        stored = reader.stream_backward(self._stream, start, self._limit())
        records = _unbroken(stored, start, window)
        self._next = start - len(records)
        return records, len(records) < len(stored) or not stored or self._next < window.first

    def _go_back(self, revision: int) -> None:
        self._next = revision


def _unbroken(stored: Sequence[Record], start: int, window: Window) -> Sequence[Record]:
    """Return the records up to the first number that is missing or not readable."""
    for index, record in enumerate(stored):
        if record.revision != start - index or not window.shows(record):
            return stored[:index]
    return stored


# --- $all -------------------------------------------------------------------------------------------------------------


class _AllRead:
    """What both directions have in common."""

    def __init__(self, count: int, select: Selector, *, resolve_links: bool) -> None:
        self._left = count
        self._select = select
        self._resolve_links = resolve_links

    def _limit(self) -> int | None:
        """How many records to look at: no more than wanted, unless a filter may refuse them."""
        return self._left if self._select is shown else None

    def page(self, reader: Reader, now: int) -> AnswerPage:
        """Return the next part of the answer. Raises NoRecordAt."""
        chosen, done = self._fetch(reader)
        records = chosen[: self._left]
        events = resolve_some(reader, records, now) if self._resolve_links else records
        if len(events) < len(records):
            self._go_back(records[len(events)].position)
            done = False
        self._left -= len(events)
        return AnswerPage([], events, [], done or self._left == 0)

    def _fetch(self, reader: Reader) -> tuple[Sequence[Record], bool]:
        """Return what is seen of the next part of the log, and whether that is the last."""
        raise AssertionError("each direction says how it reads")

    def _go_back(self, position: int) -> None:
        """Go on with the record at a position."""
        raise AssertionError("each direction says where it goes on")


class AllForwards(_AllRead):
    """A read of the log from a position (inclusive) on, of at most `count` events (at least 1)."""

    def __init__(self, position: int, count: int, select: Selector, *, resolve_links: bool) -> None:
        super().__init__(count, select, resolve_links=resolve_links)
        self._picking = Picking(select)
        self._next = position
        self._begun = False

    def _fetch(self, reader: Reader) -> tuple[Sequence[Record], bool]:
        if not self._begun:
            self._begun = True
            if not is_boundary(reader, self._next) and self._next <= reader.last_position():
                raise NoRecordAt(self._next)
        looked_at, chosen, done = self._picking.page(reader, self._next, self._limit())
        if looked_at:
            self._next = looked_at[-1].position + 1
        return chosen, done

    def _go_back(self, position: int) -> None:
        self._next = position


class AllBackwards(_AllRead):
    """A read of the log before a position (None: from the end), descending, of at most `count` events (at least 1).

    `skip_one` leaves out the first record, as a prepare position below the commit position does.
    """

    def __init__(
        self, position: int | None, count: int, select: Selector, *, resolve_links: bool, skip_one: bool = False
    ) -> None:
        super().__init__(count, select, resolve_links=resolve_links)
        self._size = PageSize()
        self._before = position
        self._skip_one = skip_one
        self._begun = False

    def _fetch(self, reader: Reader) -> tuple[Sequence[Record], bool]:
        before = self._start(reader) if not self._begun else self._before
        self._begun = True
        limit, most = self._size.limit, self._limit()
        stored = reader.log_backward(0 if before is None else before, limit if most is None else min(limit, most))
        self._size.learn(stored)
        if stored:
            self._before = stored[-1].position
        return self._select(stored), not stored

    def _go_back(self, position: int) -> None:
        self._before = position + 1

    def _start(self, reader: Reader) -> int:
        if self._before is None:
            return reader.log_end()
        if self._before > reader.log_end() or (self._before > FIRST_POSITION and not is_boundary(reader, self._before)):
            raise NoRecordAt(self._before)
        first = reader.log_backward(self._before, 1) if self._skip_one else []
        return first[0].position if first else self._before


def records_before(records: Sequence[Placed], position: int) -> Sequence[Placed]:
    """Return those of the records that come before a position."""
    return [record for record in records if record.position < position]


def log_ends(reader: Reader, page: Sequence[Record | Sketch], limit: int) -> bool:
    """Whether a page read forwards reaches the end of the log: it may be short because its events are large."""
    return not page or (len(page) < limit and page[-1].position >= reader.last_position())


def is_boundary(reader: Reader, position: int) -> bool:
    """Whether a record of the log may begin at a position: it is not inside one that is there."""
    if position == 0:
        return True
    before = reader.log_backward(position, 1)
    return before[0].position + length_of(before[0]) <= position if before else position >= FIRST_POSITION
