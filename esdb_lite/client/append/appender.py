"""Appending: how events get to the server, and what to do when no answer comes.

Owns: the choice between the shared BatchAppend call and a call of its own, sending the same events again, and what an
append that fails may say. Must not know: how the shared call works (`batch_call`), how written events are found
(`looking`), what the client's methods are called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.shapes import ClientStream
from esdb_lite._status.exceptions import wrong_expected_position
from esdb_lite._wire.append import (
    APPEND,
    AppendAnswer,
    Conflict,
    decode_append_response,
    encode_append_options,
    encode_append_proposed,
)
from esdb_lite._wire.batch_append import BATCH_APPEND
from esdb_lite.client.append.batch_call import BatchAppender
from esdb_lite.client.append.looking import CannotTell, LookStart, StreamLook, Unsettled, find_written
from esdb_lite.client.append.request import AppendRequest
from esdb_lite.client.retry import RetryState, Safety, in_doubt
from esdb_lite.client.retry_log import unknown_outcome
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import (
    AccessDenied,
    EsdbClientException,
    ExpectedPositionError,
    OutcomeUnknown,
    ProtocolError,
    StreamDeleted,
    Unauthenticated,
    WriteInterrupted,
)
from esdb_lite.events import AppendResult

if TYPE_CHECKING:
    from esdb_lite._rpc.pool import ConnectionPool
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike

SHARED_SIZE = 2**20
"""Appends of more bytes get a call of their own, where they do not hold up others."""

_AT_A_TIME = 2**18


class Appender:
    """Appends for one client."""

    def __init__(self, core: ClientCore) -> None:
        self._core = core
        self._batches = BatchAppender(core)
        self._unsettled = Unsettled()
        self._appended = 0  # where the log has got to at least

    async def append(
        self, request: AppendRequest, *, deadline: Deadline, credentials: CredentialsLike = None
    ) -> AppendResult:
        """Append events, and again with the same ids until the outcome is known.

        Raises OutcomeUnknown when they were sent, and the answer has not come for as long as the policy allows.
        """
        request.check()
        before = self._unsettled.take(request)
        start = before or LookStart(datetime.now(timezone.utc), self._appended)
        try:
            result = await self._persist(request, deadline, credentials, start, again=before is not None)
        except (OutcomeUnknown, asyncio.CancelledError):
            self._unsettled.add(request, start)
            raise
        self._appended = max(self._appended, result)
        return result

    async def _persist(
        self,
        request: AppendRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        start: LookStart,
        *,
        again: bool,
    ) -> AppendResult:
        new = partial(_AppendAttempts, self._core, request, deadline, credentials, start, again=again)
        attempts = new() if again else None  # most appends succeed at once, and need none of it
        while True:
            begun = False
            try:
                look = await attempts.look() if attempts is not None and attempts.must_look else None
                if look is not None and look.found is not None:
                    return _result(look.found)
                shared = await self._may_share(request, deadline, credentials)
                begun = True
                return _result(await self._append(request, deadline, credentials, look, shared))
            except EsdbClientException as error:
                attempts = attempts or new()
                if not (isinstance(error, Unauthenticated) and attempts.renew()):
                    await attempts.after(error, begun)

    def leave(self) -> None:
        """End the shared call when everything that is under way has its answer."""
        self._batches.leave()

    async def close(self) -> None:
        """End the shared call."""
        await self._batches.close()

    async def _may_share(self, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike) -> bool:
        """Return whether the events go through the shared call, for which the server may have to be asked."""
        if credentials is not None or request.size > SHARED_SIZE:
            return False
        return (await self._core.features(deadline)).has(BATCH_APPEND)

    async def _append(
        self,
        request: AppendRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        look: StreamLook | None,
        shared: bool,
    ) -> AppendAnswer:
        if shared:
            return await self._batches.append(request, request.size, deadline, look)
        node = await self._core.node(deadline, Need.LEADER)
        try:
            answer = await self._call(node, request, deadline, credentials, look)
        except EsdbClientException as error:
            self._core.failed(node, error)
            raise
        if isinstance(answer, Conflict):
            raise wrong_expected_position(request.stream_name, request.expected, answer.current)
        if answer is None:
            raise ProtocolError("the answer to an append has no result")
        return answer

    async def _call(
        self,
        node: ConnectionPool,
        request: AppendRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        look: StreamLook | None,
    ) -> AppendAnswer | Conflict | None:
        metadata = await self._core.metadata(node, credentials, deadline, Need.LEADER)
        async with ClientStream(node, APPEND, deadline=deadline, metadata=metadata) as call:
            if look is not None:
                look.check(node)
            for messages in _in_pieces(request):
                await call.send(messages)
            await call.send((), end=True)
            return decode_append_response(await call.finish())


class _AppendAttempts:
    """What has come of the attempts so far to append the same events."""

    def __init__(
        self,
        core: ClientCore,
        request: AppendRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        start: LookStart,
        *,
        again: bool,
    ) -> None:
        """`again`: the caller has made the same append before, and the outcome of that is unknown."""
        self._core = core
        self._request = request
        self._deadline = deadline
        self._credentials = credentials
        self._retries = RetryState(core.settings.retry, Safety.SAME_IDS)
        self._renewed = False
        self._refusal: EsdbClientException | None = None
        self._start = start
        self._doubt: EsdbClientException | None = (
            WriteInterrupted("an earlier append of the events was not answered") if again else None
        )

    @property
    def must_look(self) -> bool:
        """Whether the events may be there and the server may not recognise them, or has not."""
        return self._refusal is not None or (
            self._doubt is not None and self._request.expected < -1 and bool(self._request.events)
        )

    def renew(self) -> bool:
        """After refused credentials: whether that is worth another attempt, which it is once."""
        renewed, self._renewed = self._renewed, True
        return not renewed and self._core.renew(self._credentials)

    async def look(self) -> StreamLook:
        """Look whether an earlier attempt has written the events.

        Raises OutcomeUnknown where that cannot be seen, and the server's refusal where it has not.
        """
        try:
            look = await find_written(self._core, self._request, self._start, self._deadline, self._credentials)
        except (CannotTell, AccessDenied, StreamDeleted) as error:
            raise self._unknown(self._doubt or error) from error
        if self._refusal is not None and look.found is None:
            raise self._refusal
        return look

    async def after(self, error: EsdbClientException, begun: bool) -> None:
        """Wait until there may be another attempt, or a look; raises where there is no hope.

        `begun`: it was the append that has failed, and not what comes before it.
        """
        if isinstance(error, (ExpectedPositionError, StreamDeleted)):
            if self._doubt is None or self._refusal is not None or not self._request.events:
                raise error
            self._refusal = error
            return
        if isinstance(error, OutcomeUnknown) and error.events:
            raise error
        if begun and in_doubt(error):
            self._doubt = error
        if await self._core.try_again(self._retries, None, error, self._deadline, "append"):
            return
        if self._doubt is None:
            raise error
        raise self._unknown(error) from error

    def _unknown(self, error: EsdbClientException) -> EsdbClientException:
        """Return what says that the events may be there, with the events."""
        unknown = error if isinstance(error, OutcomeUnknown) else unknown_outcome(error)
        if not isinstance(unknown, OutcomeUnknown):
            unknown = WriteInterrupted(f"{error} (it may have been done)")
        request = self._request
        unknown.stream_name, unknown.events = request.stream_name, tuple(request.events)
        unknown.expected_position = None if request.expected == -1 else request.expected
        return unknown


def _result(appended: AppendAnswer) -> AppendResult:
    return AppendResult(appended.position, appended.revision)


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
