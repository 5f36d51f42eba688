"""The shared BatchAppend call: many appends at a time on one call, told apart by correlation ids.

Owns: opening it, putting what is asked for at the same time into one write, giving each append its answer, and failing
exactly those that were under way when it breaks. Must not know: other ways to append, retries.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from esdb_lite._limits import Room
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.identity import caller_in, named
from esdb_lite._rpc.shapes import BidiStream
from esdb_lite._status.exceptions import error_for_batch
from esdb_lite._wire.append import AppendAnswer
from esdb_lite._wire.batch_append import BATCH_APPEND, BatchResponse, decode_batch_response, encode_batch_request
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.uuids import WireUuid, format_uuid, parse_uuid
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import (
    AccessDenied,
    ClientClosed,
    DeadlineExceeded,
    EsdbClientException,
    GrpcError,
    LinkError,
    NotLeader,
    NotSupported,
    OperationTimedOut,
    ProtocolError,
    ServerNotReady,
    Unauthenticated,
    WriteDeadlineExceeded,
    WriteInterrupted,
)

if TYPE_CHECKING:
    from esdb_lite._rpc.pool import ConnectionPool
    from esdb_lite.client.append.request import AppendRequest
    from esdb_lite.client.core import ClientCore

MAX_APPENDS = 1_000
"""Appends that may wait for their answers at a time; others wait for their turn."""
MAX_BYTES = 8 * 2**20
"""Bytes of theirs that may be in memory, twice or so."""

_AT_A_TIME = 2**18
_AT_ONCE = 12
"""Appends that are sent without waiting for others of this turn of the loop: the server begins with them meanwhile."""
_REFUSALS = (AccessDenied, Unauthenticated, NotSupported)
"""Answers to the call as a whole after which nothing of it was written."""


class PendingAppend:
    """One append on its way."""

    __slots__ = ("call", "key", "message", "outcome", "request", "sent", "settled", "timer")

    def __init__(
        self, call: BatchAppendCall, request: AppendRequest, key: str, message: bytes, settled: Callable[[], None]
    ) -> None:
        self.call = call
        self.request = request
        self.key = key
        self.message = message
        self.settled: Callable[[], None] | None = settled
        """What is called, once, when there is an outcome; None: it was, or nobody waits for it."""
        self.outcome: AppendAnswer | EsdbClientException | None = None
        self.sent = False
        self.timer: asyncio.TimerHandle | None = None

    def answer(self) -> AppendAnswer:
        """Return what has come of it. Raises what it has failed with."""
        if isinstance(self.outcome, AppendAnswer):
            return self.outcome
        assert self.outcome is not None
        raise self.outcome

    def settle(self, response: BatchResponse, caller: str | None) -> EsdbClientException | None:
        """Take the server's answer to this caller; return the refusal if it is one."""
        result = response.result
        if isinstance(result, AppendAnswer):
            self._end(result)
            return None
        error: EsdbClientException = (
            ProtocolError("the answer to an append has no result")
            if result is None
            else error_for_batch(result, self.request.stream_name, self.request.expected)
        )
        named(error, caller, f"append to stream {self.request.stream_name!r}")
        self.fail(error)
        return error

    def fail(self, error: EsdbClientException) -> None:
        """It has failed."""
        self._end(error)

    def _end(self, outcome: AppendAnswer | EsdbClientException) -> None:
        settled, self.settled = self.settled, None
        if settled is not None:
            self.outcome = outcome
            settled()

    def expire(self, timeout: float) -> None:
        """The append's time is over."""
        text = f"BatchAppend: no answer within {timeout:g} seconds"
        self.fail(WriteDeadlineExceeded(text) if self.sent else _not_sent(text))


class BatchAppendCall:
    """One BatchAppend call from its opening to its end; after that it is of no use."""

    def __init__(self, core: ClientCore) -> None:
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[str, PendingAppend] = {}
        self._queue: deque[PendingAppend] = deque()
        self._stream: BidiStream | None = None
        self._node: ConnectionPool | None = None
        self._caller: str | None = None
        self._leaving = False
        self._prefix = format_uuid(os.urandom(16))[:24]
        self._count = 0
        self._unanswered = 0  # those count, too, for whose answers nobody waits any more
        self._answered = 0  # at a time, the last time
        # a node that does not lead refuses the first append: nothing else is to be in doubt then, if that is the end
        self._admitted = core.settings.retry.follows_leader
        self._flushing: asyncio.Handle | None = None
        self._sending: asyncio.Task[None] | None = None
        self.ended = False
        self._task = asyncio.ensure_future(self._run())

    def begin(self, request: AppendRequest, deadline: Deadline, settled: Callable[[], None]) -> PendingAppend:
        """Send an append soon; `settled` is called with its end, after which the append has to be forgotten."""
        self._count += 1
        key = f"{self._prefix}{self._count:012x}"
        message = encode_batch_request(key, request.proposed(), stream=request.stream_name, expected=request.expected)
        append = PendingAppend(self, request, key, message, settled)
        if deadline.timeout is not None:
            append.timer = self._loop.call_later(deadline.remaining() or 0.0, append.expire, deadline.timeout)
        self._under_way[key] = append
        self._queue.append(append)
        if self._answered <= 1 and len(self._under_way) == 1:
            self._flush()  # one after another: nothing else is going to come in this turn of the loop
        elif len(self._queue) >= _AT_ONCE:
            self._flush()
        elif self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)
        return append

    def forget(self, append: PendingAppend) -> None:
        """Nobody waits for the append any more: an answer that comes later finds nobody."""
        append.settled = None
        self._under_way.pop(append.key, None)
        if append.timer is not None:
            append.timer.cancel()
        if self._leaving and not self._under_way:
            self._task.cancel()

    @property
    def usable(self) -> bool:
        """Whether it still runs, and on the server that appends go to."""
        return not self.ended and (self._node is None or self._core.is_current(self._node, Need.LEADER))

    def leave(self) -> None:
        """End the call when everything that is under way has its answer."""
        self._leaving = True
        if not self._under_way:
            self._task.cancel()

    async def close(self) -> None:
        """Cut the call off; what is under way fails."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        error: EsdbClientException = ClientClosed("the client is closed")
        try:
            error = await self._converse()
        except EsdbClientException as reason:
            error = reason
        finally:
            if not self.ended:
                if self._node is not None:
                    self._core.failed(self._node, error)
                self._end(error)

    async def _converse(self) -> EsdbClientException:
        node = self._node = await self._core.node(Deadline(None), Need.LEADER)
        metadata = await self._core.metadata(node, None, Deadline(None), Need.LEADER)
        self._caller = caller_in(metadata)
        async with BidiStream(node, BATCH_APPEND, deadline=Deadline(None), metadata=metadata) as stream:
            unwatch = self._core.watch(node, lambda reason: self._move(stream, reason))
            try:
                self._stream = stream
                self._flush()
                while messages := await stream.receive():
                    self._receive(messages)
                    stream.deliver(self._receive)
            finally:
                unwatch()
            return node.failure("the server has ended the call", sent=True)

    def _move(self, stream: BidiStream, reason: str) -> None:
        """Another node leads: what is under way here may never be answered."""
        if not self.ended:
            assert self._node is not None
            self._end(self._node.failure(reason, sent=True))
            stream.close()

    def _receive(self, messages: list[bytes]) -> None:
        """Give each append its answer. Raises ProtocolError."""
        self._answered = len(messages)
        for message in messages:
            try:
                response = decode_batch_response(message)
                append = self._asked(response.correlation_id)
            except WireError as reason:
                raise ProtocolError(str(reason)) from reason
            if append is not None:
                error = append.settle(response, self._caller)
                if isinstance(error, (ServerNotReady, OperationTimedOut)) and self._node is not None:
                    self._core.failed(self._node, error)  # another one may be able to do it now
        if not self._admitted:
            self._admitted = True
            self._flush()

    def _asked(self, id: WireUuid | None) -> PendingAppend | None:
        """Return the append with that id, if anybody still waits for its answer."""
        if id is None:
            return None
        self._unanswered -= 1
        append = self._under_way.pop(id, None) if isinstance(id, str) else None
        return self._under_way.pop(_usual(id), None) if append is None else append

    def _flush(self) -> None:
        """Send what is asked for up to now."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        stream = self._stream
        if stream is None or self._sending is not None:
            return
        while messages := self._take():
            if not stream.send_at_once(messages):
                self._sending = asyncio.ensure_future(self._send(stream, messages))
                return

    async def _send(self, stream: BidiStream, messages: list[bytes]) -> None:
        try:
            while messages:
                await stream.send(messages)
                messages = self._take()
        except EsdbClientException:
            pass  # receiving meets it, too, and knows what to do
        finally:
            self._sending = None

    def _take(self) -> list[bytes]:
        """Return the next requests that are still wanted, as many as are worth a write."""
        messages: list[bytes] = []
        size = 0
        while self._queue and size < _AT_A_TIME and (self._admitted or not self._unanswered):
            append = self._queue.popleft()
            if append.settled is not None:
                append.sent = True
                self._unanswered += 1
                messages.append(append.message)
                size += len(append.message)
        return messages

    def _end(self, error: EsdbClientException) -> None:
        self.ended = True
        self._stream = None
        if self._flushing is not None:
            self._flushing.cancel()
        if self._sending is not None:
            self._sending.cancel()
        # a server that leads no more ends the call at the next append; others may have been written before
        refused = isinstance(error, _REFUSALS) or (isinstance(error, NotLeader) and self._unanswered == 1)
        for append in [*self._under_way.values()]:
            append.fail(failure_of_one(error, in_doubt=append.sent and not refused))
        self._under_way.clear()
        self._queue.clear()


class BatchAppender:
    """Appends through a shared call, which is opened when it is needed and again when it has ended."""

    def __init__(self, core: ClientCore) -> None:
        self._core = core
        self._call: BatchAppendCall | None = None
        self._left: list[BatchAppendCall] = []
        self._room = Room(MAX_APPENDS, MAX_BYTES)

    async def append(self, request: AppendRequest, deadline: Deadline) -> AppendAnswer:
        """Append events; waits while too much is under way."""
        if deadline.passed:
            raise _not_sent("BatchAppend: not sent, because its time was over")
        if not await self._room.enter(request.size, deadline.remaining()):
            raise _not_sent(f"BatchAppend: no answer to others within {deadline.timeout} seconds")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        append = self._begin(request, deadline, partial(let_go, answer))
        try:
            await answer
        finally:
            self.end(append)
        return append.answer()

    def begin(self, request: AppendRequest, deadline: Deadline, settled: Callable[[], None]) -> PendingAppend | None:
        """Begin to append events: `settled` is called with the end of that, and `end` has to be called after it.

        None, and nothing is sent, where too much is under way.
        """
        if deadline.passed or not self._room.enter_at_once(request.size):
            return None
        return self._begin(request, deadline, settled)

    def end(self, append: PendingAppend) -> None:
        """Give its place back; where it is not settled, nobody waits for that any more."""
        append.call.forget(append)
        self._room.leave(append.request.size)

    def _begin(self, request: AppendRequest, deadline: Deadline, settled: Callable[[], None]) -> PendingAppend:
        """Begin what has got its place."""
        try:
            return self._current().begin(request, deadline, settled)
        except BaseException:
            self._room.leave(request.size)
            raise

    async def close(self) -> None:
        """End the shared call."""
        for call in [*self._left, *([self._call] if self._call is not None else [])]:
            await call.close()

    def _current(self) -> BatchAppendCall:
        self._core.check_open()
        call = self._call
        if call is None or not call.usable:
            if call is not None:
                self._core.forget_features()
                call.leave()
                self._left = [left for left in self._left if not left.ended]
                self._left.append(call)
            call = self._call = BatchAppendCall(self._core)
        return call


def let_go(answer: asyncio.Future[None]) -> None:
    """Let who waits for it go on."""
    if not answer.done():
        answer.set_result(None)


def _usual(id: WireUuid) -> str:
    """Return an id as it was sent, whatever form the server has made of it."""
    return format_uuid(parse_uuid(id))


def _not_sent(text: str) -> DeadlineExceeded:
    """Return the exception for an append whose time is over before it was sent."""
    return DeadlineExceeded(text, sent=False)


def failure_of_one(error: EsdbClientException, *, in_doubt: bool) -> EsdbClientException:
    """Return what one append fails with when the call has ended with `error`: an exception of its own."""
    if not isinstance(error, GrpcError):
        return type(error)(f"{error} (it may have been done)" if in_doubt else str(error))
    kind: type[GrpcError] = WriteInterrupted if in_doubt else type(error)
    failure = kind(str(error), code=error.code, details=error.details, trailers=error.trailers)
    failure.__dict__.update(error.__dict__)
    if isinstance(failure, LinkError):
        failure.sent = in_doubt
    failure.__cause__ = error
    return failure
