"""Appending: how events get to the server, and what is known when the answer does not come.

Owns: the choice between the shared BatchAppend call and a call of its own, and what an append that fails may say.
Must not know: how the shared call works (`client.batching`), what the client's methods are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from esdb_lite._convert import APPEND, BATCH_APPEND
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.streams import ClientStream
from esdb_lite._status.exceptions import wrong_expected_position
from esdb_lite._wire.appending import (
    Appended,
    Conflict,
    decode_append_response,
    encode_append_options,
    encode_append_proposed,
    encode_proposed,
)
from esdb_lite.client.batching import BatchAppender
from esdb_lite.errors import (
    AppendDeadlineExceeded,
    AppendInterrupted,
    AppendTimedOut,
    DeadlineExceeded,
    GrpcError,
    InvalidArgument,
    OperationTimedOut,
    OutcomeUnknown,
    ProtocolError,
    ServerNotReady,
    ServiceUnavailable,
    Unauthenticated,
)
from esdb_lite.events import AppendResult, NewEvent

if TYPE_CHECKING:
    from esdb_lite.client.session import Session
    from esdb_lite.settings import CredentialsLike

SHARED_SIZE = 2**20
"""Appends of more bytes get a call of their own, where they do not hold up others."""

MAX_MESSAGE = 16 * 1024 * 1024 - 10_000
"""Bytes in one message that servers take at most; an event is at least one message."""

_AT_A_TIME = 2**18
_OVERHEAD = 200

_E = TypeVar("_E", AppendDeadlineExceeded, AppendInterrupted, AppendTimedOut)


@dataclass(frozen=True)
class AppendRequest:
    """Events for one stream."""

    stream_name: str
    expected: int
    """As on the wire."""
    events: Sequence[NewEvent]

    @property
    def size(self) -> int:
        """About how many bytes the request has."""
        return sum(len(event.data) + len(event.metadata) + 4 * len(event.type) + _OVERHEAD for event in self.events)

    def proposed(self) -> Iterable[bytes]:
        """The events as messages."""
        for event in self.events:
            yield encode_proposed(
                id=str(event._id),  # as a text: it is quicker to take apart than the other form
                type=event.type,
                content_type=event.content_type,
                metadata=event.metadata,
                data=event.data,
            )

    def check(self) -> None:
        """Refuse events that no server can take."""
        for event in self.events:
            size = len(event.data) + len(event.metadata) + len(event.type.encode()) + _OVERHEAD
            if size > MAX_MESSAGE:
                raise InvalidArgument("events", event, f"must be of less than {MAX_MESSAGE} bytes each")


class Appender:
    """Appends for one client."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._batches = BatchAppender(session)

    async def append(
        self, request: AppendRequest, *, deadline: Deadline, credentials: CredentialsLike = None
    ) -> AppendResult:
        """Append events. Raises OutcomeUnknown when they were sent and the answer did not come."""
        request.check()
        try:
            appended = await self._append_with_token(request, deadline, credentials)
        except GrpcError as error:
            unknown = outcome_unknown(error, request)
            if unknown is error:
                raise
            raise unknown from error
        return AppendResult(appended.position, appended.revision)

    async def close(self) -> None:
        """End the shared call."""
        await self._batches.close()

    async def _append_with_token(
        self, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike
    ) -> Appended:
        try:
            return await self._append(request, deadline, credentials)
        except Unauthenticated:
            if not self._session.renew(credentials):
                raise
        return await self._append(request, deadline, credentials)

    async def _append(self, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike) -> Appended:
        size = request.size
        if credentials is None and size <= SHARED_SIZE:
            features = await self._session.features(deadline)
            if features.has(BATCH_APPEND):
                return await self._batches.append(request, size, deadline)
        return await self._append_alone(request, deadline, credentials)

    async def _append_alone(self, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike) -> Appended:
        node = await self._session.node(deadline)
        metadata = await self._session.metadata(node, credentials, deadline)
        call = ClientStream(node, APPEND, deadline=deadline, metadata=metadata)
        async with call:
            try:
                for messages in _in_pieces(request):
                    await call.send(messages)
                await call.send((), end=True)
                answer = decode_append_response(await call.finish())
            except ServerNotReady:
                raise
            except (DeadlineExceeded, ServiceUnavailable) as error:
                raise perhaps_written(error) from error
        if isinstance(answer, Conflict):
            raise wrong_expected_position(request.stream_name, request.expected, answer.current)
        if answer is None:
            raise ProtocolError("the answer to an append has no result")
        return answer


def _in_pieces(request: AppendRequest) -> Iterable[list[bytes]]:
    """The requests of an Append call, as many at a time as are worth a write."""
    messages, size = [encode_append_options(request.stream_name, request.expected)], 0
    for proposed in request.proposed():
        messages.append(encode_append_proposed(proposed))
        size += len(proposed)
        if size > _AT_A_TIME:
            yield messages
            messages, size = [], 0
    yield messages


def perhaps_written(error: DeadlineExceeded | ServiceUnavailable) -> AppendDeadlineExceeded | AppendInterrupted:
    """Return what to raise instead of an error that has come after the events were sent."""
    if isinstance(error, DeadlineExceeded):
        return _like(AppendDeadlineExceeded, error)
    return _like(AppendInterrupted, error)


def outcome_unknown(error: GrpcError, request: AppendRequest) -> GrpcError:
    """Return the error as an append's, with the events in it where they may be written."""
    if isinstance(error, OperationTimedOut) and not isinstance(error, OutcomeUnknown):
        error = _like(AppendTimedOut, error)
    if isinstance(error, OutcomeUnknown):
        error.stream_name, error.events = request.stream_name, tuple(request.events)
        error.expected_position = None if request.expected == -1 else request.expected
    return error


def _like(kind: type[_E], error: GrpcError) -> _E:
    new = kind(str(error), code=error.code, details=error.details, trailers=error.trailers)
    if isinstance(error, ServiceUnavailable) and isinstance(new, ServiceUnavailable):
        new.at(error.host, error.port)
    return new
