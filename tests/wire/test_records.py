"""Our codec of atomic appends, and betterproto, say the same of the same message."""

from __future__ import annotations

from typing import Any

import betterproto
import pytest
from betterproto.lib.google.protobuf import ListValue, NullValue, Struct
from betterproto.lib.google.protobuf import Value as GoogleValue
from esdb_lite_protos.kurrentdb.protocol.v2 import streams as pb
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.record_requests import (
    SentAppend,
    SentCheck,
    SentRecord,
    SentRecords,
    SentSchema,
    decode_records_request,
    decode_session_request,
    encode_new_record,
    encode_records_request,
    encode_session_request,
)
from esdb_lite._wire.record_responses import decode_appended_records, encode_appended_records
from esdb_lite._wire.values import NO_KIND, decode_value, encode_entries, encode_value, size_of_entries

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1)
doubles = st.floats(allow_nan=False)
leaves = st.none() | st.booleans() | doubles | texts
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
properties = st.dictionaries(texts, values, max_size=3)
formats = st.sampled_from([1, 2, 3, 4])


def google(value: Any) -> GoogleValue:
    """A value as betterproto has it."""
    if value is None:
        return GoogleValue(null_value=NullValue(0))
    if isinstance(value, bool):
        return GoogleValue(bool_value=value)
    if isinstance(value, (int, float)):
        return GoogleValue(number_value=float(value))
    if isinstance(value, str):
        return GoogleValue(string_value=value)
    if isinstance(value, dict):
        return GoogleValue(struct_value=Struct(fields={key: google(item) for key, item in value.items()}))
    return GoogleValue(list_value=ListValue(values=[google(item) for item in value]))


@given(values)
def test_values(value: Any) -> None:
    encoded = encode_value(value)
    assert decode_value(encoded) == value
    assert decode_value(bytes(google(value))) == value
    assert GoogleValue().parse(encoded) == google(value)


@given(properties)
def test_sizes(properties: Any) -> None:
    assert size_of_entries(properties) == len(encode_entries(10, properties))


def test_a_value_without_a_kind() -> None:
    assert decode_value(b"") is NO_KIND
    assert decode_value(bytes.fromhex("3200")) == []
    assert decode_value(bytes.fromhex("32020a00")) == [NO_KIND]


def test_values_nested_too_deeply() -> None:
    value: Any = None
    for _ in range(150):
        value = [value]
    with pytest.raises(WireError, match="nested"):
        decode_value(encode_value(value))


records = st.builds(
    SentRecord,
    texts,
    st.builds(SentSchema, formats, texts, st.none() | texts),
    properties,
    st.binary(max_size=8),
    st.none() | texts,
)


def encoded(record: SentRecord) -> bytes:
    assert record.id is not None
    assert record.schema is not None
    format, name, schema_id = record.schema
    return encode_new_record(
        id=record.id,
        format=format,
        type=name,
        properties=record.properties,  # type: ignore[arg-type]
        data=record.data,
        schema_id=schema_id,
        stream=record.stream,
    )


def generated(record: SentRecord) -> pb.AppendRecord:
    assert record.schema is not None
    format, name, schema_id = record.schema
    return pb.AppendRecord(
        record.id,
        {key: google(value) for key, value in record.properties.items()},
        pb.SchemaInfo(pb.SchemaFormat(format), name, schema_id),
        record.data,
        record.stream,
    )


@given(texts, numbers, st.lists(records, max_size=3))
def test_a_request_of_a_session(stream: str, expected: int, records: list[SentRecord]) -> None:
    ours = encode_session_request(stream, expected, map(encoded, records))
    theirs = bytes(pb.AppendRequest(stream, list(map(generated, records)), expected))
    assert decode_session_request(ours) == decode_session_request(theirs) == SentAppend(stream, records, expected)
    assert pb.AppendRequest().parse(ours).expected_revision == expected


@given(st.lists(records, max_size=3), st.lists(st.tuples(texts, numbers), max_size=3))
def test_a_request_for_records(records: list[SentRecord], checks: list[tuple[str, int]]) -> None:
    ours = encode_records_request(map(encoded, records), checks)
    states = [pb.ConsistencyCheck(stream_state=pb.ConsistencyCheckStreamStateCheck(*check)) for check in checks]
    theirs = bytes(pb.AppendRecordsRequest(list(map(generated, records)), states))
    sent = SentRecords(records, [SentCheck(*check) for check in checks])
    assert decode_records_request(ours) == decode_records_request(theirs) == sent
    parsed = pb.AppendRecordsRequest().parse(ours)
    assert [check.stream_state.expected_state for check in parsed.checks] == [expected for _, expected in checks]


def test_what_is_absent() -> None:
    assert decode_session_request(bytes(pb.AppendRequest(records=[pb.AppendRecord()]))) == SentAppend(
        "", [SentRecord(None, None, {}, b"", None)], None
    )
    assert decode_records_request(bytes(pb.AppendRecordsRequest(checks=[pb.ConsistencyCheck()]))) == SentRecords(
        [], [None]
    )


def test_a_property_that_comes_twice_has_its_first_place_and_its_last_value() -> None:
    data = b"".join(
        bytes(pb.AppendRecord(properties={key: google(value)})) for key, value in [("a", 1), ("b", 2), ("a", 3)]
    )
    (record,) = decode_session_request(b"\x12" + bytes((len(data),)) + data).records
    assert list(record.properties.items()) == [("a", 3), ("b", 2)]


@given(st.dictionaries(texts, numbers, max_size=3), numbers)
def test_answers(revisions: dict[str, int], position: int) -> None:
    ours = encode_appended_records(revisions, position)
    session = pb.AppendSessionResponse([pb.AppendResponse(*pair) for pair in revisions.items()], position)
    records = pb.AppendRecordsResponse([pb.StreamRevision(*pair) for pair in revisions.items()], position)
    assert decode_appended_records(ours) == decode_appended_records(bytes(session)) == (revisions, position)
    assert decode_appended_records(bytes(records)) == (revisions, position)
    assert same(pb.AppendSessionResponse().parse(ours), session)


def same(first: betterproto.Message, second: betterproto.Message) -> bool:
    return first.to_dict() == second.to_dict()
