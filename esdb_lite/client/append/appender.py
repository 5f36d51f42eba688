"""Appending to a stream: how events get to the server.

Owns: the choice between the shared BatchAppend call and a call of its own, and a first attempt that needs no task.
Must not know: how the shared call works (`batch_call`), when events are sent again (`repeating`), what the client's
methods are called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from esdb_lite import observing
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
from esdb_lite.client.append.batch_call import BatchAppender, PendingAppend, let_go
from esdb_lite.client.append.repeating import Beginning, Repeater, Send
from esdb_lite.client.append.request import AppendRequest
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import EsdbClientException, ProtocolError
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

    def __init__(self, core: ClientCore, repeater: Repeater) -> None:
        self._core = core
        self.settings = core.settings
        self.repeater = repeater
        self._batches = BatchAppender(core)

    async def append(
        self, request: AppendRequest, *, deadline: Deadline, credentials: CredentialsLike = None
    ) -> AppendResult:
        """Append events, and again with the same ids until the outcome is known.

        Raises OutcomeUnknown when they were sent, and the answer has not come for as long as the policy allows.
        """
        return await AppendRun(self, request, deadline, credentials).finish()

    def run(self, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike) -> AppendRun:
        """Return what does the same, and tells whoever wants to know. Called on any thread."""
        run = AppendRun if observing.observer is None else ObservedAppend
        return run(self, request, deadline, credentials)

    def begin(
        self, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike, settled: Callable[[], None]
    ) -> PendingAppend | None:
        """Send events through the shared call where nothing has to be waited for; else None, and nothing is sent."""
        if credentials is not None or request.size > SHARED_SIZE or not self._core.is_known_to_have(BATCH_APPEND):
            return None
        return self._batches.begin(request, deadline, settled)

    def end(self, append: PendingAppend) -> None:
        """Whatever has come of it, nobody waits for it any more."""
        self._batches.end(append)

    async def prepare(
        self, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike
    ) -> Send[AppendAnswer]:
        """Return what sends the events once."""
        shared = await self.may_share(request, deadline, credentials)
        return partial(self._append, request, deadline, credentials, shared)

    async def close(self) -> None:
        """End the shared call."""
        await self._batches.close()

    async def may_share(self, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike) -> bool:
        """Return whether the events go through the shared call, for which the server may have to be asked."""
        if credentials is not None or request.size > SHARED_SIZE:
            return False
        return (await self._core.features(deadline)).has(BATCH_APPEND)

    async def _append(
        self,
        request: AppendRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        shared: bool,
        expected: int | None,
    ) -> AppendAnswer:
        request = request.expecting(expected)
        if shared:
            return await self._batches.append(request, deadline)
        node = await self._core.node(deadline, Need.LEADER)
        try:
            answer = await self._call(node, request, deadline, credentials)
        except EsdbClientException as error:
            self._core.failed(node, error)
            raise
        if isinstance(answer, Conflict):
            raise wrong_expected_position(request.stream_name, request.expected, answer.current)
        if answer is None:
            raise ProtocolError("the answer to an append has no result")
        return answer

    async def _call(
        self, node: ConnectionPool, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike
    ) -> AppendAnswer | Conflict | None:
        metadata = await self._core.metadata(node, credentials, deadline, Need.LEADER)
        async with ClientStream(node, APPEND, deadline=deadline, metadata=metadata) as call:
            for messages in _in_pieces(request):
                await call.send(messages)
            await call.send((), end=True)
            return decode_append_response(await call.finish())


class AppendRun:
    """One append from its beginning to its end. Up to the first answer it needs no task, in the usual case."""

    def __init__(
        self, appender: Appender, request: AppendRequest, deadline: Deadline, credentials: CredentialsLike
    ) -> None:
        """May be made on any thread. Raises InvalidArgument for events that no server can take."""
        request.check()
        self._appender = appender
        self._request = request
        self._deadline = deadline
        self._credentials = credentials
        self._beginning: Beginning | None = None
        self._pending: PendingAppend | None = None
        self._failure: EsdbClientException | None = None

    async def finish(self) -> AppendResult:
        """Do all of it."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.begin(partial(let_go, answer)):
            try:
                await answer
            except BaseException:
                self.give_up()
                raise
            if (result := self.result()) is not None:
                return result
        return await self.go_on()

    def begin(self, settled: Callable[[], None]) -> bool:
        """Send the events, if nothing has to be waited for before; `settled` is called with the first answer."""
        if not self._begin().again:
            self._pending = self._appender.begin(self._request, self._deadline, self._credentials, settled)
        return self._pending is not None

    def result(self) -> AppendResult | None:
        """Return what the first answer was; None where it was a failure, after which the append has to `go_on`."""
        outcome = self._end_first()
        if isinstance(outcome, AppendAnswer):
            self._appender.repeater.end(self._begin())
            return self._appended(outcome)
        self._failure = outcome
        return None

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._end_first()
        if self._beginning is not None:
            self._appender.repeater.give_up(self._request, self._beginning)

    async def go_on(self) -> AppendResult:
        """Append the events until the outcome is known. Raises OutcomeUnknown."""
        attempt = partial(self._appender.prepare, self._request, self._deadline, self._credentials)
        failure, self._failure = self._failure, None  # where it is raised, it knows who knows this object
        answer = await self._appender.repeater.go_on(
            self._begin(), failure, self._request, attempt, _only, self._deadline, self._credentials
        )
        return self._appended(answer)

    def _begin(self) -> Beginning:
        """Begin it, unless it has begun."""
        if self._beginning is None:
            self._beginning = self._appender.repeater.begin(self._request, self._deadline)
        return self._beginning

    def _end_first(self) -> AppendAnswer | EsdbClientException | None:
        """End the first attempt, if there is one; return what has come of it."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        self._appender.end(pending)
        return pending.outcome

    def _appended(self, answer: AppendAnswer) -> AppendResult:
        result = AppendResult(answer.position, answer.revision, self._request.stream_name)
        self._appender.repeater.saw(result)
        return result


class ObservedAppend(AppendRun):
    """The same, with somebody who is told of it."""

    def begin(self, settled: Callable[[], None]) -> bool:
        """Begin nothing: who is told wants to know of the end, too, in the same context."""
        return False

    async def go_on(self) -> AppendResult:
        """Append the events, marked as whoever is told wants it. Raises OutcomeUnknown."""
        request, settings = self._request, self._appender.settings
        with observing.appending(settings, "streams.append", [request.stream_name], len(request.events)) as marks:
            self._request = request.marked(marks)
            return await super().go_on()


def _only(found: Sequence[AppendAnswer]) -> AppendAnswer:
    return found[0]


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
