"""The calls of one connection: each is a task, but for those that are served at once, and each ends exactly once.

Owns: how a call ends: done, cancelled by the client, too late, or open when the server stops.
Must not know: bytes on the wire, services.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

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
from esdb_lite._http2.whole_requests import WholeRequest
from esdb_lite._status import RpcError, refusals, typed_refusals
from esdb_lite._wire.framing import frame
from esdb_lite.server.app.call import (
    GrpcCall,
    answer_whole,
    is_grpc,
    only_message,
    plain_headers,
    timeout_of,
)
from esdb_lite.server.app.plain import PlainHttp
from esdb_lite.server.app.quick import QuickChoice, QuickRequest, Route
from esdb_lite.server.handlers import AT_ONCE, Handler, QuickMethod, QuickQuery

log = logging.getLogger("esdb_lite.server")

_NEWER = "/kurrentdb."
"""How the paths of services begin whose errors have details."""
_LINGER = 5.0
"""Seconds that a client gets to end its side of a call after the server has ended its own."""


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


_NO_METADATA: Mapping[str, str] = {}
_UNHEARD = (_Why.GONE, _Why.FORSAKEN)
"""Nobody hears how such a call ends."""


class _OpenCall:
    """A call in progress."""

    stream: Stream
    """Not where `request` is."""
    release: Callable[[], None]

    def __init__(self, number: int, request: WholeRequest | None = None, metadata: Mapping[str, str] = _NO_METADATA):
        self.number = number
        """Of its stream."""
        self.request = request
        """What it is as long as it is no stream."""
        self.metadata = metadata
        """Of one that has begun without a task."""
        self.message = b""
        """The only one of such a call."""
        self.task: asyncio.Task[None] | None = None
        self.call: GrpcCall | None = None
        self.why: _Why | None = None
        self.give_up: Callable[[], None] | None = None
        """Gives up what was begun without a task."""
        self.timer: asyncio.TimerHandle | None = None

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

    def gather(self) -> None:
        """What is sent from now on is written by `push`, or sooner if it is much."""

    def push(self) -> None:
        """Write what waits."""

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
        self._running: dict[int, _OpenCall] = {}
        """By the numbers of their streams."""
        self._quick = QuickChoice(routes)
        self._arrived: list[tuple[_OpenCall, QuickRequest]] = []
        self._settling = False
        self._loop = asyncio.get_running_loop()

    def accept(self, stream: Stream, headers: Headers, release_stream: Callable[[], None]) -> None:
        """A request has begun: serve it."""
        running = _OpenCall(stream.id or 0)
        running.stream, running.release = stream, release_stream
        self._open(running)
        self._start(running, partial(self._answer, running, dict(headers)))

    def accept_whole(self, request: WholeRequest, headers: Headers) -> bool:
        """A request has come whole: serve it soon, if that can be done without a task."""
        quick = self._quick.of(headers) if self._admission.idle and not self.deaf else None
        if quick is None:
            return False
        message = only_message(request, quick.limit)
        if message is None:
            return False
        running = _OpenCall(request.number, request, quick.metadata)
        running.message = message
        self._open(running)
        self._arrived.append((running, quick))
        return True

    def _open(self, running: _OpenCall) -> None:
        self._running[running.number] = running
        if self.host is not None and len(self._running) > MAX_CONCURRENT_STREAMS:
            self.host.hold_back()

    def adopted(self, stream: Stream, release_stream: Callable[[], None]) -> None:
        """A request that has come whole has become a stream."""
        running = self._running[stream.id or 0]
        running.request = None
        running.stream, running.release = stream, release_stream

    def _start(self, running: _OpenCall, work: Callable[[], Awaitable[None]]) -> None:
        if running.request is not None:
            running.request.adopt()
        running.task = self._loop.create_task(self._run(running, work))
        running.task.add_done_callback(partial(self._ended, running))

    def cancel(self, stream: Stream) -> None:
        """The client has reset the stream."""
        running = self._running.get(stream.id or 0)
        if running is not None:
            self._end_early(running, _Why.GONE)

    def close(self) -> None:
        """The connection is lost."""
        self._end_all(_Why.GONE)

    def stop(self) -> None:
        """The server stops: end all calls."""
        self._end_all(_Why.STOPPING)

    def forsake(self) -> None:
        """Stop serving all calls without a word: their clients hear nothing more of them."""
        self.deaf = True
        self._end_all(_Why.FORSAKEN)

    def _end_all(self, why: _Why) -> None:
        for running in list(self._running.values()):
            self._end_early(running, why)

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

    # --- without a task ---

    def settle(self) -> None:
        """Everything has been taken that came together: serve those that have come whole."""
        if not self._arrived or self.host is None:
            return
        arrived, self._arrived = self._arrived, []
        self._settling = True
        self.host.gather()
        begun = [self._begin(running, quick) for running, quick in arrived]
        for method in dict.fromkeys(filter(None, begun)):
            method.commit()
        self.host.push()
        self._settling = False
        for running, quick in arrived:
            if running.give_up is not None and quick.timeout is not None:
                running.timer = self._loop.call_later(quick.timeout, self._end_early, running, _Why.LATE)

    def _begin(self, running: _OpenCall, quick: QuickRequest) -> QuickMethod | None:
        """Begin to serve a call without a task; None where it has one, or has ended already."""
        if running.why is not None:
            self._over(running)
            return None
        request = running.request
        if request is not None:
            if quick.query is not None and self._answers(running, request, quick.query):
                return None
            if quick.method is not None:
                with suppress(Exception):  # the handler comes to the same, and says so
                    running.give_up = quick.method.begin(running.message, partial(self._answered, running))
            if running.give_up is not None:
                return quick.method
        self._start(running, partial(self._answer, running, running.metadata))
        return None

    def _answers(self, running: _OpenCall, request: WholeRequest, query: QuickQuery) -> bool:
        """Answer a call at once, if that can be done, and be done with it."""
        room, answer = min(AT_ONCE, request.room), None
        with suppress(Exception):  # as above
            answer = query(running.message, room) if room > 0 else None
        if answer is None or not answer_whole(request, answer):
            return False
        self._counts.total += 1
        self._over(running)
        return True

    def _answered(self, running: _OpenCall, result: bytes | RpcError) -> None:
        """A call that was begun without a task has its answer."""
        running.give_up = None
        if running.timer is not None:
            running.timer.cancel()
        alone = not self._settling and len(self._running) == 1  # nothing else is about to be written
        if alone and self.host is not None:
            self.host.gather()
        request = running.request
        if request is None or isinstance(result, RpcError) or not answer_whole(request, frame((result,))):
            self._start(running, partial(self._tell, running, result))
        else:
            self._counts.total += 1
            self._over(running)
        if alone and self.host is not None:
            self.host.push()

    async def _tell(self, running: _OpenCall, result: bytes | RpcError) -> None:
        """Send an answer for which there was no room, or which is an error."""
        running.call = call = GrpcCall(running.stream, running.metadata, 0, self._cut)
        if isinstance(result, bytes):
            await call.send([result])
        await self._finish(running, call, result if isinstance(result, RpcError) else None)

    def _end_early(self, running: _OpenCall, why: _Why) -> None:
        running.cut(why)
        give_up, running.give_up = running.give_up, None
        if give_up is None:
            return
        give_up()
        if why in _UNHEARD:
            self._over(running)
        else:
            self._answered(running, _ending(why, running.metadata.get(":path", "")))

    # --- with a task ---

    async def _answer(self, running: _OpenCall, headers: Mapping[str, str]) -> None:
        if self.deaf:
            await self._loop.create_future()
        if is_grpc(headers):
            await self._serve(running, headers)
        else:
            await self._serve_plain(running.stream, headers)

    async def _run(self, running: _OpenCall, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
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
        running.task = None  # they know each other: nothing is to wait for the garbage collector
        self._over(running)

    def _over(self, running: _OpenCall) -> None:
        del self._running[running.number]
        if self.host is not None and len(self._running) <= MAX_CONCURRENT_STREAMS:
            self.host.take_more()
        self._release(running)

    def _release(self, running: _OpenCall) -> None:
        if running.why is _Why.FORSAKEN:
            return
        if running.request is not None:
            running.request.drop()
            return
        stream = running.stream
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
        await self._finish(running, call, error)

    async def _finish(self, running: _OpenCall, call: GrpcCall, error: RpcError | None) -> None:
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
        answer = await self._plain.in_turn(partial(self._plain.answer, method, headers.get(":path", "")))
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
