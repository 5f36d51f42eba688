"""A server's end of a connection.

Owns: HTTP/2 after the preface, streams for those who serve them, goodbyes. Must not know: gRPC, who serves.
"""

from __future__ import annotations

import struct

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, EventsProcessor
from h2.config import H2Configuration
from h2.events import Event
from h2.settings import SettingCodes

from esdb_lite._http2.heartbeat import HeartbeatProtocol
from esdb_lite._http2.streams import STREAM_WINDOW

__all__ = ["MAX_CONCURRENT_STREAMS", "PREFACE", "RequestHandler", "ServerProtocol"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client that speaks HTTP/2 begins with."""

MAX_CONCURRENT_STREAMS = 4096
"""Calls at once on a connection. (A real server takes 100, and clients let the 101st wait without a word.)"""

_CONNECTION_WINDOW = 64 * 2**20
"""Bytes that a client may send on all its calls together before the server takes them."""

# A GOAWAY frame: length (its third byte is 0), type, flags, stream; last stream, code.
_GO_AWAY = struct.Struct(">xHBBLLL")
_ALL_STREAMS = 2**31 - 1

_H2_CONFIGURATION = H2Configuration(
    client_side=False,
    header_encoding="latin-1",  # decodes whatever comes
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)
_CONFIGURATION = Configuration(
    http2_connection_window_size=_CONNECTION_WINDOW, http2_stream_window_size=STREAM_WINDOW
).__for_server__()


class RequestHandler(AbstractHandler):
    """Serves the streams of one connection: `accept`, `cancel`, and `close` when it is lost."""


class _ServerEvents(EventsProcessor):
    """Says goodbye before closing, and does not mind events that are of no interest."""

    def process(self, event: Event) -> None:
        if hasattr(self, "processors") and event.__class__ in self.processors:
            super().process(event)

    def close(self, reason: str = "Connection closed") -> None:
        if not self.connection.is_closing():
            self.connection.flush()
        super().close(reason)


class ServerProtocol(HeartbeatProtocol):
    """A connection of a client. Subclasses decide when HTTP/2 begins: with `connection_made`."""

    def __init__(self, handler: RequestHandler) -> None:
        super().__init__(handler, _CONFIGURATION, _H2_CONFIGURATION)

    def _events(self) -> EventsProcessor:
        return _ServerEvents(self.handler, self.connection)

    def _settings(self) -> dict[SettingCodes | int, int]:
        return {**super()._settings(), SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS}

    def retire(self, code: int) -> None:
        """Tell the client to open no more streams; those that are open go on."""
        if not self.connection.is_closing():
            self.connection.flush()
            self.connection._transport.write(_GO_AWAY.pack(8, 7, 0, 0, _ALL_STREAMS, code))

    def say_goodbye(self) -> None:
        """Tell the client that the connection ends now."""
        if not self.connection.is_closing():
            self._h2.close_connection()
            self.connection.flush()
