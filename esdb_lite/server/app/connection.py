"""One connection of a client: HTTP/2 by prior knowledge, or a request for a page over HTTP/1.1.

Owns: telling the two apart, keep-alive, and the end of the connection. Must not know: calls, services, who serves
HTTP/1.1 where the server has somebody for that.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import cast

from esdb_lite._http2.gathering import GatheringTransport
from esdb_lite._http2.keepalive import KeepAlive
from esdb_lite._http2.protocol import read_moderately
from esdb_lite._http2.server import PREFACE, Crowd, ServerProtocol
from esdb_lite.server.app.call import plain_headers
from esdb_lite.server.app.calls import ConnectionCalls
from esdb_lite.server.app.plain import PlainAnswer, PlainHttp

log = logging.getLogger("esdb_lite.server")

KEEPALIVE = KeepAlive(interval=10.0, timeout=10.0)
"""When a silent client is asked whether it is there, and how long it has to answer."""

_TLS_HANDSHAKE = b"\x16\x03"
_GREETING_TIMEOUT = 30.0
_MAX_HTTP1_HEADER = 16 * 1024


class ServerConnection(ServerProtocol):
    """The protocol of an accepted socket."""

    def __init__(
        self,
        calls: ConnectionCalls,
        made: Callable[[ServerConnection], None],
        lost: Callable[[ServerConnection], None],
        plain: PlainHttp = PlainHttp(),  # noqa: B008 - it cannot be changed
        crowd: Crowd | None = None,
    ) -> None:
        """Calls `made` when the connection is there (with TLS, after the handshake), and `lost` when it is gone."""
        super().__init__(calls, crowd or Crowd())
        self.calls = calls
        calls.host = self
        self._frozen = False
        self._made = made
        self._lost = lost
        self._plain = plain
        self._other: asyncio.Protocol | None = None
        """Who serves the connection, because it speaks HTTP/1.1."""
        self._greeting: bytes | None = b""

    # --- beginning ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's first bytes: they say which protocol it speaks."""
        read_moderately(transport)
        # of a stream, whatever its class is: loops that are not asyncio's own do not derive theirs from asyncio's
        self._raw = cast(asyncio.Transport, transport)
        self._transport = GatheringTransport(self._raw)
        self._made(self)
        self._timer = self._loop.call_later(_GREETING_TIMEOUT, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Feed HTTP/2; whatever a peer sends, nothing but its own connection suffers."""
        self.heard = self._loop.time()
        if self._greeting is not None:
            if self._other is not None:
                self._other.data_received(data)
            else:
                self._greet(data)
            return
        try:
            super().data_received(data)
            self.calls.settle()
        except Exception:
            log.debug("a connection is closed for what it sent", exc_info=True)
            self._transport.abort()

    def _greet(self, data: bytes) -> None:
        greeting = (self._greeting or b"") + data
        if greeting.startswith(PREFACE):
            self._begin_http2()
            self.data_received(greeting)
        elif greeting.startswith(_TLS_HANDSHAKE):
            # A client that tries TLS here learns from this answer, as from a real server's, that there is none.
            self._answer_http1(b"")
        elif PREFACE.startswith(greeting):
            self._greeting = greeting
        elif self._plain.http1 is not None:
            self._hand_over(self._plain.http1(), greeting)
        elif not self._is_complete_http1(greeting):
            self._greeting = greeting
        else:
            self._answer_http1(greeting)

    def _begin_http2(self) -> None:
        self._greeting = None
        super().connection_made(self._transport)
        self._timer.cancel()
        self.start_heartbeat(KEEPALIVE)

    # --- HTTP/1.1 ---

    def _hand_over(self, other: asyncio.Protocol, greeting: bytes) -> None:
        self._timer.cancel()
        self._other = other
        other.connection_made(self._raw)
        other.data_received(greeting)

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return super().eof_received() if self._other is None else self._other.eof_received()

    @staticmethod
    def _is_complete_http1(request: bytes) -> bool:
        return b"\r\n\r\n" in request or len(request) > _MAX_HTTP1_HEADER

    def _answer_http1(self, request: bytes) -> None:
        words = request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        valid = len(words) == 3 and words[2].startswith("HTTP/1.")
        status, more, body = self._plain.answer(words[0], words[1]) if valid else PlainAnswer(400)
        length = [] if status == 204 else [("content-length", str(len(body)))]
        headers = [*plain_headers(), *more, *length, ("connection", "close")]
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{name}: {value}" for name, value in headers),
            "",
            "",
        ]
        self._transport.write("\r\n".join(lines).encode("latin-1") + (b"" if words[0] == "HEAD" else body))
        self._transport.close()

    # --- those who may have to go ---

    @property
    def has_greeted(self) -> bool:
        """Whether it is clear what the client speaks."""
        return self._greeting is None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being done for the client."""
        return not self.calls.any

    @property
    def is_closing(self) -> bool:
        """Whether it is about to end."""
        return self._transport.is_closing()

    # --- keep-alive ---

    def give_up(self, silence: float) -> None:
        """Drop a client that does not answer."""
        log.debug("a client has given no sign of life for %.0f seconds", silence)
        self._transport.abort()

    # --- end ---

    def pause_writing(self) -> None:
        """The socket does not take more for now."""
        if self._greeting is None:
            super().pause_writing()
        elif self._other is not None:
            self._other.pause_writing()

    def resume_writing(self) -> None:
        """The socket takes more again."""
        if self._greeting is None:
            super().resume_writing()
        elif self._other is not None:
            self._other.resume_writing()

    # --- faults ---

    def freeze(self) -> None:
        """Neither read nor write anything until `thaw`, as a process that has been stopped."""
        if not self._frozen:
            self._frozen = True
            if self._greeting is not None:
                self._transport.hold()
            else:
                self.hold()

    def thaw(self) -> None:
        """Go on."""
        if self._frozen:
            self._frozen = False
            if self._greeting is not None:
                self._transport.go_on()
            else:
                self.go_on()
                self.start_heartbeat(KEEPALIVE)

    def go_away(self, code: int, reset_after: float | None = None) -> None:
        """Tell the client to leave; calls go on, new ones are not answered, and in the end the connection is reset."""
        if self._greeting is None:
            self.calls.deaf = True
            self.retire(code)
            if reset_after is not None:  # that of the greeting is over
                self._timer.cancel()
                self._timer = self._loop.call_later(reset_after, self.break_off)

    def cut(self) -> None:
        """Close the connection after what has been written, without goodbye."""
        self._transport.close()
        self._loop.call_later(_CUT_AFTER, self._transport.abort)

    def break_off(self) -> None:
        """End the connection at once, with a reset where the system can do that."""
        with suppress(OSError, AttributeError):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def leave(self) -> None:
        """Tell the client that the connection ends, and end it once everything is sent. Calls must have ended."""
        if self._greeting is None:
            self.say_goodbye()
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""
        self._timer.cancel()
        # Python 3.10 warns of a TLS transport that was closed by its peer alone. One that is closing hears no more:
        # asyncio would end it twice where it had something to write when it was closed.
        if not self._transport.is_closing():
            self._transport.abort()
        if self._greeting is None:
            super().connection_lost(exc)
        try:
            if self._other is not None:
                self._other.connection_lost(exc if isinstance(exc, Exception) else None)
        finally:
            self._lost(self)


_RESET = struct.pack("ii", 1, 0)
"""Linger, for no time: what is in the system's buffers is thrown away."""
_CUT_AFTER = 1.0
"""Seconds that a client gets to take what was written before its connection was cut."""
