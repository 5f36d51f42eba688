"""The rules of writing: expected versions, idempotency, deletes, tombstones, and what undoes a deletion.

Owns: every decision about what is written and what is answered (sections 7 and 9 of the protocol notes).
Must not know: how events are kept, threads, the clock (`now` and fresh ids are arguments).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count, repeat
from typing import NamedTuple, Protocol, TypeAlias

from esdb_lite.server.engine.metadata import (
    DELETED,
    METASTREAM,
    StreamRules,
    min_readable,
    oldest_readable,
    with_truncate_before,
)
from esdb_lite.server.engine.model import (
    ANY,
    EXISTS,
    METADATA_TYPE,
    NO_STREAM,
    TOMBSTONE_TYPE,
    Appended,
    Decision,
    DeletedStream,
    Outcome,
    ProposedEvent,
    RecordsOutcome,
    WrongVersion,
    is_metastream,
    metastream_of,
    next_chunk,
    original_of,
    place,
    record_length,
)
from esdb_lite.server.storage import TOMBSTONE, Record


class Stored(NamedTuple):
    """Where and when an event was written."""

    position: int
    created: int


class LogState(Protocol):
    """What the rules ask about what has been written so far, commands of the same transaction included."""

    def plain_ends(self, streams: Collection[str]) -> Mapping[str, int]:
        """The last revisions of those of the streams that are known to have no rules in their metadata.

        To be asked before the other questions where they are many: to look at them together is quicker.
        """
        ...

    def last_revision(self, stream: str) -> int:
        """Number of the last event, -1 when there is none, TOMBSTONE when tombstoned."""
        ...

    def written_since_start(self, stream: str) -> bool:
        """Whether the last event of the stream was written after the database was opened."""
        ...

    def metadata(self, stream: str) -> StreamRules:
        """What the last event of `$$stream` says (EMPTY when there is none)."""
        ...

    def metadata_document(self, stream: str) -> bytes:
        """The data of the last event of `$$stream` (empty when there is none)."""
        ...

    def last_event(self, stream: str) -> Record | None:
        """The last event, readable or not (None when there is none)."""
        ...

    def recent(self, event_id: bytes) -> tuple[str, int] | None:
        """Stream and number of the first event written with this id, while it is remembered."""
        ...

    def ids(self, stream: str, first: int, count: int) -> Mapping[int, bytes]:
        """The ids of the stored events with the revisions first ... first + count - 1."""
        ...

    def stored(self, stream: str, revision: int) -> Stored | None:
        """The stored event with that number."""
        ...


class Moment(NamedTuple):
    """The circumstances of one decision."""

    log_end: int
    now: int
    """Ticks."""
    new_id: Callable[[], bytes]


Rule: TypeAlias = Callable[[LogState, Moment], Decision]
"""A command whose arguments are bound: called once, inside the transaction that writes what it decides."""


class Write(NamedTuple):
    """The events are to be written."""

    current: int
    revive: bool
    """The stream is soft-deleted and comes back by this."""


class WrittenBefore(NamedTuple):
    """The events are there already."""

    last: int
    """Number of the last of the events, all of which are there already."""


VersionCheck: TypeAlias = Write | WrittenBefore | WrongVersion | DeletedStream


class Draft:
    """The records of one decision, placed one behind the other."""

    def __init__(self, moment: Moment) -> None:
        self.end = moment.log_end
        self.records: list[Record] = []
        self._now = moment.now

    def add(self, stream: str, revision: int, event: ProposedEvent) -> int:
        """Place one event; returns its position."""
        return self.add_all(stream, revision, (event,))

    def add_all(self, stream: str, first: int, events: Sequence[ProposedEvent]) -> int:
        """Place events one behind the other; returns the position of the last."""
        return self._add(zip(repeat(stream), count(first), events))

    def add_of_streams(self, writes: Sequence[tuple[str, ProposedEvent]], last: dict[str, int]) -> int:
        """Place events of several streams; returns the position of the last.

        `last`: of each stream the number of its last event, before this and then behind it.
        """
        streams, revisions = [stream for stream, _ in writes], []
        for stream in streams:
            last[stream] = revision = last[stream] + 1
            revisions.append(revision)
        return self._add(zip(streams, revisions, [event for _, event in writes], strict=True))

    def _add(self, events: Iterable[tuple[str, int, ProposedEvent]]) -> int:
        end, now, add, new = self.end, self._now, self.records.append, tuple.__new__
        position = own = chunk_end = 0
        of: str | None = None
        before: str | None = None
        for stream, revision, (id, type, is_json, data, metadata, schema) in events:
            if stream is not of or type is not before:  # many are of the same stream and type as the one before
                of, before, own = stream, type, record_length(stream, type, 0, 0)
            length = own + len(data) + (len(metadata) if schema is None else schema.size)
            if end + length > chunk_end:
                end = place(end, length)
                chunk_end = next_chunk(end + 1)
            position = end
            end += length
            # this way it takes half as long
            add(new(Record, (position, stream, revision, id, type, is_json, now, data, metadata, schema)))
        self.end = end
        return position

    def mark(self, stream: str) -> int:
        """Leave room for the invisible record of an empty append."""
        length = record_length(stream, "", 0, 0)
        position = place(self.end, length)
        self.end = position + length
        return position

    def decide(self, outcome: Outcome | RecordsOutcome) -> Decision:
        """The decision to write them."""
        return Decision(outcome, self.records, self.end)


def append(state: LogState, moment: Moment, *, stream: str, expected: int, events: Sequence[ProposedEvent]) -> Decision:
    """Append events, or none at all (which checks the version, and undoes a soft delete)."""
    check = check_version(state, stream, expected, [event.id for event in events])
    if isinstance(check, WrittenBefore):
        outcome = Appended(check.last, readable_position(state, moment, stream, check.last), idempotent=True)
        return _refuse(moment, outcome)
    if not isinstance(check, Write):
        return _refuse(moment, check)
    draft = Draft(moment)
    position = _write(draft, stream, check.current, events)
    revive_original = is_metastream(stream) and state.metadata(original_of(stream)).soft_deleted
    if check.revive:
        _revive(state, moment, draft, stream, check.current + 1)
    if revive_original:
        _revive_by_metadata(state, moment, draft, stream, check.current, events)
    return draft.decide(Appended(check.current + len(events), position))


def delete(state: LogState, moment: Moment, *, stream: str, expected: int) -> Decision:
    """Soft delete: the stream counts as not found until it is written again, its numbering goes on."""
    check = check_version(state, stream, expected, [moment.new_id()])
    if not isinstance(check, Write):
        return _refuse(moment, _never_repeated(check))
    metastream = metastream_of(stream)
    last_metadata = current_revision(state, metastream)
    if last_metadata == TOMBSTONE:
        return _refuse(moment, DeletedStream(metastream))
    if check.current < 0 and last_metadata < 0:
        return _refuse(moment, WrongVersion(-1))
    draft = Draft(moment)
    position = draft.add(metastream, last_metadata + 1, metadata_event(moment, DELETED))
    return draft.decide(Appended(last_metadata + 1, position))


def tombstone(state: LogState, moment: Moment, *, stream: str, expected: int) -> Decision:
    """Hard delete: nothing can ever be written to or read from the stream again."""
    check = check_version(state, stream, expected, [moment.new_id()])
    if not isinstance(check, Write):
        return _refuse(moment, _never_repeated(check))
    draft = Draft(moment)
    position = draft.add(stream, TOMBSTONE, ProposedEvent(moment.new_id(), TOMBSTONE_TYPE, False, b""))
    return draft.decide(Appended(TOMBSTONE, position))


def close_chunk(state: LogState, moment: Moment) -> Decision:
    """Let the log go on at the next chunk, as it does whenever a scavenge starts."""
    end = next_chunk(moment.log_end)
    return Decision(Appended(-1, end), (), end)


def _refuse(moment: Moment, outcome: Outcome) -> Decision:
    return Decision(outcome, (), moment.log_end)


def _never_repeated(check: WrittenBefore | WrongVersion | DeletedStream) -> Outcome:
    # A delete carries a fresh id, so that it cannot have been written before.
    assert not isinstance(check, WrittenBefore)
    return check


def current_revision(state: LogState, stream: str) -> int:
    """The last revision as the writer sees it: the metadata of a tombstoned stream is tombstoned with it,
    unless it has been written since the start."""
    last = state.last_revision(stream)
    if (
        last != TOMBSTONE
        and is_metastream(stream)
        and state.last_revision(original_of(stream)) == TOMBSTONE
        and not state.written_since_start(stream)
    ):
        return TOMBSTONE
    return last


def check_version(state: LogState, stream: str, expected: int, ids: Sequence[bytes]) -> VersionCheck:
    """Judge events, by their ids, for one stream (section 7 of the protocol notes)."""
    current = current_revision(state, stream)
    if current == TOMBSTONE:
        return DeletedStream(stream)
    if expected == EXISTS:
        if state.metadata(stream).soft_deleted:
            return DeletedStream(stream)
        if current < 0 and current_revision(state, metastream_of(stream)) < 0:
            return WrongVersion(current)
    if expected in (ANY, EXISTS):
        return _check_any(state, stream, current, ids)
    if expected < current:
        return _check_earlier(state, stream, current, expected, ids)
    return _write_to(state, stream, current) if expected == current else WrongVersion(current)


def _write_to(state: LogState, stream: str, current: int) -> Write:
    return Write(current, state.metadata(stream).soft_deleted)


def _check_any(state: LogState, stream: str, current: int, ids: Sequence[bytes]) -> VersionCheck:
    last = None
    for event_id in ids:
        found = state.recent(event_id)
        if found is None or found[0] != stream:
            return _write_to(state, stream, current) if last is None else WrongVersion(current)
        last = found[1]
    return _write_to(state, stream, current) if last is None else WrittenBefore(last)


def _check_earlier(state: LogState, stream: str, current: int, expected: int, ids: Sequence[bytes]) -> VersionCheck:
    if not ids:
        return WrongVersion(current)
    there = state.ids(stream, expected + 1, len(ids))
    matching = 0
    for revision, event_id in enumerate(ids, expected + 1):
        if there.get(revision) != event_id:
            break
        matching += 1
    if matching == len(ids):
        return WrittenBefore(expected + matching)
    if matching == 0 and expected == NO_STREAM and state.metadata(stream).soft_deleted:
        return Write(current, True)
    return WrongVersion(current)


def _write(draft: Draft, stream: str, current: int, events: Sequence[ProposedEvent]) -> int:
    return draft.add_all(stream, current + 1, events) if events else draft.mark(stream)


def metadata_event(moment: Moment, document: bytes) -> ProposedEvent:
    """An event of `$$stream` that the server itself writes."""
    return ProposedEvent(moment.new_id(), METADATA_TYPE, True, document)


def _revive(state: LogState, moment: Moment, draft: Draft, stream: str, first: int) -> None:
    document = with_truncate_before(state.metadata_document(stream), first)
    if document is not None:
        metastream = metastream_of(stream)
        draft.add(metastream, state.last_revision(metastream) + 1, metadata_event(moment, document))


def _revive_by_metadata(
    state: LogState, moment: Moment, draft: Draft, metastream: str, current: int, events: Sequence[ProposedEvent]
) -> None:
    stream = original_of(metastream)
    given = events[-1].data if events else state.metadata_document(stream)
    document = with_truncate_before(given, state.last_revision(stream) + 1)
    if document is not None:
        draft.add(metastream, current + len(events) + 1, metadata_event(moment, document))


def readable_position(state: LogState, moment: Moment, stream: str, revision: int) -> int | None:
    """The position of a stored event, or None when a reader of the stream would not find it."""
    stored = state.stored(stream, revision)
    metadata = METASTREAM if is_metastream(stream) else state.metadata(stream)
    if stored is None or revision < min_readable(metadata, state.last_revision(stream)):
        return None
    if is_metastream(stream) and state.last_revision(original_of(stream)) == TOMBSTONE:
        return None
    oldest = oldest_readable(metadata, moment.now)
    return stored.position if oldest is None or stored.created >= oldest else None
