"""The rules of imports: events of many streams are written in their order, all or none, but for those that are there.

Owns: which events are there already, and which streams are not as expected. Must not know: how requests look, how
events are kept, the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from esdb_lite.server.engine.append import LogState, Moment, Write, check_version
from esdb_lite.server.engine.model import (
    ANY,
    TOMBSTONED,
    Decision,
    RecordsAppended,
    RecordsRejected,
    StateViolation,
    WrongVersion,
    is_metastream,
)
from esdb_lite.server.engine.records.decision import write_records
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
        there.update(known)
    if there:
        append = AtomicAppend(append.expected, [(to, event) for to, event in append.writes if event.id not in there])
    if not append.writes:
        return Decision(RecordsAppended({}, None), (), moment.log_end)
    return write_records(state, moment, append, checks)


_new = tuple.__new__  # half of what the constructor of a NamedTuple takes


def _ids(append: AtomicAppend) -> Mapping[str, Sequence[bytes]]:
    """The ids of the events, by stream."""
    ids: dict[str, list[bytes]] = {stream: [] for stream in append.expected}
    for stream, event in append.writes:
        ids[stream].append(event.id)
    return ids


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
