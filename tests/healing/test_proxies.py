"""Behind reverse proxies of other makers: what they do to connections and calls is healed as everything else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent, RetryPolicy, StreamState
from tests.healing.proxies import KINDS, proxied
from tests.healing.waiting import until

POLICY = RetryPolicy(first_pause=0.05, longest_pause=0.3)


def new(number: int) -> list[NewEvent]:
    return [NewEvent("T", b"x" * 500) for _ in range(number)]


@asynccontextmanager
async def behind(
    kind: str, folder: Path, *, requests: int = 100_000, idle: int = 60
) -> AsyncIterator[tuple[EmbeddedServer, AsyncEsdbClient]]:
    async with EmbeddedServer(folder / "events.db") as server:
        assert server.port is not None
        with proxied(kind, folder, server.port, requests=requests, idle=idle) as port:
            async with AsyncEsdbClient(f"esdb://127.0.0.1:{port}?tls=false", retry=POLICY) as client:
                yield server, client


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_call(kind: str, tmp_path: Path) -> None:
    async with behind(kind, tmp_path) as (_, client):
        await client.append_events("s", None, new(300))
        assert len([event async for event in client.read_stream_events("s")]) == 300
        await asyncio.gather(*(client.append_events(f"s{at}", StreamState.ANY, new(1)) for at in range(200)))
        async with await client.subscribe_stream_events("s") as events:
            assert [(await events.__anext__()).stream_position for _ in range(300)] == list(range(300))
        await client.create_subscription("g", "s")
        async with await client.read_subscription("g", "s") as group:
            for _ in range(50):
                await group.ack(await group.__anext__())
        async for _ in client.read_stream_events("s"):
            break
        await client.append_events("large", None, NewEvent("T", bytes(900_000)))
        await client.delete_stream("s")


async def test_goodbyes_of_nginx_leave_nothing_in_doubt(tmp_path: Path) -> None:
    """After ten requests it says goodbye to a connection, and answers what it has taken."""
    async with behind("nginx", tmp_path, requests=10) as (_, client):
        async with await client.subscribe_all_events(from_end=True) as subscription:
            await asyncio.gather(*(client.create_subscription(f"g{at}", "s") for at in range(60)))
            for at in range(60):
                await client.append_events(f"s{at}", None, new(1))
                await client.tombstone_stream(f"s{at}", 0)
            await client.append_events("last", None, new(1))
            seen = await asyncio.wait_for(subscription.__anext__(), 20)
            streams = [seen.stream_name]
            while streams[-1] != "last":
                streams.append((await asyncio.wait_for(subscription.__anext__(), 20)).stream_name)
        assert sorted(await _groups(client)) == sorted(f"g{at}" for at in range(60))
        assert [name for name in streams if not name.startswith("$")] == [*(f"s{at}" for at in range(60)), "last"]


async def _groups(client: AsyncEsdbClient) -> list[str]:
    return [info.group_name for info in await client.list_subscriptions()]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_is_restarted(kind: str, tmp_path: Path) -> None:
    async with behind(kind, tmp_path) as (server, client):
        await client.append_events("s", None, new(2000))
        await client.create_subscription("g", "s")
        read = client.read_stream_events("s")
        found = [(await read.__anext__()).stream_position for _ in range(10)]
        async with (
            await client.read_subscription("g", "s", buffer_size=10) as group,
            await client.subscribe_stream_events("s") as events,
        ):
            seen = {(await group.__anext__()).stream_position}
            live = [(await events.__anext__()).stream_position for _ in range(10)]
            for round_ in range(2):
                await server.restart_async()
                await client.append_events("s", 1999 + round_, new(1))
            live += [(await asyncio.wait_for(events.__anext__(), 30)).stream_position for _ in range(1992)]
            assert live == list(range(2002))
            while len(seen) < 200:
                event = await asyncio.wait_for(group.__anext__(), 30)
                seen.add(event.stream_position)
                await group.ack(event)
        found += [event.stream_position async for event in read]
        assert found == list(range(2000)) or found == list(range(2002))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_says_goodbye_to_the_proxy(kind: str, tmp_path: Path) -> None:
    """Proxies send calls to it that it does not answer any more; they come to the next one when it has left."""
    async with behind(kind, tmp_path) as (server, client):
        await client.append_events("s", None, new(1))
        for _ in range(5):
            first = [client.get_stream_position("s", timeout=20) for _ in range(20)]
            running = asyncio.gather(*first)
            await asyncio.sleep(0)
            server.faults.go_away(reset_after=0.2)
            assert set(await running) == {0}
            assert set(await asyncio.gather(*(client.get_stream_position("s", timeout=20) for _ in range(20)))) == {0}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_consumer_that_is_idle_for_longer_than_the_proxy_bears(kind: str, tmp_path: Path) -> None:
    async with behind(kind, tmp_path, idle=1) as (_, client):
        await client.append_events("s", None, new(1))
        await client.create_subscription("g", "s")
        async with (
            await client.read_subscription("g", "s") as group,
            await client.subscribe_stream_events("s") as events,
        ):
            await group.ack(await group.__anext__())
            await events.__anext__()
            waiting = asyncio.ensure_future(group.__anext__()), asyncio.ensure_future(events.__anext__())
            await until(lambda: group.last_drop is not None, 20)  # the proxy has had enough
            await client.append_events("s", 0, new(1))
            assert [(await asyncio.wait_for(each, 30)).stream_position for each in waiting] == [1, 1]
