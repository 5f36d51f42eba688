"""Consumers of the package against the service of the package: answers, being dropped, handlers, leaving."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from esdb_lite.client.core import ClientCore
from esdb_lite.client.groups.calls import AsyncGroupApi
from esdb_lite.client.groups.subscription import AsyncPersistentSubscription
from esdb_lite.connection_strings import ConnectionSettings
from esdb_lite.errors import (
    ClientClosed,
    DeadlineExceeded,
    InvalidArgument,
    SubscriptionDropped,
    SubscriptionExists,
    SubscriptionFailed,
    SubscriptionNotFound,
    TooManySubscribers,
    WrongArgumentType,
)
from esdb_lite.events import RecordedEvent
from esdb_lite.filters import Filter
from esdb_lite.groups import ConsumerStrategy, NackAction, SubscriptionSettings
from esdb_lite.server.app import Route, RpcServer
from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.groups.parking import parked_stream
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.groups import PersistentSubscriptions
from esdb_lite.settings import Address
from tests.contract.faces import positions, take
from tests.healing.waiting import until

from .persistent_calls import Service

PATIENCE = 10.0


class Client(AsyncGroupApi):
    """The part of the client that is tested here."""

    def __init__(self, port: int) -> None:
        self._core = ClientCore(ConnectionSettings(nodes=(Address("127.0.0.1", port),), tls=False))

    async def close(self) -> None:
        await self._core.close()


class World:
    """A server with nothing but persistent subscriptions, and a client of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.service = Service(database)
        self.port = 0
        self._server: RpcServer | None = None
        self.client = Client(0)

    async def start(self) -> None:
        await self.service.groups.start()
        handlers = PersistentSubscriptions(self.service.groups, Context(self.database)).handlers()
        self._server = RpcServer({path: Route(handler, 2**22) for path, handler in handlers.items()})
        self.port = await self._server.start("127.0.0.1", self.port)

    async def stop(self) -> None:
        await self.service.groups.stop()
        assert self._server is not None
        await self._server.stop()

    async def append(self, count: int, stream: str = "s") -> None:
        await self.service.append(stream, count)

    async def read(self, group: str = "g", stream: str | None = "s", **options: object) -> AsyncPersistentSubscription:
        return await self.client.read_subscription(group, stream, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    database = await Database.open()
    world = World(database)
    await world.start()
    world.client = Client(world.port)
    try:
        yield world
    finally:
        await world.client.close()
        await world.stop()
        await database.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running() as made:
        yield made


@pytest.fixture
async def group(world: World) -> World:
    await world.client.create_subscription("g", "s")
    return world


class TestAnswers:
    async def test_are_sent_when_the_consumer_leaves(self, group: World) -> None:
        await group.append(5)
        async with await group.read(ack_batch_size=1000, ack_delay=1000) as subscription:
            events = await take(subscription, 5)
            await subscription.ack(events[:3])
        async with await group.read() as again:
            assert positions(await take(again, 2)) == [3, 4]

    async def test_are_sent_when_the_consumer_is_cancelled(self, group: World) -> None:
        await group.append(5)
        reached = asyncio.Event()

        async def work() -> None:
            async with await group.read(ack_batch_size=1000, ack_delay=1000) as subscription:
                await subscription.ack((await take(subscription, 5))[:3])
                reached.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(work())
        await asyncio.wait_for(reached.wait(), PATIENCE)
        task.cancel()
        await asyncio.wait({task})
        async with await group.read() as again:
            assert positions(await take(again, 2)) == [3, 4]

    async def test_many_leave_no_answer_behind(self, group: World) -> None:
        await group.append(60)
        seen: list[int] = []
        while len(seen) < 60:
            async with await group.read(buffer_size=7) as subscription:
                events = await take(subscription, min(7, 60 - len(seen)))
                await subscription.ack(events)
                seen += positions(events)
        assert sorted(seen) == list(range(60))

    async def test_are_sent_when_there_are_enough(self, group: World) -> None:
        await group.append(6)
        async with await group.read(buffer_size=3, ack_batch_size=3, ack_delay=1000) as subscription:
            for event in await take(subscription, 3):
                await subscription.ack(event)
            assert positions(await take(subscription, 3)) == [3, 4, 5]

    async def test_are_sent_after_a_while(self, group: World) -> None:
        await group.append(2)
        async with await group.read(buffer_size=1, ack_batch_size=1000, ack_delay=0.01) as subscription:
            await subscription.ack(await take(subscription, 1))
            assert positions(await take(subscription, 1)) == [1]

    async def test_nacks_say_what_and_why(self, group: World) -> None:
        await group.append(4)
        async with await group.read() as subscription:
            skipped, parked, retried, _ = await take(subscription, 4)
            await subscription.nack(skipped, NackAction.SKIP)
            await subscription.nack(parked, NackAction.PARK, "bad data")
            await subscription.nack(retried, NackAction.RETRY)
            await subscription.flush()
            (again,) = await take(subscription, 1)
            assert (again.stream_position, again.retry_count) == (2, 1)
        (record,) = await group.service.stored(parked_stream("s", "g"))
        assert b"NAK'ed message.\\nbad data" in record.metadata

    async def test_name_the_link(self, world: World) -> None:
        await world.append(1)
        await world.service.append("links", type="$>", data=b"0@s", is_json=False)
        await world.client.create_subscription("g", "links", settings=SubscriptionSettings(resolve_links=True))
        async with await world.read(stream="links") as subscription:
            (event,) = await take(subscription, 1)
            assert event.link is not None
            await subscription.ack(event)
        info = await world.client.get_subscription_info("g", "links")
        assert (info.in_flight, info.retrying) == (0, 0)

    async def test_of_a_closed_consumer_are_refused(self, group: World) -> None:
        await group.append(1)
        async with await group.read() as subscription:
            (event,) = await take(subscription, 1)
        with pytest.raises(ClientClosed):
            await subscription.ack(event)

    async def test_have_to_be_about_events(self, group: World) -> None:
        async with await group.read() as subscription:
            for wrong in ("event", b"event", 5, ["event"], None):
                with pytest.raises(WrongArgumentType):
                    await subscription.ack(wrong)  # type: ignore[arg-type]
            with pytest.raises(WrongArgumentType):
                await subscription.nack([], "Park")  # type: ignore[arg-type]
            with pytest.raises(WrongArgumentType):
                await subscription.nack([], NackAction.PARK, 5)  # type: ignore[arg-type]


class TestBeingDropped:
    async def test_comes_back_after_an_update(self, group: World) -> None:
        await group.append(2)
        async with await group.read() as subscription:
            assert positions(await take(subscription, 2)) == [0, 1]
            await group.client.update_subscription("g", "s", max_retry_count=7)
            assert [(event.stream_position, event.retry_count) for event in await take(subscription, 2)] == [
                (0, 0),
                (1, 0),
            ]
            assert isinstance(subscription.last_drop, SubscriptionDropped)

    async def test_comes_back_when_the_server_does(self, group: World) -> None:
        await group.append(2)
        async with await group.read() as subscription:
            await take(subscription, 2)
            await group.stop()
            waiting = asyncio.ensure_future(take(subscription, 1))
            await group.start()
            (event,) = await waiting
            assert event.stream_position == 0

    async def test_says_why_where_it_is_not_to_come_back(self, group: World) -> None:
        async with await group.read(reconnect=False) as subscription:
            await group.client.update_subscription("g", "s", max_retry_count=7)
            with pytest.raises(SubscriptionDropped) as caught:
                await take(subscription, 1)
            assert (caught.value.stream_name, caught.value.group_name) == ("s", "g")
            assert subscription.closed

    async def test_a_deleted_group_is_an_error(self, group: World) -> None:
        async with await group.read() as subscription:
            await group.client.delete_subscription("g", "s")
            with pytest.raises(SubscriptionNotFound):
                await take(subscription, 1)

    async def test_stop_ends_the_attempts_to_come_back(self, group: World) -> None:
        async with await group.read() as subscription:
            await group.stop()
            waiting = asyncio.ensure_future(subscription.next_batch())

            async def dropped() -> bool:
                return subscription.last_drop is not None

            await until(dropped)
            subscription.stop()
            assert await asyncio.wait_for(waiting, PATIENCE) == []
        await group.start()

    async def test_a_timeout_ends_it(self, group: World) -> None:
        async with await group.read(timeout=0.2) as subscription:
            with pytest.raises(DeadlineExceeded):
                await take(subscription, 1)


class TestHandlers:
    async def test_events_are_acknowledged_when_handlers_return(self, group: World) -> None:
        await group.append(20)
        handled: list[int] = []
        async with await group.read() as subscription:

            async def handle(event: RecordedEvent) -> None:
                handled.append(event.stream_position)
                if len(handled) == 20:
                    subscription.stop()

            await asyncio.wait_for(subscription.consume(handle), PATIENCE)
        assert handled == list(range(20))
        info = await group.client.get_subscription_info("g", "s")
        assert (info.in_flight, info.retrying, info.waiting) == (0, 0, 0)

    async def test_no_more_run_at_a_time_than_allowed(self, group: World) -> None:
        await group.append(30)
        now, most, done = 0, 0, 0
        async with await group.read() as subscription:

            async def handle(event: RecordedEvent) -> None:
                nonlocal now, most, done
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.002)
                now -= 1
                done += 1
                if done == 30:
                    subscription.stop()

            await asyncio.wait_for(subscription.consume(handle, concurrency=4), PATIENCE)
        assert (most, done) == (4, 30)

    async def test_failures_are_retried_and_then_parked_with_the_reason(self, group: World) -> None:
        await group.append(2)
        attempts: list[tuple[int, int | None]] = []
        async with await group.read() as subscription:

            async def handle(event: RecordedEvent) -> None:
                attempts.append((event.stream_position, event.retry_count))
                if event.stream_position == 0:
                    raise RuntimeError("no luck")

            consuming = asyncio.ensure_future(subscription.consume(handle, max_retries=2))
            await until(lambda: self._parked(group))
            subscription.stop()
            await asyncio.wait_for(consuming, PATIENCE)
        assert [count for position, count in attempts if position == 0] == [0, 1, 2]
        (record,) = await group.service.stored(parked_stream("s", "g"))
        assert b"RuntimeError: no luck" in record.metadata

    async def _parked(self, world: World) -> bool:
        return (await world.client.get_subscription_info("g", "s")).parked == 1

    async def test_failures_are_dealt_with_as_on_error_says(self, group: World) -> None:
        await group.append(2)
        errors: list[str] = []
        async with await group.read() as subscription:

            async def handle(event: RecordedEvent) -> None:
                if event.stream_position == 1:
                    subscription.stop()
                raise ValueError(event.stream_position)

            def decide(event: RecordedEvent, error: Exception) -> NackAction:
                errors.append(repr(error))
                return NackAction.SKIP

            await asyncio.wait_for(subscription.consume(handle, on_error=decide), PATIENCE)
        assert errors == ["ValueError(0)", "ValueError(1)"]
        assert (await group.client.get_subscription_info("g", "s")).parked == 0

    async def test_stop_lets_handlers_end(self, group: World) -> None:
        await group.append(5)
        started, go_on, done = asyncio.Event(), asyncio.Event(), []
        async with await group.read() as subscription:

            async def handle(event: RecordedEvent) -> None:
                started.set()
                await go_on.wait()
                done.append(event.stream_position)

            consuming = asyncio.ensure_future(subscription.consume(handle, concurrency=2))
            await asyncio.wait_for(started.wait(), PATIENCE)
            subscription.stop()
            go_on.set()
            await asyncio.wait_for(consuming, PATIENCE)
        async with await group.read() as again:
            assert positions(await take(again, 5 - len(done))) == [n for n in range(5) if n not in done]
        assert done

    async def test_cancelling_leaves_unfinished_events_to_others(self, group: World) -> None:
        await group.append(2)
        second = asyncio.Event()

        async def handle(event: RecordedEvent) -> None:
            if event.stream_position == 1:
                second.set()
                await asyncio.Event().wait()

        async def work() -> None:
            async with await group.read(ack_delay=1000) as subscription:
                await subscription.consume(handle)

        task = asyncio.ensure_future(work())
        await asyncio.wait_for(second.wait(), PATIENCE)
        task.cancel()
        await asyncio.wait({task})
        async with await group.read() as again:
            assert [(event.stream_position, event.retry_count) for event in await take(again, 1)] == [(1, 1)]

    async def test_an_error_in_the_policy_ends_consuming(self, group: World) -> None:
        await group.append(1)

        async def handle(event: RecordedEvent) -> None:
            raise ValueError

        def decide(event: RecordedEvent, error: Exception) -> NackAction:
            raise KeyError("policy")

        async with await group.read() as subscription:
            with pytest.raises(KeyError, match="policy"):
                await asyncio.wait_for(subscription.consume(handle, on_error=decide), PATIENCE)

    @pytest.mark.parametrize(
        ("argument", "options"), [("concurrency", {"concurrency": 0}), ("max_retries", {"max_retries": -1})]
    )
    async def test_wrong_numbers(self, group: World, argument: str, options: dict[str, int]) -> None:
        async def handle(event: RecordedEvent) -> None: ...

        async with await group.read() as subscription:
            with pytest.raises(InvalidArgument) as caught:
                await subscription.consume(handle, **options)  # type: ignore[arg-type]
            assert caught.value.argument == argument


class TestManyConsumers:
    async def test_fifty_share_everything(self, world: World) -> None:
        await world.append(1500)
        settings = SubscriptionSettings(strategy=ConsumerStrategy.ROUND_ROBIN)
        await world.client.create_subscription("g", "s", settings=settings)
        seen: list[int] = []
        subscriptions = [await world.read(buffer_size=10) for _ in range(50)]

        async def work(subscription: AsyncPersistentSubscription) -> None:
            async with subscription:
                async for event in subscription:
                    seen.append(event.stream_position)
                    await subscription.ack(event)
                    if len(seen) == 1500:
                        for each in subscriptions:
                            each.stop()

        await asyncio.wait_for(asyncio.gather(*map(work, subscriptions)), 60)
        assert sorted(seen) == list(range(1500))


class TestManaging:
    async def test_describe(self, world: World) -> None:
        settings = SubscriptionSettings(max_retry_count=3, strategy=ConsumerStrategy.PINNED)
        await world.client.create_subscription("g", "s", position=5, settings=settings)
        info = await world.client.get_subscription_info("g", "s")
        assert (info.stream_name, info.group_name, info.start, info.settings) == ("s", "g", 5, settings)

    async def test_update_changes_only_what_is_given(self, world: World) -> None:
        settings = SubscriptionSettings(max_retry_count=3, message_timeout=SubscriptionSettings().message_timeout * 2)
        await world.client.create_subscription("g", "s", from_end=True, settings=settings)
        await world.client.update_subscription("g", "s", live_buffer_size=77)
        info = await world.client.get_subscription_info("g", "s")
        assert info.settings == settings.changed({"live_buffer_size": 77})
        assert info.start is None
        await world.client.update_subscription("g", "s", position=3)
        assert (await world.client.get_subscription_info("g", "s")).start == 3

    async def test_update_cannot_keep_pinning_by_correlation(self, world: World) -> None:
        settings = SubscriptionSettings(strategy=ConsumerStrategy.PINNED_BY_CORRELATION)
        await world.client.create_subscription("g", "s", settings=settings)
        with pytest.raises(InvalidArgument) as caught:
            await world.client.update_subscription("g", "s", live_buffer_size=77)
        assert caught.value.argument == "strategy"
        await world.client.update_subscription("g", "s", strategy=ConsumerStrategy.PINNED)

    async def test_all_events_with_a_filter(self, world: World) -> None:
        await world.client.create_subscription("g", filter=Filter.by_stream_name(prefixes=["w,x"]))
        await world.append(1, "w")
        await world.append(2, "w,x")
        await world.client.restart_subscriptions()
        async with await world.read(stream=None) as subscription:
            events = await take(subscription, 2)
            assert [(event.stream_name, event.stream_position) for event in events] == [("w,x", 0), ("w,x", 1)]

    async def test_list(self, world: World) -> None:
        assert await world.client.list_subscriptions() == []
        assert await world.client.list_subscriptions("s") == []
        await world.client.create_subscription("a", "s")
        await world.client.create_subscription("b")
        assert [info.group_name for info in await world.client.list_subscriptions()] == ["b", "a"]
        assert [info.group_name for info in await world.client.list_subscriptions("s")] == ["a"]
        assert [info.stream_name for info in await world.client.list_subscriptions("$all")] == [None]

    async def test_replay(self, group: World) -> None:
        await group.append(2)
        async with await group.read(ack_batch_size=1) as subscription:
            await subscription.nack(await take(subscription, 2), NackAction.PARK)

            async def parked() -> bool:
                return (await group.client.get_subscription_info("g", "s")).parked == 2

            await until(parked)
            await group.client.replay_parked_events("g", "s", stop_at=1)
            (event,) = await take(subscription, 1)
            assert (event.stream_position, event.retry_count) == (0, 0)
            assert event.link is not None

    async def test_refusals(self, group: World) -> None:
        client = group.client
        with pytest.raises(SubscriptionExists):
            await client.create_subscription("g", "s")
        with pytest.raises(SubscriptionFailed, match="less than or equal to the last commit position"):
            await client.create_subscription("h", position=10**12)
        with pytest.raises(InvalidArgument, match="stop_at"):
            await client.replay_parked_events("g", "s", stop_at=0)
        for call in (
            client.delete_subscription("none", "s"),
            client.get_subscription_info("none", "s"),
            client.update_subscription("none", "s", max_retry_count=1),
            client.replay_parked_events("none", "s"),
            client.read_subscription("none", "s"),
        ):
            with pytest.raises(SubscriptionNotFound):
                await call

    async def test_too_many_subscribers(self, world: World) -> None:
        await world.client.create_subscription("g", "s", settings=SubscriptionSettings(max_subscriber_count=1))
        async with await world.read():
            with pytest.raises(TooManySubscribers):
                await world.read()

    @pytest.mark.parametrize(
        ("argument", "options"),
        [
            ("buffer_size", {"buffer_size": 0}),
            ("buffer_size", {"buffer_size": 2**31}),
            ("ack_batch_size", {"ack_batch_size": 0}),
            ("ack_delay", {"ack_delay": -1}),
            ("ack_delay", {"ack_delay": float("nan")}),
            ("reconnect", {"reconnect": 1}),
            ("timeout", {"timeout": -1}),
            ("group_name", {"group": ""}),
            ("stream_name", {"stream": "$all"}),
        ],
    )
    async def test_wrong_arguments_of_a_consumer(self, world: World, argument: str, options: dict[str, object]) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await world.read(**options)  # type: ignore[arg-type]
        assert caught.value.argument == argument

    @pytest.mark.parametrize(
        ("argument", "options"),
        [
            ("position", {"position": -1}),
            ("position", {"position": 1, "from_end": True}),
            ("settings", {"settings": {}}),
            ("filter", {"filter_include": ["a"]}),
            ("filter", {"filter": Filter.by_event_type(prefixes=["a"])}),
        ],
    )
    async def test_wrong_arguments_of_a_group(self, world: World, argument: str, options: dict[str, object]) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await world.client.create_subscription("g", "s", **options)  # type: ignore[arg-type]
        assert caught.value.argument == argument


async def test_a_consumer_that_is_dropped_ends_its_call(group: World) -> None:
    subscription = await group.read()
    assert len((await group.client.get_subscription_info("g", "s")).consumers) == 1
    del subscription
    gc.collect()

    async def gone() -> bool:
        return not (await group.client.get_subscription_info("g", "s")).consumers

    await until(gone)
