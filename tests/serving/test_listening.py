"""Who comes in, how many at a time, and what happens when the system has no more handles; on other loops, too."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClient, NewEvent, StreamState
from esdb_lite.server.app import listening
from esdb_lite.server.app.calls import Route
from esdb_lite.server.app.limits import MOST_CONNECTIONS, connection_limit
from esdb_lite.server.app.listening import Door, DoorState
from esdb_lite.server.app.server import RpcServer
from tests.healing.waiting import until
from tests.serving.raw import connected, echo
from tests.support import PATIENCE, ServeProcess


def new() -> NewEvent:
    return NewEvent("T", b"{}")


class Guest(asyncio.Protocol):
    """A connection that has come in."""

    def __init__(self, seen: list[Guest]) -> None:
        self.seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.seen.append(self)


@pytest.fixture
def context() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What the server shows, and what a client trusts."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_small_answers_are_not_held_back() -> None:
    """Nagle's algorithm costs a live event 40 milliseconds."""
    seen: list[Guest] = []
    door = Door(lambda: Guest(seen), None, lambda arriving: True)
    port = await door.open("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: bool(seen))
    accepted = seen[0].transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()
    await writer.wait_closed()
    await door.close()
    await door.wait_closed()


async def test_handshakes_that_are_never_begun_keep_nobody_out(
    monkeypatch: pytest.MonkeyPatch, context: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    monkeypatch.setattr(listening, "MAX_HANDSHAKES", 3)
    monkeypatch.setattr(listening, "HANDSHAKE_PATIENCE", 0.05)
    seen: list[Guest] = []
    door = Door(lambda: Guest(seen), context[0], lambda arriving: True)
    port = await door.open("localhost", 0)
    silent = [await asyncio.open_connection("localhost", port) for _ in range(8)]
    for reader, _ in silent[:4]:  # the oldest had to go
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    assert len(door._arriving) == 3
    _, writer = await asyncio.open_connection("localhost", port, ssl=context[1])  # an honest one
    await until(lambda: bool(seen))
    await door.close()
    for each in (writer, *(writer for _, writer in silent)):
        each.transport.abort()
    seen[0].transport.close()
    await door.wait_closed()
    assert not door._arriving
    assert not door._ending


async def test_many_who_come_at_once_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch, context: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """A program with hundreds of clients takes its time over their handshakes."""
    monkeypatch.setattr(listening, "MAX_HANDSHAKES", 3)
    monkeypatch.setattr(listening, "HANDSHAKE_PATIENCE", PATIENCE)
    seen: list[Guest] = []
    door = Door(lambda: Guest(seen), context[0], lambda arriving: True)
    port = await door.open("localhost", 0)
    coming = [asyncio.open_connection("localhost", port, ssl=context[1]) for _ in range(40)]
    opened = await asyncio.wait_for(asyncio.gather(*coming), PATIENCE)
    await until(lambda: len(seen) == 40)
    await door.close()
    for _, writer in opened:
        writer.transport.abort()
    for guest in seen:
        guest.transport.close()
    await door.wait_closed()


async def test_a_handshake_that_failed_leaves_nothing_for_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch, context: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Nobody would come by for a while: it is 300 KB for each, of which the collector does not know."""
    monkeypatch.setattr(listening, "MAX_HANDSHAKES", 1)
    monkeypatch.setattr(listening, "HANDSHAKE_PATIENCE", 0)
    door = Door(lambda: Guest([]), context[0], lambda arriving: True)
    port = await door.open("localhost", 0)
    gc.collect()
    gc.disable()
    try:
        silent = [await asyncio.open_connection("localhost", port) for _ in range(8)]
        for reader, _ in silent[:7]:
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        await until(lambda: not door._ending)
        left = [found for found in gc.get_objects() if isinstance(found, ssl.SSLObject)]
        assert len(left) <= 2  # of the one who waits, and of the last to go
        del left
    finally:
        gc.enable()
    await door.close()
    for _, writer in silent:
        writer.transport.abort()
    await door.wait_closed()


async def test_a_few_are_let_in_in_a_turn() -> None:
    """To begin a connection takes time: who is in has to be served, too."""
    seen: list[Guest] = []
    turn, turns = 0, list[int]()

    def accept() -> Guest:
        turns.append(turn)
        return Guest(seen)

    door = Door(accept, None, lambda arriving: True)
    port = await door.open("127.0.0.1", 0)
    coming = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]  # the system accepts them
    while len(seen) < 30:
        turn += 1
        await asyncio.sleep(0)
    assert max(Counter(turns).values()) <= 4
    for each in coming:
        each.close()
    for guest in seen:
        guest.transport.close()
    await door.close()
    await door.wait_closed()


async def test_who_has_no_room_is_closed_before_the_handshake(
    context: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    seen: list[Guest] = []
    door = Door(lambda: Guest(seen), context[0], lambda arriving: False)
    port = await door.open("localhost", 0)
    with pytest.raises((OSError, ssl.SSLError)):
        await asyncio.open_connection("localhost", port, ssl=context[1])
    assert not seen
    await door.close()
    await door.wait_closed()


async def test_waiting_turned_away_and_let_in_again() -> None:
    seen: list[Guest] = []
    door = Door(lambda: Guest(seen), None, lambda arriving: True)
    port = await door.open("127.0.0.1", 0)
    door.set(DoorState.WAITING)
    waiting, writer = await asyncio.open_connection("127.0.0.1", port)  # the system accepts it
    for _ in range(10):
        await asyncio.sleep(0)
    assert not seen
    door.set(DoorState.TURNED_AWAY)
    assert await asyncio.wait_for(waiting.read(), PATIENCE) == b""
    writer.close()
    door.set(DoorState.OPEN)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: bool(seen))
    writer.close()
    seen[0].transport.close()
    await door.close()
    await door.wait_closed()


async def test_on_a_loop_that_cannot_watch_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the usual one of Windows."""

    def refuse(*_: object) -> None:
        raise NotImplementedError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_reader", refuse)
    server = RpcServer({"/s/M": Route(echo, 1000)})
    port = await server.start("127.0.0.1", 0)
    async with connected(port) as client:
        assert (await client.call("/s/M", b"x")).messages == [b"x"]
        server.set_faults(frozen=True, turning_away=False)
        server.set_faults(frozen=False, turning_away=False)
        async with connected(port) as other:
            assert (await other.call("/s/M", b"y")).messages == [b"y"]
    await server.stop()


class Empty:
    """A listening socket of a system that has no more handles for a while."""

    def __init__(self, real: socket.socket, times: int) -> None:
        self._real, self._times = real, times

    def accept(self) -> tuple[socket.socket, Any]:
        if self._times:
            self._times -= 1
            raise OSError(24, "Too many open files")
        return self._real.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


async def test_without_handles_the_log_is_not_flooded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "_PAUSE", 0.01)
    seen: list[Guest] = []
    door = Door(lambda: Guest(seen), None, lambda arriving: True)
    port = await door.open("127.0.0.1", 0)
    (real,) = door._sockets
    asyncio.get_running_loop().remove_reader(real)
    door._sockets = [Empty(real, 5)]  # type: ignore[list-item]
    door.set(DoorState.OPEN)
    with caplog.at_level(logging.INFO):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: bool(seen))
    assert [record.getMessage() for record in caplog.records if "accepted" in record.message] == [
        "no connection can be accepted for now: [Errno 24] Too many open files"
    ]
    writer.close()
    seen[0].transport.close()
    await door.close()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit")
def test_a_process_with_few_handles_serves_on(serve: Callable[..., ServeProcess]) -> None:
    server = serve()
    host, _, port = server.address.rpartition(":")
    with EsdbClient(f"{host}:{port}") as client:
        client.append_events("s", None, new())
        pid = server.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))
        crowd = [socket.create_connection((host, int(port))) for _ in range(150)]
        client.append_events("s", 0, new())  # who is in goes on
        for each in crowd:
            each.close()
    with EsdbClient(f"{host}:{port}") as client:
        assert client.get_stream_position("s", timeout=20) == 1
    server.process.terminate()
    _, errors = server.process.communicate(timeout=20)
    assert len(errors or "") < 2000


def test_the_limit_leaves_handles_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in (
        (256, 192),
        (1024, 768),
        (10**6, MOST_CONNECTIONS),
        (resource.RLIM_INFINITY, MOST_CONNECTIONS),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
        assert connection_limit() == expected


# --- loops of others ------------------------------------------------------------------------------------------------


def on_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


@pytest.mark.parametrize("tls", [False, True])
def test_on_uvloop(tmp_path: Path, tls: bool) -> None:
    async def main() -> None:
        options: dict[str, Any] = {"dev_certificate": tmp_path} if tls else {}
        async with (
            EmbeddedServer(**options) as server,
            AsyncEsdbClient(server.uri, credentials=("admin", "changeit") if tls else None) as client,
        ):
            assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
            for number in range(20):
                await client.append_events("s", number - 1 if number else None, new())
            await asyncio.gather(*(client.append_events(f"s-{at}", None, new()) for at in range(300)))
            assert len([event async for event in client.read_stream_events("s")]) == 20
            await client.create_subscription("g", "s")
            async with await client.read_subscription("g", "s") as group:
                for _ in range(20):
                    await group.ack(await group.__anext__())
            async with await client.subscribe_stream_events("s") as events:
                assert [(await events.__anext__()).stream_position for _ in range(20)] == list(range(20))
                server.faults.drop_connections()
                await client.append_events("s", StreamState.ANY, new())
                assert (await events.__anext__()).stream_position == 20
            with server.faults.refuse_connections():
                pass
            with server.faults.stall():
                task = asyncio.ensure_future(client.get_stream_position("s"))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert await client.get_stream_position("s") == 20

    on_uvloop(main)


def test_what_is_refused_on_uvloop_is_closed() -> None:
    async def main() -> None:
        async with EmbeddedServer() as server:
            with server.faults.refuse_connections():
                reader, writer = await asyncio.open_connection(server.host, server.port)
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
                writer.close()

    on_uvloop(main)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the limits of other processes")
def test_serve_takes_the_handles_that_the_system_allows(serve: Callable[..., ServeProcess]) -> None:

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, int(MOST_CONNECTIONS / 0.75) + 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1000, soft), hard))
    try:
        process = serve().process
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (wanted, hard)
