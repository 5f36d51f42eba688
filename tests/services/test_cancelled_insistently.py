"""A consumer of a group that is cancelled with every turn of the loop until it has ended, as anyio does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent

EVENTS = 6


@pytest.fixture
async def client() -> AsyncIterator[AsyncEsdbClient]:
    with EmbeddedServer() as server:
        async with AsyncEsdbClient(server.uri) as made:
            await made.append_events("s", None, [NewEvent("T", b"{}") for _ in range(EVENTS)])
            await made.create_subscription("group", "s", min_checkpoint_count=1)
            yield made


async def insist(running: asyncio.Task[None]) -> None:
    """Cancel it, and again and again."""
    while not running.done():
        running.cancel()
        await asyncio.sleep(0)
    assert running.cancelled()


async def test_acks_arrive(client: AsyncEsdbClient) -> None:
    """What was handled does not come again."""
    handled = asyncio.Event()

    async def consume() -> None:
        async with client.read_subscription("group", "s", ack_batch_size=100, ack_delay=60.0) as subscription:
            async for event in subscription:
                await subscription.ack(event)
                if event.stream_position == EVENTS - 1:
                    handled.set()

    running = asyncio.ensure_future(consume())
    await handled.wait()
    await insist(running)
    # The server may answer before it has taken the consumer out.
    while (info := await client.get_subscription_info("group", "s")).consumers:
        pass
    assert (info.in_flight, info.retrying) == (0, 0)
    await client.append_events("s", EVENTS - 1, NewEvent("T", b"{}"))
    async with client.read_subscription("group", "s") as subscription:
        event = await subscription.__anext__()
        assert (event.stream_position, event.retry_count) == (EVENTS, 0)
