"""A gRPC server that does what a test tells it to, however wrong: real sockets, HTTP/2 frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes

from esdb_lite import AsyncEsdbClient, RetryPolicy
from esdb_lite._rpc.pool import ConnectionPool

ONCE = RetryPolicy(attempts=1)
"""What a single attempt leads to."""
Headers = list[tuple[str, str]]
OK: Headers = [("grpc-status", "0")]


def framed(message: bytes) -> bytes:
    """Return a message with gRPC's prefix."""
    return struct.pack(">BI", 0, len(message)) + message


class FakeCall:
    """One call as the server has it."""

    def __init__(self, peer: FakePeer, stream_id: int, headers: Headers) -> None:
        self.peer = peer
        self.id = stream_id
        self.headers = dict(headers)
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.reset_by_client: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.acknowledge = True

    @property
    def method(self) -> str:
        """The last part of the path."""
        return self.headers[":path"].rpartition("/")[2]

    async def read(self) -> bytes:
        """Return all the client's data, once it has ended its side."""
        whole = b""
        while data := await self.received.get():
            whole += data
        return whole

    def begin(self, **extra: str) -> None:
        """Send the usual response headers; servers say what time it is."""
        date = formatdate(usegmt=True)
        self.send_headers([(":status", "200"), ("content-type", "application/grpc"), ("date", date), *extra.items()])

    def send_headers(self, headers: Headers, *, end: bool = False) -> None:
        """Send headers or trailers."""
        self.peer.h2.send_headers(self.id, headers, end_stream=end)
        self.peer.flush()

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.send_data(framed(message))

    def send_data(self, data: bytes, *, end: bool = False) -> None:
        """Send bytes, which have to fit into the window."""
        size = self.peer.h2.max_outbound_frame_size
        pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        for piece in pieces:
            self.peer.h2.send_data(self.id, piece, end_stream=end and piece is pieces[-1])
        self.peer.flush()

    def finish(self, trailers: Headers | None = None) -> None:
        """End the call with trailers."""
        self.send_headers(trailers or OK, end=True)

    def answer(self, *messages: bytes) -> None:
        """Answer with messages and OK."""
        self.begin()
        for message in messages:
            self.send(message)
        self.finish()

    def fail(self, code: int, text: str = "", trailers: Headers | None = None) -> None:
        """Answer with a status alone, without a body."""
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", str(code))]
        self.send_headers([*headers, ("grpc-message", text), *(trailers or [])], end=True)

    def reset(self, code: int) -> None:
        """Send RST_STREAM."""
        self.peer.h2.reset_stream(self.id, code)
        self.peer.flush()


Handler = Callable[[FakeCall], Awaitable[None]]


class FakePeer(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.calls: dict[int, FakeCall] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.peers.append(self)
        self.h2 = H2Connection(
            H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self.server.max_streams})
        if self.server.on_connect is not None:
            self.server.on_connect(self)
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self.server.deaf:
            return
        try:
            events = self.h2.receive_data(data)
        except ProtocolError:  # a client that speaks something else
            self.transport.close()
            return
        for event in events:
            self.handle(event)
        self.flush()

    def handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            call = self.calls[event.stream_id] = FakeCall(self, event.stream_id, event.headers)  # type: ignore[arg-type]
            self.server.calls.append(call)
            self.server.called.set()
            task = asyncio.ensure_future(self.server.serve(call))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif isinstance(event, DataReceived):
            call = self.calls[event.stream_id]
            call.received.put_nowait(event.data)
            if call.acknowledge:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.calls[event.stream_id].received.put_nowait(b"")
        elif isinstance(event, StreamReset):
            self.calls[event.stream_id].reset_by_client.set_result(int(event.error_code or 0))

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def goaway(self, code: int = 0, *, last: int | None = None, words: bytes = b"") -> None:
        """Say goodbye: streams beyond the last one (default: that has come) are not looked at; the others go on.

        h2 would take the connection for closed, so it is told nothing.
        """
        named = self.h2.highest_inbound_stream_id if last is None else last
        self.flush()
        self.transport.write(struct.pack(">HBBBLLL", 0, 8 + len(words), 7, 0, 0, named, code) + words)

    def limit_streams(self, number: int) -> None:
        """Take another number of streams from now on."""
        self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: number})
        self.flush()

    def drop(self) -> None:
        """Cut the connection."""
        self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)


class FakeServer:
    """Listens on a port of its own; `handler` serves every call."""

    on_connect: Callable[[FakePeer], None] | None = None
    """Called for each connection, before anything else happens on it."""

    def __init__(self, handler: Handler, *, max_streams: int = 100, deaf: bool = False) -> None:
        self.handler = handler
        self.max_streams = max_streams
        self.deaf = deaf
        self.peers: list[FakePeer] = []
        self.calls: list[FakeCall] = []
        self.called = asyncio.Event()
        self.host, self.port = "127.0.0.1", 0

    async def serve(self, call: FakeCall) -> None:
        with contextlib.suppress(H2Error):  # what is sent on a call that the client has ended
            await self.handler(call)

    @property
    def peer(self) -> FakePeer:
        """The last connection."""
        return self.peers[-1]


@asynccontextmanager
async def fake_server(
    handler: Handler, *, max_streams: int = 100, deaf: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeServer]:
    """Run a server for the time of the block."""
    fake = FakeServer(handler, max_streams=max_streams, deaf=deaf)
    listener = await asyncio.get_running_loop().create_server(lambda: FakePeer(fake), fake.host, 0, ssl=tls)
    fake.port = listener.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        listener.close()
        for peer in fake.peers:
            for task in peer.tasks:
                task.cancel()
            peer.transport.abort()
            await peer.lost
        await listener.wait_closed()


@asynccontextmanager
async def served(handler: Handler, retry: RetryPolicy = ONCE) -> AsyncIterator[tuple[FakeServer, AsyncEsdbClient]]:
    """Run a server and a client of it for the time of the block."""
    async with fake_server(handler) as server, AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=retry) as client:
        yield server, client


async def never(call: FakeCall) -> None:
    """Never answer."""
    await asyncio.shield(call.reset_by_client)


def check_closed(node: ConnectionPool) -> None:
    """Check that nothing of a call is left, on either side."""
    assert [link.calls for link in node._links] == [0] * len(node._links)
    for link in node._links:
        assert not link._protocol.processor.streams
