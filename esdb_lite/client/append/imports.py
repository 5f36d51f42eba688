"""Imports: events of many streams, in their order.

Owns: the choice between the call that embedded servers have and appends for all others, and waiting for the end.
Must not know: how these are sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from esdb_lite._wire.imports import encode_import_request
from esdb_lite.client.append.import_call import ImportCall, too_late
from esdb_lite.errors import DeadlineExceeded, NotSupported

if TYPE_CHECKING:
    from esdb_lite._rpc.deadline import Deadline
    from esdb_lite.client.append.appender import Appender
    from esdb_lite.client.append.import_request import ImportRequest
    from esdb_lite.client.core import ClientCore
    from esdb_lite.events import AppendResult
    from esdb_lite.settings import CredentialsLike

_IN_FLIGHT = 256
"""Appends that are on their way at a time."""


class EventImports:
    """Imports of one client: those that begin while others are under way come behind them, or fail with them."""

    def __init__(self, core: ClientCore, appender: Appender) -> None:
        self._core = core
        self._appender = appender
        self._calls: dict[CredentialsLike, ImportCall] = {}
        self._supported: bool | None = None
        """Whether the server has the call; None: nobody knows yet."""

    async def run(self, request: ImportRequest, deadline: Deadline, credentials: CredentialsLike) -> int | None:
        """Carry out an import, and return where its last event is."""
        call = self._calls.get(credentials)
        if call is None:
            call = self._calls[credentials] = ImportCall(self._core, credentials)
        call.users += 1
        slow = self._core.slow
        number = slow.begin("import") if deadline.timeout is None else 0
        try:
            return await self._run(call, request, deadline, credentials)
        finally:
            slow.end(number)
            call.users -= 1
            if not call.users:
                del self._calls[credentials]
                await call.close()

    async def _run(
        self, call: ImportCall, request: ImportRequest, deadline: Deadline, credentials: CredentialsLike
    ) -> int | None:
        if not await call.turn.enter(0, deadline.remaining()):
            raise DeadlineExceeded("import: not sent, because others were not done in time", sent=False)
        try:
            if self._supported is None:
                await self._find_out(call, deadline)
            if not self._supported:
                return await self._append(request, deadline, credentials)
            answers: list[asyncio.Future[int]] = []
            for message in request.messages():
                answers.append(await call.send(message, deadline))
                if call.failure is not None:
                    break
        finally:
            call.turn.leave(0)
        try:
            return await _settled(answers, deadline)
        except NotSupported:
            self._supported = None  # behind the same address there is another server now
            raise

    async def _find_out(self, call: ImportCall, deadline: Deadline) -> None:
        """Import nothing, which only servers with the call take."""
        try:
            await _settled([await call.send(encode_import_request((), (), (), ()), deadline)], deadline)
        except NotSupported:
            self._supported = False
        else:
            self._supported = True

    async def _append(self, request: ImportRequest, deadline: Deadline, credentials: CredentialsLike) -> int | None:
        """Append what follows each other in one stream: servers do that in the order in which it is sent."""
        flying: deque[asyncio.Task[AppendResult]] = deque()
        position: int | None = None
        try:
            for append in request.appends():
                shared = await self._appender.may_share(append, deadline, credentials)
                position = await _landed(flying, _IN_FLIGHT - 1 if shared else 0) or position
                sent = self._appender.append(append, deadline=deadline, credentials=credentials)
                flying.append(asyncio.ensure_future(sent))
                if not shared:  # others would overtake it
                    position = await _landed(flying, 0)
            return await _landed(flying, 0) or position
        finally:
            for task in flying:
                task.cancel()
            await asyncio.gather(*flying, return_exceptions=True)


async def _landed(flying: deque[asyncio.Task[AppendResult]], left: int) -> int | None:
    """Wait until no more than so many are missing; return where the last event is of those that were waited for."""
    position: int | None = None
    while len(flying) > left:
        await asyncio.wait({flying[0]})  # given up here, they all are: never one of them before those behind it
        position = flying.popleft().result()
    return position


async def _settled(answers: Sequence[asyncio.Future[int]], deadline: Deadline) -> int | None:
    """Wait for all answers; return the last one, where there is any."""
    if not answers:
        return None
    await asyncio.wait(answers, timeout=deadline.remaining(), return_when=asyncio.FIRST_EXCEPTION)
    for answer in answers:
        if not answer.done():
            raise too_late(deadline)
        answer.result()
    return answers[-1].result() or None
