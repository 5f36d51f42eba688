"""Atomic appends: what is refused before the streams are looked at, what is written, how properties are shown."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._wire.record_requests import SentAppend, SentCheck, SentRecord, SentRecords, SentSchema
from esdb_lite._wire.values import NO_KIND
from esdb_lite.records import SchemaFormat
from esdb_lite.server.engine.append import Rule
from esdb_lite.server.engine.model import ANY, ProposedEvent, RecordsAppended, RecordsRejected
from esdb_lite.server.engine.records.decision import append_records
from esdb_lite.server.engine.records.properties import rendered, shown
from esdb_lite.server.engine.records.refusals import (
    InvalidRecords,
    MeaninglessRecords,
    RecordsRefused,
    RecordTooLarge,
    StreamTwice,
    TransactionTooLarge,
    human,
)
from esdb_lite.server.engine.records.requests import (
    LOG_LIMIT,
    AtomicAppend,
    RecordLimits,
    RecordsSession,
    fold,
    records_append,
)
from esdb_lite.server.storage import TOMBSTONE
from tests.engine.programs import STREAMS, after, events, programs, states, streams

LIMITS = RecordLimits(1000, 2500)
ID = "01234567-89ab-cdef-0123-456789abcdef"


def made() -> bytes:
    return b"made by a server"


def record(
    *, id: str | None = ID, format: int = 1, name: str = "T", schema_id: str | None = None, **rest: Any
) -> SentRecord:
    sent = {"properties": {}, "data": b"", "stream": "s", "schema": SentSchema(format, name, schema_id), **rest}
    return SentRecord(id=id, **sent)


def taken(*records: SentRecord, checks: tuple[SentCheck | None, ...] = ()) -> AtomicAppend:
    return records_append(SentRecords(records, checks), LIMITS, made)


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"stream": ""}, ["Stream.Stream"]),
        ({"stream": "$$"}, ["Stream.Stream"]),
        ({"id": "urn:uuid:" + ID}, ["RecordId.Record ID"]),
        ({"id": ""}, ["RecordId.Record ID"]),
        ({"id": str(UUID(int=0))}, ["RecordId.Record ID"]),
        ({"format": 0}, ["Schema.Format.Schema format"]),
        ({"format": 5}, ["Schema.Format.Schema format"]),
        ({"name": ""}, ["Schema.Name", "Schema.Name"]),
        ({"name": "a/b"}, ["Schema.Name"]),
        ({"name": "e\u0301"}, ["Schema.Name", "Schema.Name"]),
        ({"name": "\U0001d400"}, ["Schema.Name"]),
        ({"name": "a\n\n"}, ["Schema.Name"]),
        ({"schema_id": "1"}, ["Schema.Id.Schema ID"]),
        ({"properties": {"a": 1, "": 1}}, ["Properties[1].Key"]),
        ({"properties": {"a": NO_KIND}}, ["Properties[0].Value"]),
        ({"properties": {"a": [{"b": NO_KIND}]}}, ["Properties[0].Value"]),
        (
            {"id": "x", "format": 0, "name": ""},
            ["RecordId.Record ID", "Schema.Format.Schema format", *["Schema.Name"] * 2],
        ),
    ],
)
def test_a_wrong_record(wrong: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(InvalidRecords) as caught:
        taken(record(**wrong))
    assert [violation.field for violation in caught.value.violations] == fields


@pytest.mark.parametrize(
    ("sent", "id"),
    [
        (ID.upper(), ID),
        (ID.replace("-", ""), ID),
        (f"{{{ID}}}", ID),
        (f"({ID})", ID),
        (f" {ID}\n", ID),
    ],
)
def test_ids_in_all_spellings(sent: str, id: str) -> None:
    (_, event) = taken(record(id=sent)).writes[0]
    assert event.id == UUID(id).bytes


@pytest.mark.parametrize("name", ["a" * 900, "T\n", "²ªⅷ٣日_.$:-"])
def test_names_that_pass(name: str) -> None:
    assert taken(record(name=name)).writes[0][1].type == name


@pytest.mark.parametrize(
    "wrong",
    [
        record(schema=None),
        record(format=2, properties={"$schema.format": "Protobuf"}),
        record(schema_id=ID, properties={"$schema.id": "mine"}),
        record(stream=None),
    ],
)
def test_what_makes_no_sense(wrong: SentRecord) -> None:
    with pytest.raises(MeaninglessRecords):
        taken(wrong)


def test_a_record_without_an_id_gets_one() -> None:
    assert taken(record(id=None)).writes[0][1].id == made()


def test_the_first_wrong_record_ends_it() -> None:
    with pytest.raises(RecordTooLarge):
        taken(record(data=bytes(1000)), record(format=0))
    with pytest.raises(InvalidRecords):
        taken(record(format=0), record(data=bytes(1000)))


def test_sizes() -> None:
    taken(record(data=bytes(999)), record(data=bytes(999)), record(data=bytes(499)))
    with pytest.raises(RecordTooLarge, match=r"\(1001\.000 B\) exceeds .* \(?1000\.000 B bytes by 1\.000 B") as caught:
        taken(record(data=bytes(1000)))
    assert (caught.value.stream, caught.value.record_id, caught.value.size) == ("s", ID, 1001)
    with pytest.raises(TransactionTooLarge, match=r"after 3 record\(s\)\.") as too_much:
        taken(record(data=bytes(999)), record(data=bytes(999)), record(data=bytes(500)))
    assert (too_much.value.size, too_much.value.limit) == (2501, 2500)


def test_properties_and_format_count() -> None:
    """{"$schema.format": "Bytes"} has 24 bytes as a Struct; {"a": 1.5} has 16."""
    (_, plain), (_, other) = taken(record(), record(format=4, properties={"a": 1.5})).writes
    assert plain.schema is not None
    assert other.schema is not None
    assert (plain.schema.size, other.schema.size) == (0, 16 + 27)


def test_the_logs_own_limit() -> None:
    wide = RecordLimits(2**31, 2**31)
    sent = SentRecords([record(data=bytes(LOG_LIMIT - 1))], [])
    with pytest.raises(MeaninglessRecords):
        records_append(sent, wide, made)
    records_append(SentRecords([record(data=bytes(LOG_LIMIT - 2))], []), wide, made)


@pytest.mark.parametrize(
    ("records", "checks", "fields"),
    [
        ([], [], ["Records"]),
        ([record()], [None], ["Checks[0].TypeCase"]),
        ([record()], [SentCheck("", 0)], ["Checks[0].StreamState.Stream.Stream"]),
        ([record()], [SentCheck("a", -2)], ["Checks[0].StreamState.ExpectedState"]),
        ([record()], [SentCheck("a", -3)], ["Checks[0].StreamState.ExpectedState"]),
        ([record()], [SentCheck("a", 0), SentCheck("A", 0)], ["Checks"]),
        ([], [SentCheck("a", -7), None], ["Records", "Checks[0].StreamState.ExpectedState", "Checks[1].TypeCase"]),
    ],
)
def test_wrong_requests(records: list[SentRecord], checks: list[SentCheck | None], fields: list[str]) -> None:
    with pytest.raises(InvalidRecords) as caught:
        records_append(SentRecords(records, checks), LIMITS, made)
    assert [violation.field for violation in caught.value.violations] == fields
    assert str(caught.value).startswith("The 'AppendRecordsRequest' is invalid:")


def test_a_stream_is_written_as_it_is_spelled_first() -> None:
    append = taken(record(stream="ORDER"), record(stream="order"), checks=(SentCheck("Order", 3),))
    assert [stream for stream, _ in append.writes] == ["Order", "Order"]
    assert append.expected == {"Order": 3}


@pytest.mark.parametrize(
    ("name", "folded"), [("aZß", "AZß"), ("ÿẞß", "Ÿẞß"), ("\u017f", "\u017f"), ("\u0131", "\u0131")]
)
def test_folding(name: str, folded: str) -> None:
    assert fold(name) == folded


def test_a_session() -> None:
    session = RecordsSession(LIMITS, made)
    session.take(SentAppend("a", [record()], None))
    session.take(SentAppend("b", [record(), record()], -1))
    assert session.append.expected == {"a": ANY, "b": -1}
    assert session.append.written == ["a", "b"]
    with pytest.raises(StreamTwice) as caught:
        session.take(SentAppend("A", [record()], None))
    assert caught.value.stream == "A"


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (SentAppend("", [record()], None), ["Stream.Stream"]),
        (SentAppend("a", [record()], -3), ["ExpectedRevision"]),
        (SentAppend("a", [record()], -5), ["ExpectedRevision"]),
        (SentAppend("$$", [], -6), ["Stream.Stream", "ExpectedRevision", "Records"]),
    ],
)
def test_wrong_requests_of_a_session(request_: SentAppend, fields: list[str]) -> None:
    with pytest.raises(InvalidRecords) as caught:
        RecordsSession.check(request_)
    assert [violation.field for violation in caught.value.violations] == fields


def test_sizes_for_people() -> None:
    assert [human(size) for size in (28, 222_812, 17_000_000, 5 * 2**30)] == [
        "28.000 B",
        "217.590 KB",
        "16.212 MB",
        "5.000 GB",
    ]


# --- how properties are shown -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{ }"),
        ([], "[ ]"),
        ({"a": [1, None, {"b": True}]}, '{ "a": [ 1, null, { "b": true } ] }'),
        (1e16, "10000000000000000"),
        (1.2345678901234567e16, "12345678901234568"),
        (1e17, "1e+17"),
        (1.2345678901234567e19, "1.2345678901234567e+19"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-0.0, "-0"),
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
        ("\"\\\b\f\n\r\t\x01<>\x7f\x80\u2028\ufeff\U0001f600é日&'/", None),
    ],
)
def test_json(value: Any, text: str | None) -> None:
    expected = text or '"\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u003c\\u003e\\u007f\\u0080\\u2028\\ufeff\\ud83d\\ude00é日&\'/"'
    assert rendered(value) == expected


texts = st.text(st.characters(exclude_categories=["Cs"]))
leaves = st.none() | st.booleans() | texts | st.floats(allow_nan=False, allow_infinity=False)


@given(st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_json_says_what_it_should(value: Any) -> None:
    assert json.loads(rendered(value)) == value


def test_keys_of_the_server() -> None:
    assert shown({"a": 1}, "T", SchemaFormat.JSON) == b'{ "a": 1, "$schema.name": "T", "$schema.format": "Json" }'
    stored = {"$schema.name": "mine", "b": 2, "$schema.format": "Avro", "$schema.id": "i"}
    assert json.loads(shown(stored, "T", SchemaFormat.AVRO)) == {**stored, "$schema.name": "T"}
    assert list(json.loads(shown(stored, "T", SchemaFormat.AVRO))) == list(stored)


# --- what is written ----------------------------------------------------------------------------------------------


writes = st.lists(st.tuples(streams, events), min_size=1, max_size=5)
checks = st.dictionaries(streams, states, max_size=3)


@given(programs, checks, writes)
def test_all_or_nothing(
    program: list[Rule], expected: dict[str, int], proposed: list[tuple[str, ProposedEvent]]
) -> None:
    state = after(program)
    before, revisions = len(state.records), {stream: state.last_revision(stream) for stream in STREAMS}
    expected |= {stream: ANY for stream, _ in proposed if stream not in expected}
    outcome = state.run(partial(append_records, append=AtomicAppend(expected, proposed)))
    new = state.records[before:]
    if isinstance(outcome, RecordsRejected):
        assert outcome.violations
        assert not new
    elif new:
        assert isinstance(outcome, RecordsAppended)
        assert [(each.stream, each.id) for each in new[: len(proposed)]] == [(s, event.id) for s, event in proposed]
        assert outcome.position == new[len(proposed) - 1].position
        assert not any(revision == TOMBSTONE for revision in outcome.revisions.values())
        for stream, _ in proposed:
            numbers = [each.revision for each in new[: len(proposed)] if each.stream == stream]
            assert numbers == list(range(revisions[stream] + 1, revisions[stream] + 1 + len(numbers)))
            assert outcome.revisions[stream] == numbers[-1]
        assert all(each.type == "$metadata" for each in new[len(proposed) :])


@given(programs, writes)
def test_the_same_again_with_what_was_expected_writes_nothing(
    program: list[Rule], proposed: list[tuple[str, ProposedEvent]]
) -> None:
    """With exact expectations and ids that were never used: a repeat is recognised, and says what was said."""
    state = after(program)
    proposed = [(s, e._replace(id=b"fresh%11d" % n)) for n, (s, e) in enumerate(proposed) if not s.startswith("$$")]
    names = dict.fromkeys(stream for stream, _ in proposed)
    if not names or any(state.last_revision(stream) == TOMBSTONE for stream in names):
        return
    rule = partial(append_records, append=AtomicAppend({s: state.last_revision(s) for s in names}, proposed))
    first = state.run(rule)
    count = len(state.records)
    again = state.run(rule)
    assert isinstance(first, RecordsAppended)
    assert isinstance(again, RecordsAppended)
    assert again.revisions == first.revisions
    assert len(state.records) == count


def test_every_refusal_is_one_of_them() -> None:
    assert {kind.__name__ for kind in RecordsRefused.__subclasses__()} == {
        *("InvalidRecords", "MeaninglessRecords", "RecordTooLarge"),
        *("TransactionTooLarge", "StreamTwice", "EmptySession"),
    }
