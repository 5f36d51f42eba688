"""The shorter way for headers does what h2 would do: both are told the same, and write the same."""

from __future__ import annotations

import asyncio
import importlib.metadata
import random
from collections.abc import Callable
from types import NoneType
from typing import Any

import pytest
from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Stream
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error
from hpack import Encoder

from esdb_lite._http2 import protocol, server
from esdb_lite._http2.client import ClientProtocol, NoStreamLeft
from esdb_lite._http2.header_blocks import BlockMemory
from esdb_lite._http2.protocol import FastProtocol
from esdb_lite._http2.quick_headers import QuickHeaders
from esdb_lite._http2.streams import StreamOver, receive_data, send_data, send_headers
from tests.rpc.pair import ANSWER, HEADERS, TRAILERS, Wire
from tests.rpc.test_random_frames import frame as nonsense

REQUESTS = [HEADERS, HEADERS, HEADERS, [*HEADERS, ("x", "1")], [*HEADERS, ("content-length", "3")]]
ANSWERS = [
    ANSWER,
    ANSWER,
    ANSWER,
    [*ANSWER, ("x", "2")],
    [(":status", "404")],
    [(":status", "103")],
    [*ANSWER, ("content-length", "3")],
]
ENDS = [TRAILERS, TRAILERS, [("grpc-status", "5"), ("grpc-message", "no")]]


class Log(AbstractHandler):
    """What a connection tells, of a server or a client."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.streams: list[Stream] = []

    def accept(self, stream: Stream, headers: Any, release_stream: Callable[[], None]) -> None:
        self.told.append(("accept", stream.id, [tuple(pair) for pair in headers]))
        self.streams.append(stream)

    def cancel(self, stream: Stream) -> None:
        self.told.append(("cancel", stream.id))

    def close(self) -> None:
        self.told.append("close")

    def answered(self) -> None:
        self.told.append("answered")

    def ended(self) -> None:
        self.told.append("ended")

    def reset(self, code: int) -> None:
        self.told.append(("reset", code))

    def lost(self, reason: str) -> None:
        self.told.append(("lost", reason.partition(":")[0]))  # h2 finds different words for what it has met elsewhere

    def refused(self, reason: str) -> None:
        self.told.append(("refused", reason))

    def forewarned(self, reason: str) -> None:
        self.told.append(("forewarned", reason))


class Side:
    """One end of a connection, that takes the shorter way or does not."""

    def __init__(self, made: FastProtocol, log: Log) -> None:
        self.log, self.wire = log, Wire()
        self.protocol = made
        made.connection_made(self.wire)

    @classmethod
    def server(cls) -> Side:
        log = Log()
        return cls(FastProtocol(log, Configuration().__for_server__(), server._H2_CONFIGURATION), log)

    @classmethod
    def client(cls) -> Side:
        return cls(ClientProtocol(), Log())

    def seen(self) -> object:
        """All that anybody can see of it."""
        h2 = self.protocol.connection._connection
        streams = []
        for stream in self.log.streams:
            inner = h2.streams.get(stream.id or 0)
            machine = None if inner is None or inner.closed else inner.state_machine
            streams.append(
                (
                    stream.headers and [tuple(pair) for pair in stream.headers],
                    stream.trailers and [tuple(pair) for pair in stream.trailers],
                    b"".join(piece.data for piece in stream.buffer._unacked._queue),
                    stream.buffer._eof,
                    machine and (machine.state, machine.headers_sent, machine.headers_received),
                    machine and (inner.outbound_flow_control_window, stream.window_updated.is_set()),
                    h2._stream_closed_by(stream.id or 0) if machine is None else None,
                )
            )
        windows = h2.inbound_flow_control_window, h2.outbound_flow_control_window
        return self.log.told, streams, h2.highest_inbound_stream_id, windows, self.wire.closed

    async def send(self, number: int, headers: Any, data: bytes, end: bool) -> object:
        """Send something on a stream; what that has raised, if anything."""
        stream = self.log.streams[number]
        sends = send_data(stream, data, end=end) if headers is None else send_headers(stream, headers, end=end)
        task = asyncio.ensure_future(sends)
        await asyncio.sleep(0)
        task.cancel()  # if it waits, it has to wait on both sides
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(result, (StreamOver, ConnectionResetError, asyncio.CancelledError, NoneType)):
            raise result
        return type(result)

    def open(self, headers: Any) -> object:
        try:
            self.log.streams.append(self.protocol.open_stream(self.log, headers))  # type: ignore[attr-defined]
        except NoStreamLeft as error:
            return str(error)
        self.protocol.flush()  # type: ignore[attr-defined]
        return None


def both(make: Callable[[], Side], monkeypatch: pytest.MonkeyPatch) -> tuple[Side, Side]:
    quick = make()
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "short_way_is_known", lambda: False)
        plain = make()
    assert quick.protocol._headers is not None
    assert plain.protocol._headers is None

    def receive(data: bytes) -> bool:
        plain.protocol._feed(data)
        return True

    plain.protocol._fast = True  # as far as errors are concerned
    monkeypatch.setattr(plain.protocol, "_receive", receive)
    return quick, plain


class Peer:
    """What is at the other end of both: plain h2, and now and then nonsense."""

    def __init__(self, rng: random.Random, sides: tuple[Side, Side], *, client: bool) -> None:
        self.rng, self.sides = rng, sides
        self.h2 = H2Connection(H2Configuration(client_side=client, header_encoding="latin-1"))
        self.h2.config.validate_outbound_headers = self.h2.config.normalize_outbound_headers = False
        self.h2.initiate_connection()
        self.exchange()

    def exchange(self, extra: bytes = b"") -> None:
        """Give both sides the same, in the same pieces; they have to tell and write the same."""
        for data in (self.h2.data_to_send(), extra):  # h2 does not tell what it has taken together with nonsense
            at = 0
            while at < len(data):
                size = self.rng.choice([1, 9, 10, 40, len(data)])
                for side in self.sides:
                    side.protocol.data_received(data[at : at + size])
                at += size
        quick, plain = self.sides
        assert quick.seen() == plain.seen()
        written = quick.wire.take()
        # h2 forgets at other times what has ended, and then another number says that there is nothing of the kind
        end = -4 if quick.wire.closed else None
        assert written[:end] == plain.wire.take()[:end]
        try:
            self.h2.receive_data(written)
        except (H2Error, AttributeError):
            quick.wire.closed = plain.wire.closed = True

    def act(self) -> None:
        """Do something that a peer may do, or something that it must not do."""
        rng, h2 = self.rng, self.h2
        stream_id = rng.choice([*h2.streams, 1]) if rng.random() < 0.7 else h2.highest_outbound_stream_id + 2
        try:
            match rng.randrange(11):
                case 0 | 1 | 2 if h2.config.client_side:
                    stream_id = h2.get_next_available_stream_id()
                    h2.send_headers(stream_id, rng.choice(REQUESTS), end_stream=rng.random() < 0.2)
                case 0 | 1 | 2:
                    h2.send_headers(stream_id, rng.choice(ANSWERS), end_stream=rng.random() < 0.1)
                case 3 | 4:
                    h2.send_data(stream_id, b"abc"[: rng.choice([0, 3, 3])], end_stream=rng.random() < 0.5)
                case 5:
                    h2.send_headers(stream_id, rng.choice(ENDS), end_stream=True)
                case 6:
                    h2.send_data(stream_id, b"x", end_stream=rng.random() < 0.5, pad_length=rng.choice([0, 4]))
                case 7:
                    h2.reset_stream(stream_id, rng.choice([0, 8]))
                case 8:
                    h2.update_settings({1: rng.choice([0, 100, 4096])})  # of the table of headers
                case 9 | 10:
                    more = rng.choice([1, 1000, 2**30])
                    h2.increment_flow_control_window(more, rng.choice([None, stream_id]))
        except (H2Error, KeyError):
            pass
        self.exchange(self._nonsense() if rng.random() < 0.04 else b"")

    def _nonsense(self) -> bytes:
        """A frame of headers, or one that opens a window, that may be all right, or anything."""
        if self.rng.random() < 0.3:
            more = self.rng.choice([b"\0\0\0\0", b"\x80\0\0\1", b"\x7f\xff\xff\xff", b"\0\0\0\0\1"])
            number = self.rng.choice([0, 1, 3, 201]).to_bytes(4, "big")
            return len(more).to_bytes(3, "big") + bytes((8, self.rng.choice([0, 1]))) + number + more
        if self.rng.random() < 0.4:
            made = nonsense(self.rng)
            return (len(made) - 9).to_bytes(3, "big") + made[3:]
        block = b"\x83\x86\x88"[: self.rng.randrange(4)]
        flags, stream_id = self.rng.choice([0, 1, 4, 5, 5, 0x24, 0x0C]), self.rng.choice([0, 1, 2, 3, 9, 201])
        return len(block).to_bytes(3, "big") + bytes((1, flags)) + stream_id.to_bytes(4, "big") + block


@pytest.mark.parametrize("seeds", [range(at, at + 60) for at in range(0, 300, 60)], ids=str)
async def test_a_server_does_what_it_does_with_h2_alone(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        sides = both(Side.server, monkeypatch)
        peer = Peer(rng, sides, client=True)
        for _ in range(rng.randrange(5, 60)):
            if sides[0].wire.closed:
                break
            peer.act()
            if sides[0].log.streams and rng.random() < 0.6:
                number = rng.randrange(len(sides[0].log.streams))
                headers = rng.choice([None, *ANSWERS, *ENDS, *ENDS])
                data, end = b"answer"[: rng.choice([0, 6])], rng.random() < 0.5 or headers in ENDS
                raised = [await side.send(number, headers, data, end) for side in sides]
                assert raised[0] == raised[1]
                peer.exchange()


@pytest.mark.skipif(importlib.metadata.version("h2") < "4", reason="h2 fails before version 4, depending on the time")
@pytest.mark.parametrize("seeds", [range(at, at + 60) for at in range(0, 300, 60)], ids=str)
async def test_a_client_does_what_it_does_with_h2_alone(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        sides = both(Side.client, monkeypatch)
        peer = Peer(rng, sides, client=False)
        for _ in range(rng.randrange(5, 60)):
            if sides[0].wire.closed:
                break
            if rng.random() < 0.3:
                headers = rng.choice(REQUESTS)
                raised = [side.open(headers) for side in sides]
                assert raised[0] == raised[1]
            elif sides[0].log.streams and rng.random() < 0.4:
                number, end = rng.randrange(len(sides[0].log.streams)), rng.random() < 0.5
                data = b"request"[: rng.choice([0, 7])]
                raised = [await side.send(number, None, data, end) for side in sides]
                assert raised[0] == raised[1]
            else:
                peer.act()
            peer.exchange()


# --- it is taken, and what it remembers -------------------------------------------------------------------------------


async def test_an_ordinary_call_goes_past_h2_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        client, serving = Side.client(), Side.server()
        for _ in range(3):  # settings, and their acknowledgements
            serving.protocol.data_received(client.wire.take())
            client.protocol.data_received(serving.wire.take())
        for number in range(300):  # more than h2 is to know at a time
            if number == 1:  # after the first, the connection is open for h2
                for name in ("send_headers", "send_data", "receive_data"):
                    patch.setattr(H2Connection, name, None)
            if number == 90:
                patch.undo()  # it has to look which of them have ended
            client.open(HEADERS)
            await client.send(number, None, b"request", True)
            window = wider(0, len(b"answer")) if number else b""  # what the last answer has taken
            serving.protocol.data_received(client.wire.take() + window)
            await serving.send(number, ANSWER, b"", False)
            await serving.send(number, None, b"answer", False)
            await serving.send(number, TRAILERS, b"", True)
            client.protocol.data_received(serving.wire.take())
    assert client.log.told == ["answered", "ended"] * 300
    assert all(stream.trailers == TRAILERS and stream.buffer._eof for stream in client.log.streams)
    assert len(client.protocol.connection._connection.streams) <= 256


def wider(stream_id: int, more: int) -> bytes:
    """A frame that opens a window."""
    return b"\0\0\4\x08\0" + stream_id.to_bytes(4, "big") + more.to_bytes(4, "big")


async def test_frames_behind_data_of_the_same_stream_are_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, plain = both(Side.server, monkeypatch)
    peer = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
    peer.initiate_connection()
    peer.send_headers(1, HEADERS)
    peer.send_data(1, b"abc")
    begun = peer.data_to_send() + wider(1, 5)
    peer.send_data(1, b"def")
    more = b"\0\0\3\1\0\0\0\0\1abc"  # of headers that do not end
    sent = begun + peer.data_to_send() + more
    for side in (quick, plain):
        side.protocol.data_received(sent)
    assert quick.seen() == plain.seen()
    assert not quick.wire.closed
    (stream,) = quick.log.streams
    assert await receive_data(stream) == b"abcdef"


@pytest.mark.parametrize("changed", ["an entry", "its size"])
def test_a_block_means_nothing_any_more_when_the_table_has_changed(changed: str) -> None:
    encoder = Encoder()
    made: list[tuple[tuple[str, str], ...]] = []

    def make(headers: tuple[tuple[str, str], ...]) -> bytes:
        made.append(headers)
        return bytes(encoder.encode(headers))

    memory = BlockMemory(encoder.header_table, make)
    headers = (("a", "b"), (":method", "POST"))
    blocks = [memory.get(headers) for _ in range(3)]
    assert len(made) == 2  # the first has put an entry into the table
    assert blocks[0] != blocks[1] == blocks[2] == b"\xbe\x83"
    if changed == "an entry":
        encoder.encode([("c", "d")])
        assert memory.get(headers) == b"\xbf\x83"
    else:
        encoder.header_table_size = 0
        encoder.header_table.resized = False
        assert memory.get(headers) != b"\xbe\x83"


async def test_it_is_for_connections_whose_headers_h2_leaves_alone() -> None:
    made = FastProtocol(Log(), Configuration().__for_server__(), H2Configuration(client_side=False))
    made.connection_made(Wire())
    assert made._headers is None
    assert isinstance(Side.server().protocol._headers, QuickHeaders)
