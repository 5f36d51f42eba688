"""Servers, and proxies before them, that end connections in good order: calls on them end, new ones go elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from h2.events import Event, PingReceived

from esdb_lite import AsyncEsdbClient, StreamState
from esdb_lite._http2.keepalive import KeepAlive
from esdb_lite._rpc import call as calls
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.shapes import ServerStream, unary
from esdb_lite.errors import DeadlineExceeded, ServiceUnavailable
from tests.healing.waiting import until
from tests.rpc.fake import FakeCall, FakePeer, FakeServer, Handler, fake_server
from tests.support import PATIENCE

METHOD = "/test.Service/Method"
NEVER = Deadline(None)


class Answers:
    """Keeps calls open until they are to be answered."""

    def __init__(self) -> None:
        self.now = asyncio.Event()

    async def __call__(self, call: FakeCall) -> None:
        await call.read()
        await self.now.wait()
        call.answer(b"done")


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[tuple[FakeServer, ConnectionPool]]:
    async with fake_server(handler) as server:
        node = ConnectionPool(server.host, server.port)
        yield server, node
        await node.close()


async def opened(server: FakeServer, number: int) -> None:
    """Wait until the server has so many calls, with their requests."""
    while len(server.calls) < number:
        server.called.clear()
        await server.called.wait()


@pytest.mark.parametrize("code", [0, 2, 11])
async def test_calls_may_end_and_new_ones_go_elsewhere(code: int) -> None:
    answers = Answers()
    async with served(answers) as (server, node):
        asking = asyncio.ensure_future(unary(node, METHOD, b"", NEVER))
        await opened(server, 1)
        server.peer.goaway(code)
        first = server.peer
        await until(lambda: not node.connected)
        other = asyncio.ensure_future(unary(node, METHOD, b"", NEVER))
        await opened(server, 2)
        assert len(server.peers) == 2
        assert not asking.done()
        answers.now.set()
        assert await asking == await other == b"done"
        await first.lost  # nothing keeps it open any more
        assert node.connections == 1


async def test_what_the_server_has_not_looked_at_was_not_done() -> None:
    async with served(Answers()) as (server, node):
        server.handler = answers = Answers()
        asking = [asyncio.ensure_future(unary(node, METHOD, b"", NEVER)) for _ in range(3)]
        await opened(server, 3)
        server.peer.goaway(last=server.calls[0].id)
        for each in asking[1:]:
            with pytest.raises(ServiceUnavailable, match="GOAWAY") as caught:
                await each
            assert not caught.value.sent
        answers.now.set()
        assert await asking[0] == b"done"


async def test_a_goodbye_in_two_steps() -> None:
    """At first all streams may go on, then the last one is named: what a server does that stops in good order."""
    answers = Answers()
    async with served(answers) as (server, node):
        asking = [asyncio.ensure_future(unary(node, METHOD, b"", NEVER)) for _ in range(2)]
        await opened(server, 2)
        server.peer.goaway(last=2**31 - 1)
        await until(lambda: not node.connected)
        assert not any(each.done() for each in asking)
        server.peer.goaway(last=server.calls[0].id)
        with pytest.raises(ServiceUnavailable, match="GOAWAY"):
            await asking[1]
        answers.now.set()
        assert await asking[0] == b"done"


async def test_calls_that_do_not_end_are_lost_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "LONG_GOODBYE", 0.02)
    async with served(Answers()) as (server, node):
        async with ServerStream(node, METHOD, deadline=NEVER) as stream:
            await stream.request(b"")
            await opened(server, 1)
            server.peer.goaway(11, words=b"too_many_pings")
            with pytest.raises(ServiceUnavailable, match=r"GOAWAY, HTTP/2 error 11, 'too_many_pings'") as caught:
                await stream.receive_data()
        assert caught.value.sent
        await server.peer.lost


async def test_a_connection_without_calls_is_left_at_once() -> None:
    answers = Answers()
    answers.now.set()
    async with served(answers) as (server, node):
        assert await unary(node, METHOD, b"", NEVER) == b"done"
        server.peer.goaway()
        await server.peer.lost
        assert await unary(node, METHOD, b"", NEVER) == b"done"
        assert len(server.peers) == 2


async def test_a_server_that_greets_with_a_goodbye_is_none_that_wants_tls() -> None:
    def full(peer: FakePeer) -> None:
        peer.h2.clear_outbound_data_buffer()
        peer.goaway(11, last=0)

    async with served(Answers()) as (server, node):
        server.on_connect = full
        with pytest.raises(ServiceUnavailable, match="GOAWAY, HTTP/2 error 11"):
            await unary(node, METHOD, b"", NEVER)


async def test_a_change_that_was_not_looked_at_is_made_once() -> None:
    """A proxy that has had as many requests on the connection as it takes: no OutcomeUnknown, and nothing twice."""
    done: list[str] = []

    async def serve(call: FakeCall) -> None:
        if len(server.peers) == 1:
            call.peer.goaway(last=0)
            return
        await call.read()
        done.append(call.method)
        call.answer(b"")

    async with fake_server(serve) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}") as client:
        await client.tombstone_stream("s", StreamState.ANY)
    assert done == ["Tombstone"]


async def test_a_server_that_always_says_goodbye_is_named_when_time_is_over() -> None:
    async def leave(call: FakeCall) -> None:
        server.peer.goaway(last=0)

    async with fake_server(leave) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}") as client:
        with pytest.raises((DeadlineExceeded, ServiceUnavailable), match="GOAWAY"):
            await client.ping(timeout=0.3)
        assert len(server.peers) > 1


# --- how many streams the server takes ------------------------------------------------------------------------------


async def test_who_waits_for_a_place_is_woken_when_the_server_takes_more() -> None:
    answers = Answers()
    async with served(answers) as (server, node):
        server.max_streams = 1
        asking = [asyncio.ensure_future(unary(node, METHOD, b"", Deadline(10))) for _ in range(3)]
        await opened(server, 1)
        await until(lambda: len(node._waiting[False]) == 2)
        server.peer.limit_streams(3)
        await opened(server, 3)
        answers.now.set()
        assert [await each for each in asking] == [b"done"] * 3
        assert len(server.peers) == 1


async def test_who_is_asked_too_often_is_asked_less_often() -> None:
    """Servers of gRPC have a limit, and say so; the client finds one with which it can stay."""
    rarest = 0.15

    def be_strict(peer: FakePeer) -> None:
        pings: list[float] = []
        heard[peer] = pings
        handle = peer.handle

        def look_at(event: Event) -> None:
            handle(event)
            if isinstance(event, PingReceived):
                pings.append(asyncio.get_running_loop().time())
                if len(pings) > 1 and pings[-1] - pings[-2] < rarest:
                    peer.goaway(11, words=b"too_many_pings")

        peer.handle = look_at  # type: ignore[method-assign]

    heard: dict[FakePeer, list[float]] = {}
    async with fake_server(Answers()) as server:
        server.on_connect = be_strict
        node = ConnectionPool(server.host, server.port, keep_alive=KeepAlive(0.05, PATIENCE))
        for _ in range(3):
            await node.connect(NEVER)
            pings = heard[server.peers[-1]]
            await until(lambda node=node, pings=pings: not node.connected or len(pings) > 4)  # type: ignore[misc]
        assert node.connected
        assert len(pings) > 4
        await node.close()


async def test_other_goodbyes_do_not_change_how_often_it_asks() -> None:
    often = KeepAlive(100, 100)
    async with fake_server(Answers()) as server:
        node = ConnectionPool(server.host, server.port, keep_alive=often)
        for code, words in ((0, b"too_many_pings"), (11, b""), (11, b"flood")):
            await node.connect(NEVER)
            server.peers[-1].goaway(code, words=words)
            await until(lambda: not node.connected)
        assert node._keep_alive == often
        await node.close()
