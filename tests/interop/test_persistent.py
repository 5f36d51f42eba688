"""kurrentdbclient consumes persistent subscriptions of `serve`: acknowledges, refuses, parks, replays, is dropped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support import ServeProcess

kurrentdbclient = pytest.importorskip("kurrentdbclient", reason="kurrentdbclient is not installed")
exceptions = pytest.importorskip("kurrentdbclient.exceptions")

NewEvent = kurrentdbclient.NewEvent
StreamState = kurrentdbclient.StreamState
Client = kurrentdbclient.KurrentDBClient

pytestmark = pytest.mark.interop

STREAM, GROUP = "order-1", "shippers"


@pytest.fixture
def server(serve: Callable[..., ServeProcess]) -> ServeProcess:
    return serve()


@pytest.fixture
def client(server: ServeProcess) -> Iterator[Client]:
    with Client(f"kurrentdb://{server.address}?Tls=false") as client:
        yield client


def append(client: Client, count: int, stream: str = STREAM) -> None:
    events = [NewEvent(type="Placed", data=b"{}") for _ in range(count)]
    client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.025)
    raise AssertionError("it never comes")


def test_consume_and_acknowledge(client: Client) -> None:
    append(client, 50)
    client.create_subscription_to_stream(GROUP, STREAM)
    with client.read_subscription_to_stream(GROUP, STREAM, event_buffer_size=10) as subscription:
        for position in range(50):
            event = next(subscription)
            assert (event.stream_position, event.retry_count) == (position, 0)
            subscription.ack(event)
    eventually(lambda: client.get_subscription_info(GROUP, STREAM).outstanding_messages_count == 0)


def test_refuse_park_and_replay(client: Client) -> None:
    append(client, 3)
    client.create_subscription_to_stream(GROUP, STREAM, max_retry_count=1)
    with client.read_subscription_to_stream(GROUP, STREAM, max_ack_batch_size=1) as subscription:
        first, second, third = (next(subscription) for _ in range(3))
        subscription.nack(first, "retry")
        again = next(subscription)
        assert (again.id, again.retry_count) == (first.id, 1)
        subscription.nack(again, "retry")
        subscription.nack(second, "park")
        subscription.nack(third, "skip")
        eventually(lambda: client.get_subscription_info(GROUP, STREAM).parked_message_count == 2)
        client.replay_parked_events(GROUP, STREAM)
        replayed = [next(subscription) for _ in range(2)]
        assert [event.stream_position for event in replayed] == [0, 1]
        for event in replayed:
            subscription.ack(event)
    eventually(lambda: client.get_subscription_info(GROUP, STREAM).outstanding_messages_count == 0)


def test_all_events_with_a_filter(client: Client) -> None:
    client.create_subscription_to_all(GROUP, filter_include=["Placed"])
    append(client, 4)
    with client.read_subscription_to_all(GROUP) as subscription:
        for position in range(4):
            event = next(subscription)
            assert event.stream_position == position
            subscription.ack(event)


def test_links(client: Client) -> None:
    append(client, 2)
    link = NewEvent(type="$>", data=f"1@{STREAM}".encode(), content_type="application/octet-stream")
    client.append_to_stream("links", current_version=StreamState.ANY, events=[link])
    client.create_subscription_to_stream(GROUP, "links", resolve_links=True)
    with client.read_subscription_to_stream(GROUP, "links") as subscription:
        event = next(subscription)
        assert (event.stream_name, event.stream_position, event.ack_id) == (STREAM, 1, link.id)
        subscription.ack(event)
    eventually(lambda: client.get_subscription_info(GROUP, "links").outstanding_messages_count == 0)


def test_manage(client: Client) -> None:
    client.create_subscription_to_stream(GROUP, STREAM, consumer_strategy="RoundRobin", max_retry_count=7)
    with pytest.raises(exceptions.AlreadyExistsError):
        client.create_subscription_to_stream(GROUP, STREAM)
    info = client.get_subscription_info(GROUP, STREAM)
    assert (info.consumer_strategy, info.max_retry_count, info.status) == ("RoundRobin", 7, "Live")
    client.update_subscription_to_stream(GROUP, STREAM, max_retry_count=8)
    assert client.get_subscription_info(GROUP, STREAM).max_retry_count == 8
    assert [listed.group_name for listed in client.list_subscriptions()] == [GROUP]
    client.delete_subscription(GROUP, STREAM)
    assert list(client.list_subscriptions()) == []
    with pytest.raises(exceptions.NotFoundError):
        client.get_subscription_info(GROUP, STREAM)


def test_limits_and_unknown_groups(client: Client) -> None:
    client.create_subscription_to_stream(GROUP, STREAM, max_subscriber_count=1)
    with pytest.raises(exceptions.NotFoundError):
        client.read_subscription_to_stream("none", STREAM)
    with client.read_subscription_to_stream(GROUP, STREAM), pytest.raises(exceptions.MaximumSubscriptionsReachedError):
        client.read_subscription_to_stream(GROUP, STREAM)


def test_groups_survive_kill(serve: Callable[..., ServeProcess]) -> None:
    server = serve("--db", "events.db")
    with Client(f"kurrentdb://{server.address}?Tls=false") as client:
        append(client, 20)
        client.create_subscription_to_stream(GROUP, STREAM, min_checkpoint_count=1, max_checkpoint_count=10)
        with client.read_subscription_to_stream(GROUP, STREAM) as subscription:
            for _ in range(10):
                subscription.ack(next(subscription))
            eventually(lambda: client.get_subscription_info(GROUP, STREAM).last_checkpointed_event_position == "9")
    server.kill()
    again = serve("--db", "events.db")
    with (
        Client(f"kurrentdb://{again.address}?Tls=false") as client,
        client.read_subscription_to_stream(GROUP, STREAM) as subscription,
    ):
        assert [next(subscription).stream_position for _ in range(10)] == list(range(10, 20))


def test_asyncio(client: Client, server: ServeProcess) -> None:
    append(client, 20)
    client.create_subscription_to_stream(GROUP, STREAM)

    async def consume() -> list[int]:
        seen = []
        async with (
            kurrentdbclient.AsyncKurrentDBClient(f"kurrentdb://{server.address}?Tls=false") as other,
            await other.read_subscription_to_stream(GROUP, STREAM) as subscription,
        ):
            async for event in subscription:
                seen.append(event.stream_position)
                await subscription.ack(event)
                if len(seen) == 20:
                    break
        return seen

    assert asyncio.run(consume()) == list(range(20))
