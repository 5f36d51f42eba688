"""A client that does as it is told, however wrong: HTTP/2 by hand over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection

from esdb_lite._wire.framing import MessageSplitter, frame
from esdb_lite.server.app import Route, RpcServer
from esdb_lite.server.handlers import Handler, ServerCall
from tests.support import PATIENCE


async def echo(call: ServerCall) -> None:
    """Send back what comes."""
    while messages := await call.receive():
        await call.send(messages)


@dataclass
class Answer:
    """What a stream has been answered so far."""

    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> tuple[str | None, str | None]:
        """Status and message, wherever they came."""
        both = {**self.headers, **self.trailers}
        return both.get("grpc-status"), both.get("grpc-message")

    @property
    def messages(self) -> list[bytes]:
        """The messages that have arrived."""
        return MessageSplitter().feed(self.data)


class RawClient:
    """A connection. `acknowledge` False: it takes data and never opens the window again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.h2 = H2Connection(
            H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.acknowledge = True
        self.goodbye = False
        self.goodbye_code: int | None = None
        self.pings = 0
        self.pongs = 0
        self.raw = b""
        self.flush()

    def flush(self) -> None:
        """Send what h2 has."""
        self._writer.write(self.h2.data_to_send())

    def write(self, data: bytes) -> None:
        """Send bytes of one's own."""
        self._writer.write(data)

    def open(self, path: str, *, more: Sequence[tuple[str, str]] = (), end: bool = False, method: str = "POST") -> int:
        """Open a stream."""
        stream = self.open_unsent(path, more=more, end=end, method=method)
        self.flush()
        return stream

    def open_unsent(
        self, path: str, *, more: Sequence[tuple[str, str]] = (), end: bool = False, method: str = "POST"
    ) -> int:
        """Open a stream; its headers are sent with what is sent next."""
        stream = self.h2.get_next_available_stream_id()
        usual = {":method": method, ":scheme": "http", ":path": path, ":authority": "test"}
        usual |= {"te": "trailers", "content-type": "application/grpc"} | dict(more)
        self.h2.send_headers(stream, list(usual.items()), end_stream=end)
        self.answers[stream] = Answer()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send data as it is."""
        self.h2.send_data(stream, data, end_stream=end)
        self.flush()

    async def call(self, path: str, *messages: bytes, more: Sequence[tuple[str, str]] = ()) -> Answer:
        """Make a whole call."""
        stream = self.open(path, more=more)
        self.send(stream, frame(messages), end=True)
        return await self.ended(stream)

    async def ended(self, stream: int) -> Answer:
        """Wait for the end of a stream."""
        answer = self.answers[stream]
        while not answer.ended and answer.reset is None:
            await self.more()
        return answer

    async def more(self) -> None:
        """Take the next bytes. Raises EOFError when the server has closed the connection."""
        data = await asyncio.wait_for(self._reader.read(65536), PATIENCE)
        if not data:
            raise EOFError
        if self.goodbye:
            self.raw += data  # h2 takes nothing more
            return
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.answers[event.stream_id].headers.update(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            self.answers[event.stream_id].trailers.update(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.answers[event.stream_id].data += event.data
            if self.acknowledge:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answers[event.stream_id].ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.answers[event.stream_id].reset = int(event.error_code)
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goodbye = True
            self.goodbye_code = int(event.error_code or 0)

    async def until_closed(self) -> None:
        """Wait until the server closes the connection."""
        try:
            while True:
                await self.more()
        except (EOFError, ConnectionError):
            pass

    async def close(self) -> None:
        """Close the socket."""
        self._writer.close()
        with suppress(ConnectionError):  # the server may have cut it off before
            await self._writer.wait_closed()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawClient]:
    """A connection to a port of this machine."""
    client = RawClient(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def serving(handler: Handler, *, max_message: int = 1000) -> AsyncIterator[tuple[RawClient, RpcServer, int]]:
    """A server with one method, `/s/M`, and a client of it."""
    server = RpcServer({"/s/M": Route(handler, max_message)})
    port = await server.start("127.0.0.1", 0)
    try:
        async with connected(port) as client:
            yield client, server, port
    finally:
        await server.stop()
