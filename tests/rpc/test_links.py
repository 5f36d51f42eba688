"""Connections that are lost at awkward moments."""

from __future__ import annotations

import asyncio

import pytest

from esdb_lite._http2.client import ClientProtocol
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.shapes import unary
from esdb_lite.errors import DeadlineExceeded, ServiceUnavailable
from tests.healing.waiting import until
from tests.rpc.fake import FakeCall, fake_server


async def test_a_connection_that_is_lost_before_anybody_has_it() -> None:
    """On a busy machine the end may be read in the same turn of the loop in which the connection is made."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def dial() -> ClientProtocol:
        _, protocol = await asyncio.get_running_loop().create_connection(ClientProtocol, "127.0.0.1", port)
        await protocol.closed.wait()
        return protocol

    node = ConnectionPool("127.0.0.1", port, dial=dial)
    with pytest.raises(ServiceUnavailable):
        await node.connect(Deadline(None))
    assert not node.connections
    await node.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("long", [False, True])
async def test_a_server_that_takes_no_calls_for_now(long: bool) -> None:
    """Other connections would be of no use; calls wait until it takes some."""

    async def answer(call: FakeCall) -> None:
        call.answer()

    async with fake_server(answer, max_streams=0) as server:
        node = ConnectionPool(server.host, server.port)
        await node.connect(Deadline(None))
        await until(lambda: node.met)
        with pytest.raises(DeadlineExceeded, match=r"no free stream within 0\.01 seconds"):
            await node.acquire(long=long, deadline=Deadline(0.01))
        waiting = [asyncio.ensure_future(node.acquire(long=long, deadline=Deadline(None))) for _ in range(3)]
        await asyncio.sleep(0)
        assert not node.idle
        waiting.pop().cancel()
        server.peer.limit_streams(10)
        for link in await asyncio.gather(*waiting):
            node.release(link, long=long)
        assert (len(server.peers), node.connections, node.idle) == (1, 1, True)
        await node.close()


async def test_long_calls_that_waited_connect_anew_when_the_connection_is_lost() -> None:
    async def answer(call: FakeCall) -> None:
        call.answer()

    async with fake_server(answer, max_streams=0) as server:
        node = ConnectionPool(server.host, server.port)
        await node.connect(Deadline(None))
        await until(lambda: node.met)
        waiting = asyncio.ensure_future(node.acquire(long=True, deadline=Deadline(None)))
        await asyncio.sleep(0)
        server.max_streams = 10
        server.peer.drop()
        node.release(await waiting, long=True)
        assert len(server.peers) == 2
        await node.close()


VIOLATIONS = [
    (b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x", "Stream ID must be non-zero"),
    (b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", "a frame of 16777215 bytes"),
    (b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00", "(non-compliant data|between 1 and 2147483647)"),
    (b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x80", "header"),
    (b"\x00\x00\x05\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "Frame data missing or invalid"),
]


@pytest.mark.parametrize(("frame", "text"), VIOLATIONS)
async def test_a_server_that_breaks_the_rules_is_told_on(frame: bytes, text: str) -> None:
    """In the middle of a call."""

    async def misbehave(call: FakeCall) -> None:
        await call.read()
        call.peer.transport.write(frame)
        await asyncio.shield(call.reset_by_client)

    async with fake_server(misbehave) as server:
        node = ConnectionPool(server.host, server.port)
        with pytest.raises(ServiceUnavailable, match=f"the server has broken the rules of HTTP/2: .*{text}") as caught:
            await unary(node, "/test.Service/Method", b"", Deadline(10.0))
        assert caught.value.sent
        await node.close()


@pytest.mark.parametrize(("frame", "text"), VIOLATIONS)
async def test_a_server_that_begins_by_breaking_the_rules(frame: bytes, text: str) -> None:
    """Perhaps before anybody has the connection."""

    async def never(call: FakeCall) -> None:
        await call.read()

    async with fake_server(never) as server:
        server.on_connect = lambda peer: (peer.flush(), peer.transport.write(frame), None)[2]

        async def dial() -> ClientProtocol:
            _, protocol = await asyncio.get_running_loop().create_connection(ClientProtocol, server.host, server.port)
            await protocol.closed.wait()
            return protocol

        node = ConnectionPool(server.host, server.port, dial=dial)
        with pytest.raises(ServiceUnavailable, match=f"the server has broken the rules of HTTP/2: .*{text}") as caught:
            await node.connect(Deadline(10.0))
        assert not caught.value.sent
        await node.close()
