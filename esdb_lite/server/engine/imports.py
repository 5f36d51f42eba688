"""The rules of imports: events of many streams are written in their order, all or none, but for those that are there.

Owns: which events are there already, which streams are not as expected, and where a deleted stream begins again: as
its metadata say, which come along. Must not know: how requests look, how events are kept, the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from esdb_lite.server.engine.append import Draft, LogState, Moment, Write, check_version
from esdb_lite.server.engine.metadata import StreamRules, parse
from esdb_lite.server.engine.model import (
    ANY,
    TOMBSTONED,
    Decision,
    ProposedEvent,
    RecordsAppended,
    RecordsRejected,
    StateViolation,
    WrongVersion,
    is_metastream,
    original_of,
)
from esdb_lite.server.engine.records.decision import revive, write_records
from esdb_lite.server.engine.records.requests import AtomicAppend
from esdb_lite.server.storage import TOMBSTONE


class _Judged(NamedTuple):
    """What becomes of the events of one stream."""

    check: Write | StateViolation | None
    """None: there is nothing to write."""
    there: Sequence[bytes]
    """The ids of those that are there."""


def import_events(state: LogState, moment: Moment, *, append: AtomicAppend) -> Decision:
    """Write all events that are not there, or none where one of the streams is not as expected."""
    ends = state.plain_ends(append.expected)
    ids: Mapping[str, Sequence[bytes]] | None = None
    checks: dict[str, Write] = {}
    there: set[bytes] = set()
    returning = False
    for index, (stream, expected) in enumerate(append.expected.items()):
        if ends.get(stream) == expected != TOMBSTONE and not is_metastream(stream):
            checks[stream] = _new(Write, (expected, False))  # most are like this: the rest would say the same
            continue
        ids = ids or _ids(append)
        check, known = _judge(state, index, stream, expected, ids[stream])
        if isinstance(check, StateViolation):
            return Decision(RecordsRejected([check]), (), moment.log_end)
        if check is not None:
            checks[stream] = check
            returning = returning or check.revive or is_metastream(stream)
        there.update(known)
    if there:
        append = AtomicAppend(append.expected, [(to, event) for to, event in append.writes if event.id not in there])
    if not append.writes:
        return Decision(RecordsAppended({}, None), (), moment.log_end)
    if returning:
        return _write_with_deletions(state, moment, append.writes, checks)
    return write_records(state, moment, append, checks)


_new = tuple.__new__  # half of what the constructor of a NamedTuple takes


def _ids(append: AtomicAppend) -> Mapping[str, Sequence[bytes]]:
    """The ids of the events, by stream."""
    ids: dict[str, list[bytes]] = {stream: [] for stream in append.expected}
    for stream, event in append.writes:
        ids[stream].append(event.id)
    return ids


def _write_with_deletions(
    state: LogState, moment: Moment, writes: Sequence[tuple[str, ProposedEvent]], checks: Mapping[str, Write]
) -> Decision:
    """Write events among which streams may be deleted, and begin again."""
    draft = Draft(moment)
    revisions = {stream: check.current for stream, check in checks.items()}
    returning = _Returning(state, revisions)
    position = 0
    for stream, event in writes:
        revisions[stream] += 1
        position = draft.add(stream, revisions[stream], event)
        returning.written(stream, event)
    for stream, first in returning.begins.items():
        revive(state, moment, draft, stream, first)
    return draft.decide(RecordsAppended(revisions, position))


class _Returning:
    """Which deleted streams begin again, while events are written in their order.

    Where they come from, the server has written so itself, into metadata that are among the events to come. Where
    these have not come yet, or never will, the same is written here.
    """

    def __init__(self, state: LogState, revisions: Mapping[str, int]) -> None:
        self._state = state
        self._revisions = revisions
        self._deleted: dict[str, bool] = {}
        self.begins: dict[str, int] = {}
        """By stream: where it begins, if that is not among its metadata."""

    def written(self, stream: str, event: ProposedEvent) -> None:
        """Take note of an event."""
        if is_metastream(stream):
            self._told(original_of(stream), parse(event.data, is_json=event.is_json))
        elif self._is_deleted(stream):
            self._deleted[stream] = False
            self.begins[stream] = self._revisions[stream]

    def _told(self, stream: str, rules: StreamRules) -> None:
        was_deleted = self._is_deleted(stream)
        self._deleted[stream] = rules.soft_deleted
        self.begins.pop(stream, None)
        if was_deleted and rules.truncate_before is None:
            self.begins[stream] = self._revisions.get(stream, self._state.last_revision(stream)) + 1

    def _is_deleted(self, stream: str) -> bool:
        known = self._deleted.get(stream)
        if known is not None:
            return known
        return self._state.metadata(stream).soft_deleted and self._state.last_revision(stream) != TOMBSTONE


def _judge(state: LogState, index: int, stream: str, expected: int, ids: Sequence[bytes]) -> _Judged:
    there = _there(state, stream, expected, ids)
    left = [id for id in ids if id not in there] if there else ids
    if not left:
        return _Judged(None, there)
    check = check_version(state, stream, expected + len(there) if expected > ANY else expected, left)
    if isinstance(check, Write):
        return _Judged(check, there)
    actual = check.current if isinstance(check, WrongVersion) else TOMBSTONED
    return _Judged(StateViolation(index, stream, expected, actual), there)


def _there(state: LogState, stream: str, expected: int, ids: Sequence[bytes]) -> Sequence[bytes]:
    """The ids of those that are there: by their positions, the first of them; of a stream that may end anywhere, those
    that are remembered."""
    if expected <= ANY:
        return [id for id in ids if (known := state.recent(id)) is not None and known[0] == stream]
    if state.last_revision(stream) <= expected:
        return ()
    stored = state.ids(stream, expected + 1, len(ids))
    matching = 0
    while matching < len(ids) and stored.get(expected + 1 + matching) == ids[matching]:
        matching += 1
    return ids[:matching]
