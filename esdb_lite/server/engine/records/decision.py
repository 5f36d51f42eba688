"""Whether an atomic append is written, and what is answered.

Owns: the rules of section B.3 of the notes on KurrentDB: streams that are written or only checked, repeats, and
soft-deleted streams that come back. Must not know: how requests look, how events are kept, the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from esdb_lite.server.engine.append import (
    Draft,
    LogState,
    Moment,
    Write,
    WrittenBefore,
    check_version,
    current_revision,
    metadata_event,
    readable_position,
)
from esdb_lite.server.engine.metadata import with_truncate_before
from esdb_lite.server.engine.model import (
    ANY,
    EXISTS,
    NO_STREAM,
    SOFT_DELETED,
    TOMBSTONED,
    Decision,
    RecordsAppended,
    RecordsRejected,
    StateViolation,
    WrongVersion,
    is_metastream,
    metastream_of,
    original_of,
)
from esdb_lite.server.engine.records.requests import AtomicAppend
from esdb_lite.server.storage import TOMBSTONE


class _Fails(NamedTuple):
    """The stream is not in the expected state, but in this one."""

    actual: int


_Judgement: TypeAlias = Write | WrittenBefore | _Fails | None
"""Of a stream that is written, or (None or _Fails) of one that is only checked."""


def append_records(state: LogState, moment: Moment, *, append: AtomicAppend) -> Decision:
    """Write all records, or none."""
    state.plain_ends(append.expected)
    ids: dict[str, list[bytes]] = {}
    for stream, event in append.writes:
        ids.setdefault(stream, []).append(event.id)
    judged = {
        stream: _judge(state, stream, expected, ids[stream]) if stream in ids else _check(state, stream, expected)
        for stream, expected in append.expected.items()
    }
    # Answers name the streams in the order of their first record.
    written = {stream: judged[stream] for stream in ids}
    repeats = {stream: check for stream, check in written.items() if isinstance(check, WrittenBefore)}
    if len(repeats) == len(ids):
        # Whatever has become meanwhile of the streams that are only checked.
        return Decision(_repeated(state, moment, repeats), (), moment.log_end)
    violations = _violations(state, append.expected, judged)
    if violations:
        return Decision(RecordsRejected(violations), (), moment.log_end)
    return write_records(state, moment, append, {s: check for s, check in written.items() if isinstance(check, Write)})


def _judge(state: LogState, stream: str, expected: int, ids: Sequence[bytes]) -> _Judgement:
    """For a stream that is written."""
    current = current_revision(state, stream)
    if current == TOMBSTONE:
        return _Fails(TOMBSTONED)
    if expected == TOMBSTONED:
        return _Fails(current)
    check = check_version(state, stream, ANY if expected == SOFT_DELETED else expected, ids)
    if isinstance(check, WrittenBefore):
        return check
    if isinstance(check, Write):
        return _Fails(current) if expected == SOFT_DELETED and not state.metadata(stream).soft_deleted else check
    return _Fails(check.current if isinstance(check, WrongVersion) else SOFT_DELETED)


def _check(state: LogState, stream: str, expected: int) -> _Fails | None:
    """For a stream that is only checked."""
    current = current_revision(state, stream)
    tombstoned, deleted = current == TOMBSTONE, state.metadata(stream).soft_deleted
    if expected == TOMBSTONED:
        holds = tombstoned
    elif expected == SOFT_DELETED:
        holds = deleted and not tombstoned
    elif expected == EXISTS:
        holds = not deleted and not tombstoned and _has_something(state, stream, current)
    elif expected == NO_STREAM:
        holds = deleted or tombstoned or current == -1
    else:
        holds = current == expected
    if holds:
        return None
    return _Fails(TOMBSTONED if tombstoned else SOFT_DELETED if deleted and expected == EXISTS else current)


def _has_something(state: LogState, stream: str, current: int) -> bool:
    return current >= 0 or current_revision(state, metastream_of(stream)) >= 0


def _violations(
    state: LogState, expected: Mapping[str, int], judged: Mapping[str, _Judgement]
) -> Sequence[StateViolation]:
    """A stream whose records are there already fails, too: beside others that are not."""
    found = []
    for index, (stream, judgement) in enumerate(judged.items()):
        if isinstance(judgement, WrittenBefore):
            found.append(StateViolation(index, stream, expected[stream], current_revision(state, stream)))
        elif isinstance(judgement, _Fails):
            found.append(StateViolation(index, stream, expected[stream], judgement.actual))
    return found


def _repeated(state: LogState, moment: Moment, repeats: Mapping[str, WrittenBefore]) -> RecordsAppended:
    revisions = {stream: repeat.last for stream, repeat in repeats.items()}
    positions = [readable_position(state, moment, stream, last) for stream, last in revisions.items()]
    return RecordsAppended(revisions, max((place for place in positions if place is not None), default=None))


def write_records(state: LogState, moment: Moment, append: AtomicAppend, checks: Mapping[str, Write]) -> Decision:
    """Write records to streams that have been judged."""
    draft = Draft(moment)
    revisions = {stream: check.current for stream, check in checks.items()}
    position = draft.add_of_streams(append.writes, revisions)
    # Where streams begin again is told after all records.
    again = {s for s, check in checks.items() if check.revive or (is_metastream(s) and _revives_original(state, s))}
    for stream in [stream for stream in append.expected if stream in again]:
        if checks[stream].revive:
            revive(state, moment, draft, stream, checks[stream].current + 1)
        else:
            original = original_of(stream)
            revive(state, moment, draft, original, revisions.get(original, state.last_revision(original)) + 1)
    return draft.decide(RecordsAppended(revisions, position))


def _revives_original(state: LogState, metastream: str) -> bool:
    """Whether writing a metadata stream brings back the stream that it is about."""
    original = original_of(metastream)
    return state.metadata(original).soft_deleted and state.last_revision(original) != TOMBSTONE


def revive(state: LogState, moment: Moment, draft: Draft, stream: str, first: int) -> None:
    """Write the metadata of a stream once more, so that it begins at `first`."""
    metastream = metastream_of(stream)
    newest = next((record for record in reversed(draft.records) if record.stream == metastream), None)
    given = state.metadata_document(stream) if newest is None else newest.data
    document = with_truncate_before(given, first)
    if document is not None:
        last = state.last_revision(metastream) if newest is None else newest.revision
        draft.add(metastream, last + 1, metadata_event(moment, document))
