"""Imports: the same as one append after another, and nothing twice."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.append import Rule
from esdb_lite.server.engine.imports import import_events
from esdb_lite.server.engine.metadata import DELETED
from esdb_lite.server.engine.model import (
    ANY,
    EXISTS,
    METADATA_TYPE,
    NO_STREAM,
    TOMBSTONED,
    ProposedEvent,
    RecordsAppended,
    RecordsRejected,
)
from esdb_lite.server.engine.records.requests import AtomicAppend
from tests.engine.naive import NaiveState

Writes = list[tuple[str, ProposedEvent]]


def event(number: int) -> ProposedEvent:
    return ProposedEvent(number.to_bytes(16, "big"), "T", True, b"%d" % number, b"m")


def imported(writes: Writes, **expected: int) -> Rule:
    named = {stream: expected.get(stream, NO_STREAM) for stream, _ in writes}
    return partial(import_events, append=AtomicAppend({**expected, **named}, writes))


def appended(stream: str, *events: ProposedEvent, expected: int = ANY) -> Rule:
    return partial(appending.append, stream=stream, expected=expected, events=events)


def content(state: NaiveState) -> list[tuple[object, ...]]:
    return [record[1:4] for record in state.records]


WRITES = st.lists(st.sampled_from("abc"), min_size=1, max_size=12).map(
    lambda names: [(name, event(number)) for number, name in enumerate(names, 1)]
)


@given(WRITES, st.data())
def test_as_one_append_after_another_whatever_was_there(writes: Writes, data: st.DataObject) -> None:
    one_by_one, together = NaiveState(), NaiveState()
    for stream, each in writes:
        assert one_by_one.run(appended(stream, each)).revision >= 0
    # some of it was imported before, and it is cut into messages elsewhere now
    first, cut = (data.draw(st.integers(0, len(writes))) for _ in range(2))
    for start, part in ((0, writes[:first]), (0, writes[:cut]), (cut, writes[cut:])):
        before = {name: sum(stream == name for stream, _ in writes[:start]) - 1 for name in "abc"}
        outcome = together.run(imported(part, **before))
        assert isinstance(outcome, RecordsAppended)
    assert content(together) == content(one_by_one)
    assert [record.position for record in together.records] == [record.position for record in one_by_one.records]


@pytest.mark.parametrize(
    ("there", "expected", "actual"),
    [
        ([appended("s", event(1))], NO_STREAM, 0),
        ([appended("s", event(1), event(2))], 0, 1),
        ([], 0, -1),
        ([appended("s", event(1)), partial(appending.tombstone, stream="s", expected=ANY)], 0, TOMBSTONED),
        ([], EXISTS, -1),
    ],
)
def test_a_stream_that_is_not_as_expected(there: list[Rule], expected: int, actual: int) -> None:
    state = NaiveState()
    for rule in there:
        state.run(rule)
    before = content(state)
    outcome = state.run(imported([("a", event(8)), ("s", event(9)), ("a", event(10))], s=expected))
    assert isinstance(outcome, RecordsRejected)
    assert [(each.stream, each.expected, each.actual) for each in outcome.violations] == [("s", expected, actual)]
    assert content(state) == before


def test_others_are_written_where_a_deleted_stream_has_its_events() -> None:
    """It does not show them, so that whoever imports cannot know."""
    state = NaiveState()
    state.run(appended("s", event(1), event(2)))
    state.run(partial(appending.delete, stream="s", expected=ANY))
    outcome = state.run(imported([("a", event(5)), ("s", event(1)), ("s", event(2)), ("a", event(6))]))
    assert outcome == RecordsAppended({"a": 1}, state.records[-1].position)
    state.run(imported([("s", event(1)), ("s", event(2)), ("s", event(3))]))
    assert [record[1:4] for record in state.of("s")][-1] == ("s", 2, event(3).id)
    assert not state.metadata("s").soft_deleted


def test_of_a_stream_that_may_end_anywhere_only_what_is_new_is_written() -> None:
    state = NaiveState()
    state.run(appended("$$s", event(1)))
    state.run(imported([("$$s", event(1)), ("s", event(2)), ("$$s", event(3))], **{"$$s": ANY}))
    state.run(imported([("$$s", event(1)), ("s", event(2)), ("$$s", event(3))], **{"$$s": ANY}))
    assert [record.id for record in state.records] == [event(number).id for number in (1, 2, 3)]


def changed(state: NaiveState, number: int, stream: str, change: str | int) -> None:
    """Delete a stream, replace its metadata, or append so many events."""
    if change == "delete":
        state.run(partial(appending.delete, stream=stream, expected=ANY))
    elif isinstance(change, str):
        document = ProposedEvent(number.to_bytes(16, "little"), METADATA_TYPE, True, change.encode())
        state.run(appended(f"$${stream}", document))
    else:
        state.run(appended(stream, *(event(number * 100 + place) for place in range(change))))


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["delete", "delete", "{}", '{"x":1}', '{"$tb":1}', "no JSON", 1, 1, 3])
    ),
    min_size=2,
    max_size=10,
)


@given(CHANGES, st.data())
def test_deleted_streams_begin_again_where_they_did(changes: list[tuple[str, str | int]], data: st.DataObject) -> None:
    source, target = NaiveState(), NaiveState()
    for number, (stream, change) in enumerate(changes, 1):
        changed(source, number, stream, change)
    writes = [
        (record.stream, ProposedEvent(record.id, record.type, record.is_json, record.data, record.metadata))
        for record in source.records
    ]
    cuts = [*sorted(data.draw(st.sets(st.integers(0, len(writes))))), len(writes)]
    for start, end in zip([0, *cuts], cuts, strict=False):
        ends = {name: sum(stream == name for stream, _ in writes[:start]) - 1 for name in "ab"}
        outcome = target.run(imported(writes[start:end], **ends, **{"$$a": ANY, "$$b": ANY}))
        assert isinstance(outcome, RecordsAppended)
    for stream in "ab":
        assert [record[1:4] for record in target.of(stream)] == [record[1:4] for record in source.of(stream)]
        assert target.metadata_document(stream) == source.metadata_document(stream)


def test_a_deleted_stream_begins_again_without_its_metadata() -> None:
    state = NaiveState()
    deletion = ProposedEvent(bytes(16), METADATA_TYPE, True, DELETED)
    state.run(imported([("s", event(1)), ("$$s", deletion), ("s", event(2)), ("s", event(3))], **{"$$s": ANY}))
    assert state.metadata("s").truncate_before == 1
    state.run(imported([("$$s", deletion._replace(id=event(4).id))], **{"$$s": ANY}))
    state.run(imported([("s", event(5))], s=2))
    assert state.metadata("s").truncate_before == 3
