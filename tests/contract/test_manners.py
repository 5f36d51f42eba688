"""Small things that one expects: what exists may exist, one thing has one shape, positions can be filtered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from esdb_lite import (
    Filter,
    InvalidArgument,
    NewEvent,
    ProjectionExists,
    SubscriptionExists,
    SubscriptionSettings,
    WrongArgumentType,
)


async def test_a_group_that_may_exist(client: Any, stream: str) -> None:
    await client.create_subscription("g", stream, exist_ok=True, max_retry_count=3)
    await client.create_subscription("g", stream, exist_ok=True, max_retry_count=4)
    with pytest.raises(SubscriptionExists):
        await client.create_subscription("g", stream)
    with pytest.raises(WrongArgumentType, match="exist_ok"):
        await client.create_subscription("g", stream, exist_ok=1)
    assert (await client.get_subscription_info("g", stream)).settings.max_retry_count == 3


async def test_a_projection_that_may_exist(client: Any) -> None:
    from esdb_lite import NotSupported

    try:
        await client.create_projection("p", "fromAll().when({})")
    except NotSupported:
        pytest.skip("no projections run")
    await client.create_projection("p", "fromAll()", exist_ok=True)
    with pytest.raises(ProjectionExists):
        await client.create_projection("p", "fromAll()")


async def test_creating_and_updating_take_the_same(client: Any, stream: str) -> None:
    settings = SubscriptionSettings(max_retry_count=3, message_timeout=5.0)
    await client.create_subscription("g", stream, settings=settings, max_retry_count=4, checkpoint_after=1)
    found = (await client.get_subscription_info("g", stream)).settings
    assert (found.max_retry_count, found.message_timeout) == (4, timedelta(seconds=5))
    assert found.checkpoint_after == timedelta(seconds=1)
    await client.update_subscription("g", stream, settings=settings, message_timeout=timedelta(seconds=6))
    found = (await client.get_subscription_info("g", stream)).settings
    assert (found.max_retry_count, found.message_timeout) == (3, timedelta(seconds=6))
    assert found.checkpoint_after == timedelta(seconds=2)
    with pytest.raises(TypeError, match="nonsense"):
        await client.create_subscription("h", stream, nonsense=1)
    with pytest.raises(WrongArgumentType, match="settings"):
        await client.update_subscription("g", stream, settings={})


async def test_commit_positions_with_filters(client: Any, stream: str) -> None:
    await client.append_events(stream, None, [NewEvent("A", b""), NewEvent("B", b"")])
    await client.set_stream_metadata(stream, {"a": 1})
    whole = await client.get_commit_position()
    last = await client.get_commit_position(filter_exclude=[r"\$.*"])
    first = await client.get_commit_position(filter_include=["A"])
    assert first < last < whole
    assert await client.get_commit_position(filter=Filter.by_stream_name(prefixes=[stream])) == last
    assert await client.get_commit_position(filter_include=["never"]) == 0
    with pytest.raises(InvalidArgument, match="cannot be combined"):
        await client.get_commit_position(filter=Filter.by_stream_name(prefixes=["s"]), filter_include=["A"])
