"""Bytes through HTTP/2 streams: nothing lost or out of order, windows obeyed, the same with shortcuts as without."""

from __future__ import annotations

import asyncio
import importlib.metadata
import random
from collections.abc import Callable
from typing import Any

import pytest
from grpclib.client import Handler
from grpclib.config import Configuration
from grpclib.protocol import H2Protocol, Stream
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes
from h2.stream import StreamState
from hypothesis import given, settings
from hypothesis import strategies as st

from esdb_lite._rpc import fast
from esdb_lite._rpc.fast import FastProtocol, knows
from esdb_lite._rpc.transport import CONNECTION_WINDOW, STREAM_WINDOW, new_protocol, receive_data, send_data

HEADERS = [(":method", "POST"), (":scheme", "http"), (":path", "/s/m"), (":authority", "a"), ("te", "trailers")]
ANSWER = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]


class Wire(asyncio.Transport):
    """A socket that remembers what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def take(self) -> bytes:
        data = bytes(self.written)
        self.written.clear()
        return data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Pair:
    """A client's connection that is tested, and a peer that is plain h2, with nothing in between."""

    def __init__(self, protocol: type[H2Protocol] = FastProtocol, *, window: int = 2**20, connection: int = 2**20):
        config = Configuration(http2_stream_window_size=window, http2_connection_window_size=connection)
        h2_config = H2Configuration(client_side=True, header_encoding="ascii")
        self.wire = Wire()
        self.protocol = protocol(Handler(), config.__for_client__(), h2_config)
        self.protocol.connection_made(self.wire)
        self.peer = H2Connection(H2Configuration(client_side=False, header_encoding="ascii"))
        self.peer.initiate_connection()
        self.exchange()

    def exchange(self) -> list[Any]:
        """Let both sides have what the other has written; return what the peer has seen."""
        events = []
        while (theirs := self.peer.data_to_send()) or self.wire.written:
            if theirs:
                self.protocol.data_received(theirs)
            events += self.peer.receive_data(self.wire.take())
        return events

    async def open(self, *, answered: bool = True) -> Stream:
        """Open a stream; the peer answers with headers."""
        stream = self.protocol.processor.connection.create_stream()
        self.forget = await stream.send_request(HEADERS, _processor=self.protocol.processor)
        self.exchange()
        if answered:
            assert stream.id is not None
            self.peer.send_headers(stream.id, ANSWER)
            self.exchange()
        return stream

    def send(self, stream: Stream, data: bytes, *, step: int = 16_384) -> None:
        """Send data from the peer, as much as its window takes."""
        assert stream.id is not None
        for at in range(0, len(data), step):
            self.peer.send_data(stream.id, data[at : at + step])
        self.exchange()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


# --- grpclib and h2 are as this module knows them -------------------------------------------------------------------


def test_the_version_of_grpclib_is_one_whose_insides_are_known():
    major, minor, patch = (int(part) for part in importlib.metadata.version("grpclib").split(".")[:3])
    assert (major, minor) == (0, 4)
    assert patch >= 9


async def test_the_names_inside_are_there():
    pair = Pair()
    stream = await pair.open()
    assert knows(pair.protocol.connection._connection)
    assert pair.protocol._fast
    assert pair.protocol._takes(stream.id)
    for name in ("_unacked", "_eof", "add", "eof"):
        assert hasattr(stream.buffer, name)
    assert hasattr(stream, "_h2_connection")
    assert isinstance(new_protocol(Handler(), Configuration(), H2Configuration()), FastProtocol)


async def test_without_those_names_everything_goes_to_h2(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fast, "knows", lambda h2: False)
    monkeypatch.setattr(FastProtocol, "_receive", None)
    pair = Pair()
    stream = await pair.open()
    pair.send(stream, b"abc")
    assert await receive_data(stream) == b"abc"


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


# --- what is not allowed --------------------------------------------------------------------------------------------


def frame(size: int, kind: int, flags: int, stream_id: int, payload: bytes | None = None) -> bytes:
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + (payload or b"\0" * size)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(16_385, 0, 0, 1, b"\0"), 6),  # FRAME_SIZE_ERROR, before the frame is there
        (frame(16_385, 77, 0, 0, b"\0"), 6),
        (frame(5, 0, 0, 0), 1),  # data without a stream
        (frame(5, 0, 0, 7), 1),  # data on a stream that was never opened
        (frame(10_000, 0, 0, 1) * 11, 3),  # FLOW_CONTROL_ERROR
        (frame(3, 9, 4, 1), 1),  # a continuation of nothing
        (frame(1, 1, 0, 1, b"\x88") + frame(5, 0, 0, 1), 1),  # data amid a block of headers
    ],
)
async def test_a_peer_that_breaks_the_protocol_is_told_and_left(sent: bytes, code: int):
    pair = Pair(window=100_000, connection=200_000)
    await pair.open()
    pair.protocol.data_received(sent)
    assert pair.wire.closed
    goaway = bytes(pair.wire.written)[-17:]
    assert goaway[3] == 7
    assert goaway[-4:] == code.to_bytes(4, "big")
    pair.protocol.data_received(frame(5, 0, 0, 1))  # is ignored


async def test_data_before_headers_is_refused():
    pair = Pair()
    await pair.open(answered=False)
    pair.protocol.data_received(frame(5, 0, 0, 1))
    assert pair.wire.closed


# --- the shortcut does what h2 does ---------------------------------------------------------------------------------

Action = Callable[[H2Connection, int], None]


def goes_on(h2: H2Connection, stream_id: int) -> bool:
    stream = h2.streams.get(stream_id)
    return stream is not None and stream.state_machine.state is StreamState.OPEN


ACTIONS: list[Action] = [
    lambda h2, id: h2.send_data(id, noise(300, id)),
    lambda h2, id: h2.send_data(id, noise(3, id) * 1000),
    lambda h2, id: h2.send_data(id, b""),
    lambda h2, id: h2.send_data(id, noise(30, id), pad_length=9),
    lambda h2, id: h2.send_data(id, noise(30, id), end_stream=True),
    lambda h2, id: h2.send_headers(id, TRAILERS, end_stream=True),
    lambda h2, id: h2.reset_stream(id, 8),
    lambda h2, id: h2.ping(b"12345678"),
    lambda h2, id: h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 70_000 + id}),
    lambda h2, id: h2.increment_flow_control_window(1000 + id),
    lambda h2, id: h2.increment_flow_control_window(1000 + id, id),
]


async def conversation(protocol: type[H2Protocol], script: list[tuple[int, int]], cuts: list[int]) -> list[object]:
    """Play a script of (stream, action) to a connection, in pieces of these sizes; return all that can be seen."""
    pair = Pair(protocol, window=2**20, connection=2**22)
    streams = [await pair.open() for _ in range(3)]
    ids = [stream.id or 0 for stream in streams]
    for which, action in script:
        if goes_on(pair.peer, ids[which]):
            ACTIONS[action](pair.peer, ids[which])
    data = pair.peer.data_to_send()
    at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        pair.protocol.data_received(data[at : at + size])
        at, turn = at + size, turn + 1
    seen: list[object] = []
    for stream in streams:
        received = b""
        while any(chunk.data for chunk in stream.buffer._unacked._queue):  # type: ignore[attr-defined]
            received += await receive_data(stream)
        inner = pair.protocol.connection._connection.streams.get(stream.id or 0)
        window = None if inner is None or inner.closed else inner._inbound_window_manager.current_window_size
        seen += [received, stream.buffer._eof, stream.trailers, window, stream.data_received]
        seen.append(stream.window_updated.is_set())
    h2 = pair.protocol.connection._connection
    seen += [h2._inbound_flow_control_window_manager.current_window_size, h2.outbound_flow_control_window]
    seen += [pair.wire.closed, bytes(pair.wire.written)]
    return seen


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, len(ACTIONS) - 1)), max_size=40),
    st.lists(st.sampled_from([1, 2, 8, 9, 10, 100, 313, 5000, 100_000]), min_size=1, max_size=5),
)
def test_the_shortcut_changes_nothing(script: list[tuple[int, int]], cuts: list[int]):
    async def both() -> None:
        assert await conversation(FastProtocol, script, cuts) == await conversation(H2Protocol, script, cuts)

    asyncio.run(both())


async def test_the_shortcut_is_taken(monkeypatch: pytest.MonkeyPatch):
    pair = Pair()
    stream = await pair.open()
    monkeypatch.setattr(FastProtocol, "_feed", None)
    for at in range(30):
        pair.peer.send_data(stream.id, noise(1000, at))
    data = pair.peer.data_to_send()
    for at in range(0, len(data), 700):
        pair.protocol.data_received(data[at : at + 700])
    assert await receive_data(stream) == b"".join(noise(1000, at) for at in range(30))


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
    with pytest.raises(StreamClosedError):
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


async def test_megabytes_there_and_back_on_several_streams():
    config = Configuration(http2_stream_window_size=STREAM_WINDOW, http2_connection_window_size=CONNECTION_WINDOW)
    served, echo = H2Configuration(client_side=False, header_encoding="ascii"), Echo()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: new_protocol(echo, config.__for_client__(), served), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    asked = H2Configuration(client_side=True, header_encoding="ascii")
    wire, protocol = await loop.create_connection(
        lambda: new_protocol(Handler(), config.__for_client__(), asked), host, port
    )
    assert isinstance(protocol, FastProtocol)

    async def call(size: int) -> bytes:
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
    assert await asyncio.wait_for(asyncio.gather(*map(call, sizes)), 60) == [noise(size, size) for size in sizes]
    wire.close()
    server.close()
    await server.wait_closed()
