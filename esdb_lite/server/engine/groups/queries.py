"""What a group reads: its state at the start, pages of its source, parked events, and live events made into messages.

Owns: how stored events become messages of a group. Must not know: when they are read, the clock (`now`: ticks).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from esdb_lite.server.engine.filters import Selector, hidden, selector
from esdb_lite.server.engine.links import ReadEvent, Resolved, has_links, resolve, resolve_some
from esdb_lite.server.engine.read import is_boundary, stream_page
from esdb_lite.server.engine.regex.matcher import RegexTooSlow
from esdb_lite.server.engine.visibility import StreamTombstoned, last_event, window_of, window_unless_tombstoned
from esdb_lite.server.storage import TOMBSTONE, Reader, Record

from .config import CONFIG_STREAM, GroupConfig, LoadedConfig, load_config
from .messages import Message
from .parking import checkpoint_stream, parked_stream, read_checkpoint

RECORDS_AT_ONCE = 512
"""So many records of the log are looked at in one go when a filter may refuse them."""
RECORDS_IN_ALL = 8 * RECORDS_AT_ONCE
"""So many are looked at for one page, however few match."""


class Unreadable(Exception):
    """The source of a group cannot be read: tombstoned, the start is no position of an event, the filter too slow."""


class Loaded(NamedTuple):
    """What storage knows of a group."""

    checkpoint: int | None
    end: int
    """The last position of the source; -1 if it has no events."""
    parked_from: int
    parked_next: int
    broken: Record | None = None
    """The last event of the checkpoints, where it is none that can be."""
    replayed_from: int | None = None
    """From this number on, events that were parked had been replayed and were not done; None: there are no such."""


class SourcePage(NamedTuple):
    """A part of the source."""

    messages: Sequence[Message]
    last: int | None
    """The last position that was looked at."""
    at_end: bool
    skipped: int = 0
    """How many events the group's filter left out."""


class LiveEvents(NamedTuple):
    """Events just committed, as far as they concern a group."""

    messages: Sequence[Message]
    last: int | None
    skipped: int


def load(reader: Reader, config: GroupConfig, now: int) -> Loaded:
    """Read what a group has to know when it starts."""
    end = _end(reader, config)
    last = last_event(reader, checkpoint_stream(config.stream, config.group))
    checkpoint = None if last is None else read_checkpoint(last.data)
    usable = checkpoint is None or -1 <= checkpoint <= end
    parked_from, parked_next = _parked_range(reader, parked_stream(config.stream, config.group), now)
    return Loaded(
        checkpoint=checkpoint if usable else None,
        end=end,
        parked_from=parked_from,
        parked_next=parked_next,
        broken=last if checkpoint is None or not usable else None,
        replayed_from=reader.replayed_from(parked_stream(config.stream, config.group)),
    )


def _end(reader: Reader, config: GroupConfig) -> int:
    if config.in_log:
        return reader.last_position()
    head = reader.head(config.stream)
    return -1 if head is None else head.last_revision


def _parked_range(reader: Reader, stream: str, now: int) -> tuple[int, int]:
    head = reader.head(stream)
    if head is None or head.last_revision == TOMBSTONE:
        return 0, 0
    following = head.last_revision + 1
    window = window_of(reader, stream, now)
    return (following if window is None else min(window.first, following)), following


def stored_groups(reader: Reader) -> LoadedConfig:
    """Read the configuration of all groups."""
    last = last_event(reader, CONFIG_STREAM)
    return LoadedConfig([], []) if last is None else load_config(last.data)


def has_metadata(reader: Reader, stream: str) -> bool:
    """Whether a stream has metadata."""
    head = reader.head(stream)
    return head is not None and head.metadata is not None


class GroupSource:
    """What a group reads from: its stream, or the log with the group's filter. Raises UnusableFilter when made."""

    def __init__(self, config: GroupConfig) -> None:
        self._config = config
        self._resolve_links = config.settings.resolve_links
        self._select: Selector = selector(config.filter)
        self._checked = not config.in_log or config.settings.start.is_end

    def page(self, reader: Reader, first: int, limit: int, now: int) -> SourcePage:
        """Read up to `limit` events from a position on. Raises Unreadable."""
        if self._config.in_log:
            return self._log_page(reader, first, limit, now)
        try:
            window = window_of(reader, self._config.stream, now)
        except StreamTombstoned as error:
            raise Unreadable(f"stream {error.stream} is deleted") from error
        if window is None:
            return SourcePage([], None, at_end=True)
        records, following, done = stream_page(reader, self._config.stream, first, limit, window)
        messages = self._some_messages(records, reader, now)
        if len(messages) < len(records):
            following, done = records[len(messages)].revision, False
        return SourcePage(messages, following - 1 if records else None, done)

    def _log_page(self, reader: Reader, first: int, limit: int, now: int) -> SourcePage:
        self._check_start(reader, first)
        chosen: list[Record] = []
        left_out: list[int] = []
        last, at_end = None, False
        for _ in range(RECORDS_IN_ALL // RECORDS_AT_ONCE):
            stored = reader.log_forward(first, limit if self._config.filter is None else RECORDS_AT_ONCE)
            at_end = not stored or stored[-1].position >= reader.last_position()
            found = self._chosen(stored)
            if len(chosen) + len(found) > limit:
                found = found[: limit - len(chosen)]
                stored = [record for record in stored if record.position <= found[-1].position]
                at_end = False
            chosen.extend(found)
            left_out += _left_out(stored, found)
            if stored:
                last = stored[-1].position
                first = last + 1
            if at_end or len(chosen) >= limit:
                break
        messages = self._some_messages(chosen, reader, now)
        if len(messages) < len(chosen):
            last, at_end = chosen[len(messages)].position - 1, False
            left_out = [position for position in left_out if position <= last]
        return SourcePage(messages, last, at_end, len(left_out))

    def _chosen(self, records: Sequence[Record]) -> Sequence[Record]:
        try:
            return self._select(records)
        except RegexTooSlow as error:
            raise Unreadable(str(error)) from error

    def _check_start(self, reader: Reader, first: int) -> None:
        start = self._config.settings.start.position
        if not self._checked and first == start and first <= reader.last_position() and not is_boundary(reader, first):
            raise Unreadable(f"no event begins at position {first}")
        self._checked = True

    def needs_reader(self, records: Sequence[Record]) -> bool:
        """Whether `live` has to look up the targets of links."""
        return self._resolve_links and has_links(records)

    def live(self, records: Sequence[Record], reader: Reader | None, now: int) -> LiveEvents:
        """Make messages of events that were just committed. Raises Unreadable."""
        if not self._config.in_log:
            return LiveEvents(self._messages(records, reader, now), None, 0)
        chosen = self._chosen(records)
        return LiveEvents(
            self._messages(chosen, reader, now),
            records[-1].position if records else None,
            len(_left_out(records, chosen)),
        )

    def _some_messages(self, records: Sequence[Record], reader: Reader, now: int) -> list[Message]:
        """Make messages of as many events as make a page."""
        if not self._resolve_links:
            return self._messages(records, None, now)
        return [_message(event, in_log=self._config.in_log) for event in resolve_some(reader, records, now)]

    def _messages(self, records: Sequence[Record], reader: Reader | None, now: int) -> list[Message]:
        in_log = self._config.in_log
        if not self._resolve_links or reader is None:
            return [Message(record, in_log=in_log) for record in records]
        return [_message(event, in_log=in_log) for event in resolve(reader, records, now)]


def _left_out(records: Sequence[Record], chosen: Sequence[Record]) -> list[int]:
    """The positions of those records that groups see, but this one does not want."""
    if len(chosen) == len(records):
        return []
    wanted = {record.position for record in chosen}
    return [record.position for record in records if record.position not in wanted and not hidden(record.stream)]


def _message(event: ReadEvent, *, in_log: bool = False, replayed: bool = False) -> Message:
    if isinstance(event, Resolved):
        return Message(event.event, event.link, in_log=in_log, replayed=replayed)
    return Message(event, in_log=in_log, replayed=replayed)


def parked_page(reader: Reader, config: GroupConfig, first: int, limit: int, now: int) -> list[Message]:
    """Read parked events with numbers in [first, first + limit) whose targets can be read."""
    stream = parked_stream(config.stream, config.group)
    window = window_unless_tombstoned(reader, stream, now)
    if window is None:
        return []
    records: list[Record] = []
    following = max(first, window.first)
    while following < first + limit and (page := reader.stream_forward(stream, following, first + limit - following)):
        records += [record for record in page if record.revision < first + limit]
        following = page[-1].revision + 1
    events = resolve(reader, records, now)
    return [
        _message(event, in_log=config.in_log, replayed=True)
        for event in events
        if isinstance(event, Resolved) and event.event is not None
    ]
