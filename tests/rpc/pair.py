"""A connection to be tested and a peer, with nothing in between but bytes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from grpclib.client import Handler
from grpclib.config import Configuration
from grpclib.protocol import H2Protocol, Stream
from h2.config import H2Configuration
from h2.connection import H2Connection

from esdb_lite._http2.protocol import FastProtocol

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
