"""Several tasks, or threads, that share the events of one consumer of a group, which has to come back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClient, NewEvent, StreamState
from tests.healing.waiting import until

WORKERS = 4
EVENTS = 12
ROUNDS = 3


@pytest.mark.parametrize("face", ["tasks", "threads"])
async def test_they_stay_one_consumer(face: str) -> None:
    """If each of them became one, the events of all but the last would wait for nobody, and be parked in the end."""
    with EmbeddedServer() as server:
        async with AsyncEsdbClient(server.uri) as client:
            await client.create_subscription("group", "s")
            if face == "tasks":
                await _with_tasks(server, client)
            else:
                await _with_threads(server, client)


async def _with_tasks(server: EmbeddedServer, client: AsyncEsdbClient) -> None:
    seen: list[int] = []
    async with AsyncEsdbClient(server.uri) as consuming, consuming.read_subscription("group", "s") as subscription:

        async def work() -> None:
            async for event in subscription:
                seen.append(event.stream_position)
                await subscription.ack(event)

        working = [asyncio.ensure_future(work()) for _ in range(WORKERS)]
        await _go_on(server, client, seen)
        subscription.stop()
        await asyncio.gather(*working)


async def _with_threads(server: EmbeddedServer, client: AsyncEsdbClient) -> None:
    seen: list[int] = []
    with EsdbClient(server.uri) as consuming, consuming.read_subscription("group", "s") as subscription:

        def work() -> None:
            for event in subscription:
                seen.append(event.stream_position)
                subscription.ack(event)

        working = [threading.Thread(target=work) for _ in range(WORKERS)]
        for thread in working:
            thread.start()
        await _go_on(server, client, seen)
        subscription.stop()
        for thread in working:
            thread.join()


async def _go_on(server: EmbeddedServer, client: AsyncEsdbClient, seen: list[int]) -> None:
    """Append, see that all has come, cut the connections, and once more."""

    async def one_consumer() -> bool:
        return len((await client.get_subscription_info("group", "s")).consumers) == 1

    for round_ in range(1, ROUNDS + 1):
        events = [NewEvent("T", b"{}") for _ in range(EVENTS)]
        await client.append_events("s", StreamState.ANY, events)
        await until(lambda expected=round_ * EVENTS: len(set(seen)) == expected)  # type: ignore[misc]
        await until(one_consumer)
        server.faults.drop_connections()
        await until(one_consumer)
    assert set(seen) == set(range(ROUNDS * EVENTS))
