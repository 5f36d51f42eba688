"""The calls of one connection: each is a task, and each ends exactly once.

Owns: how a call ends: done, cancelled by the client, too late, or open when the server stops.
Must not know: bytes on the wire, services.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from esdb_lite._http2.server import MAX_CONCURRENT_STREAMS, RequestHandler
from esdb_lite._http2.streams import (
    NO_ERROR,
    Headers,
    Stream,
    StreamOver,
    is_over,
    push,
    reset,
    send_data,
    send_headers,
)
from esdb_lite._status import RpcError, refusals, typed_refusals
from esdb_lite.server.app.call import GrpcCall, plain_headers, timeout_of
from esdb_lite.server.app.plain import PlainHttp
from esdb_lite.server.handlers import Handler

log = logging.getLogger("esdb_lite.server")

_NEWER = "/kurrentdb."
"""How the paths of services begin whose errors have details."""
_LINGER = 5.0
"""Seconds that a client gets to end its side of a call after the server has ended its own."""


class Route(NamedTuple):
    """Which handler serves a path, how long a request may be (bytes), and which one serves it under faults."""

    handler: Handler
    max_message: int
    under_faults: Handler | None = None


class CallAdmission(Protocol):
    """Whether all is well."""

    idle: bool


class _AlwaysIdle:
    idle = True


ALWAYS_IDLE = _AlwaysIdle()
"""Nothing is ever the matter."""


@dataclass
class CallCounts:
    """How many calls of all connections have ended."""

    total: int = 0
    failed: int = 0
    """Those of them that have not ended with OK."""


class _Why(enum.Enum):
    """Why a call was cut short."""

    GONE = "the client has cancelled it, or its connection is lost"
    LATE = "its deadline has passed"
    STOPPING = "the server stops"
    FORSAKEN = "it is left without an end"


_UNHEARD = (_Why.GONE, _Why.FORSAKEN)
"""Nobody hears how such a call ends."""


class _OpenCall:
    """A call in progress."""

    def __init__(self, stream: Stream, release: Callable[[], None]) -> None:
        self.stream = stream
        self.release = release
        self.task: asyncio.Task[None] | None = None
        self.call: GrpcCall | None = None
        self.why: _Why | None = None

    def cut(self, why: _Why) -> None:
        """End the call early, once."""
        if self.why is None or why is _Why.GONE:
            self.why = why
            if self.task is not None:
                self.task.cancel()


class CallHost(Protocol):
    """The connection of calls."""

    def cut(self) -> None:
        """Close the connection after what has been sent, without a word."""

    def hold_back(self) -> None:
        """Read no more requests: more are ending than may be open."""

    def take_more(self) -> None:
        """Read requests again."""


class ConnectionCalls(RequestHandler):
    """Starts calls for one connection and keeps track of them."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        services: frozenset[str],
        admission: CallAdmission = ALWAYS_IDLE,
        plain: PlainHttp = PlainHttp(),  # noqa: B008 - it cannot be changed
        counts: CallCounts | None = None,
    ) -> None:
        """Calls go to the handlers that their routes have for faults unless the admission is idle."""
        self.deaf = False
        """New calls are left without an answer."""
        self.host: CallHost | None = None
        """The connection; set by it."""
        self._routes = routes
        self._services = services
        self._admission = admission
        self._plain = plain
        self._counts = counts or CallCounts()
        self._running: dict[Stream, _OpenCall] = {}
        self._loop = asyncio.get_running_loop()

    def accept(self, stream: Stream, headers: Headers, release_stream: Callable[[], None]) -> None:
        """A request has begun: serve it."""
        running = _OpenCall(stream, release_stream)
        self._running[stream] = running
        if self.host is not None and len(self._running) > MAX_CONCURRENT_STREAMS:
            self.host.hold_back()
        running.task = self._loop.create_task(self._run(running, dict(headers)))
        running.task.add_done_callback(partial(self._ended, running))

    def cancel(self, stream: Stream) -> None:
        """The client has reset the stream."""
        running = self._running.get(stream)
        if running is not None:
            running.cut(_Why.GONE)

    def close(self) -> None:
        """The connection is lost."""
        for running in list(self._running.values()):
            running.cut(_Why.GONE)

    def stop(self) -> None:
        """The server stops: end all calls."""
        for running in list(self._running.values()):
            running.cut(_Why.STOPPING)

    def forsake(self) -> None:
        """Stop serving all calls without a word: their clients hear nothing more of them."""
        self.deaf = True
        for running in list(self._running.values()):
            running.cut(_Why.FORSAKEN)

    def _cut(self) -> None:
        if self.host is not None:
            self.host.cut()

    @property
    def any(self) -> bool:
        """Whether there are calls that have not ended."""
        return bool(self._running)

    @property
    def open(self) -> Sequence[GrpcCall]:
        """The calls that are being served."""
        return [running.call for running in self._running.values() if running.call is not None]

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """The calls that have not ended."""
        return [running.task for running in self._running.values() if running.task is not None]

    async def _run(self, running: _OpenCall, headers: Mapping[str, str]) -> None:
        try:
            if self.deaf:
                await self._loop.create_future()
            if is_grpc(headers):
                await self._serve(running, headers)
            else:
                await self._serve_plain(running.stream, headers)
        except StreamOver:
            log.debug("a call ended while it was being answered", exc_info=True)
        except asyncio.CancelledError:
            if running.why is None:
                raise
        except Exception:
            # What a connection that is being closed raises depends on how far that has got.
            if not running.stream.connection.is_closing():
                log.exception("a call could not be ended")

    def _ended(self, running: _OpenCall, task: asyncio.Task[None]) -> None:
        """A call has ended; one that was cancelled before its first step has not even begun to run."""
        del self._running[running.stream]
        running.task = None  # they know each other: nothing is to wait for the garbage collector
        if self.host is not None and len(self._running) <= MAX_CONCURRENT_STREAMS:
            self.host.take_more()
        self._release(running)

    def _release(self, running: _OpenCall) -> None:
        stream = running.stream
        if running.why is _Why.FORSAKEN:
            return
        running.release()
        if not is_over(stream):
            self._loop.call_later(_LINGER, reset, stream, NO_ERROR)

    async def _serve(self, running: _OpenCall, headers: Mapping[str, str]) -> None:
        route = self._routes.get(headers.get(":path", ""))
        call = GrpcCall(running.stream, headers, route.max_message if route else 0, self._cut)
        running.call = call
        if route is None:
            error: RpcError | None = self._unknown(headers)
        else:
            handler = route.handler if self._admission.idle or route.under_faults is None else route.under_faults
            error = await self._handle(running, call, handler)
        self._counts.total += 1
        if error is not None:
            self._counts.failed += 1
        if running.why not in _UNHEARD:
            await call.finish(error)
            if len(self._running) == 1:  # nothing else is about to be written: who waits for this gets it now
                push(running.stream)

    async def _serve_plain(self, stream: Stream, headers: Mapping[str, str]) -> None:
        """Answer a request that is not gRPC."""
        method = headers.get(":method", "")
        answer = self._plain.answer(method, headers.get(":path", ""))
        lengths = [("content-length", str(len(answer.body)))] if answer.body else []
        head = [(":status", str(answer.status)), *plain_headers(), *answer.headers, *lengths]
        body = b"" if method == "HEAD" else answer.body
        await send_headers(stream, head, end=not body)
        if body:
            await send_data(stream, body, end=True)

    def _unknown(self, headers: Mapping[str, str]) -> RpcError:
        service = headers.get(":path", "").rpartition("/")[0]
        return refusals.method_unimplemented() if service in self._services else refusals.service_unimplemented()

    async def _handle(self, running: _OpenCall, call: GrpcCall, handler: Handler) -> RpcError | None:
        """Run the handler; return what the call ends with."""
        timer = None
        try:
            timeout = timeout_of(call.metadata)
            if timeout is not None:
                timer = self._loop.call_later(timeout, running.cut, _Why.LATE)
            await handler(call)
        except RpcError as error:
            return error
        except asyncio.CancelledError:
            return _ending(running.why, call.metadata.get(":path", ""))
        except StreamOver:
            raise
        except Exception:
            if running.stream.connection.is_closing():
                raise
            log.exception("a handler failed: %r", call.metadata.get(":path"))
            return refusals.internal("The server failed to handle the request; its log says why.")
        finally:
            if timer is not None:
                timer.cancel()
        return None


def _ending(why: _Why | None, path: str) -> RpcError:
    if why is _Why.LATE:
        return refusals.deadline_exceeded()
    if why is _Why.STOPPING:
        return typed_refusals.server_shutting_down() if path.startswith(_NEWER) else refusals.shutting_down()
    raise asyncio.CancelledError


def is_grpc(headers: Mapping[str, str]) -> bool:
    """Whether a request is a gRPC call; one of grpc-web is not, whose frames differ."""
    content_type = headers.get("content-type", "")
    is_type = content_type.startswith("application/grpc") and content_type[len("application/grpc") :][:1] in (
        "",
        "+",
        ";",
    )
    return is_type and headers.get(":method") == "POST"
