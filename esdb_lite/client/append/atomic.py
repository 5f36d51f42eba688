"""Atomic appends to several streams: how records get to the server.

Owns: the three calls that can make them. Must not know: which of them is enough (`atomic_request`), when records are
sent again (`repeating`), what the client's methods are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from esdb_lite_protos.tags import PATH_STREAMS_SERVICE_APPEND_RECORDS, PATH_STREAMS_SERVICE_APPEND_SESSION

from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.shapes import ClientStream, unary
from esdb_lite._wire.append import AppendAnswer
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.record_responses import decode_appended_records
from esdb_lite.client.append.appender import Appender
from esdb_lite.client.append.atomic_request import AtomicRequest, Way
from esdb_lite.client.append.repeating import Send
from esdb_lite.client.append.request import AppendRequest
from esdb_lite.client.authorization import Metadata
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import (
    ConsistencyError,
    EsdbClientException,
    ExpectedPositionError,
    NotSupported,
    ProtocolError,
    ServiceUnavailable,
)
from esdb_lite.positions import ANY
from esdb_lite.records import ConsistencyViolation, RecordsResult

if TYPE_CHECKING:
    from esdb_lite._rpc.pool import ConnectionPool
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike


class AtomicAppender:
    """Atomic appends for one client."""

    def __init__(self, core: ClientCore, appender: Appender) -> None:
        """`appender`: for servers that can append to one stream only."""
        self._core = core
        self._repeater = appender.repeater
        self._appender = appender

    async def append(
        self, request: AtomicRequest, *, deadline: Deadline, credentials: CredentialsLike = None
    ) -> RecordsResult:
        """Append records, and again with the same ids until the outcome is known.

        Raises NotSupported; and OutcomeUnknown when they were sent, and the answer has not come for as long as the
        policy allows.
        """
        attempt = partial(self._prepare, request, deadline, credentials)
        result = await self._repeater.run(request, attempt, partial(_found, request), deadline, credentials)
        self._repeater.saw(result.commit_position or 0)
        return result

    async def _prepare(
        self, request: AtomicRequest, deadline: Deadline, credentials: CredentialsLike
    ) -> Send[RecordsResult]:
        """Return what sends the records once, by the call that the server has."""
        features = await self._core.features(deadline)
        try:
            way = request.way(features.has)
        except NotSupported:
            self._core.forget_features()  # it may be upgraded
            raise
        if way is Way.APPEND:
            return await self._prepare_events(request, deadline, credentials)
        return partial(self._send, request, deadline, credentials, way)

    async def _prepare_events(
        self, request: AtomicRequest, deadline: Deadline, credentials: CredentialsLike
    ) -> Send[RecordsResult]:
        stream = request.records[0].stream_name
        events = AppendRequest(stream, request.expected.get(stream, ANY), request.as_events())
        events.check()
        send = await self._appender.prepare(events, deadline, credentials)

        async def send_events(expected: int | None) -> RecordsResult:
            try:
                return _found(request, [await send(expected)])
            except ExpectedPositionError as error:
                raise _inconsistent(error) from error

        return send_events

    async def _send(
        self,
        request: AtomicRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        way: Way,
        expected: int | None,
    ) -> RecordsResult:
        node = await self._core.node(deadline, Need.LEADER)
        try:
            metadata = await self._core.metadata(node, credentials, deadline, Need.LEADER)
            call = _append_records if way is Way.RECORDS else _append_session
            answer = decode_appended_records(await call(node, request.expecting(expected), deadline, metadata))
        except NotSupported:
            self._core.forget_features()
            raise
        except WireError as error:
            raise ProtocolError(f"the answer to an atomic append cannot be understood: {error}") from error
        except EsdbClientException as error:
            self._core.failed(node, error)
            if isinstance(error, ServiceUnavailable):
                self._core.forget_features()  # behind the same address there may be another server next time
            raise
        return RecordsResult(answer.position if answer.position >= 0 else None, answer.revisions)


async def _append_records(
    node: ConnectionPool, request: AtomicRequest, deadline: Deadline, metadata: Metadata
) -> bytes:
    return await unary(node, PATH_STREAMS_SERVICE_APPEND_RECORDS, request.encode_records(), deadline, metadata)


async def _append_session(
    node: ConnectionPool, request: AtomicRequest, deadline: Deadline, metadata: Metadata
) -> bytes:
    path = PATH_STREAMS_SERVICE_APPEND_SESSION
    async with ClientStream(node, path, deadline=deadline, metadata=metadata) as call:
        for message in request.encode_session():
            await call.send((message,))
        await call.send((), end=True)
        return await call.finish()


def _found(request: AtomicRequest, found: Sequence[AppendAnswer]) -> RecordsResult:
    """What the positions of the last records come to, in the order of `request.wanted`."""
    positions = [answer.position for answer in found if answer.position is not None]
    revisions = {
        stream: answer.revision
        for stream, answer in zip(request.streams, found, strict=True)
        if answer.revision is not None
    }
    return RecordsResult(max(positions, default=None), revisions)


def _inconsistent(error: ExpectedPositionError) -> ConsistencyError:
    new = ConsistencyError(str(error), code=error.code, details=error.details, trailers=error.trailers)
    new.stream_name, new.expected, new.current = error.stream_name, error.expected, error.current
    new.violations = (ConsistencyViolation(error.stream_name, error.expected, error.current, 0),)
    return new
