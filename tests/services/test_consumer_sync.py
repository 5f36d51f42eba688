"""Consumers without asyncio against the service of the package, which runs on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from esdb_lite import EsdbClient, NackAction, RecordedEvent, SubscriptionSettings
from esdb_lite.errors import (
    ClientClosed,
    InvalidArgument,
    SubscriptionDropped,
    SubscriptionNotFound,
    WrongArgumentType,
)
from esdb_lite.sync.group_subscription import PersistentSubscription
from esdb_lite.sync.portal import Portal
from tests.contract.faces import positions

from .test_consumer import World, running


class SyncWorld:
    """A server on a thread, and a client."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.portal = Portal("server", self._stack.aclose)
        self.world: World = self.portal.run(self._stack.enter_async_context, running())
        self.client = EsdbClient(f"127.0.0.1:{self.world.port}")

    def append(self, count: int) -> None:
        self.portal.run(self.world.append, count)

    def close(self) -> None:
        self.client.close()
        self.portal.close()

    def read(self, **options: object) -> PersistentSubscription:
        return self.client.read_subscription("g", "s", **options)  # type: ignore[arg-type]


@pytest.fixture
def world() -> Iterator[SyncWorld]:
    made = SyncWorld()
    made.client.create_subscription("g", "s")
    yield made
    made.close()


def take(subscription: PersistentSubscription, count: int) -> list[RecordedEvent]:
    return [next(subscription) for _ in range(count)]


def test_answers_are_sent_when_the_consumer_leaves(world: SyncWorld) -> None:
    world.append(5)
    with world.read(ack_batch_size=1000, ack_delay=1000) as subscription:
        events = take(subscription, 5)
        for event in events[:3]:
            subscription.ack(event)
    with world.read() as again:
        assert positions(take(again, 2)) == [3, 4]


def test_answers_are_sent_when_there_are_enough(world: SyncWorld) -> None:
    world.append(6)
    with world.read(buffer_size=3, ack_batch_size=3, ack_delay=1000) as subscription:
        for event in take(subscription, 3):
            subscription.ack(event)
        assert positions(take(subscription, 3)) == [3, 4, 5]


def test_answers_are_sent_after_a_while(world: SyncWorld) -> None:
    world.append(3)
    with world.read(buffer_size=2, ack_batch_size=1000, ack_delay=0.01) as subscription:
        first, second = take(subscription, 2)
        subscription.ack(first)
        assert positions(take(subscription, 1)) == [2]
        subscription.nack(second, NackAction.RETRY)
        (again,) = take(subscription, 1)
        assert (again.stream_position, again.retry_count) == (1, 1)


def test_wrong_answers(world: SyncWorld) -> None:
    world.append(1)
    with world.read() as subscription:
        with pytest.raises(WrongArgumentType):
            subscription.ack("event")  # type: ignore[arg-type]
        with pytest.raises(WrongArgumentType):
            subscription.nack([], "Park")  # type: ignore[arg-type]
        (event,) = take(subscription, 1)
    with pytest.raises(ClientClosed):
        subscription.ack(event)
    assert list(subscription) == []


def test_comes_back_after_an_update(world: SyncWorld) -> None:
    world.append(1)
    with world.read() as subscription:
        take(subscription, 1)
        world.client.update_subscription("g", "s", max_retry_count=7)
        assert positions(take(subscription, 1)) == [0]
        assert isinstance(subscription.last_drop, SubscriptionDropped)
        assert (subscription.group_name, subscription.stream_name) == ("g", "s")


def test_being_dropped_is_an_error_where_it_is_not_to_come_back(world: SyncWorld) -> None:
    with world.read(reconnect=False) as subscription:
        world.client.update_subscription("g", "s", max_retry_count=7)
        with pytest.raises(SubscriptionDropped):
            next(subscription)
        assert subscription.closed


def test_a_deleted_group_is_an_error(world: SyncWorld) -> None:
    with world.read() as subscription:
        world.client.delete_subscription("g", "s")
        with pytest.raises(SubscriptionNotFound):
            next(subscription)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_handlers(world: SyncWorld, concurrency: int) -> None:
    world.append(40)
    handled: list[int] = []
    lock = threading.Lock()
    with world.read() as subscription:

        def handle(event: RecordedEvent) -> None:
            with lock:
                handled.append(event.stream_position)
                last = len(handled) == 40
            if last:
                subscription.stop()

        subscription.consume(handle, concurrency=concurrency)
    assert sorted(handled) == list(range(40))
    info = world.client.get_subscription_info("g", "s")
    assert (info.in_flight, info.retrying, info.waiting) == (0, 0, 0)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_failures_are_retried_and_then_parked(world: SyncWorld, concurrency: int) -> None:
    world.append(1)
    attempts: list[int | None] = []
    with world.read(ack_delay=0.01) as subscription:

        def handle(event: RecordedEvent) -> None:
            attempts.append(event.retry_count)
            if event.retry_count == 2:
                subscription.stop()
            raise RuntimeError("no luck")

        subscription.consume(handle, concurrency=concurrency, max_retries=2)
    assert attempts == [0, 1, 2]
    assert world.client.get_subscription_info("g", "s").parked == 1


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_error_in_the_policy_ends_consuming(world: SyncWorld, concurrency: int) -> None:
    world.append(concurrency)

    def handle(event: RecordedEvent) -> None:
        raise ValueError

    def decide(event: RecordedEvent, error: Exception) -> NackAction:
        raise KeyError("policy")

    with world.read() as subscription, pytest.raises(KeyError, match="policy"):
        subscription.consume(handle, on_error=decide, concurrency=concurrency)


def test_answers_from_many_threads(world: SyncWorld) -> None:
    world.append(200)
    with world.read(buffer_size=200, ack_batch_size=7) as subscription:
        events = take(subscription, 200)
        threads = [
            threading.Thread(target=lambda part=events[n::4]: [subscription.ack(event) for event in part])  # type: ignore[misc]
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    info = world.client.get_subscription_info("g", "s")
    assert (info.in_flight, info.retrying, info.waiting) == (0, 0, 0)


def test_manage(world: SyncWorld) -> None:
    client = world.client
    client.create_subscription("h", settings=SubscriptionSettings(max_retry_count=3), from_end=True)
    assert [info.group_name for info in client.list_subscriptions()] == ["h", "g"]
    assert client.get_subscription_info("h").settings.max_retry_count == 3
    client.update_subscription("h", max_retry_count=4)
    assert client.get_subscription_info("h").settings.max_retry_count == 4
    client.replay_parked_events("g", "s")
    client.restart_subscriptions()
    client.delete_subscription("h")
    assert [info.group_name for info in client.list_subscriptions()] == ["g"]
    with pytest.raises(InvalidArgument):
        client.read_subscription("g", "s", buffer_size=0)
