"""Appends, reads, deletes, metadata and subscriptions through the adapter, in both faces."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest

import esdb_lite
from esdb_lite import EmbeddedServer
from esdb_lite.compat.kurrentdbclient import (
    CaughtUp,
    Checkpoint,
    KurrentDBClient,
    NewEvent,
    NewEvents,
    NewRecord,
    StreamState,
    StreamStateCheck,
    exceptions,
)
from tests.support import ServeProcess

ANY, NO_STREAM = StreamState.ANY, StreamState.NO_STREAM


def new(*types: str) -> list[NewEvent]:
    """Events of these types."""
    return [NewEvent(type, b'{"a": 1}', b'{"b": "2"}') for type in types]


@pytest.fixture
def name() -> str:
    """A stream that there is not yet."""
    return f"orders-{uuid4().hex}"


async def listed(iterator: Any) -> list[Any]:
    """All that an iterator hands out."""
    return [item async for item in iterator]


async def test_append_and_read(client: Any, name: str) -> None:
    events = new("Placed", "Paid", "Shipped")
    commit = await client.append_to_stream(name, events=events, current_version=NO_STREAM)
    assert await client.get_commit_position() == commit
    read = await client.get_stream(name)
    assert isinstance(read, tuple)
    assert list(read) == events
    assert [(event.type, event.data, event.metadata, event.content_type) for event in read] == [
        (event.type, event.data, event.metadata, event.content_type) for event in events
    ]
    assert [(event.stream_name, event.stream_position) for event in read] == [(name, 0), (name, 1), (name, 2)]
    assert read[-1].commit_position == read[-1].prepare_position == commit
    assert read[0].recorded_at is not None
    assert (read[0].link, read[0].retry_count, read[0].ack_id) == (None, None, events[0].id)
    assert await client.get_current_version(name) == 2
    assert await client.append_to_stream(name, events=NewEvent("Last", b""), current_version=2) > commit
    assert [event.type for event in await client.get_stream(name, backwards=True, limit=2)] == ["Last", "Shipped"]
    assert [event.type for event in await client.get_stream(name, stream_position=2)] == ["Shipped", "Last"]
    assert [event.type for event in await listed(await client.read_stream(name))][-1] == "Last"


async def test_what_is_not_as_expected(client: Any, name: str) -> None:
    with pytest.raises(exceptions.WrongCurrentVersionError, match="does not exist") as caught:
        await client.append_to_stream(name, events=new("A"), current_version=3)
    wrong = caught.value
    assert (wrong.stream_name, wrong.actual_version, wrong.expected_version) == (name, NO_STREAM, 3)
    await client.append_events(name, events=new("A", "B"), current_version=NO_STREAM)
    with pytest.raises(exceptions.WrongCurrentVersionError, match="last event is 1 not 0") as caught:
        await client.append_events(name, events=new("C"), current_version=0)
    assert (caught.value.actual_version, caught.value.expected_version) == (1, 0)
    # ours, too
    assert isinstance(caught.value, esdb_lite.ExpectedPositionError)
    assert isinstance(caught.value.__cause__, esdb_lite.ExpectedPositionError)
    assert (caught.value.current, caught.value.expected) == (1, 0)
    with pytest.raises(exceptions.WrongCurrentVersionError) as caught:
        await client.append_events(name, events=new("C"), current_version=NO_STREAM)
    assert caught.value.expected_version is NO_STREAM
    with pytest.raises(ValueError, match="negative"):
        await client.append_events(name, events=new("C"), current_version=-1)


async def test_streams_that_there_are_not(client: Any, name: str) -> None:
    assert await client.get_current_version(name) is NO_STREAM
    with pytest.raises(exceptions.NotFoundError) as caught:
        await client.get_stream(name)
    assert isinstance(caught.value, esdb_lite.EsdbClientException)
    response = await client.read_stream(name)
    with pytest.raises(exceptions.NotFoundError):
        await listed(response)
    for delete in (client.delete_stream, client.tombstone_stream):
        with pytest.raises(exceptions.NotFoundError):
            await delete(name, current_version=5)
    assert await client.get_stream_metadata(name) == ({}, NO_STREAM)


async def test_delete_and_tombstone(client: Any, name: str) -> None:
    await client.append_events(name, events=new("A", "B"), current_version=NO_STREAM)
    with pytest.raises(exceptions.WrongCurrentVersionError):
        await client.delete_stream(name, current_version=0)
    await client.delete_stream(name, current_version=1)
    assert await client.get_current_version(name) is NO_STREAM
    await client.append_events(name, events=new("C"), current_version=NO_STREAM)
    await client.tombstone_stream(name, current_version=ANY)
    with pytest.raises(exceptions.StreamIsDeletedError):
        await client.get_stream(name)
    with pytest.raises(exceptions.StreamIsDeletedError):
        await client.append_events(name, events=new("D"), current_version=ANY)


async def test_metadata(client: Any, name: str) -> None:
    metadata = {"$maxCount": 2, "owner": {"team": ["a"]}}
    await client.set_stream_metadata(name, metadata=metadata)
    assert await client.get_stream_metadata(name) == (metadata, 0)
    with pytest.raises(exceptions.WrongCurrentVersionError):
        await client.set_stream_metadata(name, metadata={}, current_version=5)
    await client.set_stream_metadata(name, metadata={"x": 1}, current_version=0)
    assert await client.get_stream_metadata(name) == ({"x": 1}, 1)


async def test_filters(client: Any, name: str) -> None:
    start = await client.append_events(name, events=new("Start"), current_version=NO_STREAM)
    await client.set_stream_metadata(name, metadata={})
    await client.append_events(name, events=new("One", "Two", "Result", "OneMore"), current_version=0)

    async def types(**options: Any) -> list[str]:
        return [event.type for event in await listed(await client.read_all(commit_position=start, **options))]

    assert await types() == ["Start", "One", "Two", "OneMore"]  # not Result
    assert await types(filter_exclude=("Start", "T.*", r"\$.+", "OneMore")) == ["One", "Result"]
    assert await types(filter_include=("Two", "Result")) == ["Two", "Result"]
    assert await types(filter_include="One") == ["One"]
    assert await types(filter_include=("One",), filter_by_prefix=True) == ["One", "OneMore"]
    assert len(await types(filter_include=(name,), filter_by_stream_name=True)) == 5
    assert {"One", "$metadata"} <= set(await types(filter_exclude=()))
    assert await types(limit=2) == ["Start", "One"]
    last = (await client.get_stream(name, backwards=True, limit=1))[0]
    assert await client.get_commit_position(filter_include=("OneMore",)) == last.commit_position
    with pytest.raises(exceptions.InvalidCommitPositionError):
        await listed(await client.read_all(commit_position=start + 1))


async def test_append_to_several_streams(client: Any, name: str) -> None:
    other = f"{name}-other"
    appends = [NewEvents(name, new("A"), NO_STREAM), NewEvents(other, new("B", "C"), ANY)]
    commit = await client.multi_append_to_stream(appends)
    assert (await client.get_stream(other))[-1].commit_position == commit
    assert (await client.get_stream(name))[0].metadata
    with pytest.raises(exceptions.WrongCurrentVersionError) as caught:
        await client.multi_append_to_stream(NewEvents(name, new("D"), 7))
    assert (caught.value.stream_name, caught.value.actual_version, caught.value.expected_version) == (name, 0, 7)
    with pytest.raises(exceptions.ProgrammingError, match="string values"):
        await client.multi_append_to_stream(NewEvents(name, [NewEvent("E", b"", b'{"n": 1}')], ANY))
    await client.tombstone_stream(other, current_version=1)
    with pytest.raises(exceptions.StreamTombstonedError) as tombstoned:
        await client.multi_append_to_stream(NewEvents(other, new("F"), ANY))
    assert tombstoned.value.stream_name == other


async def test_append_records(client: Any, name: str) -> None:
    records = [NewRecord(name, "A", b"{}"), NewRecord(f"{name}-2", "B", b"{}", b'{"key": "value"}')]
    result = await client.append_records(records, StreamStateCheck(name, NO_STREAM))
    assert [(each.stream_name, each.stream_position) for each in result.stream_positions] == [
        (name, 0),
        (f"{name}-2", 0),
    ]
    assert (await client.get_stream(f"{name}-2"))[0].commit_position == result.commit_position
    checks = [StreamStateCheck(f"{name}-2", 0), StreamStateCheck(name, 4)]
    with pytest.raises(exceptions.ConsistencyChecksFailedError) as caught:
        await client.append_records(NewRecord(name, "C", b"{}"), checks)
    (failure,) = caught.value.failures
    assert failure.check_index == 1
    assert failure.stream_state_failure is not None
    found = failure.stream_state_failure
    assert (found.stream_name, found.expected_state, found.actual_state) == (name, 4, 0)
    with pytest.raises(exceptions.RecordMaxSizeExceededError) as large:
        await client.append_records(NewRecord(name, "Large", b"x" * 20_000_000))
    assert large.value.size > large.value.max_size > 0
    assert large.value.stream_name == name


async def test_index(client: Any, name: str) -> None:
    kind = f"Kind{uuid4().hex}"
    await client.append_events(name, events=new(kind, kind), current_version=NO_STREAM)
    assert [event.type for event in await listed(await client.read_index(f"et-{kind}"))] == [kind, kind]
    subscription = await client.subscribe_to_index(f"et-{kind}")
    assert (await subscription.__anext__()).type == kind
    await subscription.stop()


async def test_subscribe_to_all(client: Any, name: str) -> None:
    start = await client.get_commit_position()
    events = new("Here", "There", "Here")
    await client.append_events(name, events=events, current_version=NO_STREAM)
    options = {"commit_position": start, "filter_include": ("Here",)}
    subscription = await client.subscribe_to_all(**options, include_checkpoints=True, window_size=1)
    assert subscription.subscription_id
    seen: list[Any] = []
    async for item in subscription:
        seen.append(item)
        if item == events[2]:
            break
    assert [item.type for item in seen if not item.is_checkpoint] == ["Here", "Here"]
    await subscription.stop()
    assert subscription.is_stopped
    with pytest.raises(StopAsyncIteration):
        await subscription.__anext__()
    subscription = await client.subscribe_to_all(**options, include_caught_up=True)
    async with subscription:
        seen = []
        async for item in subscription:
            seen.append(item)
            if item.is_caught_up:
                break
    assert isinstance(seen[-1], CaughtUp)
    assert not any(isinstance(item, Checkpoint) for item in seen)


async def test_subscribe_to_stream(client: Any, name: str) -> None:
    await client.append_events(name, events=new("A", "B"), current_version=NO_STREAM)
    subscription = await client.subscribe_to_stream(name, stream_position=0)
    live = await client.subscribe_to_stream(name, from_end=True)
    assert (await subscription.__anext__()).type == "B"
    await client.append_events(name, events=new("C"), current_version=1)
    assert (await subscription.__anext__()).type == "C"
    assert (await live.__anext__()).type == "C"
    await live.stop()
    short = await client.subscribe_to_stream(name, from_end=True, timeout=0.1)
    with pytest.raises(exceptions.GrpcDeadlineExceededError):
        await short.__anext__()
    await client.close()
    assert client.is_closed
    with pytest.raises(exceptions.CancelledByClientError):
        await subscription.__anext__()
    assert await client.get_current_version(name) == 2  # connects anew


async def test_resolved_links(client: Any, name: str) -> None:
    kind = f"Kind{uuid4().hex}"
    await client.append_events(name, events=new(kind), current_version=NO_STREAM)
    async with await client.subscribe_to_stream(f"$et-{kind}", resolve_links=True) as subscription:
        event = await asyncio.wait_for(subscription.__anext__(), 20)
    assert (event.type, event.stream_name) == (kind, name)
    assert event.link is not None
    assert event.link.is_link_event
    assert event.is_resolved_event
    assert event.ack_id == event.link.id


async def test_a_timeout_that_is_over(client: Any, name: str) -> None:
    with pytest.raises(exceptions.GrpcDeadlineExceededError) as caught:
        await client.append_events(name, events=new("A"), current_version=NO_STREAM, timeout=0)
    assert isinstance(caught.value, TimeoutError)


async def test_the_timeout_of_a_read_begins_when_it_is_made(client: Any, name: str) -> None:
    await client.append_events(name, events=new("A"), current_version=NO_STREAM)
    began = time.monotonic()
    response = await client.read_stream(name, timeout=1e-9)
    assert time.monotonic() > began
    with pytest.raises(exceptions.GrpcDeadlineExceededError):
        await listed(response)
    assert len(await listed(await client.read_stream(name, timeout=60))) == 1


def test_an_iteration_that_another_thread_stops(uri: str, name: str) -> None:
    with KurrentDBClient(uri) as client:
        client.append_events(name, events=new("A"), current_version=NO_STREAM)
        subscription = client.subscribe_to_stream(name)
        seen = []
        for event in subscription:
            seen.append(event)
            subscription.stop()
        assert len(seen) == 1


def test_where_no_server_is(uri: str) -> None:
    with EmbeddedServer() as gone:
        address = gone.address
    with KurrentDBClient(f"esdb://{address}?tls=false") as client:
        with pytest.raises(exceptions.ServiceUnavailableError) as caught:
            client.get_commit_position()
        assert isinstance(caught.value, ConnectionError)
        assert isinstance(caught.value, exceptions.KurrentDBClientError)


def test_reconnect(server: ServeProcess, uri: str) -> None:
    with EmbeddedServer() as gone:
        elsewhere = gone.address
    with KurrentDBClient(uri) as client:
        first = client.connection_id
        client.reconnect(elsewhere)
        assert client.connection_target == elsewhere
        assert client.get_current_version("nothing") is NO_STREAM  # back where the connection string points to
        assert client.connection_target == server.address
        assert client.connection_id != first
        kept = client.connection_id
        client.reconnect(connection_id=first)  # of a connection that there is no more
        assert client.connection_id == kept


async def test_services(client: Any, name: str) -> None:
    services = client.inner if hasattr(client, "inner") else client.connection
    given = services.streams.append(
        stream_name=name, events=new("A"), current_version=NO_STREAM, metadata=(), credentials=None, timeout=10
    )
    assert (given if isinstance(given, int) else await given) > 0
    with pytest.raises(AttributeError):
        services.streams.nothing()
