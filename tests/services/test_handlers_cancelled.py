"""Handlers that await a task which somebody cancels: they have failed, and that does not pass for an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from esdb_lite import (
    AsyncConsumer,
    AsyncConsumerGroup,
    AsyncEsdbClient,
    ClientClosed,
    ErrorAction,
    NackAction,
    NewEvent,
    RecordedEvent,
)
from esdb_lite.client import cancellation

PATIENCE = 20


@pytest.fixture
async def client() -> AsyncIterator[AsyncEsdbClient]:
    async with AsyncEsdbClient("esdb+embedded:") as made:
        await made.append_events("s", None, [NewEvent("A", b"") for _ in range(2)])
        yield made


@pytest.fixture(params=["tasks that count", "Python 3.10"], autouse=True)
def counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "Python 3.10":
        monkeypatch.setattr(cancellation, "TASKS_COUNT", False)
    elif not cancellation.TASKS_COUNT:
        pytest.skip("they do not")


async def cancelled(events: object) -> None:
    """A handler whose inner task is cancelled."""
    inner = asyncio.ensure_future(asyncio.Event().wait())
    asyncio.get_running_loop().call_soon(inner.cancel)
    await inner


async def nothing(events: object) -> None:
    """A handler."""


def consumer_of(client: AsyncEsdbClient, handler: Any, **options: Any) -> AsyncConsumer:
    """A consumer of the stream, without a store."""
    store = options.pop("checkpoint", (lambda: None, lambda position: None))
    return client.consumer(handler, checkpoint=store, stream_name="s", **options)


@pytest.mark.parametrize("others", [[], ["other"]])
async def test_the_group_fails(client: AsyncEsdbClient, others: list[str]) -> None:
    made = {name: consumer_of(client, nothing) for name in others} | {"failing": consumer_of(client, cancelled)}
    group = AsyncConsumerGroup(made)
    with pytest.raises(RuntimeError, match="a task was cancelled") as raised:
        await asyncio.wait_for(group.run(), PATIENCE)
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    assert group.health()["failing"].failure is raised.value
    assert not any(health.running for health in group.health().values())
    with pytest.raises(RuntimeError, match="a task was cancelled"):
        await made["failing"].wait_for(1)


@pytest.mark.parametrize("batch_size", [1, 2])
async def test_on_error_decides(client: AsyncEsdbClient, batch_size: int) -> None:
    errors: list[Exception] = []

    def skip(event: object, error: Exception, attempts: int) -> ErrorAction:
        errors.append(error)
        return ErrorAction.SKIP

    consumer = consumer_of(client, cancelled, batch_size=batch_size, on_error=skip)
    await asyncio.wait_for(consumer.run(until_caught_up=True), PATIENCE)
    assert [type(error) for error in errors] == [RuntimeError] * (2 // batch_size)


async def test_a_store_fails(client: AsyncEsdbClient) -> None:
    with pytest.raises(RuntimeError, match="a task was cancelled"):
        await consumer_of(client, nothing, checkpoint=(lambda: None, cancelled)).run()


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_handlers_of_a_group_on_the_server(client: AsyncEsdbClient, concurrency: int) -> None:
    await client.create_subscription("g", "s", from_end=False)
    failed: list[int] = []
    async with await client.read_subscription("g", "s") as subscription:

        def park(event: RecordedEvent, error: Exception) -> NackAction:
            assert isinstance(error, RuntimeError)
            failed.append(event.stream_position)
            if len(failed) == 2:
                subscription.stop()
            return NackAction.PARK

        consuming = subscription.consume(cancelled, concurrency=concurrency, on_error=park)
        await asyncio.wait_for(consuming, PATIENCE)
    assert sorted(failed) == [0, 1]


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_handlers_of_a_group_that_are_cancelled_themselves(client: AsyncEsdbClient, concurrency: int) -> None:
    await client.create_subscription("g", "s", from_end=False)
    entered, decided = asyncio.Event(), []

    async def hang(event: RecordedEvent) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with await client.read_subscription("g", "s") as subscription:

        def note(event: RecordedEvent, error: Exception) -> NackAction:
            decided.append(error)
            return NackAction.PARK

        consuming = asyncio.ensure_future(subscription.consume(hang, concurrency=concurrency, on_error=note))
        await asyncio.wait_for(entered.wait(), PATIENCE)
        consuming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(consuming, PATIENCE)
    assert not decided


async def test_the_consumer_itself_is_cancelled(client: AsyncEsdbClient) -> None:
    """That is no failure of the handler, and whoever waits for the consumer is not cancelled with it."""
    entered, asked = asyncio.Event(), []

    async def hang(event: RecordedEvent) -> None:
        entered.set()
        await asyncio.Event().wait()

    def stop(event: object, error: Exception, attempts: int) -> ErrorAction:
        asked.append(error)
        return ErrorAction.STOP

    consumer = consumer_of(client, hang, on_error=stop)
    running = asyncio.ensure_future(consumer.run())
    await asyncio.wait_for(entered.wait(), PATIENCE)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, PATIENCE)
    assert not asked
    with pytest.raises(ClientClosed, match="the consumer ended before it came to 1"):
        await consumer.wait_for(1)


async def test_one_of_a_group_is_cancelled(client: AsyncEsdbClient) -> None:
    """By somebody else than the group: the others end, too."""
    entered = asyncio.Event()

    async def hang(event: RecordedEvent) -> None:
        entered.set()
        await asyncio.Event().wait()

    group = AsyncConsumerGroup({"a": consumer_of(client, hang), "b": consumer_of(client, nothing)})
    running = asyncio.ensure_future(group.run())
    await asyncio.wait_for(entered.wait(), PATIENCE)
    group._tasks["a"].cancel()
    with pytest.raises(ClientClosed, match="the consumer was cancelled"):
        await asyncio.wait_for(running, PATIENCE)
