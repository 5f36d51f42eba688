"""The shared BatchAppend call: many appends at a time on one call, told apart by correlation ids.

Owns: opening it, putting what is asked for at the same time into one write, giving each append its answer, and failing
exactly those that were under way when it breaks. Must not know: other ways to append, retries.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING

from esdb_lite._convert import BATCH_APPEND
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.streams import BidiStream
from esdb_lite._status.exceptions import error_for_batch
from esdb_lite._wire.appending import Appended
from esdb_lite._wire.batch_appending import BatchResponse, decode_batch_response, encode_batch_request
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.uuids import WireUuid, format_uuid, parse_uuid
from esdb_lite.errors import (
    AccessDenied,
    AppendDeadlineExceeded,
    AppendInterrupted,
    ClientClosed,
    DeadlineExceeded,
    EsdbClientException,
    GrpcError,
    NotLeader,
    NotSupported,
    ProtocolError,
    Unauthenticated,
)

if TYPE_CHECKING:
    from esdb_lite.client.appending import AppendRequest
    from esdb_lite.client.session import Session

MAX_APPENDS = 1_000
"""Appends that may wait for their answers at a time; others wait for their turn."""
MAX_BYTES = 8 * 2**20
"""Bytes of theirs that may be in memory, twice or so."""

_AT_A_TIME = 2**18
_REFUSALS = (AccessDenied, Unauthenticated, NotLeader, NotSupported)
"""Answers to the call as a whole after which nothing of it was written."""


class _Append:
    """One append on its way."""

    __slots__ = ("answer", "key", "message", "request", "sent", "timer")

    def __init__(self, request: AppendRequest, key: str, message: bytes, answer: asyncio.Future[Appended]) -> None:
        self.request = request
        self.key = key
        self.message = message
        self.answer = answer
        self.sent = False
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, response: BatchResponse) -> None:
        """Take the server's answer."""
        result = response.result
        if isinstance(result, Appended):
            if not self.answer.done():
                self.answer.set_result(result)
        elif result is None:
            self.fail(ProtocolError("the answer to an append has no result"))
        else:
            self.fail(error_for_batch(result, self.request.stream_name, self.request.expected))

    def fail(self, error: EsdbClientException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def expire(self, timeout: float) -> None:
        """The append's time is over."""
        kind = AppendDeadlineExceeded if self.sent else DeadlineExceeded
        self.fail(kind(f"BatchAppend: no answer within {timeout:g} seconds"))


class _Conversation:
    """One BatchAppend call from its opening to its end; after that it is of no use."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[str, _Append] = {}
        self._queue: deque[_Append] = deque()
        self._stream: BidiStream | None = None
        self._prefix = format_uuid(os.urandom(16))[:24]
        self._count = 0
        self._answered = 0  # at a time, the last time
        self._flushing: asyncio.Handle | None = None
        self._sending: asyncio.Task[None] | None = None
        self.ended = False
        self._task = asyncio.ensure_future(self._run())

    def begin(self, request: AppendRequest, deadline: Deadline) -> _Append:
        """Send an append soon; its `answer` is to be awaited, and the append then to be forgotten."""
        self._count += 1
        key = f"{self._prefix}{self._count:012x}"
        message = encode_batch_request(key, request.proposed(), stream=request.stream_name, expected=request.expected)
        append = _Append(request, key, message, self._loop.create_future())
        if deadline.timeout is not None:
            append.timer = self._loop.call_later(deadline.remaining() or 0.0, append.expire, deadline.timeout)
        self._under_way[key] = append
        self._queue.append(append)
        if self._answered <= 1 and len(self._under_way) == 1:
            self._flush()  # one after another: nothing else is going to come in this turn of the loop
        elif self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)
        return append

    def forget(self, append: _Append) -> None:
        """Nobody waits for the append any more: an answer that comes later finds nobody."""
        self._under_way.pop(append.key, None)
        if append.timer is not None:
            append.timer.cancel()

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
            self._end(error)

    async def _converse(self) -> EsdbClientException:
        node = await self._session.node(Deadline(None))
        metadata = await self._session.metadata(node, None, Deadline(None))
        async with BidiStream(node, BATCH_APPEND, deadline=Deadline(None), metadata=metadata) as stream:
            self._stream = stream
            self._flush()
            while messages := await stream.receive():
                self._receive(messages)
                stream.deliver(self._receive)
            return node.failure("the server has ended the call")

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
                append.settle(response)

    def _asked(self, id: WireUuid | None) -> _Append | None:
        """Return the append with that id, if anybody still waits for its answer."""
        append = self._under_way.pop(id, None) if isinstance(id, str) else None
        if append is None and id is not None:
            append = self._under_way.pop(_usual(id), None)
        return append

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
        while self._queue and size < _AT_A_TIME:
            append = self._queue.popleft()
            if not append.answer.done():
                append.sent = True
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
        for append in [*self._under_way.values()]:
            append.fail(_failure(error, append.sent))
        self._under_way.clear()
        self._queue.clear()


class BatchAppender:
    """Appends through a shared call, which is opened when it is needed and opened anew when it has ended."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._conversation: _Conversation | None = None
        self._room = Room(MAX_APPENDS, MAX_BYTES)

    async def append(self, request: AppendRequest, size: int, deadline: Deadline) -> Appended:
        """Append events; waits while too much is under way."""
        if not self._room.enter_at_once(size) and not await self._room.enter(size, deadline):
            raise DeadlineExceeded(f"BatchAppend: no answer to others within {deadline.timeout} seconds")
        try:
            conversation = self._current()
            append = conversation.begin(request, deadline)
            try:
                return await append.answer
            finally:
                conversation.forget(append)
        finally:
            self._room.leave(size)

    async def close(self) -> None:
        """End the shared call."""
        if self._conversation is not None:
            await self._conversation.close()

    def _current(self) -> _Conversation:
        self._session.check_open()
        conversation = self._conversation
        if conversation is None or conversation.ended:
            if conversation is not None:
                self._session.forget_features()
            conversation = self._conversation = _Conversation(self._session)
        return conversation


class Room:
    """Limits how much is under way; those who wait get in in the order in which they came."""

    def __init__(self, count: int, size: int) -> None:
        self._count = count
        self._size = self._most = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def enter_at_once(self, size: int) -> bool:
        """Take room if there is some and nobody waits for it. What is larger than all room gets all of it."""
        size = min(size, self._most)
        if self._waiting or not self._fits(size):
            return False
        self._take(size)
        return True

    async def enter(self, size: int, deadline: Deadline) -> bool:
        """Wait for room; False when there is none before the deadline."""
        if self.enter_at_once(size):
            return True
        size = min(size, self._most)
        entry = size, asyncio.get_running_loop().create_future()
        self._waiting.append(entry)
        try:
            await asyncio.wait({entry[1]}, timeout=deadline.remaining())
        except asyncio.CancelledError:
            self._give_up(entry)
            raise
        return entry[1].done() or self._give_up(entry)

    def leave(self, size: int) -> None:
        """Make room for others."""
        self._count += 1
        self._size += min(size, self._most)
        self._admit()

    def _fits(self, size: int) -> bool:
        return self._count > 0 and self._size >= size

    def _take(self, size: int) -> None:
        self._count -= 1
        self._size -= size

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            self._take(size)
            turn.set_result(None)

    def _give_up(self, entry: tuple[int, asyncio.Future[None]]) -> bool:
        if entry[1].done():
            self.leave(entry[0])
        else:
            self._waiting.remove(entry)
            self._admit()
        return False


def _usual(id: WireUuid) -> str:
    """Return an id as it was sent, whatever form the server has made of it."""
    return format_uuid(parse_uuid(id))


def _failure(error: EsdbClientException, sent: bool) -> EsdbClientException:
    """Return what one append fails with when the call has ended with `error`: an exception of its own."""
    if not isinstance(error, GrpcError):
        return type(error)(str(error))
    kind: type[GrpcError] = AppendInterrupted if sent and not isinstance(error, _REFUSALS) else type(error)
    failure = kind(str(error), code=error.code, details=error.details, trailers=error.trailers)
    failure.__dict__.update(error.__dict__)
    failure.__cause__ = error
    return failure
