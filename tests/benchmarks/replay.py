"""A server that answers every Streams/Read with prepared events as fast as the connection takes them.

    python -m tests.benchmarks.replay EVENTS DATA_BYTES

Prints its port. It costs next to nothing, so that what is measured against it is the client. It frames as EventStoreDB
does (about nine events of half a kilobyte in a DATA frame of 4.2 KB) and obeys flow control. Subscriptions are
confirmed and get the same events; after these nothing more comes. Other calls get an empty
message (Gossip/Read) or UNIMPLEMENTED, which is enough for clients to connect.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import uuid

from hpack import Decoder, Encoder

from esdb_lite._wire.framing import MessageSplitter, frame
from esdb_lite._wire.read_request import decode_read_request
from esdb_lite._wire.read_response_encode import encode_confirmation, encode_event, encode_record

FRAME_SIZE = 4230
WRITE_SIZE = 65_536
PREFACE_SIZE = 24
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITY = 4, 8, 32
INITIAL_WINDOW_SIZE = 4


def prepare(count: int, size: int) -> list[bytes]:
    """Return the DATA payloads for that many events with that much data each."""
    payloads, payload = [], bytearray()
    for revision in range(count):
        position = 1_000_000 + revision * 300
        record = encode_record(
            id=uuid.uuid4().bytes,
            structured=False,
            stream="order-1f0a9b7e-aaaa-bbbb-cccc-1234567890ab",
            revision=revision,
            position=position,
            type="OrderCreated",
            is_json=True,
            created=17_954_719_830_065_030 + revision,
            metadata=b'{"$correlationId":"abc","user":"me"}',
            data=b'{"padding":"' + os.urandom((size - 14) // 2).hex().encode() + b'"}',
        )
        payload += frame([encode_event(record, None, position)])
        if len(payload) >= FRAME_SIZE:
            payloads.append(bytes(payload))
            payload.clear()
    return [*payloads, bytes(payload)] if payload else payloads


def http2(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class Answer:
    """A read that is being answered, from the moment when all of its request is there."""

    def __init__(self, window: int, payloads: list[bytes]) -> None:
        self.payloads = payloads
        self.sent = 0
        self.window = window
        self.request = MessageSplitter()
        self.begun = self.endless = False

    def ask(self, data: bytes) -> None:
        """Take a part of the request."""
        for message in self.request.feed(data):
            wanted = decode_read_request(message)
            self.begun, self.endless = True, wanted is not None and wanted.subscription
            if self.endless:
                self.payloads = [frame([encode_confirmation("replay")]), *self.payloads]

    @property
    def ended(self) -> bool:
        return self.begun and not self.endless and self.sent == len(self.payloads)


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, payloads: list[bytes]) -> None:
        self.payloads = payloads
        self.encoder, self.decoder = Encoder(), Decoder()
        self.buffer = bytearray()
        self.greeted = self.paused = False
        self.window = self.initial_window = 65_535
        self.answers: dict[int, Answer] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(http2(SETTINGS, 0, 0, struct.pack(">HIHI", 3, 100, 4, 786_432)))
        transport.write(http2(WINDOW_UPDATE, 0, 0, (983_041).to_bytes(4, "big")))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pump()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.greeted:
            if len(self.buffer) < PREFACE_SIZE:
                return
            del self.buffer[:PREFACE_SIZE]
            self.greeted = True
        while len(self.buffer) >= 9:
            size = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + size:
                break
            kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
            payload = bytes(self.buffer[9 : 9 + size])
            del self.buffer[: 9 + size]
            self.receive(kind, flags, stream, payload)
        self.pump()

    def receive(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.settings(payload)
        elif kind == WINDOW_UPDATE:
            self.credit(stream, int.from_bytes(payload, "big"))
        elif kind == PING and not flags & ACK:
            self.transport.write(http2(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self.answers.pop(stream, None)
        elif kind == HEADERS:
            self.answer(stream, self.path(flags, payload))
        elif kind == DATA and payload:
            self.transport.write(http2(WINDOW_UPDATE, 0, 0, len(payload).to_bytes(4, "big")))
            if stream in self.answers:
                self.answers[stream].ask(payload)

    def settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                for answer in self.answers.values():
                    answer.window += value - self.initial_window
                self.initial_window = value
        self.transport.write(http2(SETTINGS, ACK, 0))

    def credit(self, stream: int, size: int) -> None:
        if stream == 0:
            self.window += size
        elif stream in self.answers:
            self.answers[stream].window += size

    def path(self, flags: int, payload: bytes) -> str:
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if flags & PRIORITY:
            payload = payload[5:]
        headers = {str(name): str(value) for name, value in self.decoder.decode(payload)}
        return headers[":path"]

    def answer(self, stream: int, path: str) -> None:
        headers = self.encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
        self.transport.write(http2(HEADERS, END_HEADERS, stream, headers))
        if path.endswith("streams.Streams/Read"):
            self.answers[stream] = Answer(self.initial_window, self.payloads)
        elif path.endswith("Gossip/Read"):
            self.transport.write(http2(DATA, 0, stream, frame([b""])))
            self.finish(stream, "0")
        else:
            self.finish(stream, "12")

    def finish(self, stream: int, status: str) -> None:
        trailers = self.encoder.encode([("grpc-status", status)])
        self.transport.write(http2(HEADERS, END_HEADERS | END_STREAM, stream, trailers))

    def pump(self) -> None:
        """Send of every answer what windows and socket take."""
        for stream, answer in [*self.answers.items()]:
            while not self.paused and (data := self.next_frames(stream, answer)):
                self.transport.write(data)
            if answer.ended:
                del self.answers[stream]
                self.finish(stream, "0")

    def next_frames(self, stream: int, answer: Answer) -> bytes:
        out = bytearray()
        while len(out) < WRITE_SIZE and answer.begun and answer.sent < len(answer.payloads):
            payload = answer.payloads[answer.sent]
            if len(payload) > min(self.window, answer.window):
                break
            out += http2(DATA, 0, stream, payload)
            self.window -= len(payload)
            answer.window -= len(payload)
            answer.sent += 1
        return bytes(out)


async def serve(count: int, size: int) -> None:
    payloads = prepare(count, size)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(payloads), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
