"""kurrentdbclient appends to several streams at once, on a server that passes for KurrentDB 26.1: sync and asyncio."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from esdb_lite import EsdbClient, RecordSchema, SchemaFormat
from tests.support import ServeProcess

kurrentdbclient = pytest.importorskip("kurrentdbclient", reason="kurrentdbclient is not installed")
events = pytest.importorskip("kurrentdbclient.events")
exceptions = pytest.importorskip("kurrentdbclient.exceptions")

NewEvent, NewEvents, NewRecord = events.NewEvent, events.NewEvents, events.NewRecord
StreamState, StreamStateCheck = events.StreamState, events.StreamStateCheck

pytestmark = pytest.mark.interop


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """grpcio ends the thread of its asyncio channels when they are garbage."""
    yield
    gc.collect()


@pytest.fixture
def address(serve: Callable[..., ServeProcess]) -> str:
    """Where a fresh server is."""
    return serve("--compatibility", "26.1").address


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    """A sync client, closed after the test."""
    with kurrentdbclient.KurrentDBClient(f"kurrentdb://{address}?Tls=false") as client:
        yield client


def new(type: str = "Placed") -> Any:
    """An event as a session takes it: the metadata may have texts only."""
    return NewEvent(type=type, data=b'{"a": 1}', metadata=b'{"b": "2"}')


def batch(stream: str, *types: str, at: Any = StreamState.ANY) -> Any:
    """Events for one stream."""
    return NewEvents(stream_name=stream, events=[new(type) for type in types], current_version=at)


def test_multi_append_to_stream(client: Any) -> None:
    position = client.multi_append_to_stream(
        [batch("a", "A", "B", at=StreamState.NO_STREAM), batch("b", "C", at=StreamState.NO_STREAM)]
    )
    assert position == client.get_commit_position()
    assert [event.type for event in client.read_all()] == ["A", "B", "C"]
    first = client.get_stream("a")[0]
    assert (first.data, first.content_type) == (b'{"a": 1}', "application/json")
    assert first.metadata == b'{ "b": "2", "$schema.name": "A", "$schema.format": "Json" }'


def test_multi_append_again(client: Any) -> None:
    requests = [batch("a", "A"), batch("b", "B")]
    assert client.multi_append_to_stream(requests) == client.multi_append_to_stream(requests)
    assert client.get_current_version("a") == 0


def test_multi_append_refused(client: Any) -> None:
    client.append_to_stream("a", current_version=StreamState.NO_STREAM, events=[new()])
    with pytest.raises(exceptions.WrongCurrentVersionError, match="'a'"):
        client.multi_append_to_stream([batch("b", "B"), batch("a", "A", at=5)])
    with pytest.raises(exceptions.NotFoundError):
        client.get_stream("b")
    client.tombstone_stream("a", current_version=StreamState.ANY)
    with pytest.raises(exceptions.StreamTombstonedError):
        client.multi_append_to_stream([batch("b", "B"), batch("a", "A")])


def record(stream: str, type: str = "Placed", **rest: Any) -> Any:
    return NewRecord(stream_name=stream, type=type, data=b"{}", **rest)


def test_append_records(client: Any) -> None:
    result = client.append_records([record("a"), record("b"), record("a")])
    positions = {each.stream_name: each.stream_position for each in result.stream_positions}
    assert positions == {"a": 1, "b": 0}
    assert result.commit_position == client.get_commit_position()


def test_append_records_with_checks(client: Any) -> None:
    client.append_to_stream("c", current_version=StreamState.NO_STREAM, events=[new()])
    checks = [StreamStateCheck("a", StreamState.NO_STREAM), StreamStateCheck("c", 0)]
    client.append_records([record("a")], checks=checks)
    with pytest.raises(exceptions.ConsistencyChecksFailedError) as caught:
        client.append_records([record("b")], checks=checks)
    (failure,) = caught.value.failures
    state = failure.stream_state_failure
    assert (state.stream_name, state.expected_state, state.actual_state) == ("a", -1, 0)


def test_what_it_writes_we_read(client: Any, address: str) -> None:
    client.append_records([record("a", content_type="application/octet-stream", metadata=b'{"user": "me"}')])
    with EsdbClient(f"esdb://{address}?tls=false") as ours:
        (event,) = ours.read_stream_events("a")
    assert event.properties == {"user": "me"}
    assert event.schema == RecordSchema("Placed", SchemaFormat.BYTES)


async def test_asyncio(address: str) -> None:
    async with kurrentdbclient.AsyncKurrentDBClient(f"kurrentdb://{address}?Tls=false") as client:
        await client.multi_append_to_stream([batch("a", "A"), batch("b", "B")])
        result = await client.append_records([record("a")], checks=[StreamStateCheck("b", StreamState.EXISTS)])
        assert [(each.stream_name, each.stream_position) for each in result.stream_positions] == [("a", 1)]
