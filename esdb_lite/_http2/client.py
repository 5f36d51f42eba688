"""A client's end of a connection: streams that tell their calls how they end.

Owns: opening streams, what the server says about itself at the beginning, noticing that the connection is gone.
Must not know: gRPC messages, how many calls a connection takes (`_rpc.connection`), other connections.

Nothing here ever cancels a task: waiters hear of it through a `StreamWatcher`, and look why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Connection, EventsProcessor, Stream
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import NoAvailableStreamIDError, TooManyStreamsError
from h2.settings import SettingCodes

from esdb_lite._http2.exchange import Exchange, UsualAnswer
from esdb_lite._http2.frames import FRAME
from esdb_lite._http2.greeting import Greeting, first_line, greeting_of
from esdb_lite._http2.heartbeat import HeartbeatProtocol
from esdb_lite._http2.keepalive import KeepAlive
from esdb_lite._http2.protocol import begin_request, begin_whole_request
from esdb_lite._http2.streams import CONNECTION_WINDOW, STREAM_WINDOW, Headers, owe

_SHOWN_OF_GOODBYE = 100
_TOO_MANY_PINGS = b"too_many_pings"
"""What servers of gRPC say, with ENHANCE_YOUR_CALM, to who asks them for signs of life more often than they like."""
_AT_ONCE = 12
"""Requests that wait for others of the same turn of the loop: then they are sent, and the server begins with them."""
_LAST_STREAM = 2**31 - 1

_CONFIGURATION = Configuration(
    http2_connection_window_size=CONNECTION_WINDOW, http2_stream_window_size=STREAM_WINDOW
).__for_client__()

# latin-1 takes any byte: what a server puts into a trailer must not bring the connection down
_H2_CONFIGURATION = H2Configuration(
    client_side=True,
    header_encoding="latin-1",
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)


class NoStreamLeft(Exception):
    """No stream can be opened now."""


class StreamWatcher(Protocol):
    """What a call wants to be told about its stream."""

    def answered(self) -> None:
        """The server has answered with headers."""

    def ended(self) -> None:
        """The server has ended the stream; headers, data and trailers are all there."""

    def reset(self, code: int) -> None:
        """The server has reset the stream, with this HTTP/2 error code."""

    def lost(self, reason: str) -> None:
        """The connection is gone."""

    def refused(self, reason: str) -> None:
        """The server says that it has not looked at this stream, and will not."""

    def forewarned(self, reason: str) -> None:
        """The server says goodbye, and may end this stream as it should be."""


class ExchangeWatcher(StreamWatcher, Protocol):
    """What a call wants to be told about its exchange; what else may happen to a stream comes after `unusual`."""

    def finished(self, data: bytes) -> None:
        """The answer is there, and has ended as usual."""

    def unusual(self) -> None:
        """What comes next is none of that: it has to be made a stream, by `adopt`."""


class ConnectionOwner(Protocol):
    """What the holder of a connection wants to be told about it."""

    def connection_greeted(self) -> None:
        """The server has said that it speaks HTTP/2."""

    def connection_changed(self) -> None:
        """The server has changed its settings: it may take another number of streams."""

    def connection_retired(self) -> None:
        """No new streams: the server says goodbye, or the numbers of streams are used up."""

    def connection_lost(self) -> None:
        """The connection is gone; its calls hear of it next."""


class _NoRequests(AbstractHandler):
    """A client serves nothing."""

    def accept(self, stream: Stream, headers: Headers, release_stream: Callable[[], None]) -> None:
        """A request has come, which is not answered."""

    def cancel(self, stream: Stream) -> None:
        """The server has reset a stream: its watcher knows."""

    def close(self) -> None:
        """The connection is gone: `_ClientEvents` passes it on."""


class _ClientEvents(EventsProcessor):
    """Tells calls how their streams end, and the owner how the connection does."""

    def __init__(self, handler: AbstractHandler, connection: Connection, protocol: ClientProtocol) -> None:
        super().__init__(handler, connection)
        self.watchers: dict[int, StreamWatcher] = {}
        self._protocol = protocol

    def process_response_received(self, event: ResponseReceived) -> None:
        """Say so."""
        super().process_response_received(event)
        if (watcher := self.watchers.get(event.stream_id)) is not None:
            watcher.answered()

    def process_stream_ended(self, event: StreamEnded) -> None:
        """Say so."""
        super().process_stream_ended(event)
        if (watcher := self.watchers.get(event.stream_id)) is not None:
            watcher.ended()

    def process_stream_reset(self, event: StreamReset) -> None:
        """Say so, with the code."""
        self.connection.streams_failed += 1
        if (watcher := self.watchers.get(event.stream_id)) is not None:
            watcher.reset(int(event.error_code or 0))

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        """Say so: the server may take more streams than before, or fewer."""
        super().process_remote_settings_changed(event)
        self._protocol.learn_limit()
        if self._protocol.owner is not None:
            self._protocol.owner.connection_changed()

    def process_connection_terminated(self, event: ConnectionTerminated) -> None:
        """The server says goodbye: let the streams end that it has looked at."""
        code, words = int(event.error_code or 0), event.additional_data or b""
        said = f", {words[:_SHOWN_OF_GOODBYE].decode('latin-1')!r}" if words else ""
        reason = f"the server has said goodbye (GOAWAY, HTTP/2 error {code}{said})"
        self._protocol.asks_too_often = code == ErrorCodes.ENHANCE_YOUR_CALM and words == _TOO_MANY_PINGS
        last = event.last_stream_id
        unseen = [number for number in self.watchers if last is not None and number > last]
        for watcher in [self.watchers.pop(number) for number in unseen]:
            watcher.refused(reason)
        self._protocol.retire(reason)
        for watcher in [*self.watchers.values()]:
            watcher.forewarned(reason)

    def close(self, reason: str = "Connection closed") -> None:
        """The connection is gone, or closed here. Idempotent."""
        super().close(reason)
        self._protocol.gone_for(reason)


class ClientProtocol(HeartbeatProtocol):
    """A connection to a server."""

    processor: _ClientEvents
    peer = "the server"

    def __init__(self, keep_alive: KeepAlive | None = None) -> None:
        super().__init__(_NoRequests(), _CONFIGURATION, _H2_CONFIGURATION)
        self.closed = asyncio.Event()
        """Set when the socket is closed."""
        self.lost = False
        """Whether the connection is gone, whether the socket is closed already or not."""
        self.greeting = Greeting.NOTHING
        """What the server has begun with, perhaps before anybody holds the connection."""
        self.first = b""
        """The bytes that it has begun with, as long as it is not clear that they are HTTP/2."""
        self.goodbye = ""
        """Why no new streams may be opened: the server has said goodbye."""
        self.asks_too_often = False
        """It was for the pings that the server has said goodbye."""
        self.turned_away = False
        """The server has closed the connection before it has said anything."""
        self.fault: BaseException | None = None
        """What has broken the connection, where the system or TLS says so."""
        self.end = ""
        """Why the connection is gone."""
        self.owner: ConnectionOwner | None = None
        self.stream_limit = 0
        """How many streams the server takes at a time, as far as it has said."""
        self._exchanges: dict[int, Exchange] = {}
        self._unsent = 0  # requests that wait for the end of this turn of the loop
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    def _events(self) -> EventsProcessor:
        return _ClientEvents(self.handler, self.connection, self)

    def _settings(self) -> dict[SettingCodes | int, int]:
        return {**super()._settings(), SettingCodes.ENABLE_PUSH: 0}

    # --- streams ---

    def learn_limit(self) -> None:
        """Ask h2 how many streams the server takes."""
        self.stream_limit = int(self._h2.remote_settings.max_concurrent_streams)
        if self._headers is not None:
            self._headers.learn()

    def open_stream(self, watcher: StreamWatcher, headers: Headers) -> Stream:
        """Open a stream; its headers are sent with what is sent next. `forget` ends what begins here.

        Raises NoStreamLeft.
        """
        stream = self.connection.create_stream()
        try:
            stream_id = self._h2.get_next_available_stream_id()
            if not begin_request(self.connection, stream_id, headers):
                self._h2.send_headers(stream_id, headers)
        except TooManyStreamsError as error:
            raise NoStreamLeft("the server takes no more streams") from error
        except NoAvailableStreamIDError as error:
            self._tell_retired()
            raise NoStreamLeft("the connection has used up its streams") from error
        stream.init_stream(stream_id, self.connection)
        self.processor.register(stream)
        self.processor.watchers[stream_id] = watcher
        self.connection.headers_send_process()
        return stream

    @property
    def exchanges(self) -> int:
        """How many exchanges have not ended."""
        return len(self._exchanges)

    def begin_exchange(
        self, watcher: ExchangeWatcher, headers: Headers, data: bytes, usual: UsualAnswer, *, alone: bool
    ) -> Exchange | None:
        """Send a whole request, if that needs no waiting and nothing that is unusual; else None, and nothing is sent.

        `alone`: nobody else is about to send something; else it goes with what others send in this turn of the loop.
        """
        connection, stream_id = self.connection, self._h2.highest_outbound_stream_id + 2
        if not connection.write_ready.is_set() or not 2 < stream_id < _LAST_STREAM:
            return None
        if not begin_whole_request(connection, stream_id, headers, data, len(self._exchanges)):
            return None
        exchange = self._exchanges[stream_id] = Exchange(stream_id, watcher, usual, len(data))
        self.processor.watchers[stream_id] = watcher
        self._unsent += 1
        if alone or self._unsent >= _AT_ONCE:
            self._send_requests()
        elif self._unsent == 1:
            self._loop.call_soon(self._send_requests)
        return exchange

    def _send_requests(self) -> None:
        self._unsent = 0
        self._flush()

    def adopt(self, exchange: Exchange, watcher: StreamWatcher) -> Stream:
        """Make a stream of an exchange that has no answer. `forget` ends what begins here."""
        number = exchange.stream_id
        if self._exchanges.pop(number, None) is not None and self._headers is not None:
            self._headers.sent(number, exchange.sent)
        stream = self.connection.create_stream(stream_id=number)
        self.processor.register(stream)
        self.processor.watchers[number] = watcher
        return stream

    def _make_known(self, stream_id: int) -> None:
        exchange = self._exchanges.get(stream_id)
        if exchange is not None:
            exchange.watcher.unusual()

    def _goes_short(self, kind: int, flags: int, stream_id: int, payload: bytes) -> bool:
        self._make_known(stream_id)
        return super()._goes_short(kind, flags, stream_id, payload)

    def _takes_whole(self, data: bytes, at: int, stop: int) -> int:
        exchange = self._exchanges.get(FRAME.unpack_from(data, at)[2])
        if exchange is None or self._headers is None or not self._in_order:
            return 0
        found = exchange.answer_at(data, at, stop, self._headers, self._h2.max_inbound_frame_size)
        if found is None:
            return 0
        body, end = found
        number = exchange.stream_id
        self._headers.answered(number, len(body))
        del self._exchanges[number], self.processor.watchers[number]
        owe(self.connection, number, len(body))
        exchange.watcher.finished(body)
        return end

    def forget(self, stream: Stream) -> None:
        """Drop a stream, and give back the room of what nobody has taken. Idempotent."""
        number = stream.id or 0
        self.processor.watchers.pop(number, None)
        if self.processor.streams.pop(number, None) is not None and not self.connection.is_closing():
            self.connection.ack(number, stream.buffer.unacked_size())

    def retire(self, reason: str) -> None:
        """Open no more streams; those that are open may go on."""
        self.goodbye = reason
        self._tell_retired()

    def _tell_retired(self) -> None:
        if self.owner is not None:
            self.owner.connection_retired()

    def flush(self) -> None:
        """Send what has been prepared."""
        self._flush()

    @property
    def writable(self) -> asyncio.Event:
        """Set while the socket takes data."""
        return self.connection.write_ready

    # --- the life of the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open (with TLS, after the handshake)."""
        super().connection_made(transport)
        self._transport = self.connection._transport
        self.learn_limit()
        if self._keep_alive is None:
            self.heard = self._loop.time()
        else:
            self.start_heartbeat(self._keep_alive)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self.heard = self._loop.time()
        if self.greeting is not Greeting.HTTP2:
            data = self._greet(data)
        if data:
            super().data_received(data)

    def _greet(self, data: bytes) -> bytes:
        """Find out what the server speaks; return what is HTTP/2."""
        self.first += data
        self.greeting = greeting_of(self.first)
        if self.greeting is Greeting.NOTHING:
            return b""
        if self.greeting is not Greeting.HTTP2:
            self.close(f"the server does not speak HTTP/2 but {self.greeting.value}: {first_line(self.first)}")
            return b""
        data, self.first = self.first, b""
        if self.owner is not None:
            self.owner.connection_greeted()
        return data

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""
        self.stop_heartbeat()
        self.fault = exc
        self.turned_away = self.greeting is Greeting.NOTHING and not self.lost
        super().connection_lost(exc)
        self.closed.set()

    def give_up(self, silence: float) -> None:
        """Drop a server that is frozen, or behind a cable that was pulled."""
        self.close(f"the server has given no sign of life for {silence:.0f} seconds")
        self.abort()

    def close(self, reason: str) -> None:
        """Close the connection; open streams hear that it is lost, and why. Idempotent."""
        self.processor.close(reason)

    def abort(self) -> None:
        """Close the socket now, whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def gone_for(self, reason: str) -> None:
        """Tell everybody, once, that the connection is gone."""
        if self.lost:
            return
        self.lost, self.end = True, reason
        if self.owner is not None:
            self.owner.connection_lost()
        for watcher in [*self.processor.watchers.values()]:
            watcher.lost(reason)
