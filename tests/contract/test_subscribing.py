"""Catch-up subscriptions: from stored to live events without gap or duplicate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from esdb_lite import (
    CaughtUp,
    Checkpoint,
    DeadlineExceeded,
    Filter,
    InvalidArgument,
    InvalidPosition,
    NewEvent,
    StreamDeleted,
)
from tests.contract.faces import drain, new, positions, take


async def test_stored_then_live(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(40))
    async with await client.subscribe_stream_events(stream) as subscription:
        events = await take(subscription, 40)
        for number in range(40, 45):
            await client.append_events(stream, number - 1, new(1))
        events += await take(subscription, 5)
    assert positions(events) == list(range(45))
    assert subscription.subscription_id


async def test_after_a_position(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(5))
    async with await client.subscribe_stream_events(stream, 2) as subscription:
        assert positions(await take(subscription, 2)) == [3, 4]


@pytest.mark.parametrize("of_all", [True, False])
async def test_from_the_end_nothing_is_missed_once_it_is_confirmed(client: Any, stream: str, of_all: bool) -> None:
    await client.append_events(stream, None, new(5))
    subscribe = client.subscribe_all_events if of_all else client.subscribe_stream_events
    async with await subscribe(*([] if of_all else [stream]), from_end=True) as subscription:
        await client.append_events(stream, 4, new(2))
        events = await take(subscription, 2)
    assert [(event.stream_name, event.stream_position) for event in events] == [(stream, 5), (stream, 6)]


async def test_a_stream_that_does_not_exist_yet(client: Any, stream: str) -> None:
    async with await client.subscribe_stream_events(stream) as subscription:
        await client.append_events(stream, None, new(1))
        assert positions(await take(subscription, 1)) == [0]


async def test_all_after_a_commit_position(client: Any, stream: str) -> None:
    position = await client.append_events(stream, None, new(2))
    await client.append_events(stream, 1, new(3))
    async with await client.subscribe_all_events(position) as subscription:
        assert positions(await take(subscription, 3)) == [2, 3, 4]


async def test_all_with_filters(client: Any, stream: str) -> None:
    position = await client.append_events(stream, None, new(1, "Odd"))
    async with (
        await client.subscribe_all_events(position, filter_include=[f"A{stream}"]) as included,
        await client.subscribe_all_events(position, filter=Filter.by_stream_name(prefixes=[f"x{stream}"])) as streams,
    ):
        await client.append_events(stream, 0, new(1, f"A{stream}") + new(3, f"AA{stream}"))
        await client.append_events(f"x{stream}", None, new(1, "Other"))
        await client.append_events(stream, 4, new(1, f"A{stream}"))
        assert positions(await take(included, 2)) == [1, 5]
        assert [event.type for event in await take(streams, 1)] == ["Other"]


async def test_control_objects(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(2))
    async with await client.subscribe_stream_events(stream, include_control=True) as subscription:
        first, second, third = await take(subscription, 3)
        assert positions([first, second]) == [0, 1]
        assert isinstance(third, CaughtUp)
        assert third.stream_position in (1, None)


async def test_resuming_from_a_checkpoint(client: Any, stream: str) -> None:
    start = await client.append_events(stream, None, new(100, "Odd"))
    some = Filter.by_event_type(include=[f"Even{stream}"], window=8, checkpoint_interval=1)
    async with await client.subscribe_all_events(start, filter_exclude=(), filter=None, include_control=True) as plain:
        assert isinstance(await take_until(plain, CaughtUp), CaughtUp)
    async with await client.subscribe_all_events(filter=some, include_control=True) as subscription:
        checkpoint = await take_until(subscription, Checkpoint)
        caught_up = await take_until(subscription, CaughtUp)
    await client.append_events(f"{stream}-2", None, new(1, f"Even{stream}"))
    for where in (checkpoint, caught_up):
        async with await client.subscribe_all_events(where, filter=some) as subscription:
            (event,) = await take(subscription, 1)
            assert event.stream_name == f"{stream}-2"


async def take_until(subscription: Any, kind: type) -> Any:
    while True:
        (item,) = await take(subscription, 1)
        if isinstance(item, kind):
            return item


async def test_links_are_resolved(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(1))
    async with await client.subscribe_stream_events(f"{stream}-links", resolve_links=True) as subscription:
        await client.append_events(f"{stream}-links", None, NewEvent("$>", f"0@{stream}".encode()))
        (event,) = await take(subscription, 1)
    assert (event.stream_name, event.link.stream_name) == (stream, f"{stream}-links")


async def test_a_stream_that_was_tombstoned(client: Any, stream: str) -> None:
    await client.tombstone_stream(stream)
    with pytest.raises(StreamDeleted):
        await client.subscribe_stream_events(stream)


async def test_a_stream_that_is_tombstoned_later(client: Any, stream: str) -> None:
    subscription = await client.subscribe_stream_events(stream)
    await client.append_events(stream, None, new(1))
    await client.tombstone_stream(stream)
    assert positions(await take(subscription, 1)) == [0]
    with pytest.raises(StreamDeleted):
        await asyncio.wait_for(drain(subscription), 20)


async def test_a_position_between_events(client: Any, stream: str) -> None:
    position = await client.append_events(stream, None, new(3))
    subscription = await client.subscribe_all_events(position - 1)
    with pytest.raises(InvalidPosition):
        await asyncio.wait_for(drain(subscription), 20)


async def test_the_timeout_ends_it(client: Any, stream: str) -> None:
    subscription = await client.subscribe_stream_events(stream, timeout=0.5)
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(drain(subscription), 20)
    assert await drain(subscription) == []


async def test_closing_while_somebody_waits(client: Any, stream: str) -> None:
    subscription = await client.subscribe_stream_events(stream)
    waiting = asyncio.ensure_future(drain(subscription))
    await asyncio.sleep(0)
    await subscription.close()
    assert await asyncio.wait_for(waiting, 20) == []


async def test_several_at_a_time(client: Any, stream: str) -> None:
    subscriptions = [await client.subscribe_stream_events(stream) for _ in range(10)]
    await client.append_events(stream, None, new(30))
    for subscription in subscriptions:
        assert positions(await take(subscription, 30)) == list(range(30))
        await subscription.close()


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"position": -1}, "position"),
        ({"position": "x"}, "position"),
        ({"position": 3, "from_end": True}, "position"),
        ({"from_end": None}, "from_end"),
        ({"resolve_links": 1}, "resolve_links"),
        ({"include_control": "yes"}, "include_control"),
        ({"timeout": "1"}, "timeout"),
    ],
)
async def test_what_cannot_be_subscribed(client: Any, arguments: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgument, match=argument):
        await client.subscribe_all_events(**arguments)
    with pytest.raises(InvalidArgument, match=argument):
        await client.subscribe_stream_events("s", **arguments)
    with pytest.raises(InvalidArgument, match="stream_name"):
        await client.subscribe_stream_events("")
