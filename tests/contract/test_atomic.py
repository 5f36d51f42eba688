"""Atomic appends to several streams: what is written, what is refused, on servers of every version."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import pytest

from esdb_lite import (
    AppendTooLarge,
    ConsistencyError,
    ConsistencyViolation,
    EventTooLarge,
    InvalidArgument,
    NewEvent,
    NewRecord,
    NotSupported,
    RecordSchema,
    RecordsResult,
    SchemaFormat,
    StreamAppend,
    StreamCheck,
    StreamDeleted,
    StreamState,
)
from tests.contract.faces import drain

pytestmark = pytest.mark.skipif("ESDB_URI" in os.environ, reason="the server at ESDB_URI may be of any version")


def names(count: int) -> list[str]:
    return [f"order-{uuid4()}" for _ in range(count)]


async def test_records_of_several_streams(client: Any) -> None:
    a, b = names(2)
    result = await client.append_records([NewRecord(a, "A", b"{}"), NewRecord(b, "B", b"{}"), NewRecord(a, "C", b"{}")])
    assert isinstance(result, RecordsResult)
    assert result.stream_positions == {a: 1, b: 0}
    first, second = await drain(client.read_stream_events(a))
    (other,) = await drain(client.read_stream_events(b))
    assert [event.type for event in (first, other, second)] == ["A", "B", "C"]
    assert first.commit_position < other.commit_position < second.commit_position == result.commit_position


async def test_properties_are_json_values(client: Any, stream: str) -> None:
    properties = {
        "n": 7,
        "x": 1.5,
        "t": "ü<>",
        "b": True,
        "none": None,
        "list": [1, "a", []],
        "object": {"a": {"b": 2}},
    }
    schema_id = uuid4()
    record = NewRecord(stream, "OrderPlaced", b"\x00", properties, SchemaFormat.PROTOBUF, schema_id)
    await client.append_records(record)
    (event,) = await drain(client.read_stream_events(stream))
    assert event.properties == properties
    assert type(event.properties["n"]) is int
    assert event.schema == RecordSchema("OrderPlaced", SchemaFormat.PROTOBUF, schema_id)
    assert (event.id, event.data, event.content_type) == (record.id, b"\x00", "application/octet-stream")


async def test_events_by_stream(client: Any) -> None:
    a, b = names(2)
    event = NewEvent.json("A", {"x": 1}, {"user": "me"})
    result = await client.append_records(
        {a: [event], b: [NewEvent("B", b"1", content_type="application/octet-stream")]}
    )
    assert result.stream_positions == {a: 0, b: 0}
    (read,) = await drain(client.read_stream_events(a))
    assert (read.id, read.properties, read.schema) == (event.id, {"user": "me"}, RecordSchema("A", SchemaFormat.JSON))
    (read,) = await drain(client.read_stream_events(b))
    assert (read.schema.format, read.content_type) == (SchemaFormat.BYTES, "application/octet-stream")


async def test_an_event_of_the_older_way_has_properties_and_no_schema(client: Any, stream: str) -> None:
    await client.append_events(stream, None, [NewEvent.json("A", {}, {"user": "me"}), NewEvent("B", b"", b"[")])
    first, second = await drain(client.read_stream_events(stream))
    assert (first.properties, first.schema) == ({"user": "me"}, None)
    assert (second.properties, second.schema) == ({}, None)


async def test_all_violations_are_told_and_nothing_is_written(client: Any) -> None:
    a, b, other, gone = names(4)
    await client.append_events(other, None, NewEvent("T", b""))
    await client.append_events(gone, None, NewEvent("T", b""))
    await client.tombstone_stream(gone)
    checks = [
        StreamCheck(other, None),
        StreamCheck(b, StreamState.EXISTS),
        StreamCheck(a, 3),
        StreamCheck(gone, StreamState.DELETED),
    ]
    with pytest.raises(ConsistencyError) as caught:
        await client.append_records([NewRecord(a, "A"), NewRecord(b, "B")], checks=checks)
    assert caught.value.violations == (
        ConsistencyViolation(other, None, 0, 0),
        ConsistencyViolation(b, StreamState.EXISTS, None, 1),
        ConsistencyViolation(a, 3, None, 2),
        ConsistencyViolation(gone, StreamState.DELETED, StreamState.TOMBSTONED, 3),
    )
    assert (caught.value.stream_name, caught.value.expected, caught.value.current) == (other, None, 0)
    assert await client.get_stream_position(a) is None


async def test_checks_that_hold(client: Any) -> None:
    a, other, deleted, gone = names(4)
    for name in (other, deleted, gone):
        await client.append_events(name, None, NewEvent("T", b""))
    await client.delete_stream(deleted)
    await client.tombstone_stream(gone)
    checks = [
        StreamCheck(a, StreamState.NO_STREAM),
        StreamCheck(other, 0),
        StreamCheck(deleted, StreamState.DELETED),
        StreamCheck(gone, StreamState.TOMBSTONED),
    ]
    assert (await client.append_records(NewRecord(a, "A"), checks=checks)).stream_positions == {a: 0}


async def test_the_same_records_again_change_nothing(client: Any) -> None:
    a, b = names(2)
    appends = [StreamAppend(a, None, [NewEvent("A", b"")]), StreamAppend(b, StreamState.ANY, [NewEvent("B", b"")])]
    first = await client.append_records(appends)
    assert await client.append_records(appends) == first
    assert await client.get_stream_position(a) == 0


async def test_where_a_stream_is_expected_to_end(client: Any, stream: str) -> None:
    await client.append_records(StreamAppend(stream, None, [NewEvent("A", b"")]))
    with pytest.raises(ConsistencyError) as caught:
        await client.append_records(StreamAppend(stream, None, [NewEvent("A", b"")]))
    assert caught.value.violations == (ConsistencyViolation(stream, None, 0, 0),)
    assert (await client.append_records(StreamAppend(stream, 0, [NewEvent("A", b"")]))).stream_positions == {stream: 1}


async def test_what_is_too_large(client: Any, stream: str) -> None:
    record = NewRecord(stream, "A", bytes(16 * 2**20))
    with pytest.raises(EventTooLarge) as caught:
        await client.append_records(record)
    assert (caught.value.event_id, caught.value.limit) == (str(record.id), 16 * 2**20)
    assert caught.value.stream_name == stream
    assert caught.value.size == len(record.data) + 1  # with its name


@pytest.mark.parametrize("version", ["25.1"])
async def test_a_server_with_sessions_only(client: Any) -> None:
    a, b = names(2)
    result = await client.append_records([NewRecord(a, "A"), NewRecord(b, "B", properties={"n": 1})])
    assert result.stream_positions == {a: 0, b: 0}
    with pytest.raises(ConsistencyError) as caught:
        await client.append_records([NewRecord(a, "A"), NewRecord(b, "B")], checks=[StreamCheck(b, None)])
    assert caught.value.violations == (ConsistencyViolation(b, None, 0, 0),)
    for records, checks in (
        ([NewRecord(a, "A")], [StreamCheck(b, 0)]),
        ([NewRecord(a, "A")], [StreamCheck(a, StreamState.TOMBSTONED)]),
        ([NewRecord(a, "A"), NewRecord(b, "B"), NewRecord(a, "A")], []),
    ):
        with pytest.raises(NotSupported, match=r"needs KurrentDB 26\.0\.3, 26\.1 or later"):
            await client.append_records(records, checks=checks)
    await client.tombstone_stream(b)
    with pytest.raises(StreamDeleted):
        await client.append_records([NewRecord(a, "A"), NewRecord(b, "B")])


@pytest.mark.parametrize("version", ["24.10"])
async def test_a_server_that_appends_to_one_stream(client: Any) -> None:
    a, b = names(2)
    result = await client.append_records([NewRecord(a, "A", b"{}", {"n": 1})], checks=StreamCheck(a, None))
    assert (result.stream_positions, result.commit_position) == ({a: 0}, 733)
    (event,) = await drain(client.read_stream_events(a))
    assert (event.properties, event.schema) == ({"n": 1}, None)
    with pytest.raises(ConsistencyError) as caught:
        await client.append_records([NewRecord(a, "A")], checks=StreamCheck(a, None))
    assert caught.value.violations == (ConsistencyViolation(a, None, 0, 0),)
    with pytest.raises(NotSupported, match=r"needs KurrentDB 25\.1 or later"):
        await client.append_records([NewRecord(a, "A"), NewRecord(b, "B")])
    with pytest.raises(NotSupported, match=r"format.* need KurrentDB 25\.1 or later"):
        await client.append_records([NewRecord(a, "A", format=SchemaFormat.AVRO)])
    with pytest.raises(AppendTooLarge):
        await client.append_records([NewRecord(a, "A", bytes(2**20))])


async def test_what_nobody_can_mean(client: Any, stream: str) -> None:
    one = NewRecord(stream, "A")
    for records, checks in (
        ([], ()),
        ({stream: []}, ()),
        ([one], [StreamCheck(stream, 0), StreamCheck(stream, 1)]),
        ([StreamAppend(stream, 0, [NewEvent("A", b"")])], [StreamCheck(stream, 1)]),
        ({stream: [NewEvent("A", b"", b"[1]")]}, ()),
        ({stream: [NewEvent("with blanks", b"")]}, ()),
        ([NewEvent("A", b"")], ()),
        (NewEvent("A", b""), ()),
        ([one], ["a"]),
        ("text", ()),
        # servers would write all of it to one stream
        ({f"{stream}-aB": [NewEvent("A", b"")], f"{stream}-Ab": [NewEvent("A", b"")]}, ()),
        ([one], [StreamCheck(stream.upper(), 0)]),
    ):
        with pytest.raises(InvalidArgument):
            await client.append_records(records, checks=checks)
