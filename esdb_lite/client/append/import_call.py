"""The call on which imports are sent: one message behind the other, and again from the first that is not answered.

Owns: the order of messages, their answers, and beginning the call again. Must not know: what is in the messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from esdb_lite._limits import Room
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.shapes import BidiStream
from esdb_lite._status.exceptions import error_for_batch
from esdb_lite._wire.append import AppendAnswer
from esdb_lite._wire.batch_append import BatchResponse, decode_wrong_expected_version
from esdb_lite._wire.imports import IMPORT_EVENTS, decode_import_answer
from esdb_lite._wire.primitives import WireError
from esdb_lite.client.append.batch_call import failure_of_one
from esdb_lite.client.retry import RetryState, Safety
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import ClientClosed, EsdbClientException, NotSupported, ProtocolError, WriteDeadlineExceeded
from esdb_lite.positions import ANY

if TYPE_CHECKING:
    from esdb_lite._rpc.pool import ConnectionPool
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike

_AHEAD, _AHEAD_BYTES = 4, 4 * 2**20
"""Messages that are sent before the first of them is answered."""


class _Unanswered:
    __slots__ = ("answer", "data")

    def __init__(self, data: bytes, answer: asyncio.Future[int]) -> None:
        self.data = data
        self.answer = answer


class ImportCall:
    """Messages that are not answered, in their order. What has failed once fails for all that waits, and is over."""

    def __init__(self, core: ClientCore, credentials: CredentialsLike) -> None:
        self._core = core
        self._credentials = credentials
        self._unanswered: deque[_Unanswered] = deque()
        self._sent = 0
        """How many of these are on their way."""
        self._more = asyncio.Event()
        self._room = Room(_AHEAD, _AHEAD_BYTES)
        self._retries = RetryState(core.settings.retry, Safety.SAME_IDS)
        self._task: asyncio.Task[None] | None = None
        self.turn = Room(1, 1)
        """Of those whose messages come next."""
        self.users = 0
        self.failure: EsdbClientException | None = None
        """Why nothing more can be sent."""

    async def send(self, data: bytes, deadline: Deadline) -> asyncio.Future[int]:
        """Send a message when its turn has come; its answer is the position of its last event."""
        if not await self._room.enter(len(data), deadline.remaining()):
            raise too_late(deadline)
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(partial(self._answered, len(data)))
        if self.failure is not None:
            answer.set_exception(failure_of_one(self.failure, in_doubt=False))
            return answer
        self._unanswered.append(_Unanswered(data, answer))
        self._more.set()
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
        return answer

    def _answered(self, size: int, answer: asyncio.Future[int]) -> None:
        self._room.leave(size)
        answer.exception()  # it may be that nobody asks for it any more

    async def close(self) -> None:
        """Cut off what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        """Send until everything is answered."""
        try:
            while self._unanswered:
                await self._attempt()
        finally:
            self._fail(ClientClosed("the client is closed"))  # whoever still waits

    async def _attempt(self) -> None:
        node: ConnectionPool | None = None
        try:
            node = await self._core.node(Deadline(None), Need.LEADER)
            await self._converse(node)
        except EsdbClientException as error:
            again = self.failure is None and not isinstance(error, NotSupported)
            if not again or not await self._core.try_again(self._retries, node, error, Deadline(None), "import"):
                self._fail(error)

    async def _converse(self, node: ConnectionPool) -> None:
        metadata = await self._core.metadata(node, self._credentials, Deadline(None), Need.LEADER)
        async with BidiStream(node, IMPORT_EVENTS, deadline=Deadline(None), metadata=metadata) as stream:
            self._sent = 0
            sending = asyncio.ensure_future(self._send(stream))
            try:
                while self._unanswered:
                    messages = await stream.receive()
                    if not messages:
                        raise node.failure("the server has ended the call", sent=True)
                    for message in messages:
                        self._take(message)
            finally:
                sending.cancel()
                await asyncio.wait({sending})

    async def _send(self, stream: BidiStream) -> None:
        try:
            while True:
                while self._sent < len(self._unanswered):
                    self._sent += 1
                    await stream.send((self._unanswered[self._sent - 1].data,))
                self._more.clear()
                await self._more.wait()
        except EsdbClientException:
            pass  # receiving meets it, too, and knows what to do

    def _take(self, data: bytes) -> None:
        """Give the first message its answer. Raises the refusal that it is."""
        try:
            answer = decode_import_answer(data)
        except WireError as error:
            raise ProtocolError(f"the answer to an import cannot be understood: {error}") from error
        if answer.refusal is not None:
            self.failure = _refusal(answer.refusal)
            raise self.failure
        if not self._sent:
            raise ProtocolError("an answer has come to an import that was not sent")
        self._sent -= 1
        self._retries.succeed()
        done = self._unanswered.popleft().answer
        if not done.done():
            done.set_result(answer.position)

    def _fail(self, error: EsdbClientException) -> None:
        """Nothing more will be sent. The first message has failed with this; those behind it were not written."""
        refused = self.failure is error or isinstance(error, NotSupported)
        self.failure = error if self._unanswered else self.failure
        for number, message in enumerate(self._unanswered):
            if not message.answer.done():
                in_doubt = number < self._sent and not refused
                message.answer.set_exception(failure_of_one(error, in_doubt=in_doubt))
        self._unanswered.clear()


def _refusal(response: BatchResponse) -> EsdbClientException:
    result = response.result
    if result is None or isinstance(result, AppendAnswer):
        return ProtocolError("the refusal of an import does not say why")
    conflicts = result.detail == "WrongExpectedVersion"
    expected = decode_wrong_expected_version(result.value).expected if conflicts else None
    return error_for_batch(result, response.stream or "", ANY if expected is None else expected)


def too_late(deadline: Deadline) -> WriteDeadlineExceeded:
    """Return the exception for an import that was not answered in time."""
    return WriteDeadlineExceeded(f"import: no answer within {deadline.timeout or 0:g} seconds")
