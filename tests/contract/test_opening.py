"""Subscriptions of the client for asyncio: awaited, entered or iterated, they work; forgotten, they say so."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from esdb_lite import AsyncEsdbClient, NewEvent, RecordedEvent, StreamNotFound, SubscriptionNotFound, WrongContext
from tests.contract.consuming import PATIENCE


@pytest.fixture
async def loop_client(uri: str) -> AsyncIterator[AsyncEsdbClient]:
    async with AsyncEsdbClient(uri) as made:
        yield made


@pytest.fixture(params=["stream", "all", "group", "index"])
async def subscribe(request: pytest.FixtureRequest, loop_client: AsyncEsdbClient, stream: str) -> Callable[[], Any]:
    await loop_client.append_events(stream, None, [NewEvent("A", b""), NewEvent("B", b"")])
    if request.param == "group":
        await loop_client.create_subscription("g", stream)
        return lambda: loop_client.read_subscription("g", stream)
    if request.param == "index":
        return lambda: loop_client.subscribe_index_events("$idx-all")
    if request.param == "all":
        return loop_client.subscribe_all_events
    return lambda: loop_client.subscribe_stream_events(stream)


async def test_awaited(subscribe: Callable[[], Any]) -> None:
    subscription = await subscribe()
    async with subscription:
        assert (await anext(subscription)).type == "A"


async def test_entered(subscribe: Callable[[], Any]) -> None:
    async with subscribe() as subscription:
        assert (await anext(subscription)).type == "A"
    assert await subscription.next_batch() in ([], ())


async def test_entered_after_await(subscribe: Callable[[], Any]) -> None:
    async with await subscribe() as subscription:
        assert (await anext(subscription)).type == "A"


async def test_iterated(subscribe: Callable[[], Any]) -> None:
    types: list[str] = []
    async for event in subscribe():
        assert isinstance(event, RecordedEvent)
        types.append(event.type)
        if len(types) == 2:
            break
    assert types == ["A", "B"]


async def test_iterated_after_it_was_opened(subscribe: Callable[[], Any]) -> None:
    opening = subscribe()
    async with opening:
        assert (await anext(aiter(opening))).type == "A"


async def test_in_a_task(subscribe: Callable[[], Any]) -> None:
    for make in (asyncio.create_task, asyncio.ensure_future):
        subscription = await asyncio.wait_for(make(subscribe()), PATIENCE)
        await subscription.close()
    subscription = await asyncio.wait_for(subscribe(), PATIENCE)
    await subscription.close()


async def test_forgotten(subscribe: Callable[[], Any]) -> None:
    opening = subscribe()
    assert "await it, or use it in `async with`" in repr(opening)
    with pytest.warns(RuntimeWarning, match="was never awaited"):
        del opening


async def test_used_as_if_it_were_open(subscribe: Callable[[], Any]) -> None:
    """A forgotten `await` says so, and nothing else does."""
    how = "await it, or use it in `async with` or `async for`"
    with pytest.raises(WrongContext, match=how):
        iter(subscribe())
    with pytest.raises(WrongContext, match=how), subscribe():
        pass
    gc.collect()  # nothing says "never awaited" on top
    opening = subscribe()
    with pytest.raises(AttributeError, match=f"no 'next_batch' before it is open: {how}"):
        await opening.next_batch()
    await (await opening).close()  # asking what it has changes nothing


async def test_reads_used_as_if_they_were_lists(loop_client: AsyncEsdbClient) -> None:
    for wrong in (iter, list, lambda made: made[0]):
        with pytest.raises(WrongContext, match="use `async for`, or `await` for a list, for AsyncReadResponse"):
            wrong(loop_client.read_all_events())


async def test_given_up(subscribe: Callable[[], Any]) -> None:
    subscribe().close()
    opening = subscribe()
    assert inspect.isawaitable(opening)
    (await opening)._end()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        await opening


async def test_errors_come_where_it_is_opened(loop_client: AsyncEsdbClient, stream: str) -> None:
    with pytest.raises(SubscriptionNotFound) as caught:
        await loop_client.read_subscription("nothing", stream)
    frames = [frame.path.name for frame in caught.traceback]
    assert set(frames) <= {"test_opening.py", "opening.py"}
    with pytest.raises(SubscriptionNotFound):
        async with loop_client.read_subscription("nothing", stream):
            pass
    with pytest.raises(SubscriptionNotFound):
        async for _ in loop_client.read_subscription("nothing", stream):
            pass


async def test_cancelling(loop_client: AsyncEsdbClient, subscribe: Callable[[], Any]) -> None:
    task = asyncio.create_task(subscribe())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_reads_can_be_awaited(loop_client: AsyncEsdbClient, stream: str) -> None:
    with pytest.raises(StreamNotFound):
        await loop_client.read_stream_events(stream)
    await loop_client.append_events(stream, None, [NewEvent("A", b""), NewEvent("B", b"")])
    events = await loop_client.read_stream_events(stream)
    assert [event.type for event in events] == ["A", "B"]
    assert [event.type for event in await loop_client.read_all_events(limit=1)] == ["A"]
