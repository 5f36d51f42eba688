"""Persistent subscriptions and projections through the adapter, in both faces."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

import esdb_lite
from esdb_lite.compat.kurrentdbclient import KurrentDBClient, NewEvent, StreamState, exceptions


@pytest.fixture
def name() -> str:
    """A stream and a group that there are not yet."""
    return f"jobs-{uuid4().hex}"


async def appended(client: Any, name: str, count: int) -> list[NewEvent]:
    """Events that have been appended."""
    events = [NewEvent(f"Job{number}", b"{}") for number in range(count)]
    await client.append_events(name, events=events, current_version=StreamState.ANY)
    return events


async def test_consume(client: Any, name: str) -> None:
    await client.create_subscription_to_stream(name, name, max_retry_count=5)
    events = await appended(client, name, 5)
    actions = iter(("ack", "park", "retry", "skip", "ack", "ack"))
    seen = []
    async with await client.read_subscription_to_stream(name, name, max_ack_delay=0.01) as subscription:
        assert subscription.subscription_id == f"{name}::{name}"
        async for event in subscription:
            seen.append(event)
            action = next(actions)
            if action == "ack":
                await subscription.ack(event if len(seen) % 2 else event.ack_id)
            else:
                await subscription.nack(event, action)
            if len(seen) == 6:
                await subscription.stop()
    assert {event.id for event in seen} == {event.id for event in events}
    assert sorted(event.retry_count for event in seen) == [0, 0, 0, 0, 0, 1]
    with pytest.raises(exceptions.ProgrammingError, match="already been stopped"):
        await subscription.ack(seen[0])
    async with await client.read_subscription_to_stream(name, name) as subscription:
        await client.replay_parked_events(name, name)
        again = await asyncio.wait_for(subscription.__anext__(), 20)
        assert again.id == seen[1].id
        await subscription.ack(again)


async def test_all_events(client: Any, name: str) -> None:
    with pytest.raises(exceptions.NotFoundError):
        await client.get_subscription_info(name)
    await client.create_subscription_to_all(name, filter_include=(f"{name}.*",), filter_by_stream_name=True)
    with pytest.raises(exceptions.AlreadyExistsError):
        await client.create_subscription_to_all(name)
    events = await appended(client, name, 2)
    async with await client.read_subscription_to_all(name) as subscription:
        first = await subscription.__anext__()
        await subscription.ack(first)
    assert first.id == events[0].id
    assert name in {info.group_name for info in await client.list_subscriptions()}
    await client.delete_subscription(name)
    with pytest.raises(exceptions.NotFoundError):
        await client.read_subscription_to_all(name)


async def test_settings(client: Any, name: str) -> None:
    await client.create_subscription_to_stream(
        name, name, from_end=True, consumer_strategy="RoundRobin", message_timeout=1.5, checkpoint_after=0.5
    )
    info = await client.get_subscription_info(name, name)
    assert (info.event_source, info.start_from, info.consumer_strategy) == (name, "-1", "RoundRobin")
    assert (info.message_timeout, info.checkpoint_after, info.max_subscriber_count) == (1.5, 0.5, 5)
    await client.update_subscription_to_stream(name, name, message_timeout=2.5, stream_position=3, max_retry_count=1)
    info = await client.get_subscription_info(name, name)
    assert (info.start_from, info.message_timeout, info.max_retry_count, info.checkpoint_after) == ("3", 2.5, 1, 0.5)
    assert info.update_stream_kwargs(max_retry_count=9) == {
        "from_end": False,
        "stream_position": 3,
        "resolve_links": False,
        "consumer_strategy": "RoundRobin",
        "message_timeout": 2.5,
        "max_retry_count": 9,
        "min_checkpoint_count": 10,
        "max_checkpoint_count": 1000,
        "checkpoint_after": 0.5,
        "max_subscriber_count": 5,
        "live_buffer_size": 500,
        "read_batch_size": 200,
        "history_buffer_size": 500,
        "extra_statistics": False,
    }
    assert [each.group_name for each in await client.list_subscriptions_to_stream(name)] == [name]
    with pytest.raises(exceptions.InternalError):
        await client.create_subscription_to_stream(name + "2", name, history_buffer_size=100)
    with pytest.raises(KeyError):
        await client.update_subscription_to_stream(name, name, consumer_strategy="Nothing")
    with pytest.raises(TypeError, match="'max_retries'"):
        await client.create_subscription_to_all(name, max_retries=3)


async def test_too_many_consumers(client: Any, name: str) -> None:
    await client.create_subscription_to_stream(name, name, max_subscriber_count=1)
    subscription = await client.read_subscription_to_stream(name, name)
    with pytest.raises(exceptions.MaximumSubscriptionsReachedError) as caught:
        await client.read_subscription_to_stream(name, name)
    assert isinstance(caught.value, esdb_lite.TooManySubscribers)
    with pytest.raises(exceptions.ExceptionIteratingRequestsError):
        await subscription.ack("no id")
    with pytest.raises(ValueError, match="action"):
        await subscription.nack(uuid4(), "whatever")
    await client.close()
    with pytest.raises(exceptions.CancelledByClientError):
        await subscription.__anext__()


def test_stopping_outside_of_with(uri: str, name: str) -> None:
    with KurrentDBClient(uri) as client:
        client.create_subscription_to_stream(name, name)
        client.append_events(name, events=[NewEvent("A", b""), NewEvent("B", b"")], current_version=StreamState.ANY)
        subscription = client.read_subscription_to_stream(name, name)
        for event in subscription:
            subscription.ack(event)
            subscription.stop()
        assert client.get_subscription_info(name, name).parked_message_count == 0
        with client.read_subscription_to_stream(name, name) as again:
            assert next(again).type == "B"  # the answer to A has arrived


COUNTING = (
    "fromStream('%s').when({$init: () => ({count: 0}), $any: (state, event) => { state.count += 1; }}).outputState()"
)


async def test_projections(client: Any, name: str) -> None:
    await client.create_projection(name=name, query=COUNTING % name)
    with pytest.raises(exceptions.AlreadyExistsError):
        await client.create_projection(name=name, query=COUNTING % name)
    await appended(client, name, 3)

    async with await client.subscribe_to_stream(f"$projections-{name}-result", timeout=20) as results:
        async for result in results:
            if result.data == b'{"count":3}':
                break
    assert (await client.get_projection_state(name)).value == {"count": 3}
    statistics = await client.get_projection_statistics(name)
    assert (statistics.name, statistics.mode, statistics.status) == (name, "Continuous", "Running")
    assert name in {each.name for each in await client.list_continuous_projection_statistics()}
    assert name in {each.name for each in await client.list_all_projection_statistics()}
    with pytest.raises(exceptions.OperationFailedError):
        await client.delete_projection(name)
    await client.update_projection(name, query=COUNTING % "other")
    await client.disable_projection(name)
    await client.reset_projection(name)
    await client.enable_projection(name)
    await client.abort_projection(name)
    await client.disable_projection(name)
    await client.delete_projection(name, delete_state_stream=True, delete_checkpoint_stream=True)
    with pytest.raises(exceptions.NotFoundError):
        await client.get_projection_statistics(name)
    with pytest.raises(ValueError, match="engine_version"):
        await client.create_projection(name=name, query="", engine_version="v3")
    with pytest.raises(ValueError, match="track_emitted"):
        await client.create_projection(name=name, query="", engine_version="v2", track_emitted_streams=True)
