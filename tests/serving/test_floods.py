"""One client that overdoes it does not spoil it for others: floods, shares, and those who take nothing."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._http2 import flood
from esdb_lite._http2 import server as http2
from esdb_lite._http2.pieces import tidy
from esdb_lite._http2.server import MAX_CONCURRENT_STREAMS, PREFACE, SHARE, Crowd
from esdb_lite._wire.framing import frame as framed
from esdb_lite.server.app import RpcServer
from esdb_lite.server.app.calls import ConnectionCalls, Route
from esdb_lite.server.app.connection import ServerConnection
from esdb_lite.server.handlers import ServerCall
from tests.healing.waiting import until
from tests.rpc.pair import Wire
from tests.serving.raw import RawClient, connected, echo, serving
from tests.support import PATIENCE

ENHANCE_YOUR_CALM = 11


@pytest.fixture(autouse=True)
def _few_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "LAST_WORDS", 0.1)


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


async def cut_off(client: RawClient, flood: Callable[[int], bytes]) -> int | None:
    """Flood the server until it closes; return the code that it says goodbye with."""
    reading = asyncio.ensure_future(client.until_closed())
    for number in range(2000):
        if reading.done():
            break
        client.write(flood(number))
        await asyncio.sleep(0)
    await asyncio.wait_for(reading, PATIENCE)
    return client.goodbye_code


FLOODS: dict[str, Callable[[int], bytes]] = {
    "ping": lambda _: frame(6, b"12345678") * 100,
    "settings": lambda _: frame(4) * 100,
    "priority": lambda n: frame(2, b"\0\0\0\0\x10", stream=1 + 2 * n) * 100,
    "window update": lambda _: frame(8, b"\0\0\0\1") * 100,
    "unknown": lambda _: frame(77, b"x") * 100,
    "settings without an end": lambda _: frame(4, b"\0\3\0\0\0\1" * 10) * 100,
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_floods_are_cut_off(kind: str) -> None:
    async with serving(echo) as (other, _, port), connected(port) as client:
        assert await cut_off(client, FLOODS[kind]) == ENHANCE_YOUR_CALM
        assert (await other.call("/s/M", b"x")).messages == [b"x"]


async def test_empty_data_is_cut_off() -> None:
    async with serving(echo) as (other, _, port), connected(port) as client:
        stream = client.open("/s/M")
        assert await cut_off(client, lambda _: frame(0, stream=stream) * 100) == ENHANCE_YOUR_CALM
        assert (await other.call("/s/M", b"x")).messages == [b"x"]


async def test_rapid_resets_are_cut_off() -> None:
    """CVE-2023-44487: requests that are taken back at once."""
    began = ended = 0

    async def wait(call: ServerCall) -> None:
        nonlocal began, ended
        began += 1
        try:
            await call.receive()
        finally:
            ended += 1

    async with serving(wait) as (other, server, port), connected(port) as client:
        await client.more()

        def take_back(_: int) -> bytes:
            for _ in range(0 if client.goodbye else 50):
                client.h2.reset_stream(client.open_unsent("/s/M"), 8)
            return client.h2.data_to_send()

        assert await cut_off(client, take_back) == ENHANCE_YOUR_CALM
        await until(lambda: began == ended)
        assert not any(connection.calls.any for connection in server._connections)
        assert (await other.call("/s/M", b"x")).status[0] == "0"


async def test_who_breaks_off_reads_is_not_cut_off() -> None:
    async with serving(echo) as (client, _, _):
        for _ in range(1500):
            stream = client.open("/s/M")
            client.h2.reset_stream(stream, 8)
            client.flush()
            await asyncio.sleep(0)
        assert (await client.call("/s/M", b"x")).messages == [b"x"]


async def test_who_resets_every_frame_that_comes_too_late_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Netty does: a read that is broken off is reset again for each frame of data that was on its way."""
    monkeypatch.setattr(flood, "RESETS", 10)
    monkeypatch.setattr(flood, "RESETS_PER_SECOND", 0)

    async def answer(call: ServerCall) -> None:
        await call.receive()
        await call.send([bytes(60_000)])  # four frames

    async with serving(answer) as (client, _, _):
        for _ in range(50):
            await client.call("/s/M", b"x")
            client.write(frame(3, b"\0\0\0\5", stream=max(client.answers)) * 4)
        assert (await client.call("/s/M", b"x")).status[0] == "0"
        assert not client.goodbye


async def test_who_measures_the_line_with_every_small_message_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients in Go and Java do: a ping for each piece of data, and a window that is opened before it."""
    monkeypatch.setattr(flood, "IDLE", 10)
    monkeypatch.setattr(flood, "IDLE_PER_SECOND", 0)
    async with serving(echo) as (client, _, _):
        stream = client.open("/s/M")
        for number in range(1, 101):
            client.send(stream, framed([b"x"]))
            while len(client.answers[stream].messages) < number:
                await client.more()
            client.write(frame(8, b"\0\0\0\6") + frame(6, b"measures"))
        assert not client.goodbye
        assert await cut_off(client, lambda _: frame(6, b"12345678") * 100) == ENHANCE_YOUR_CALM


# --- a share of each turn -------------------------------------------------------------------------------------------


class Socket(Wire):
    """A socket of a client that sends and may not read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.untaken = 0

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def abort(self) -> None:
        self.closed = True


@asynccontextmanager
async def accepted(crowd: Crowd | None = None) -> AsyncIterator[tuple[ServerConnection, Socket]]:
    """A connection on which HTTP/2 has begun."""
    calls = ConnectionCalls({"/s/M": Route(echo, 1000)}, frozenset("/s"))
    connection, wire = ServerConnection(calls, lambda _: None, lambda _: None, crowd=crowd), Socket()
    connection.connection_made(wire)
    connection.data_received(PREFACE + frame(4))
    await asyncio.sleep(0)
    wire.take()
    yield connection, wire
    connection.connection_lost(None)
    await asyncio.gather(*calls.tasks, return_exceptions=True)


async def turns(wire: Socket) -> AsyncIterator[bytes]:
    """What is written in each turn of the loop, until there is nothing for a while."""
    quiet = 0
    while quiet < 5:
        await asyncio.sleep(0)
        written = wire.take()
        quiet = 0 if written or not wire.reading else quiet + 1
        yield written


def pongs(written: bytes) -> int:
    return written.count(frame(6, b"12345678", flags=1))


async def test_a_turn_of_the_loop_is_not_for_one_client_alone() -> None:
    async with accepted() as (connection, wire):
        connection.data_received(frame(6, b"12345678") * 100)
        assert not wire.reading
        seen = [pongs(written) async for written in turns(wire)]
        assert sum(seen) == 100
        assert max(seen) == SHARE // 16


async def test_a_turn_is_divided_among_those_who_have_much() -> None:
    crowd = Crowd()
    async with AsyncExitStack() as stack:
        many = [await stack.enter_async_context(accepted(crowd)) for _ in range(16)]
        lost, _ = await stack.enter_async_context(accepted(crowd))
        for connection, _ in (*many, (lost, None)):
            connection.data_received(frame(6, b"12345678") * 100)
        assert crowd.number == 17
        lost.connection_lost(None)
        seen, rest = list[int](), 3
        while rest:
            rest -= not crowd.number
            await asyncio.sleep(0)
            seen.append(sum(pongs(wire.take()) for _, wire in many))
        assert sum(seen) == 16 * 100
        assert max(seen[2:]) <= SHARE // 16 + 16
        assert all(wire.reading for _, wire in many)


async def test_what_comes_while_it_is_not_its_turn_comes_later_and_in_order() -> None:
    async with accepted() as (connection, wire):
        pings = [frame(6, number.to_bytes(8, "big")) for number in range(200)]
        connection.data_received(b"".join(pings[:100]) + pings[100][:5])
        connection.data_received(pings[100][5:] + b"".join(pings[101:]))  # with TLS there may be more
        written = b"".join([written async for written in turns(wire)])
        answers = [written[at + 9 : at + 17] for at in range(0, len(written), 17)]
        assert answers == [ping[9:] for ping in pings]


async def test_another_clients_call_does_not_wait_for_the_end_of_a_flood() -> None:
    async with serving(echo) as (other, _, port), connected(port) as client:
        await client.more()
        client.write(frame(8, b"\0\0\0\1") * 9000)
        stream = other.open("/s/M")
        other.send(stream, framed([b"x"]), end=True)
        assert (await other.ended(stream)).messages == [b"x"]
        assert (await client.call("/s/M", b"y")).messages == [b"y"]


# --- clients that do not read ---------------------------------------------------------------------------------------


async def test_who_does_not_take_answers_is_not_read_from() -> None:
    async with accepted() as (connection, wire):
        wire.untaken = 2**20
        connection.data_received(frame(6, b"12345678"))
        assert not wire.reading
        assert connection.last_sign(math.inf) == math.inf  # nor is it taken for dead
        wire.untaken = 0
        connection.resume_writing()
        assert wire.reading
        await asyncio.sleep(0)  # the answer is written
        assert connection.last_sign(math.inf) == connection.heard


async def test_who_takes_a_part_of_what_waits_is_there() -> None:
    """What it is asked waits behind that. Once nothing waits, only an answer counts: the system takes the question."""
    async with accepted() as (connection, wire):
        signs = []
        for untaken in (9, 9, 8, 3, 3, 0):
            wire.untaken = untaken
            signs.append(connection.last_sign(math.inf))
        silent = connection.heard
        assert signs[1:] == [silent, math.inf, math.inf, silent, silent]


async def test_who_takes_nothing_for_a_while_is_cut_off() -> None:
    async with accepted() as (connection, wire):
        wire.untaken = 2**20
        connection.pause_writing()
        for _ in range(3):
            wire.untaken -= 1
            connection._look()  # as the timer does
            assert not wire.closed
        connection._look()
        assert wire.closed


async def test_who_takes_everything_is_not_looked_at() -> None:
    async with accepted() as (connection, wire):
        connection.pause_writing()
        assert connection._stalled is not None
        connection.resume_writing()
        assert connection._stalled is None
        assert not wire.closed


async def test_over_a_socket_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "TAKES_NOTHING", 0.05)
    ended = asyncio.Event()

    async def flood(call: ServerCall) -> None:
        try:
            while True:
                await call.send([bytes(100_000)])
        finally:
            ended.set()

    async with serving(flood) as (_, _, port):
        with socket.create_connection(("127.0.0.1", port)) as deaf:
            client = RawClient(asyncio.StreamReader(), _Writer(deaf))  # type: ignore[arg-type]
            client.h2.increment_flow_control_window(2**30)
            client.open("/s/M")
            client.h2.increment_flow_control_window(2**30, 1)
            client.flush()
            await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_who_takes_it_slowly_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thin line: what is taken comes out of megabytes that the system holds, and it asks for no more meanwhile."""
    monkeypatch.setattr(http2, "TAKES_NOTHING", 0.1)

    async def pour(call: ServerCall) -> None:
        for _ in range(10):
            await call.send([bytes(500_000)])

    async with serving(pour) as (_, server, port):
        with socket.socket() as thin:
            thin.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            thin.connect(("127.0.0.1", port))
            client = RawClient(asyncio.StreamReader(), _Writer(thin))  # type: ignore[arg-type]
            client.h2.increment_flow_control_window(2**30)
            client.open("/s/M")
            client.h2.increment_flow_control_window(2**30, 1)
            client.flush()
            await until(lambda: any(each._transport.get_write_buffer_size() for each in server._connections))
            thin.setblocking(False)
            loop = asyncio.get_running_loop()
            end = loop.time() + 1
            while loop.time() < end:
                assert await asyncio.wait_for(loop.sock_recv(thin, 4096), PATIENCE)
                await asyncio.sleep(0.01)
            assert any(each.calls.any for each in server._connections)


class _Writer:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def write(self, data: bytes) -> None:
        self._sock.sendall(data)


async def test_a_server_that_stands_still_cuts_nobody_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "TAKES_NOTHING", 0.01)
    async with accepted() as (connection, wire):
        connection.data_received(frame(6, b"12345678") * 100)
        connection.freeze()
        await asyncio.sleep(0.05)
        assert not wire.closed
        assert not wire.reading
        seen = pongs(wire.take())
        connection.thaw()
        seen += sum([pongs(written) async for written in turns(wire)])
        assert seen == 100


# --- more calls than there may be ------------------------------------------------------------------------------------


async def test_no_more_calls_are_read_while_too_many_are_ending() -> None:
    """A handler takes its time to end; the client takes its requests back, and sends others."""
    may_end = asyncio.Event()
    begun = 0

    async def slow(call: ServerCall) -> None:
        nonlocal begun
        begun += 1
        try:
            await call.receive()
        finally:
            await may_end.wait()

    async with serving(slow) as (client, server, _):
        await client.more()
        (connection,) = server._connections
        reading = asyncio.ensure_future(client.until_closed())

        async def all_begun(number: int) -> None:
            await until(lambda: begun == number or len(connection.calls.tasks) > MAX_CONCURRENT_STREAMS)

        for turn in range(3):
            streams = [client.open("/s/M") for _ in range(200)]
            await all_begun(200 * turn + 200)
            for stream in streams:
                client.h2.reset_stream(stream, 8)
            client.flush()
        for _ in range(50):
            await asyncio.sleep(0)
        assert MAX_CONCURRENT_STREAMS < len(connection.calls.tasks) <= MAX_CONCURRENT_STREAMS + SHARE // 16
        may_end.set()
        await until(lambda: not connection.calls.any)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


# --- pieces ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 40), min_size=1), st.booleans())
def test_small_pieces_are_joined_and_nothing_is_lost(sizes: list[int], ended: bool) -> None:
    from grpclib.protocol import Buffer

    buffer, whole, owed = Buffer(lambda size: None), b"", 0
    for number, size in enumerate(sizes * (1500 // len(sizes) + 1)):
        piece = bytes([number % 251]) * size
        buffer.add(piece, size + 1)
        tidy(buffer)
        whole, owed = whole + piece, owed + size + 1
    if ended:
        buffer.eof()
    assert buffer._unacked.qsize() < 1100
    found, back = b"", 0
    while not buffer._unacked.empty():
        data, size, ack = buffer._unacked.get_nowait()
        assert size == len(data)
        found, back = found + data, back + ack
    assert (found, back) == (whole, owed)


async def test_data_that_nobody_reads_costs_what_it_is() -> None:
    """Frames of one byte, on two streams by turns: 90 times as much, were they kept as they come."""

    async def deaf(call: ServerCall) -> None:
        await asyncio.get_running_loop().create_future()

    async with serving(deaf) as (client, server, _):
        await client.more()
        streams = [client.open("/s/M") for _ in range(2)]
        for _ in range(20_000):
            for stream in streams:
                client.h2.send_data(stream, b"x")
        client.flush()
        (connection,) = server._connections
        await until(lambda: connection.connection.data_received == 40_000)
        for stream in connection.processor.streams.values():
            assert stream.buffer._unacked.qsize() <= 1100


# --- limits ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def limited(most: int) -> AsyncIterator[tuple[RpcServer, int]]:
    server = RpcServer({"/s/M": Route(echo, 1000)})
    server._limit = most
    port = await server.start("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.stop()


async def test_who_has_not_greeted_goes_first() -> None:
    async with limited(2) as (_, port), connected(port) as client:
        await client.more()
        silent = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0)
        async with connected(port) as late:
            assert (await late.call("/s/M", b"x")).messages == [b"x"]
        assert await asyncio.wait_for(silent[0].read(), PATIENCE) == b""
        silent[1].close()
        await silent[1].wait_closed()
        assert (await client.call("/s/M", b"y")).messages == [b"y"]


async def test_who_is_idle_is_told_goodbye_for_one_more() -> None:
    async with limited(1) as (_, port), connected(port) as idle:
        assert (await idle.call("/s/M", b"x")).messages == [b"x"]
        async with connected(port) as late:
            assert (await late.call("/s/M", b"y")).messages == [b"y"]
        await idle.until_closed()
        assert idle.goodbye_code == 0


async def test_who_is_at_work_stays_and_others_are_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    async with limited(1) as (_, port), connected(port) as busy:
        stream = busy.open("/s/M")
        busy.send(stream, framed([b"x"]))
        while not busy.answers[stream].data:
            await busy.more()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
        assert "no connection can be accepted for now: there are as many as" in caplog.text
        busy.send(stream, framed([b"y"]), end=True)
        assert (await busy.ended(stream)).messages == [b"x", b"y"]
