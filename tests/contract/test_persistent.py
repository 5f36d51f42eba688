"""Persistent subscriptions on both faces, against the embedded server or (ESDB_URI) a real one."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from esdb_lite import (
    ConsumerStrategy,
    Filter,
    FilterBy,
    InvalidArgument,
    NackAction,
    NewEvent,
    StreamMetadata,
    SubscriptionDropped,
    SubscriptionExists,
    SubscriptionFailed,
    SubscriptionNotFound,
    SubscriptionSettings,
    TooManySubscribers,
)
from tests.contract.faces import new, positions, take
from tests.healing.waiting import until

NEEDS_26 = pytest.mark.skipif("ESDB_URI" in os.environ, reason="the server at ESDB_URI may be of any version")


async def test_stored_and_live_events_are_consumed_and_acknowledged(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    await client.create_subscription("g", stream)
    async with await client.read_subscription("g", stream) as subscription:
        events = await take(subscription, 3)
        await client.append_events(stream, 2, new(2))
        events += await take(subscription, 2)
        assert positions(events) == [0, 1, 2, 3, 4]
        assert [event.retry_count for event in events] == [0] * 5
        await subscription.ack(events)
    info = await client.get_subscription_info("g", stream)
    assert (info.in_flight, info.retrying, info.waiting) == (0, 0, 0)


async def test_a_consumer_holds_no_more_than_its_buffer(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(5))
    await client.create_subscription("g", stream)
    async with await client.read_subscription("g", stream, buffer_size=2) as subscription:
        for position in range(5):
            (event,) = await take(subscription, 1)
            assert event.stream_position == position
            assert (await client.get_subscription_info("g", stream)).in_flight <= 2
            await subscription.ack(event)


async def test_what_is_not_answered_goes_to_others(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    await client.create_subscription("g", stream)
    async with await client.read_subscription("g", stream) as first:
        await first.ack((await take(first, 3))[0])
    async with await client.read_subscription("g", stream) as second:
        events = await take(second, 2)
        assert [(event.stream_position, event.retry_count) for event in events] == [(1, 1), (2, 1)]


async def test_refused_events_are_retried_parked_and_replayed(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    await client.create_subscription("g", stream, settings=SubscriptionSettings(max_retry_count=1))

    async def parked() -> bool:
        return bool((await client.get_subscription_info("g", stream)).parked == 2)

    async with await client.read_subscription("g", stream, ack_batch_size=1) as subscription:
        first, second, third = await take(subscription, 3)
        await subscription.nack(first, NackAction.RETRY)
        (again,) = await take(subscription, 1)
        assert (again.stream_position, again.retry_count) == (0, 1)
        await subscription.nack(again, NackAction.RETRY)
        await subscription.nack(second, NackAction.PARK, "bad data")
        await subscription.nack(third, NackAction.SKIP)
        await until(parked)
        await client.replay_parked_events("g", stream)
        replayed = await take(subscription, 2)
        assert [(event.stream_position, event.retry_count) for event in replayed] == [(0, 0), (1, 0)]
        await subscription.ack(replayed)


@NEEDS_26
@pytest.mark.parametrize("source", ["stream", "all"])
async def test_parked_events_are_read_and_thrown_away(client: Any, stream: str, source: str) -> None:
    await client.append_events(stream, None, new(4))
    group, where = (stream, None) if source == "all" else ("g", stream)
    filters = {"filter": Filter(FilterBy.STREAM_NAME, prefixes=(stream,))} if source == "all" else {}
    await client.create_subscription(group, where, **filters)
    assert await client.read_parked_events(group, where) == []

    async def parked() -> bool:
        return bool((await client.get_subscription_info(group, where)).parked == 4)

    async with await client.read_subscription(group, where, ack_batch_size=1) as subscription:
        for number, event in enumerate(await take(subscription, 4)):
            await subscription.nack(event, NackAction.PARK, f"reason {number}")
        await until(parked)
    found = await client.read_parked_events(group, where)
    reasons = [f"Client explicitly NAK'ed message.\nreason {number}" for number in range(4)]
    assert [(event.position, event.reason) for event in found] == list(enumerate(reasons))
    assert positions([event.original for event in found]) == [0, 1, 2, 3]
    assert all(abs(datetime.now(timezone.utc) - event.parked_at) < timedelta(minutes=1) for event in found)
    assert [event.position for event in await client.read_parked_events(group, where, 1, 2)] == [1, 2]
    await client.truncate_parked_events(group, where, stop_at=1)
    assert [event.position for event in await client.read_parked_events(group, where)] == [1, 2, 3]
    await client.truncate_parked_events(group, where, stop_at=0)
    assert (await client.get_subscription_info(group, where)).parked == 3
    await client.set_stream_metadata(stream, StreamMetadata(max_count=1))
    gone = await client.read_parked_events(group, where)
    assert [event.original is None for event in gone] == [True, True, False]
    await client.truncate_parked_events(group, where)
    assert await client.read_parked_events(group, where) == []
    assert (await client.get_subscription_info(group, where)).parked == 0


@NEEDS_26
async def test_what_cannot_be_thrown_away(client: Any, stream: str) -> None:
    with pytest.raises(SubscriptionNotFound):
        await client.truncate_parked_events("g", stream)
    with pytest.raises(InvalidArgument):
        await client.truncate_parked_events("g", stream, stop_at=-1)
    with pytest.raises(InvalidArgument):
        await client.read_parked_events("g", stream, limit=0)


async def test_links_are_resolved_and_acknowledged(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(1))
    link = NewEvent("$>", f"0@{stream}".encode(), content_type="application/octet-stream")
    await client.append_events(f"links-{stream}", None, link)
    await client.create_subscription("g", f"links-{stream}", settings=SubscriptionSettings(resolve_links=True))
    async with await client.read_subscription("g", f"links-{stream}") as subscription:
        (event,) = await take(subscription, 1)
        assert (event.stream_name, event.ack_id) == (stream, link.id)
        await subscription.ack(event)
    info = await client.get_subscription_info("g", f"links-{stream}")
    assert (info.in_flight, info.retrying) == (0, 0)


async def test_start_points(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    await client.create_subscription("middle", stream, position=1)
    await client.create_subscription("end", stream, from_end=True)
    await client.append_events(stream, 2, new(1))
    async with await client.read_subscription("middle", stream) as subscription:
        assert positions(await take(subscription, 3)) == [1, 2, 3]
    async with await client.read_subscription("end", stream) as subscription:
        assert positions(await take(subscription, 1)) == [3]


async def test_all_events_with_a_filter(client: Any, stream: str) -> None:
    group, type_ = f"g-{stream}", f"Type{uuid4().hex}"
    await client.create_subscription(group, filter_include=[type_])
    await client.append_events(stream, None, [NewEvent("Other", b""), NewEvent(type_, b""), NewEvent(type_, b"")])
    async with await client.read_subscription(group) as subscription:
        assert positions(await take(subscription, 2)) == [1, 2]
    await client.delete_subscription(group)


async def test_a_consumer_comes_back_after_an_update(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(1))
    await client.create_subscription("g", stream)
    async with await client.read_subscription("g", stream) as subscription:
        await take(subscription, 1)
        await client.update_subscription("g", stream, max_retry_count=7)
        assert positions(await take(subscription, 1)) == [0]
        assert isinstance(subscription.last_drop, SubscriptionDropped)


async def test_a_deleted_group_ends_its_consumers(client: Any, stream: str) -> None:
    await client.create_subscription("g", stream)
    async with await client.read_subscription("g", stream) as subscription:
        await client.delete_subscription("g", stream)
        with pytest.raises(SubscriptionNotFound):
            await take(subscription, 1)


async def test_an_event_that_is_never_answered_comes_again(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(1))
    settings = SubscriptionSettings(message_timeout=timedelta(seconds=0.5))
    await client.create_subscription("g", stream, settings=settings)
    async with await client.read_subscription("g", stream) as subscription:
        assert [event.retry_count for event in await take(subscription, 2)] == [0, 1]


async def test_settings_are_kept_by_updates(client: Any, stream: str) -> None:
    settings = SubscriptionSettings(max_retry_count=3, strategy=ConsumerStrategy.PINNED, checkpoint_after=None)
    await client.create_subscription("g", stream, settings=settings)
    assert (await client.get_subscription_info("g", stream)).settings == settings
    await client.update_subscription("g", stream, live_buffer_size=77)
    assert (await client.get_subscription_info("g", stream)).settings == settings.changed({"live_buffer_size": 77})
    assert [info.group_name for info in await client.list_subscriptions(stream)] == ["g"]


async def test_refusals(client: Any, stream: str) -> None:
    await client.create_subscription("g", stream, settings=SubscriptionSettings(max_subscriber_count=1))
    with pytest.raises(SubscriptionExists):
        await client.create_subscription("g", stream)
    with pytest.raises(SubscriptionFailed):
        await client.create_subscription(f"g-{stream}", position=2**62)
    for call in (client.delete_subscription, client.get_subscription_info, client.read_subscription):
        with pytest.raises(SubscriptionNotFound):
            await call("none", stream)
    with pytest.raises(InvalidArgument):
        await client.read_subscription("g", stream, buffer_size=0)
    async with await client.read_subscription("g", stream):
        with pytest.raises(TooManySubscribers):
            await client.read_subscription("g", stream)
