"""Deleting streams, and their metadata."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from esdb_lite import (
    ConsistencyError,
    ExpectedPositionError,
    InvalidArgument,
    NewEvent,
    StreamAcl,
    StreamAppend,
    StreamDeleted,
    StreamMetadata,
    StreamState,
    WrongArgumentType,
)
from tests.contract.faces import drain

E = NewEvent("OrderPlaced", b"{}")


async def append(client: Any, stream: str, count: int) -> None:
    await client.append_events(stream, -2, [NewEvent("OrderPlaced", b"{}") for _ in range(count)])


@pytest.mark.parametrize("method", ["delete_stream", "tombstone_stream"])
async def test_expectations(client: Any, stream: str, method: str) -> None:
    remove = getattr(client, method)
    with pytest.raises(ExpectedPositionError) as caught:
        await remove(stream, 1)
    assert (caught.value.stream_name, caught.value.expected, caught.value.current) == (stream, 1, None)
    await append(client, stream, 3)
    with pytest.raises(ExpectedPositionError) as caught:
        await remove(stream, 1)
    assert (caught.value.expected, caught.value.current) == (1, 2)
    with pytest.raises(ExpectedPositionError) as caught:
        await remove(stream, None)
    assert caught.value.expected is None
    position = await remove(stream, 2)
    assert position > 0


async def test_deleting_what_never_was(client: Any, stream: str) -> None:
    with pytest.raises(ExpectedPositionError):
        await client.delete_stream(stream)


@pytest.mark.parametrize("expected", [-2, StreamState.ANY, StreamState.EXISTS])
async def test_deleting(client: Any, stream: str, expected: Any) -> None:
    await append(client, stream, 2)
    await client.delete_stream(stream, expected)
    assert await client.get_stream_position(stream) is None


async def test_a_tombstone_is_for_ever(client: Any, stream: str) -> None:
    await client.tombstone_stream(stream)
    for call in (
        client.tombstone_stream(stream),
        client.delete_stream(stream),
        client.append_events(stream, None, E),
        client.get_stream_metadata(stream),
        client.get_stream_position(stream),
    ):
        with pytest.raises(StreamDeleted):
            await call


async def test_metadata(client: Any, stream: str) -> None:
    assert await client.get_stream_metadata(stream) == StreamMetadata()
    metadata = StreamMetadata(
        max_count=3,
        max_age=timedelta(days=2),
        cache_control=timedelta(seconds=15),
        truncate_before=1,
        acl=StreamAcl(read=["$all"], write=["$admins", "ops"], delete=()),
        custom={"owner": {"team": "sales"}, "$mine": None},
    )
    result = await client.set_stream_metadata(stream, metadata)
    read = await client.get_stream_metadata(stream)
    assert read == metadata
    assert read.position == result.stream_position == 0


async def test_metadata_takes_effect(client: Any, stream: str) -> None:
    await append(client, stream, 5)
    await client.set_stream_metadata(stream, StreamMetadata(max_count=2))
    assert [event.stream_position for event in await drain(client.read_stream_events(stream))] == [3, 4]


async def test_metadata_as_a_mapping(client: Any, stream: str) -> None:
    await client.set_stream_metadata(stream, {"$maxCount": 7, "note": "x"})
    assert await client.get_stream_metadata(stream) == StreamMetadata(max_count=7, custom={"note": "x"})


async def test_metadata_with_an_expectation(client: Any, stream: str) -> None:
    await client.set_stream_metadata(stream, StreamMetadata(max_count=1), expected_position=None)
    with pytest.raises(ExpectedPositionError):
        await client.set_stream_metadata(stream, StreamMetadata(max_count=2), expected_position=None)
    read = await client.get_stream_metadata(stream)
    await client.set_stream_metadata(stream, StreamMetadata(max_count=3), expected_position=read.position)
    assert (await client.get_stream_metadata(stream)).max_count == 3


async def test_metadata_that_servers_do_not_understand(client: Any, stream: str) -> None:
    for data in (b"not json", b"[1]", b'{"$maxCount":"5","$acl":7}'):
        await client.append_events(f"$${stream}", -2, NewEvent("$metadata", data))
        read = await client.get_stream_metadata(stream)
        assert (read.max_count, read.acl) == (None, None)
    assert read.custom == {"$maxCount": "5", "$acl": 7}


@pytest.mark.parametrize("metadata", ["x", None, 5, [("a", 1)]])
async def test_metadata_that_is_none(client: Any, metadata: Any) -> None:
    with pytest.raises(WrongArgumentType, match="metadata"):
        await client.set_stream_metadata("s", metadata)


async def test_metadata_that_is_not_json(client: Any) -> None:
    for value in ({"x": b"bytes"}, {"x": float("nan")}):
        with pytest.raises(InvalidArgument, match="custom"):
            await client.set_stream_metadata("s", value)


async def test_names_that_are_none(client: Any) -> None:
    for method in ("delete_stream", "tombstone_stream", "get_stream_metadata", "get_stream_position"):
        with pytest.raises(InvalidArgument, match="stream_name"):
            await getattr(client, method)("")


async def test_an_append_to_what_exists_brings_nothing_back(client: Any, stream: str) -> None:
    """A server decides in one step: after the delete it refuses."""
    await append(client, stream, 2)
    await client.append_events(stream, StreamState.EXISTS, E)
    await client.delete_stream(stream)
    with pytest.raises(StreamDeleted):
        await client.append_events(stream, StreamState.EXISTS, E)
    with pytest.raises((StreamDeleted, ConsistencyError)):
        await client.append_records(StreamAppend(stream, StreamState.EXISTS, E))
    assert await client.get_stream_position(stream) is None
