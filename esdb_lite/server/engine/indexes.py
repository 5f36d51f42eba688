"""Reads and subscriptions by index: the whole log without the server's own events, a category, a type, a user's index.

Owns: names of indexes, what is in one, what its readers get (section B.5 of the notes on KurrentDB).
Must not know: the wire, how a user's index is filled, how pages are fetched.

An index is read along the log: positions are the cursor, and any number will do. Retention and deletions of streams are
not applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from esdb_lite.positions import LARGEST
from esdb_lite.server.engine.read import AnswerPage, PageSize
from esdb_lite.server.engine.subscriptions import HistoryPart, Message, Position, ReachedLive, SubscriptionRules
from esdb_lite.server.storage import LogSelection, Reader, Record, SelectedPage

PREFIX = "$idx-"
_ALL, _CATEGORY, _TYPE, _USER = "$idx-all", "$idx-ce-", "$idx-et-", "$idx-user-"


class UserIndexName(NamedTuple):
    """An index that a user has defined, or the events in it that have one value."""

    name: str
    value: str | None = None


def parse_index(name: str) -> LogSelection | UserIndexName | None:
    """Return what an index name stands for; None: for nothing."""
    if name == _ALL:
        return LogSelection()
    if name.startswith(_CATEGORY):
        return LogSelection(category=name[len(_CATEGORY) :])
    if name.startswith(_TYPE):
        return LogSelection(type=name[len(_TYPE) :])
    if name.startswith(_USER):
        index, colon, value = name[len(_USER) :].partition(":")
        return UserIndexName(index, value if colon else None)
    return None


def is_selected(selection: LogSelection, record: Record) -> bool:
    """Whether a record is one of a selection."""
    if record.stream.startswith("$") or record.type.startswith("$"):
        return False
    if selection.type is not None and record.type != selection.type:
        return False
    return selection.category is None or record.stream.partition("-")[0] == selection.category


class IndexContent(Protocol):
    """The events of an index, found in a view of the log."""

    def forward(self, reader: Reader, first: int, limit: int) -> SelectedPage:
        """Up to `limit` events with position >= first, ascending."""
        ...

    def backward(self, reader: Reader, last: int, limit: int) -> SelectedPage:
        """Up to `limit` events with position <= last, descending."""
        ...

    def live(self, records: Sequence[Record]) -> Sequence[Record] | None:
        """Those of new records of the log that are in the index; None: only a search tells."""
        ...


class SelectedContent:
    """The events of an index that every database has."""

    def __init__(self, selection: LogSelection) -> None:
        self._selection = selection

    def forward(self, reader: Reader, first: int, limit: int) -> SelectedPage:
        """See `IndexContent`."""
        return reader.selected_forward(self._selection, first, limit)

    def backward(self, reader: Reader, last: int, limit: int) -> SelectedPage:
        """See `IndexContent`."""
        return reader.selected_backward(self._selection, last, limit)

    def live(self, records: Sequence[Record]) -> Sequence[Record]:
        """See `IndexContent`."""
        return [record for record in records if is_selected(self._selection, record)]


class IndexRead:
    """A read of at most `count` events from a position on, that one included; None: from the newest."""

    def __init__(self, content: IndexContent, start: int | None, count: int, *, backwards: bool) -> None:
        self._content = content
        self._next = LARGEST if start is None else start
        self._left = count
        self._backwards = backwards
        self._size = PageSize()

    def page(self, reader: Reader, now: int) -> AnswerPage:
        """Return the next part of the answer."""
        if not self._left:
            return AnswerPage([], [], [], done=True)
        search = self._content.backward if self._backwards else self._content.forward
        records, following = search(reader, self._next, min(self._size.limit, self._left))
        self._size.learn(records)
        self._left -= len(records)
        if following is not None:
            self._next = following
        return AnswerPage([], records, [], done=following is None or self._left == 0)


class IndexSubscription(SubscriptionRules):
    """A subscription to the events of an index after a position: None for new ones only."""

    def __init__(self, content: IndexContent, after: int | None) -> None:
        super().__init__()
        self._content = content
        self._from_end = after is None
        self._next = (after or 0) + 1
        self._reported: Position | None = (after, after) if after else None

    def start(self, reader: Reader, now: int) -> None:
        """Find the starting point."""
        if self._from_end:
            newest = _newest(reader)
            self._reported = (newest, newest) if newest else None
            self._next = newest + 1

    def page(self, reader: Reader, now: int) -> HistoryPart:
        """Return the next part of the history."""
        records, following = self._content.forward(reader, self._next, self._size.limit)
        self._size.learn(records)
        self._deliver(records)
        if following is not None:
            self._next = following
        return HistoryPart(records, end=following is None)

    def _deliver(self, records: Sequence[Record]) -> None:
        if records:
            last = records[-1].position
            self._reported, self._next = (last, last), last + 1

    def caught_up(self) -> Sequence[Message]:
        """End the history."""
        self.behind = False
        return [ReachedLive(None, self._reported)]

    def needs_reader(self, records: Sequence[Record]) -> bool:
        """Whether `live` has to look things up for these records."""
        return bool(records) and self._content.live(records[:1]) is None

    def live(self, records: Sequence[Record], reader: Reader | None, now: int) -> Sequence[Message]:
        """Return the events of the index among records of the live feed; those known from the history are left out."""
        new = [record for record in records if record.position >= self._next]
        if not new:
            return []
        found = self._content.live(new)
        if found is None:
            assert reader is not None
            found = _all_of(self._content, reader, self._next, new[-1].position)
        self._deliver(found)
        self._next = new[-1].position + 1
        return found


def _newest(reader: Reader) -> int:
    """Position of the newest event that is not the server's own; 0: there is none."""
    last: int | None = LARGEST
    while last is not None:
        records, last = reader.selected_backward(LogSelection(), last, 1)
        if records:
            return records[0].position
    return 0


def _all_of(content: IndexContent, reader: Reader, first: int, last: int) -> list[Record]:
    """The events of an index from a position up to another, both included."""
    found: list[Record] = []
    following: int | None = first
    while following is not None and following <= last:
        records, following = content.forward(reader, following, _LIVE_PAGE)
        found += [record for record in records if record.position <= last]
    return found


_LIVE_PAGE = 512
