"""Calls by generated stubs: a channel that betterproto's stubs take for one of grpclib's.

Owns: what `Channel.request()` and the stream that it returns promise to a stub, and when answers are handed on.
Must not know: who is asked, who is asking, how often (that is for `attempts`), which services there are.

A stub's requests are kept until the last one is there, and go out together: so a call can be made again. Calls in
which both sides talk at the same time are refused: the two that there are (BatchAppend, Read of persistent
subscriptions) are hot, and have shapes and a codec of their own.
"""

from __future__ import annotations

import enum
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.shapes import Metadata, all_messages, only_message, split
from esdb_lite._wire.framing import MessageSplitter, frame
from esdb_lite._wire.messages import decode_message
from esdb_lite._wire.primitives import WireError
from esdb_lite.errors import ProtocolError

if TYPE_CHECKING:
    from betterproto import Message
    from grpclib.client import Channel
    from grpclib.const import Cardinality
    from typing_extensions import Self

T = TypeVar("T")
_Request = TypeVar("_Request", bound="Message")
_Response = TypeVar("_Response", bound="Message")

Attempt = Callable[[ConnectionPool, Deadline, Metadata], Awaitable[T]]
"""Makes a call once."""
MetadataLike = Mapping[str, "str | bytes"] | Collection[tuple[str, "str | bytes"]]


class Attempts(Protocol):
    """Makes an attempt, and others where that is safe and the first one fails."""

    async def __call__(self, method: str, attempt: Attempt[T], deadline: Deadline) -> T:
        """Return what the attempt returns that succeeds; raise what the call fails with."""
        ...


class Delivery(enum.Enum):
    """When the answers of a call with many are handed on."""

    TOGETHER = "when all are there: until then the call can be made again"
    AS_THEY_COME = "at once, for calls that need not end; when the first is there, the call is not made again"


class _GrpclibDeadline(Protocol):
    def time_remaining(self) -> float: ...


class StubChannel:
    """Stands for a grpclib channel where a generated stub wants one. Has nothing to close."""

    def __init__(self, attempts: Attempts, deadline: Deadline, delivery: Delivery = Delivery.TOGETHER) -> None:
        self._attempts = attempts
        self._deadline = deadline
        self._delivery = delivery

    def request(
        self,
        route: str,
        cardinality: Cardinality,
        request_type: type[_Request],
        response_type: type[_Response],
        *,
        timeout: float | None = None,
        deadline: _GrpclibDeadline | None = None,
        metadata: MetadataLike | None = None,
    ) -> StubCall[_Request, _Response]:
        """Begin a call. It ends by the soonest of the channel's deadline, `timeout` seconds, and `deadline`.

        `metadata` is sent beside what `attempts` sends. Raises ValueError for calls with requests and answers at once.
        """
        if not cardinality.server_streaming:
            answers = _Answers.ONE
        elif cardinality.client_streaming:
            raise ValueError(f"{route} has requests and answers at the same time, which a stub cannot send here")
        else:
            answers = _Answers.ALL if self._delivery is Delivery.TOGETHER else _Answers.FIRST
        limits = [timeout, None if deadline is None else deadline.time_remaining()]
        until = _soonest(self._deadline, [limit for limit in limits if limit is not None])
        return StubCall(route, response_type, answers, self._attempts, until, _headers(metadata))


class _Answers(enum.Enum):
    """How many answers end an attempt."""

    ONE = "the only one"
    ALL = "all"
    FIRST = "the first; the call goes on"


class StubCall(Generic[_Request, _Response]):
    """One call of a stub: what grpclib's `client.Stream` is to it. Ended by leaving `async with`."""

    def __init__(
        self,
        method: str,
        response_type: type[_Response],
        answers: _Answers,
        attempts: Attempts,
        deadline: Deadline,
        metadata: Metadata,
    ) -> None:
        self._method = method
        self._response_type = response_type
        self._answers = answers
        self._attempts = attempts
        self._deadline = deadline
        self._metadata = tuple(metadata)
        self._requests: list[bytes] = []
        self._complete = False
        self._arrived: deque[bytes] | None = None
        self._open: _OpenStream | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()

    async def send_request(self) -> None:
        """Send the headers: later, with the requests."""

    async def send_message(self, message: _Request, *, end: bool = False) -> None:
        """Take a request."""
        if self._complete:
            raise RuntimeError(f"{self._method} has had its last request")
        self._requests.append(bytes(message))
        self._complete = end

    async def end(self) -> None:
        """Take note that there are no more requests."""
        self._complete = True

    async def recv_message(self) -> _Response | None:
        """Return the next answer, None behind the last one. Raises EsdbClientException."""
        if self._arrived is None:
            if not self._complete:
                raise RuntimeError(f"{self._method} waits for its last request")
            self._arrived = deque(await self._attempts(self._method, self._attempt, self._deadline))
        if not self._arrived and self._open is not None:
            self._arrived.extend(await self._open.receive())
        return self._decoded(self._arrived.popleft()) if self._arrived else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Response:
        message = await self.recv_message()
        if message is None:
            raise StopAsyncIteration
        return message

    async def _attempt(self, pool: ConnectionPool, deadline: Deadline, metadata: Metadata) -> list[bytes]:
        long = self._answers is _Answers.FIRST
        call = ClientCall(pool, self._method, deadline=deadline, metadata=(*metadata, *self._metadata), long=long)
        kept = False
        try:
            await call.open()
            await call.send(frame(self._requests), end=True)
            if self._answers is _Answers.ONE:
                return [await only_message(call)]
            if self._answers is _Answers.ALL:
                return await all_messages(call)
            stream = _OpenStream(call)
            messages = await stream.receive()
            self._open, kept = stream, True
            return messages
        finally:
            if not kept:
                call.close()

    def _decoded(self, data: bytes) -> _Response:
        try:
            return decode_message(self._response_type, data)
        except WireError as error:
            raise ProtocolError(f"an answer to {self._method} cannot be decoded: {error}") from error


class _OpenStream:
    """The answers of a call that goes on."""

    def __init__(self, call: ClientCall) -> None:
        self._call = call
        self._splitter = MessageSplitter()

    async def receive(self) -> list[bytes]:
        """Return what has arrived, waiting for it; [] at the end of a call that ended with OK."""
        while data := await self._call.receive():
            if messages := split(self._splitter, data):
                return messages
        if not self._splitter.complete:
            raise ProtocolError("the answer was cut off in the middle of a message")
        return []

    def close(self) -> None:
        self._call.close()


def channel_by(attempts: Attempts, deadline: Deadline, delivery: Delivery = Delivery.TOGETHER) -> Channel:
    """Return a channel for a stub. Its type says that it is grpclib's: of that, stubs use `request` alone."""
    return cast("Channel", StubChannel(attempts, deadline, delivery))


def channel_to(pool: ConnectionPool, deadline: Deadline, metadata: Metadata = ()) -> Channel:
    """Return a channel for a stub, whose calls go to one server, once."""

    async def once(method: str, attempt: Attempt[T], deadline: Deadline) -> T:
        return await attempt(pool, deadline, metadata)

    return channel_by(once, deadline)


def _soonest(deadline: Deadline, limits: Collection[float]) -> Deadline:
    left = deadline.remaining()
    least = min(limits, default=None)
    return deadline if least is None or (left is not None and left <= least) else Deadline(least)


def _headers(metadata: MetadataLike | None) -> Metadata:
    """Return metadata as headers: bytes in base64, as gRPC has them in names that end in -bin."""
    pairs = cast("Mapping[str, str | bytes]", metadata).items() if isinstance(metadata, Mapping) else metadata or ()
    return [
        (name, value if isinstance(value, str) else b64encode(value).rstrip(b"=").decode()) for name, value in pairs
    ]
