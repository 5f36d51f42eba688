"""A server as calls see it: a place on some connection to it, made when it is needed.

Owns: making connections, sharing them, replacing lost ones, and the order in which calls wait for a place.
Must not know: gRPC methods, what calls say, other nodes.

Calls that may stay open without end (reads, subscriptions) leave a part of every connection to the short ones, and go
to another connection where there is no place left: so short calls only ever wait for short calls, and none waits
for ever.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache

from esdb_lite._http2.client import ClientProtocol
from esdb_lite._http2.greeting import Greeting
from esdb_lite._http2.keepalive import KeepAlive
from esdb_lite._http2.streams import Headers
from esdb_lite._rpc.connection import ClientConnection
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.dialing import dial
from esdb_lite._rpc.reasons import Reason, why_hung_up, why_no_http2, why_not_connected
from esdb_lite._rpc.shared import Shared
from esdb_lite._version import __version__
from esdb_lite.errors import ClientClosed, DeadlineExceeded, GrpcError, ServiceUnavailable

CONNECT_TIMEOUT = 10.0
"""Seconds that making a connection may take, whatever the timeout of the call that needs it."""

USER_AGENT = f"esdb-lite/{__version__} grpc-python-grpclib"

_KINDS = 64
"""Headers of requests that are remembered: they differ by method, timeout and metadata."""

CLOSE_TIMEOUT = 1.0
"""Seconds that a connection gets to end in good order."""

Dial = Callable[[], Awaitable[ClientProtocol]]

_log = logging.getLogger("esdb_lite.connection")


class ConnectionPool:
    """One server, at `host:port`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        keep_alive: KeepAlive | None = None,
        dial: Dial | None = None,
        others_met: Callable[[], bool] = lambda: False,
        trusted: bool = True,
    ) -> None:
        """`server_name` is the name in the server's certificate, where it is another than `host`.

        `others_met`: whether another server of the same cluster has spoken HTTP/2, so that it is not TLS that is wrong.
        """
        self.host = host
        self.port = port
        self.secure = tls is not None
        self.authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.trusted = trusted
        """Whether it may be told who is calling: the connection string names it, or its certificate is checked."""
        self.met = False
        """There has been a connection on which the server spoke HTTP/2."""
        self.request_headers = lru_cache(_KINDS)(self._request_headers)
        """Makes the headers of a request: the same object for calls of the same kind."""
        self._others_met = others_met
        self._tls = tls
        self._server_name = server_name
        self._keep_alive = keep_alive
        self._dial = dial or self._connect
        self._links: list[ClientConnection] = []
        self._dialing = Shared(self._make_link)
        self._waiting: dict[bool, deque[asyncio.Future[ClientConnection | None]]] = {False: deque(), True: deque()}
        """Those who wait for a place, long calls and short ones."""
        self._retired: list[ClientConnection] = []
        """Those whose calls are to end, and that take no new ones."""
        self._leaving: list[ClientConnection] = []
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection that takes calls."""
        return any(link.usable for link in self._links)

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._links)

    @property
    def idle(self) -> bool:
        """Whether no call is open or waits."""
        links = (*self._links, *self._retired)
        return not (any(self._waiting.values()) or self._dialing.running or any(link.calls for link in links))

    @property
    def dormant(self) -> bool:
        """Whether there is nothing of it but the object: no connection, not even one that is closing."""
        return self.idle and not (self._links or self._retired or any(not link.closed for link in self._leaving))

    async def connect(self, deadline: Deadline) -> None:
        """Make sure that there is a connection. Raises ServiceUnavailable."""
        if not self.connected:
            await self._new_link(deadline)

    async def acquire(self, *, long: bool, deadline: Deadline) -> ClientConnection:
        """Return a connection with a place for one more call, which `release()` gives back.

        Raises ServiceUnavailable, or DeadlineExceeded when there is no place in time.
        """
        while True:
            link = pick(self._links, long=long) if long or not self._waiting[False] else None
            if link is not None:
                _count(link, long, 1)
                return link
            if not self.connected or (long and not self._shut):
                await self._new_link(deadline)
            elif (link := await self._wait_for_place(long, deadline)) is not None:
                return link

    def release(self, link: ClientConnection, *, long: bool) -> None:
        """Give a place back; it goes to the short call that has waited longest."""
        _count(link, long, -1)
        if not link.calls and (link.retired or link not in self._links[:1]):
            link.close()
        self._serve()

    def close_links(self, reason: str = "the client was closed") -> None:
        """Close all connections now; open calls fail. Later calls make new ones."""
        links, self._links, self._retired = self._links + self._retired, [], []
        for link in links:
            link.close(reason)
            self._leaving.append(link)
        self._leaving = [link for link in self._leaving if not link.closed]
        self._serve()

    async def close(self) -> None:
        """Close all connections for good; open calls fail. Idempotent."""
        self._closed = True
        self.close_links()
        await self._dialing.end()
        leaving, self._leaving = self._leaving, []
        for link in leaving:
            await link.wait_closed(CLOSE_TIMEOUT)

    def _request_headers(self, method: str, timeout: str, metadata: Headers) -> Headers:
        return (
            (":method", "POST"),
            (":scheme", "https" if self.secure else "http"),
            (":path", method),
            (":authority", self.authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", USER_AGENT),
            *([("grpc-timeout", timeout)] if timeout else []),
            *metadata,
        )

    def failure(self, reason: str, *, sent: bool = False) -> ServiceUnavailable | ClientClosed:
        """Return the exception that says that this server is out of reach, and why."""
        if self._closed:
            return ClientClosed("the client is closed")
        error = ServiceUnavailable(f"{self.authority}: {reason}", details=reason).at(self.host, self.port)
        error.sent = sent
        return error

    def placed(self, error: GrpcError) -> GrpcError:
        """Return an error that says where it comes from, where it has a place for that."""
        return error.at(self.host, self.port) if isinstance(error, ServiceUnavailable) else error

    def broken(self, link: ClientConnection, reason: str, *, sent: bool = True) -> ServiceUnavailable | ClientClosed:
        """Return the exception for a call on a connection that is gone."""
        if link.greeting is Greeting.HTTP2 or (link.greeting is Greeting.NOTHING and not link.turned_away):
            return self.failure(link.goodbye or reason, sent=sent)
        if link.greeting is not Greeting.NOTHING:
            return self._because(why_no_http2(link.greeting, link.first, secure=self.secure))
        # One that was there before may have read what was sent: a reset takes away what it has said.
        silence = why_hung_up(link.fault, secure=self.secure, met=self._known)
        return self._because(silence, sent=sent and self._known)

    @property
    def _known(self) -> bool:
        return self.met or self._others_met()

    @property
    def _shut(self) -> bool:
        """Whether the server takes no calls for now: another connection would be of no use."""
        return any(link.usable and not link.stream_limit for link in self._links)

    def _because(self, reason: Reason, *, sent: bool = False) -> ServiceUnavailable | ClientClosed:
        if self._closed:
            return ClientClosed("the client is closed")
        error = reason.error(f"{self.authority}: {reason.text}", details=reason.text).at(self.host, self.port)
        error.sent = sent
        return error

    def too_late(self, deadline: Deadline, what: str) -> ServiceUnavailable | ClientClosed | DeadlineExceeded:
        """Return the exception for a deadline that has passed: where there is no connection, that is the reason."""
        if self.connected:
            error = DeadlineExceeded(f"{self.authority}: {what} within {deadline.timeout:g} seconds")
            error.sent = False
            return error
        return self.failure(f"no connection within {deadline.timeout:g} seconds")

    async def _new_link(self, deadline: Deadline) -> None:
        if self._closed:
            raise self.failure("")
        try:
            link = await self._dialing.get(deadline)
        except (OSError, ValueError, OverflowError, asyncio.TimeoutError) as error:
            reason = why_not_connected(error, secure=self.secure, met=self._known, limit=CONNECT_TIMEOUT)
            raise self._because(reason) from error
        if link is None:
            raise self.failure(f"no connection within {deadline.timeout or CONNECT_TIMEOUT:g} seconds")
        if link.lost:  # before anybody could use it
            await link.wait_closed(CLOSE_TIMEOUT)  # then it is known what has broken it
            raise self.broken(link, link.end or "the connection is gone", sent=False)

    async def _make_link(self) -> ClientConnection:
        """Make a connection and share it; also those who no longer wait for it may have use for it later."""
        protocol = await asyncio.wait_for(self._dial(), CONNECT_TIMEOUT)
        link = ClientConnection(protocol, self)
        if self._closed:
            link.close()
            self._leaving.append(link)
        elif link.usable:
            self._links.append(link)
            self._serve()
        return link

    def greeted(self, link: ClientConnection) -> None:
        """A server has said that it speaks HTTP/2."""
        self.met = True
        _log.info("connected to %s", self.authority)

    def changed(self, link: ClientConnection) -> None:
        """A connection takes another number of calls, or none any more."""
        if link.retired and link in self._links:
            self._links.remove(link)
            self._retired.append(link)
            _log.info("%s takes no more calls on this connection", self.authority)
        self._serve()

    def asked_too_often(self) -> None:
        """The server says that it is asked too often whether it is there: later connections ask half as often."""
        if self._keep_alive is not None:
            self._keep_alive = self._keep_alive.rarer()
            _log.info("%s finds pings too frequent: one in %g s", self.authority, self._keep_alive.interval)

    def dropped(self, link: ClientConnection) -> None:
        """A connection is gone."""
        if link in self._retired:
            self._retired.remove(link)
        if link in self._links:
            self._links.remove(link)
            _log.info("lost the connection to %s", self.authority)
        self._serve()

    async def _wait_for_place(self, long: bool, deadline: Deadline) -> ClientConnection | None:
        """Return a connection on which a place is reserved; None when there is none to wait for any more."""
        place: asyncio.Future[ClientConnection | None] = asyncio.get_running_loop().create_future()
        self._waiting[long].append(place)
        try:
            await asyncio.wait({place}, timeout=deadline.remaining())
        except asyncio.CancelledError:
            self._give_up(place, long)
            raise
        if not place.done():
            self._give_up(place, long)
            error = DeadlineExceeded(f"{self.authority}: no free stream within {deadline.timeout:g} seconds")
            error.sent = False
            raise error
        return place.result()

    def _give_up(self, place: asyncio.Future[ClientConnection | None], long: bool) -> None:
        if not place.done():
            self._waiting[long].remove(place)
        elif (link := place.result()) is not None:
            self.release(link, long=long)

    def _serve(self) -> None:
        """Give free places to those who wait; where no place is to be waited for any more, let them see to it."""
        for long, waiting in self._waiting.items():
            while waiting:
                link = pick(self._links, long=long)
                if link is not None:
                    _count(link, long, 1)
                elif self._shut or (self.connected and not long):
                    break
                waiting.popleft().set_result(link)

    async def _connect(self) -> ClientProtocol:
        return await dial(self.host, self.port, lambda: ClientProtocol(self._keep_alive), self._tls, self._server_name)


def pick(links: list[ClientConnection], *, long: bool) -> ClientConnection | None:
    """Choose the connection for a call; None where there is no place for it."""
    for link in links:
        limit = link.stream_limit
        reserved = max(1, limit // 5) if long else 0
        if link.usable and link.calls < limit and (not long or link.long_calls < max(1, limit - reserved)):
            return link
    return None


def _count(link: ClientConnection, long: bool, change: int) -> None:
    if long:
        link.long_calls += change
    else:
        link.short_calls += change
