"""What holds after any program of appends, deletes and tombstones."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.append import Rule
from esdb_lite.server.engine.model import (
    ANY,
    EXISTS,
    NO_STREAM,
    Appended,
    DeletedStream,
    Outcome,
    ProposedEvent,
    WrongVersion,
    length_of,
)
from esdb_lite.server.storage import TOMBSTONE
from tests.engine.naive import NaiveState
from tests.engine.programs import STREAMS, after, events, programs, streams, versions


@given(programs)
def test_the_log_is_in_order(program: list[Rule]) -> None:
    state = after(program)
    free_from = 733
    for record in state.records:
        assert record.position >= free_from
        free_from = record.position + length_of(record)
    assert state.log_end >= free_from


@given(programs)
def test_revisions_have_no_gaps(program: list[Rule]) -> None:
    state = after(program)
    for stream in STREAMS:
        revisions = [record.revision for record in state.of(stream) if record.revision != TOMBSTONE]
        assert revisions == list(range(len(revisions)))


@given(programs, streams)
def test_nothing_follows_a_tombstone(program: list[Rule], stream: str) -> None:
    state = after(program)
    revisions = [record.revision for record in state.of(stream)]
    assert TOMBSTONE not in revisions[:-1]


@given(
    programs, streams, st.integers(-1, 6), st.lists(events, min_size=1, max_size=4, unique_by=lambda event: event.id)
)
def test_a_retry_at_the_same_version_writes_nothing(
    program: list[Rule], stream: str, expected: int, proposed: list[ProposedEvent]
) -> None:
    state = after(program)
    rule = partial(appending.append, stream=stream, expected=expected, events=proposed)
    first = state.run(rule)
    count = len(state.records)
    again = state.run(rule)
    if isinstance(first, Appended) and first.revision == expected + len(proposed):
        assert isinstance(again, Appended)
        assert (again.revision, again.idempotent) == (first.revision, True)
    elif isinstance(first, Appended):
        # It has brought a deleted stream back, behind events of other ids.
        assert again == WrongVersion(first.revision)
    else:
        assert again == first
    assert len(state.records) == count


@given(programs, streams, versions, st.lists(events, max_size=4))
def test_the_answer_is_that_of_the_protocol_notes(
    program: list[Rule], stream: str, expected: int, proposed: list[ProposedEvent]
) -> None:
    state = after(program)
    prediction = predicted(state, stream, expected, [event.id for event in proposed])
    outcome = state.run(partial(appending.append, stream=stream, expected=expected, events=proposed))
    assert summary(outcome) == prediction


def summary(outcome: Outcome) -> object:
    if isinstance(outcome, Appended):
        return ("repeated" if outcome.idempotent else "written", outcome.revision)
    return outcome


def predicted(state: NaiveState, stream: str, expected: int, ids: list[bytes]) -> object:
    """Section 7 of the protocol notes, step by step, from the whole log."""
    current = state.last_revision(stream)
    if stream.startswith("$$") and state.last_revision(stream[2:]) == TOMBSTONE and current < 0:
        current = TOMBSTONE
    deleted = state.metadata(stream).soft_deleted
    written = ("written", current + len(ids))
    if current == TOMBSTONE or (expected == EXISTS and deleted):
        return DeletedStream(stream)
    metadata = state.last_revision("$$" + stream)
    if expected == EXISTS and current < 0 and metadata < 0:
        return WrongVersion(current)
    if expected in (ANY, EXISTS):
        return _predicted_any(state, stream, ids, written, current)
    if expected >= current:
        return written if expected == current else WrongVersion(current)
    there = [next((r.id for r in state.of(stream) if r.revision == expected + 1 + n), None) for n in range(len(ids))]
    if ids and there == ids:
        return ("repeated", expected + len(ids))
    if ids and expected == NO_STREAM and deleted and there[0] != ids[0]:
        return written
    return WrongVersion(current)


def _predicted_any(state: NaiveState, stream: str, ids: list[bytes], written: object, current: int) -> object:
    firsts = [next((r for r in state.records if r.id == event_id), None) for event_id in ids]
    known = [first is not None and first.stream == stream for first in firsts]
    if not known or not known[0]:
        return written
    if not all(known) or firsts[-1] is None:
        return WrongVersion(current)
    return ("repeated", firsts[-1].revision)
