"""Clients that never stop: HTTP/2 by hand, so that a process of their own is quicker than the server.

Owns: connections, frames, windows, and what was answered. Must not know: what is asked.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, cast

from hpack import Decoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WHOLE = 2**31 - 1
_WINDOW = 65_535
_PIECE = 16_384
_GIVEN_BACK = 2**20
_BREAK = 0.01
"""Seconds before somebody who was cut off comes again."""


Headers = tuple[tuple[str, str], ...]


class Target(NamedTuple):
    """The server to be flooded."""

    port: int
    tls: ssl.SSLContext | None


@dataclass
class Tally:
    """What has come of it."""

    answers: Counter[str] = field(default_factory=Counter)
    """Ends of calls, by status."""
    sent: int = 0
    """Frames, handshakes or connections, where no answers are expected."""
    received: int = 0
    """Bytes."""
    cut_off: int = 0
    """Connections that the server has ended."""


class Request(NamedTuple):
    """A call; a gRPC one unless its headers say something else."""

    path: str
    data: bytes = b""
    """Messages in their frames."""
    headers: Headers = ()
    method: str = "POST"
    ends: bool = True
    """Whether the client's side ends after the data."""


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Encode a frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def greeting(window: int = WHOLE) -> bytes:
    """What a connection begins with: headers come without a dictionary, and calls have this window."""
    settings = struct.pack(">HLHL", 1, 0, 4, window)
    return PREFACE + frame(SETTINGS, settings) + frame(WINDOW_UPDATE, (WHOLE - _WINDOW).to_bytes(4, "big"))


@lru_cache(256)
def header_block(path: str, method: str = "POST", more: Headers = ()) -> bytes:
    """Encode headers, each as a literal that nobody remembers."""
    usual = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "flood")]
    if method == "POST":
        usual += [("te", "trailers"), ("content-type", "application/grpc")]
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in (*usual, *more))


def _text(value: str) -> bytes:
    data, length = value.encode("latin-1"), len(value)
    if length < 127:
        return bytes((length,)) + data
    encoded, rest = bytearray((127,)), length - 127
    while rest > 127:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    return bytes((*encoded, rest)) + data


@lru_cache(1024)
def _status(block: bytes) -> str:
    """The status that a call ends with: of gRPC, or of HTTP."""
    found = {str(name): str(value) for name, value in Decoder().decode(block)}
    return found.get("grpc-status") or found.get(":status", "?")


class _Call:
    def __init__(self, request: Request, window: int) -> None:
        self.left = memoryview(request.data)
        self.window = window
        self.ends = request.ends


class _Connection(asyncio.Protocol):
    """A connection that says hello and knows when it is over."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.paused = False
        self.cut_off = True
        """Whether it is the server that has had enough, when the connection is over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.begin()

    def begin(self) -> None:
        """Say hello."""

    def more(self) -> None:
        """Send what there is to be sent."""

    def data_received(self, data: bytes) -> None:
        self.tally.received += len(data)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.more()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Caller(_Connection):
    """Keeps so many calls open."""

    def __init__(self, tally: Tally, make: Callable[[], Request], in_flight: int, window: int = WHOLE) -> None:
        super().__init__(tally)
        self._make = make
        self._most = in_flight
        self._own_window = window
        self._calls: dict[int, _Call] = {}
        self._next = 1
        self._rest = b""
        self._window, self._call_window = _WINDOW, _WINDOW
        self._taken = 0
        self._greeted = False

    def begin(self) -> None:
        self.transport.write(greeting(self._own_window))

    def more(self) -> None:
        """Open calls, and send what windows and socket take."""
        for stream, call in list(self._calls.items()):
            if self.paused or not self._window:
                break
            self._send(stream, call)
        while self._greeted and not self.paused and len(self._calls) < self._most:
            request = self._make()
            stream, self._next = self._next, self._next + 2
            call = self._calls[stream] = _Call(request, self._call_window)
            block = header_block(request.path, request.method, request.headers)
            over = END_STREAM if request.ends and not request.data else 0
            self.transport.write(frame(HEADERS, block, flags=END_HEADERS | over, stream=stream))
            self._send(stream, call)

    def _send(self, stream: int, call: _Call) -> None:
        while call.left and not self.paused and (size := min(len(call.left), _PIECE, call.window, self._window)) > 0:
            piece, call.left = bytes(call.left[:size]), call.left[size:]
            call.window -= size
            self._window -= size
            over = END_STREAM if call.ends and not call.left else 0
            self.transport.write(frame(DATA, piece, flags=over, stream=stream))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        data, at = self._rest + data, 0
        while len(data) - at >= 9 and len(data) - at - 9 >= (size := int.from_bytes(data[at : at + 3], "big")):
            kind, flags, stream = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big")
            self._take(kind, flags, stream, data[at + 9 : at + 9 + size])
            at += 9 + size
        self._rest = data[at:]
        if self._taken >= _GIVEN_BACK and self._own_window == WHOLE:
            self.transport.write(frame(WINDOW_UPDATE, self._taken.to_bytes(4, "big")))
            self._taken = 0
        self.more()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._taken += len(payload)
            self._ended(stream, flags, "200")
        elif kind == HEADERS:
            self._ended(stream, flags, _status(payload) if flags & END_STREAM else "")
        elif kind == RESET:
            self._ended(stream, END_STREAM, "reset")
        elif kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == PING and not flags & ACK:
            self.transport.write(frame(PING, payload, flags=ACK))
        elif kind == WINDOW_UPDATE and not stream:
            self._window += int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE and (call := self._calls.get(stream)):
            call.window += int.from_bytes(payload, "big")

    def _settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HL", payload, at)
            if name == 4:
                self._call_window = value
        self._greeted = True
        self.transport.write(frame(SETTINGS, flags=ACK))

    def _ended(self, stream: int, flags: int, status: str) -> None:
        if flags & END_STREAM and self._calls.pop(stream, None) is not None:
            self.tally.answers[status] += 1


class Sender(_Connection):
    """Sends frames as fast as they are taken, whatever is answered."""

    def __init__(self, tally: Tally, make: Callable[[int], bytes]) -> None:
        """`make` gives some frames, by how often it was asked."""
        super().__init__(tally)
        self._make = make
        self._number = 0

    def begin(self) -> None:
        self.transport.write(greeting())
        self.more()

    def more(self) -> None:
        """Send some frames, and go on in the next turn."""
        if self.paused or self.transport.is_closing():
            return
        frames = self._make(self._number)
        self._number += 1
        self.tally.sent += 1
        self.transport.write(frames)
        if not self.paused:
            asyncio.get_running_loop().call_soon(self.more)


class Asker(_Connection):
    """Asks for one page over HTTP/1.1."""

    def __init__(self, tally: Tally, request: bytes) -> None:
        super().__init__(tally)
        self._request = request
        self._status = ""
        self.cut_off = False

    def begin(self) -> None:
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._status = self._status or data[9:12].decode("latin-1")

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._status:
            self.tally.answers[self._status] += 1
        super().connection_lost(exc)


class Silent(_Connection):
    """Sends so much and no more."""

    def __init__(self, tally: Tally, first: bytes) -> None:
        super().__init__(tally)
        self._first = first

    def begin(self) -> None:
        self.tally.sent += 1
        self.transport.write(self._first)


Attack = Callable[[Target, Tally], Coroutine[None, None, None]]
"""Goes on until it is cancelled."""


def with_connections(number: int, make: Callable[[Tally], _Connection], *, tls: bool = True) -> Attack:
    """Keep so many connections busy; those that end come again. `tls` False: they never begin TLS."""

    async def attack(target: Target, tally: Tally) -> None:
        await asyncio.gather(*(_keep(target, tally, make, tls=tls) for _ in range(number)))

    return attack


async def _keep(target: Target, tally: Tally, make: Callable[[Tally], _Connection], *, tls: bool) -> None:
    loop = asyncio.get_running_loop()
    while True:
        with suppress(OSError):
            context = target.tls if tls else None
            _, protocol = await loop.create_connection(lambda: make(tally), "127.0.0.1", target.port, ssl=context)
            await protocol.over
            tally.cut_off += protocol.cut_off
        await asyncio.sleep(_BREAK)


def calls(make: Callable[[], Request], *, connections: int = 1, in_flight: int = 200) -> Attack:
    """Make calls without end."""
    return with_connections(connections, lambda tally: Caller(tally, make, in_flight))


def frames(make: Callable[[int], bytes], *, connections: int = 1) -> Attack:
    """Send frames without end."""
    return with_connections(connections, lambda tally: Sender(tally, make))


def pages(path: str, *, at_once: int = 50, body: str = "", more: Sequence[str] = ()) -> Attack:
    """Ask for a page without end, over a connection for each."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: localhost", "Connection: close", *more]
    if body:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    request = "\r\n".join([*lines, "", body]).encode()
    return with_connections(at_once, lambda tally: Asker(tally, request))
