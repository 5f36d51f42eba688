"""One HTTP/2 connection, and which calls it can take.

Owns: the accounting of streams against the limit that the server sets, and noticing that the connection is gone.
Must not know: gRPC messages, retries, other connections (`pool`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, H2Protocol, Stream
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.events import ConnectionTerminated, StreamEnded, StreamReset
from h2.exceptions import NoAvailableStreamIDError, TooManyStreamsError

from esdb_lite._http2.keepalive import Act, KeepAlive, Pulse
from esdb_lite._http2.protocol import FastProtocol

_SETTINGS = b"\x04"
"""The type of the frame that a server begins with, the fourth byte that it sends."""

ASSUMED_STREAM_LIMIT = 100
"""What is opened at most while the server has not said how many streams it takes, or says that it does not care."""

Headers = list[tuple[str, str]]


class ConnectionWatcher(Protocol):
    """What a call wants to be told about its stream."""

    def ended(self) -> None:
        """The server has ended the stream; headers, data and trailers are all there."""

    def reset(self, code: int) -> None:
        """The server has reset the stream, with this HTTP/2 error code."""

    def lost(self, reason: str) -> None:
        """The connection is gone."""


class _Watch(Wrapper):
    """Takes the place of grpclib's wrapper, which would cancel the task that happens to be waiting."""

    def __init__(self, watcher: ConnectionWatcher) -> None:
        super().__init__()
        self.watcher = watcher

    def cancel(self, error: Exception) -> None:
        self.watcher.lost(str(error))


class ClientProtocol(FastProtocol):
    """A connection that can be waited for to be gone, and that notices when its peer is."""

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        super().__init__(handler, config, h2_config)
        self.gone = asyncio.Event()
        self.greeted = False
        """The server has said that it speaks HTTP/2: it begins with SETTINGS, perhaps before anybody holds the link."""
        self.turned_away = False
        """The server has closed the connection before it has said anything."""
        self.on_greeting: Callable[[], None] | None = None
        self.heard: float = 0.0
        """When something has come last, on the clock of the loop."""
        self._loop = asyncio.get_running_loop()
        self._keep_alive = keep_alive
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.heard = self._loop.time()
        if self._keep_alive is not None:
            pulse = Pulse(self._keep_alive, self.heard)
            self._timer = self._loop.call_at(pulse.due, self._check, pulse)

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        if not self.greeted and data[3:4] == _SETTINGS:
            self.greeted = True
            if self.on_greeting is not None:
                self.on_greeting()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.turned_away = not self.greeted and hasattr(self.connection, "_transport")  # which closing here removes
        super().connection_lost(exc)
        self.gone.set()

    def _check(self, pulse: Pulse) -> None:
        if self.connection.is_closing():
            return
        pulse.heard = self.heard
        act = pulse.check(self._loop.time())
        if act is Act.GIVE_UP:
            silence = self._loop.time() - self.heard
            transport = self.connection._transport
            self.processor.close(f"the server has given no sign of life for {silence:.0f} seconds")
            transport.abort()
            return
        if act is Act.ASK:
            self.connection._connection.ping(b"esdblite")
            self.connection.flush()
        self._timer = self._loop.call_at(pulse.due, self._check, pulse)


class ClientConnection:
    """A connection that has been made. It is used until it is lost or retired, and never comes back."""

    def __init__(self, protocol: H2Protocol) -> None:
        self._protocol = protocol
        # grpclib takes a connection to pieces when it is lost, perhaps before anybody holds the link.
        self._transport: asyncio.Transport | None = getattr(protocol.connection, "_transport", None)
        self._lost = self._transport is None
        self.retired = False
        """No new calls; those that are open go on."""
        self.short_calls = 0
        self.long_calls = 0
        self.on_lost: Callable[[], None] | None = None
        if not self._lost:
            self._hook()

    @property
    def usable(self) -> bool:
        """True while new calls may be opened."""
        return not (self.retired or self.lost)

    @property
    def greeted(self) -> bool:
        """True when the server has said that it speaks HTTP/2."""
        return not isinstance(self._protocol, ClientProtocol) or self._protocol.greeted

    @property
    def turned_away(self) -> bool:
        """True when it was the server that has closed the connection, before it has said anything."""
        return isinstance(self._protocol, ClientProtocol) and self._protocol.turned_away

    @property
    def on_greeting(self) -> Callable[[], None] | None:
        """Called when the server has said that it speaks HTTP/2; at once where it has done so already."""
        return self._protocol.on_greeting if isinstance(self._protocol, ClientProtocol) else None

    @on_greeting.setter
    def on_greeting(self, call: Callable[[], None]) -> None:
        if self.greeted:
            call()
        elif isinstance(self._protocol, ClientProtocol):
            self._protocol.on_greeting = call

    @property
    def heard(self) -> float:
        """When something has come last, on the clock of the loop."""
        return self._protocol.heard if isinstance(self._protocol, ClientProtocol) else 0.0

    @property
    def gone(self) -> bool:
        """True when the socket is closed, too."""
        return not isinstance(self._protocol, ClientProtocol) or self._protocol.gone.is_set()

    @property
    def lost(self) -> bool:
        """True when the connection is gone."""
        return self._lost or cast(Any, self._protocol.handler).connection_lost or self._protocol.connection.is_closing()

    @property
    def writable(self) -> asyncio.Event:
        """Set while the socket takes data."""
        return self._protocol.connection.write_ready

    @property
    def calls(self) -> int:
        """How many calls are open or about to be."""
        return self.short_calls + self.long_calls

    @property
    def stream_limit(self) -> int:
        """How many calls may be open at a time."""
        said = self._protocol.connection._connection.remote_settings.max_concurrent_streams
        return int(said) if said < 2**31 else ASSUMED_STREAM_LIMIT

    def open(self, watcher: ConnectionWatcher, headers: Headers) -> tuple[Stream, Callable[[], None]]:
        """Open a stream; its headers are sent with what is sent next. Returns it with a function that forgets it.

        Raises LookupError where the connection cannot take one more.
        """
        connection = self._protocol.connection
        stream = connection.create_stream(wrapper=_Watch(watcher))
        h2 = connection._connection
        try:
            stream_id = h2.get_next_available_stream_id()
            h2.send_headers(stream_id, headers)
        except TooManyStreamsError as error:
            raise LookupError("the server takes no more streams") from error
        except NoAvailableStreamIDError as error:
            self.retired = True
            raise LookupError("the connection has used up its streams") from error
        stream.init_stream(stream_id, connection)
        forget = self._protocol.processor.register(stream)
        connection.headers_send_process()
        return stream, forget

    def flush(self) -> None:
        """Send what has been prepared."""
        if not self.lost:
            self._protocol.connection.flush()

    def close(self, reason: str = "the client was closed") -> None:
        """Close the connection; open calls are told that it is lost, and why."""
        if not self.lost:
            self._protocol.processor.close(reason)
        self._lost = True

    async def closed(self, patience: float) -> None:
        """Wait until the socket is closed, after `close()`; it is cut off when that takes long."""
        if self.gone or not isinstance(self._protocol, ClientProtocol):
            return
        waiting = asyncio.ensure_future(self._protocol.gone.wait())
        try:
            await asyncio.wait({waiting}, timeout=patience)
        finally:
            waiting.cancel()
            if not self._protocol.gone.is_set() and self._transport is not None:
                self._transport.abort()

    def _hook(self) -> None:
        processor = self._protocol.processor
        handlers = cast("dict[type, Callable[[Any], None]]", processor.processors)
        stream_ended, terminated = handlers[StreamEnded], handlers[ConnectionTerminated]

        def on_ended(event: StreamEnded) -> None:
            stream_ended(event)
            if (watcher := self._watcher(event.stream_id)) is not None:
                watcher.ended()

        def on_reset(event: StreamReset) -> None:
            processor.connection.streams_failed += 1
            if (watcher := self._watcher(event.stream_id)) is not None:
                watcher.reset(int(event.error_code or 0))

        def on_goaway(event: ConnectionTerminated) -> None:
            self.retired = True
            terminated(event)

        handlers[StreamEnded], handlers[StreamReset], handlers[ConnectionTerminated] = on_ended, on_reset, on_goaway
        self._hook_loss()

    def _hook_loss(self) -> None:
        handler = self._protocol.handler
        close = handler.close

        def on_close() -> None:
            close()
            self._lost = True
            if self.on_lost is not None:
                self.on_lost()

        setattr(handler, "close", on_close)  # noqa: B010 - an assignment to a method, which mypy refuses

    def _watcher(self, stream_id: int | None) -> ConnectionWatcher | None:
        stream = self._protocol.processor.streams.get(stream_id or 0)
        return stream.wrapper.watcher if stream is not None and isinstance(stream.wrapper, _Watch) else None
