"""Appending to a stream: how events get to the server.

Owns: the choice between the shared BatchAppend call and a call of its own. Must not know: how the shared call works
(`batch_call`), when events are sent again (`repeating`), what the client's methods are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from esdb_lite.client.append.repeating import Repeater, Send
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
        self.repeater = repeater
        self._batches = BatchAppender(core)

    async def append(
        self, request: AppendRequest, *, deadline: Deadline, credentials: CredentialsLike = None
    ) -> AppendResult:
        """Append events, and again with the same ids until the outcome is known.

        Raises OutcomeUnknown when they were sent, and the answer has not come for as long as the policy allows.
        """
        request.check()
        attempt = partial(self.prepare, request, deadline, credentials)
        answer = await self.repeater.run(request, attempt, _only, deadline, credentials)
        result = AppendResult(answer.position, answer.revision, request.stream_name)
        self.repeater.saw(result)
        return result

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
            return await self._batches.append(request, request.size, deadline)
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
