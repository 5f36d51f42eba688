"""One connection of a client: HTTP/2 by prior knowledge, or a health check over HTTP/1.1.

Owns: telling the two apart, keep-alive, and the end of the connection. Must not know: calls, services.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from grpclib.config import Configuration
from grpclib.protocol import EventsProcessor
from h2.config import H2Configuration
from h2.events import Event
from h2.settings import SettingCodes

from esdb_lite._http2.streams import STREAM_WINDOW, FastProtocol, read_moderately
from esdb_lite.server.app.call import plain_headers
from esdb_lite.server.app.calls import ConnectionCalls, plain_status
from esdb_lite.server.app.gathering import GatheringTransport

log = logging.getLogger("esdb_lite.server")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

MAX_CONCURRENT_STREAMS = 4096
"""Calls at once on a connection. (A real server takes 100, and clients let the 101st wait without a word.)"""

KEEPALIVE_AFTER = 10.0
"""Seconds of silence after which the client is asked whether it is there; it has as long to answer."""

_CONNECTION_WINDOW = 64 * 2**20
"""Bytes that a client may send on all its calls together before the server takes them."""

_TLS_HANDSHAKE = b"\x16\x03"
_LAG = 1.0
"""Seconds by which a timer may be late before the fault is looked for here."""

_GREETING_TIMEOUT = 30.0
_MAX_HTTP1_HEADER = 16 * 1024

_H2_CONFIG = H2Configuration(
    client_side=False,
    header_encoding="latin-1",  # decodes whatever comes
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)
_CONFIG = Configuration(
    _keepalive_time=None,
    http2_connection_window_size=_CONNECTION_WINDOW,
    http2_stream_window_size=STREAM_WINDOW,
).__for_server__()


class _Processor(EventsProcessor):
    """Says goodbye before closing, and does not mind events that are of no interest."""

    def process(self, event: Event) -> None:
        if hasattr(self, "processors") and event.__class__ in self.processors:
            super().process(event)

    def close(self, reason: str = "Connection closed") -> None:
        if not self.connection.is_closing():
            self.connection.flush()
        super().close(reason)


class ServerConnection(FastProtocol):
    """The protocol of an accepted socket."""

    def __init__(
        self, calls: ConnectionCalls, made: Callable[[ServerConnection], None], lost: Callable[[ServerConnection], None]
    ) -> None:
        """`made` is told when the connection is there (with TLS, after the handshake), `lost` when it is gone."""
        super().__init__(calls, _CONFIG, _H2_CONFIG)
        self.calls = calls
        calls.cut = self.cut
        self._frozen = False
        self._made = made
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._greeting: bytes | None = b""
        self._asked: float | None = None
        self._due = 0.0

    # --- beginning ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's first bytes: they say which protocol it speaks."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("the server needs a stream transport")
        read_moderately(transport)
        self._transport = GatheringTransport(transport)
        self._made(self)
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(_GREETING_TIMEOUT, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Feed HTTP/2; whatever a peer sends, nothing but its own connection suffers."""
        self._heard = self._loop.time()
        if self._greeting is not None:
            self._greet(data)
            return
        try:
            super().data_received(data)
        except Exception:
            log.debug("a connection is closed for what it sent", exc_info=True)
            self._transport.abort()

    def _greet(self, data: bytes) -> None:
        greeting = (self._greeting or b"") + data
        if greeting.startswith(PREFACE):
            self._begin_http2()
            self.data_received(greeting)
        elif greeting.startswith(_TLS_HANDSHAKE):
            # Who speaks TLS here reads from this answer, as from a real server's, that nobody else does.
            self._answer_http1(b"")
        elif PREFACE.startswith(greeting) or not self._is_complete_http1(greeting):
            self._greeting = greeting
        else:
            self._answer_http1(greeting)

    def _begin_http2(self) -> None:
        self._greeting = None
        super().connection_made(self._transport)
        self.processor = _Processor(self.handler, self.connection)
        self.connection._connection.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS})
        self.connection.flush()
        self._timer.cancel()
        self._due = self._loop.time() + KEEPALIVE_AFTER
        self._timer = self._loop.call_at(self._due, self._keep_alive)

    # --- HTTP/1.1 ---

    @staticmethod
    def _is_complete_http1(request: bytes) -> bool:
        return b"\r\n\r\n" in request or len(request) > _MAX_HTTP1_HEADER

    def _answer_http1(self, request: bytes) -> None:
        words = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        valid = len(words) == 3 and words[2].startswith("HTTP/1.")
        status = plain_status(words[0], words[1]) if valid else 400
        headers = [*plain_headers(), ("content-length", "0"), ("connection", "close")]
        if status == 204:
            headers.remove(("content-length", "0"))
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in headers), "", ""]
        self._transport.write("\r\n".join(lines).encode("latin-1"))
        self._transport.close()

    # --- keep-alive ---

    def _keep_alive(self) -> None:
        now = self._loop.time()
        if self._frozen:
            self._heard = now
        if self._asked is not None and self._heard > self._asked:
            self._asked = None
        if self._asked is not None and now - self._due > _LAG:
            pass  # the loop was busy: the answer may be there and not have been looked at
        elif self._asked is not None:
            self._transport.abort()
            return
        elif now >= self._heard + KEEPALIVE_AFTER and not self._transport.is_closing():
            self._asked = now
            self.connection._connection.ping(b"esdblite")
            self.connection.flush()
        self._due = now + KEEPALIVE_AFTER if self._asked is not None else self._heard + KEEPALIVE_AFTER
        self._timer = self._loop.call_at(self._due, self._keep_alive)

    # --- end ---

    def pause_writing(self) -> None:
        """The socket does not take more for now."""
        if self._greeting is None:
            super().pause_writing()

    def resume_writing(self) -> None:
        """The socket takes more again."""
        if self._greeting is None and not self._frozen:
            super().resume_writing()

    # --- faults ---

    def freeze(self) -> None:
        """Neither read nor write anything until `thaw`, as a process that has been stopped."""
        if not self._frozen:
            self._frozen = True
            self._transport.hold()
            self.pause_writing()

    def thaw(self) -> None:
        """Go on."""
        if self._frozen:
            self._frozen = False
            self._heard = self._loop.time()
            self._transport.go_on()
            self.resume_writing()

    def go_away(self, code: int) -> None:
        """Tell the client to leave; calls go on, new ones are not answered."""
        if self._greeting is None and not self._transport.is_closing():
            self.calls.deaf = True
            self.connection.flush()
            self._transport.write(_GO_AWAY.pack(8, 7, 0, 0, _ALL_STREAMS, code))

    def cut(self) -> None:
        """Close the connection after what has been written, without goodbye."""
        if not self._transport.is_closing():
            self._transport.close()
            self._loop.call_later(_CUT_AFTER, self._transport.abort)

    def break_off(self) -> None:
        """End the connection at once, with a reset where the system can do that."""
        with suppress(OSError, AttributeError):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def say_goodbye(self) -> None:
        """Tell the client that the connection ends, and end it once everything is sent. Calls must have ended."""
        if self._greeting is None and not self.connection.is_closing():
            self.connection._connection.close_connection()
            self.connection.flush()
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""
        self._timer.cancel()
        # Python 3.10 warns of a TLS transport that was closed by its peer alone.
        self._transport.abort()
        if self._greeting is None:
            super().connection_lost(exc)
        self._lost(self)


_GO_AWAY = struct.Struct(">xHBBLLL")
"""Length (its third byte is 0), type, flags, stream; last stream, code."""
_ALL_STREAMS = 2**31 - 1
_RESET = struct.pack("ii", 1, 0)
"""Linger, for no time: what is in the system's buffers is thrown away."""
_CUT_AFTER = 1.0
"""Seconds that a client gets to take what was written before its connection was cut."""

_REASONS = {204: "No Content", 400: "Bad Request", 404: "Not Found", 415: "Unsupported Media Type"}
