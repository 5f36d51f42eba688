"""Clients that nobody has closed and nobody holds any more: what they had open ends, and there is a word about it."""

from __future__ import annotations

import asyncio
import gc

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent, StreamState
from tests.healing.waiting import until
from tests.rpc.fake import fake_server
from tests.rpc.streams_service import StreamsService


async def drop(used: list[AsyncEsdbClient]) -> None:
    """Let go of the only reference to a client, which warns about it."""
    with pytest.warns(ResourceWarning, match="AsyncEsdbClient was dropped without being closed"):
        _let_go(used)


def _let_go(used: list[AsyncEsdbClient]) -> None:
    used.clear()
    gc.collect()


async def test_its_connection_is_closed() -> None:
    async with fake_server(StreamsService()) as server:
        used = [AsyncEsdbClient(f"127.0.0.1:{server.port}")]
        await used[0].append_events("s", None, NewEvent("T", b"{}"))
        await used[0].get_stream_position("s")
        await drop(used)
        await asyncio.wait_for(server.peer.lost, 10)


async def test_a_handler_that_forgets_to_close_leaves_nothing() -> None:
    async with EmbeddedServer() as server:
        for number in range(5):
            used = [AsyncEsdbClient(server.uri)]
            await used[0].append_events("s", StreamState.ANY, NewEvent("T", str(number).encode()))
            await drop(used)
        assert server._node is not None
        connections = server._node._server._connections
        await until(lambda: not connections)


async def test_what_is_still_in_use_goes_on_and_then_the_connection_ends() -> None:
    async with EmbeddedServer() as server:
        used = [AsyncEsdbClient(server.uri)]
        await used[0].append_events("s", None, NewEvent("T", b"0"))
        subscription = await used[0].subscribe_stream_events("s")
        await drop(used)
        assert (await subscription.__anext__()).data == b"0"
        async with AsyncEsdbClient(server.uri) as other:
            await other.append_events("s", 0, NewEvent("T", b"1"))
        assert (await subscription.__anext__()).data == b"1"
        await subscription.close()
        assert server._node is not None
        connections = server._node._server._connections
        await until(lambda: not connections)


async def test_a_server_of_its_own_is_stopped() -> None:
    used = [AsyncEsdbClient("esdb+embedded://")]
    await used[0].append_events("s", None, NewEvent("T", b"0"))
    server = used[0]._core._server
    assert server is not None
    port = server.port
    await drop(used)

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return True
        writer.close()
        return False

    for _ in range(200):
        if await refused():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the server goes on")


async def test_nothing_is_said_of_clients_that_were_closed_or_never_used() -> None:
    async with fake_server(StreamsService()) as server:
        client = AsyncEsdbClient(f"127.0.0.1:{server.port}")
        await client.get_stream_position("s")
        await client.close()
        del client
        unused = AsyncEsdbClient(f"127.0.0.1:{server.port}")
        del unused
        gc.collect()


def test_nothing_is_said_when_the_loop_has_ended_before() -> None:
    async def use() -> AsyncEsdbClient:
        async with fake_server(StreamsService()) as server:
            client = AsyncEsdbClient(f"127.0.0.1:{server.port}")
            await client.get_stream_position("s")
        return client

    client = asyncio.run(use())
    del client
    gc.collect()
