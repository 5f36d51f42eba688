"""Bytes through HTTP/2 streams: nothing lost, nothing out of order, windows obeyed, and waiting that can be ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpclib.const
import pytest
from grpclib.client import Handler
from grpclib.config import Configuration
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase
from grpclib.protocol import Stream
from grpclib.testing import ChannelFor
from h2.config import H2Configuration

from esdb_lite._http2.protocol import FastProtocol
from esdb_lite._http2.streams import (
    CONNECTION_WINDOW,
    STREAM_WINDOW,
    StreamOver,
    deliver,
    receive_data,
    send_data,
    send_data_at_once,
)
from esdb_lite._wire.framing import MessageSplitter
from esdb_lite._wire.framing import frame as frame_messages
from tests.rpc.pair import ANSWER, HEADERS, TRAILERS, Pair, noise

# --- receiving ------------------------------------------------------------------------------------------------------


async def test_everything_that_has_arrived_comes_at_once():
    pair = Pair()
    stream = await pair.open()
    pair.send(stream, noise(100_000), step=1000)
    assert await receive_data(stream) == noise(100_000)


async def test_waiting_for_data_then_for_the_end():
    pair = Pair()
    stream = await pair.open()
    waiting = asyncio.ensure_future(receive_data(stream))
    await asyncio.sleep(0)
    assert not waiting.done()
    pair.send(stream, b"abc")
    assert await waiting == b"abc"
    pair.peer.send_headers(stream.id, TRAILERS, end_stream=True)
    pair.exchange()
    assert await receive_data(stream) == await receive_data(stream) == b""
    assert stream.trailers == TRAILERS


async def test_data_that_came_before_the_end_is_not_lost():
    pair = Pair()
    stream = await pair.open()
    pair.send(stream, b"abc")
    pair.peer.send_data(stream.id, b"def", end_stream=True)
    pair.exchange()
    assert await receive_data(stream) == b"abcdef"
    assert await receive_data(stream) == b""


async def test_frames_without_data_are_no_end():
    pair = Pair()
    stream = await pair.open()
    waiting = asyncio.ensure_future(receive_data(stream))
    pair.send(stream, b"", step=1)
    pair.peer.send_data(stream.id, b"")
    pair.peer.send_data(stream.id, b"", pad_length=20)
    pair.exchange()
    await asyncio.sleep(0)
    assert not waiting.done()
    pair.send(stream, b"x")
    assert await waiting == b"x"


async def test_a_receiver_that_is_cancelled_takes_nothing():
    pair = Pair()
    stream = await pair.open()
    for delivered_first in (False, True):
        waiting = asyncio.ensure_future(receive_data(stream))
        await asyncio.sleep(0)
        if delivered_first:
            pair.send(stream, b"abc")  # it has been woken, and is cancelled before it runs
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await receive_data(stream) == b"abc"


async def test_a_receiver_that_does_not_read_stops_the_peer():
    pair = Pair(window=100_000)
    stream = await pair.open()
    total = 0
    while room := min(pair.peer.local_flow_control_window(stream.id), 16_384):
        pair.peer.send_data(stream.id, bytes(room))
        pair.exchange()
        total += room
    assert total == 100_000
    assert len(await receive_data(stream)) == 100_000
    pair.exchange()
    assert pair.peer.local_flow_control_window(stream.id) == 100_000


async def test_a_stream_that_nobody_reads_does_not_hold_up_another():
    pair = Pair(window=STREAM_WINDOW, connection=CONNECTION_WINDOW)
    idle, busy = await pair.open(), await pair.open()
    pair.send(idle, bytes(STREAM_WINDOW))
    for _ in range(3):
        pair.send(busy, bytes(STREAM_WINDOW))
        assert len(await receive_data(busy)) == STREAM_WINDOW
        pair.exchange()
    assert len(await receive_data(idle)) == STREAM_WINDOW


async def test_a_long_stream_gets_its_credit_back():
    pair = Pair(window=100_000, connection=100_000)
    stream = await pair.open()
    for _ in range(50):
        pair.send(stream, bytes(16_384), step=4000)
        assert len(await receive_data(stream)) == 16_384
        pair.exchange()
    assert pair.peer.outbound_flow_control_window > 32_768


async def test_data_for_streams_that_are_gone_gives_its_credit_back():
    pair = Pair(window=70_000, connection=100_000)
    for _ in range(20):
        stream = await pair.open()
        pair.send(stream, bytes(10_000))
        stream.reset_nowait()
        assert stream.id is not None
        for at in range(3):  # the peer does not know yet
            pair.peer.send_data(stream.id, bytes(5_000 + at))
        pair.forget()
        pair.protocol.data_received(pair.peer.data_to_send())
        pair.peer.receive_data(pair.wire.take())
        pair.exchange()
    assert pair.peer.outbound_flow_control_window > 40_000


async def test_reading_on_after_the_connection_is_gone():
    pair = Pair()
    stream = await pair.open()
    pair.send(stream, b"abc")
    pair.protocol.connection_lost(None)
    assert await receive_data(stream) == b"abc"


# --- sending --------------------------------------------------------------------------------------------------------


def received(events: list[Any]) -> bytes:
    return b"".join(event.data for event in events if type(event).__name__ == "DataReceived")


async def test_sending_in_frames_as_large_as_the_peer_takes():
    pair = Pair()
    stream = await pair.open()
    await send_data(stream, noise(50_000), end=True)
    events = pair.exchange()
    assert received(events) == noise(50_000)
    assert [len(event.data) for event in events if hasattr(event, "data")] == [16_384, 16_384, 16_384, 848]
    assert type(events[-1]).__name__ == "StreamEnded"


async def test_sending_nothing_and_the_end_alone():
    pair = Pair()
    stream = await pair.open()
    await send_data(stream, b"")
    assert not pair.wire.written
    await send_data(stream, b"", end=True)
    assert [type(event).__name__ for event in pair.exchange()] == ["DataReceived", "StreamEnded"]


async def test_sending_waits_for_the_window():
    pair = Pair()
    stream = await pair.open()
    sending = asyncio.ensure_future(send_data(stream, noise(150_000), end=True))
    whole = b""
    while not sending.done():
        await asyncio.sleep(0)
        data = received(pair.exchange())
        assert len(whole) + len(data) <= 65_535 + (len(whole) if whole else 0)
        whole += data
        if data:
            pair.peer.acknowledge_received_data(len(data), stream.id)
            pair.exchange()
    whole += received(pair.exchange())
    assert whole == noise(150_000)


async def test_the_end_does_not_wait_for_the_window():
    pair = Pair()
    stream = await pair.open()
    await send_data(stream, bytes(65_535))
    await send_data(stream, b"", end=True)
    assert type(pair.exchange()[-1]).__name__ == "StreamEnded"


async def test_sending_waits_for_the_socket():
    pair = Pair()
    stream = await pair.open()
    pair.protocol.pause_writing()
    sending = asyncio.ensure_future(send_data(stream, b"abc"))
    await asyncio.sleep(0)
    assert not pair.wire.written
    pair.protocol.resume_writing()
    await sending
    assert received(pair.exchange()) == b"abc"


@pytest.mark.parametrize("blocked_by", ["window", "socket"])
async def test_a_sender_can_be_cancelled_wherever_it_waits(blocked_by: str):
    pair = Pair()
    stream = await pair.open()
    if blocked_by == "window":
        await send_data(stream, bytes(65_535))
    else:
        pair.protocol.pause_writing()
    sending = asyncio.ensure_future(send_data(stream, b"abc"))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_sending_on_a_stream_that_has_ended():
    pair = Pair()
    stream = await pair.open()
    await send_data(stream, bytes(65_535))
    sending = asyncio.ensure_future(send_data(stream, b"abc"))
    await asyncio.sleep(0)
    pair.peer.reset_stream(stream.id)
    pair.exchange()
    stream.window_updated.set()  # as those do who learn of the reset
    with pytest.raises(StreamOver):
        await sending


async def test_sending_when_the_connection_is_lost():
    pair = Pair()
    stream = await pair.open()
    pair.protocol.pause_writing()
    sending = asyncio.ensure_future(send_data(stream, b"abc"))
    await asyncio.sleep(0)
    pair.protocol.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await sending


# --- over sockets ---------------------------------------------------------------------------------------------------


class Echo(Handler):
    """Sends back what it gets, stream by stream, and then trailers."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def accept(self, stream: Stream, headers: Any, release_stream: Callable[[], None]) -> None:
        task = asyncio.ensure_future(self.serve(stream, release_stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, stream: Stream, release_stream: Callable[[], None]) -> None:
        await stream.send_headers(ANSWER)
        while data := await receive_data(stream):
            await send_data(stream, data)
        await stream.send_headers(TRAILERS, end_stream=True)
        release_stream()


@asynccontextmanager
async def connected(handler: Echo, window: int = STREAM_WINDOW) -> AsyncIterator[FastProtocol]:
    """Serve on a socket, and connect to it."""
    config = Configuration(http2_stream_window_size=window, http2_connection_window_size=CONNECTION_WINDOW)
    server_side = H2Configuration(client_side=False, header_encoding="ascii")
    client_side = H2Configuration(client_side=True, header_encoding="ascii")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: FastProtocol(handler, config.__for_client__(), server_side), "127.0.0.1", 0
    )
    host, port = server.sockets[0].getsockname()
    wire, protocol = await loop.create_connection(
        lambda: FastProtocol(Handler(), config.__for_client__(), client_side), host, port
    )
    assert isinstance(protocol, FastProtocol)
    try:
        yield protocol
    finally:
        wire.close()
        await asyncio.gather(*handler.tasks)
        server.close()
        await server.wait_closed()


async def test_megabytes_there_and_back_on_several_streams():
    async def call(protocol: FastProtocol, size: int) -> bytes:
        stream = protocol.processor.connection.create_stream()
        release = await stream.send_request(HEADERS, _processor=protocol.processor)
        sending = asyncio.ensure_future(send_data(stream, noise(size, size), end=True))
        parts = []
        while data := await receive_data(stream):
            parts.append(data)
        await sending
        release()
        return b"".join(parts)

    sizes = [5_000_000, 9_000_001, 1, 100_000]
    async with connected(Echo()) as protocol:
        answers = await asyncio.wait_for(asyncio.gather(*(call(protocol, size) for size in sizes)), 60)
    assert answers == [noise(size, size) for size in sizes]


class Bytes(CodecBase):
    """Messages as they are."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        return data


class Doubler:
    """A service of grpclib: takes messages, sends each back twice."""

    async def double(self, stream: Any) -> None:
        splitter = MessageSplitter()
        await stream.send_initial_metadata()
        while data := await receive_data(stream._stream):
            messages = splitter.feed(data)
            await send_data(stream._stream, frame_messages([each * 2 for each in messages]))

    def __mapping__(self) -> dict[str, Any]:
        return {"/t.T/Double": grpclib.const.Handler(self.double, Cardinality.STREAM_STREAM, bytes, bytes)}


async def test_with_the_protocol_of_grpclib_itself():
    """Nothing here needs the shortcut: both ends are grpclib's own."""
    messages = [noise(size) for size in (0, 5, 100_000, 1)]
    async with ChannelFor([Doubler()], codec=Bytes()) as channel:
        stream: Any = channel.request("/t.T/Double", Cardinality.STREAM_STREAM, bytes, bytes)
        async with stream:
            await stream.send_request()
            await send_data(stream._stream, frame_messages(messages))
            await stream.end()
            splitter, found = MessageSplitter(), []
            while data := await receive_data(stream._stream):
                found += splitter.feed(data)
    assert found == [message * 2 for message in messages]


async def test_a_reader_who_stands_still_costs_no_more_than_his_window():
    """Over sockets: a server that sends without end is stopped; reading lets it go on."""
    sent = 0

    class Endless(Echo):
        async def serve(self, stream: Stream, release_stream: Callable[[], None]) -> None:
            nonlocal sent
            await stream.send_headers(ANSWER)
            with contextlib.suppress(StreamOver, ConnectionResetError):
                while True:
                    await send_data(stream, bytes(10_000))
                    sent += 10_000
                    await asyncio.sleep(0)

    window = 300_000
    async with connected(Endless(), window) as protocol:
        stream = protocol.processor.connection.create_stream()
        release = await stream.send_request(HEADERS, _processor=protocol.processor)
        for _ in range(5000):  # turns of the loop: more than the window takes
            await asyncio.sleep(0)
        assert window - 10_000 <= stream.data_received <= window
        assert sent <= window
        total = 0
        while total < 10 * window:
            total += len(await receive_data(stream))
        stream.reset_nowait()
        release()


async def test_data_is_sent_at_once_or_not_at_all():
    pair = Pair()
    stream = await pair.open()
    room = pair.protocol.connection._connection.local_flow_control_window(stream.id or 0)
    pair.wire.take()
    assert not send_data_at_once(stream, noise(room + 1))
    stream.connection.pause_writing()
    assert not send_data_at_once(stream, b"x")
    stream.connection.resume_writing()
    assert pair.wire.take() == b""
    assert send_data_at_once(stream, noise(room))
    assert len(pair.wire.written) > room
    assert not send_data_at_once(stream, b"x")


async def test_what_arrives_is_delivered_at_once_and_acknowledged():
    pair = Pair(window=100_000)
    stream = await pair.open()
    got: list[bytes] = []
    deliver(stream, got.append)
    for at in range(50):
        pair.send(stream, noise(10_000, at))
        assert got[-1] == noise(10_000, at)
    pair.peer.end_stream(stream.id or 0)
    pair.exchange()
    assert await receive_data(stream) == b""
    assert b"".join(got) == b"".join(noise(10_000, at) for at in range(50))
