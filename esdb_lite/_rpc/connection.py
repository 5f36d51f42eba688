"""One connection to a server, and which calls it can take.

Owns: the accounting of streams against the limit that the server sets. Must not know: gRPC messages, retries, other
connections (`pool`), HTTP/2.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from esdb_lite._http2.client import ClientProtocol, ExchangeWatcher, NoStreamLeft, StreamWatcher
from esdb_lite._http2.exchange import Exchange, UsualAnswer
from esdb_lite._http2.greeting import Greeting
from esdb_lite._http2.streams import Headers, Stream

ASSUMED_STREAM_LIMIT = 100
"""What is opened at most while the server has not said how many streams it takes, or says that it does not care."""


class ConnectionHolder(Protocol):
    """What shares out the places of a connection."""

    def greeted(self, link: ClientConnection) -> None:
        """The server has said that it speaks HTTP/2."""

    def changed(self, link: ClientConnection) -> None:
        """The connection may take more calls than before, or none any more."""

    def asked_too_often(self) -> None:
        """A server has said goodbye because it is asked too often whether it is there."""

    def dropped(self, link: ClientConnection) -> None:
        """The connection is gone; its calls hear of it next."""


class ClientConnection:
    """A connection that has been made. It is used until it is lost or retired, and never comes back."""

    def __init__(self, protocol: ClientProtocol, holder: ConnectionHolder | None = None) -> None:
        self._protocol = protocol
        self._holder = holder
        self.retired = False
        """No new calls; those that are open go on."""
        self.usual = UsualAnswer()
        """What answers are like."""
        self.short_calls = 0
        self.long_calls = 0
        protocol.owner = self
        if protocol.greeting is Greeting.HTTP2:  # perhaps before anybody held the connection
            self.connection_greeted()
        if protocol.goodbye:
            self.connection_retired()

    @property
    def goodbye(self) -> str:
        """What the server has said goodbye with."""
        return self._protocol.goodbye

    @property
    def usable(self) -> bool:
        """Whether new calls may be opened."""
        return not (self.retired or self.lost)

    @property
    def turned_away(self) -> bool:
        """Whether it was the server that has closed the connection, before it has said anything."""
        return self._protocol.turned_away

    @property
    def greeting(self) -> Greeting:
        """What the server has begun with."""
        return self._protocol.greeting

    @property
    def first(self) -> bytes:
        """The bytes that it has begun with, where they are not HTTP/2."""
        return self._protocol.first

    @property
    def fault(self) -> BaseException | None:
        """What has broken the connection, where the system or TLS says so."""
        return self._protocol.fault

    @property
    def end(self) -> str:
        """Why the connection is gone."""
        return self._protocol.end

    @property
    def heard(self) -> float:
        """When something has come last, on the clock of the loop."""
        return self._protocol.heard

    @property
    def closed(self) -> bool:
        """Whether the socket is closed, too."""
        return self._protocol.closed.is_set()

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._protocol.lost or self._protocol.connection.is_closing()

    @property
    def writable(self) -> asyncio.Event:
        """Set while the socket takes data."""
        return self._protocol.writable

    @property
    def calls(self) -> int:
        """How many calls are open or about to be."""
        return self.short_calls + self.long_calls

    @property
    def stream_limit(self) -> int:
        """How many calls may be open at a time."""
        said = self._protocol.stream_limit
        return said if said < 2**31 else ASSUMED_STREAM_LIMIT

    def open(self, watcher: StreamWatcher, headers: Headers) -> Stream:
        """Open a stream; its headers are sent with what is sent next, and `forget` drops it.

        Raises NoStreamLeft where the connection cannot take one more.
        """
        if not self.usable:
            raise NoStreamLeft("the connection takes no more calls")
        return self._protocol.open_stream(watcher, headers)

    def begin_exchange(self, watcher: ExchangeWatcher, headers: Headers, data: bytes, *, long: bool) -> Exchange | None:
        """Send a whole request whose answer is expected to be like others; None, and nothing is sent, where that cannot
        be. The place for it is counted already."""
        if not self.usable or not self.usual.known:
            return None
        alone = not self._protocol.exchanges if long else self.short_calls == 1
        return self._protocol.begin_exchange(watcher, headers, data, self.usual, alone=alone)

    def adopt(self, exchange: Exchange, watcher: StreamWatcher) -> Stream:
        """Make a stream of an exchange; `forget` drops it."""
        return self._protocol.adopt(exchange, watcher)

    def forget(self, stream: Stream) -> None:
        """Drop a stream. Idempotent."""
        self._protocol.forget(stream)

    def flush(self) -> None:
        """Send what has been prepared."""
        self._protocol.flush()

    def close(self, reason: str = "the client was closed") -> None:
        """Close the connection; open calls hear that it is lost, and why. Idempotent."""
        self._protocol.close(reason)

    async def wait_closed(self, patience: float) -> None:
        """Wait until the socket is closed, after `close()`; it is cut off when that takes long."""
        if self.closed:
            return
        waiting = asyncio.ensure_future(self._protocol.closed.wait())
        try:
            await asyncio.wait({waiting}, timeout=patience)
        finally:
            waiting.cancel()
            if not self.closed:
                self._protocol.abort()

    # --- told by the protocol ---

    def connection_greeted(self) -> None:
        """The server has said that it speaks HTTP/2."""
        if self._holder is not None:
            self._holder.greeted(self)

    def connection_changed(self) -> None:
        """The server has changed its settings."""
        if self._holder is not None:
            self._holder.changed(self)

    def connection_retired(self) -> None:
        """No new streams. A connection without calls has nothing to wait for."""
        self.retired = True
        if self._protocol.asks_too_often and self._holder is not None:
            self._holder.asked_too_often()
        if not self.calls:
            self.close("the connection has served its time")
        elif self._holder is not None:
            self._holder.changed(self)

    def connection_lost(self) -> None:
        """The connection is gone."""
        if self._holder is not None:
            self._holder.dropped(self)
