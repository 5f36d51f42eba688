"""Appending the same events again until it is known whether they are written.

Owns: when an append is sent again, when it is looked for its events first, and what one that fails may say. Must not
know: how events are sent, how they are looked for (`looking`), whether they go to one stream or to many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from esdb_lite._limits import Room
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._wire.append import AppendAnswer
from esdb_lite.client.append.expectations import expected_after_look, moved_on
from esdb_lite.client.append.looking import (
    CannotTell,
    LookStart,
    Repeatable,
    StreamLook,
    Unsettled,
    Wanted,
    find_written,
)
from esdb_lite.client.retry import RetryState, Safety, in_doubt
from esdb_lite.client.retry_log import unknown_outcome
from esdb_lite.errors import (
    AccessDenied,
    DeadlineExceeded,
    EsdbClientException,
    ExpectedPositionError,
    OutcomeUnknown,
    StreamDeleted,
    StreamNotFound,
    Unauthenticated,
    WriteInterrupted,
)
from esdb_lite.positions import NO_STREAM

if TYPE_CHECKING:
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike

T = TypeVar("T")

Send = Callable[["int | None"], Awaitable[T]]
"""Sends the events and returns the answer. The number: what the first stream is expected to be, in place of what the
request says of it."""


AT_ONCE = 10
"""How often a stream that others write is looked at and appended to before there is a pause."""


class _Turns:
    """Whose turn it is to look at a stream and to append to it.

    One after another: each moves the end that the next one has to see.
    """

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    @asynccontextmanager
    async def take(self, stream_name: str, deadline: Deadline, patience: float) -> AsyncIterator[None]:
        """Wait for a turn, and have it. Raises DeadlineExceeded, or WriteInterrupted after so many seconds."""
        room = self._rooms.setdefault(stream_name, Room(1, 1))
        left = deadline.remaining()
        try:
            if not await room.enter(0, patience if left is None else min(patience, left)):
                text = f"other appends to stream {stream_name!r} were not settled in time"
                raise DeadlineExceeded(text) if deadline.passed else WriteInterrupted(text)
            try:
                yield
            finally:
                room.leave(0)
        finally:
            if not room.taken and self._rooms.get(stream_name) is room:
                del self._rooms[stream_name]


class Beginning(NamedTuple):
    """How an append has begun."""

    start: LookStart
    again: bool
    """The caller has made the same append before, and the outcome of that is unknown."""
    number: int
    """That of a call that waits."""


class Repeater:
    """What the appends of one client have in common."""

    def __init__(self, core: ClientCore) -> None:
        self._core = core
        self._unsettled = Unsettled()
        self._turns = _Turns()
        self._appended = 0  # where the log has got to at least

    def saw(self, position: int) -> None:
        """An event has been written there."""
        self._appended = max(self._appended, position)

    def begin(self, request: Repeatable, deadline: Deadline) -> Beginning:
        """An append begins; `end`, `give_up` or `go_on` ends it. Raises where the client cannot be used."""
        self._core.check()
        before = self._unsettled.take(request)
        start = before or LookStart(time.time(), time.monotonic(), self._appended)
        number = self._core.slow.begin("append") if deadline.timeout is None else 0
        return Beginning(start, before is not None, number)

    def end(self, beginning: Beginning) -> None:
        """The outcome is known."""
        self._core.slow.end(beginning.number)

    def give_up(self, request: Repeatable, beginning: Beginning) -> None:
        """Nobody waits for it any more, and the outcome is unknown."""
        self._unsettled.add(request, beginning.start)
        self.end(beginning)

    async def run(
        self,
        request: Repeatable,
        attempt: Callable[[], Awaitable[Send[T]]],
        found: Callable[[Sequence[AppendAnswer]], T],
        deadline: Deadline,
        credentials: CredentialsLike,
    ) -> T:
        """Make an append until its outcome is known.

        `attempt` prepares one, without sending anything. `found` makes the answer of what has been found: of each
        stream in `request.wanted` where its last event is. Raises OutcomeUnknown.
        """
        beginning = self.begin(request, deadline)
        return await self.go_on(beginning, None, request, attempt, found, deadline, credentials)

    async def go_on(
        self,
        beginning: Beginning,
        failure: EsdbClientException | None,
        request: Repeatable,
        attempt: Callable[[], Awaitable[Send[T]]],
        found: Callable[[Sequence[AppendAnswer]], T],
        deadline: Deadline,
        credentials: CredentialsLike,
    ) -> T:
        """Do what `run` does, after a first attempt that has failed, if there was one."""
        start, again, _ = beginning
        new = partial(_AppendAttempts, self._core, request, deadline, credentials, start, again=again)
        try:
            return await self._persist(new, attempt, found, failure, again=again)
        except (OutcomeUnknown, asyncio.CancelledError):
            self._unsettled.add(request, start)
            raise
        finally:
            self.end(beginning)

    async def _persist(
        self,
        new: Callable[[], _AppendAttempts],
        attempt: Callable[[], Awaitable[Send[T]]],
        found: Callable[[Sequence[AppendAnswer]], T],
        failure: EsdbClientException | None,
        *,
        again: bool,
    ) -> T:
        attempts = new() if again else None  # most appends succeed at once, and need none of it
        if failure is not None:
            attempts = new()
            await attempts.failed(failure, begun=True)
        while True:
            begun = False
            try:
                send = await attempt()
                if attempts is not None and attempts.must_look:
                    return await self._look_and_send(attempts, send, found)
                begun = True
                return await send(None)
            except EsdbClientException as error:
                attempts = attempts or new()
                await attempts.failed(error, begun=begun or attempts.begun)

    async def _look_and_send(
        self, attempts: _AppendAttempts, send: Send[T], found: Callable[[Sequence[AppendAnswer]], T]
    ) -> T:
        """Look, and send what is not there; at once again where others were quicker, as they are now and then."""
        async with self._turns.take(*attempts.turn):
            for last in (*[False] * (AT_ONCE - 1), True):
                look = await attempts.look()
                if look.found is not None:
                    return found(await attempts.found(look.found))
                try:
                    attempts.begun = True
                    return await send(attempts.expected_after(look))
                except ExpectedPositionError as error:
                    if last or not attempts.overtaken(error):
                        raise
                attempts.begun = False
        raise AssertionError("the last attempt returns or raises")


class _AppendAttempts:
    """What has come of the attempts so far to append the same events."""

    def __init__(
        self,
        core: ClientCore,
        request: Repeatable,
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
        self._end = NO_STREAM  # so far the first stream was looked at
        self._seen: str | None = None  # the stream that has been expected to end there
        self.begun = False
        """It was the append that has failed after a look, and not what comes before it."""
        self._doubt: EsdbClientException | None = (
            WriteInterrupted("an earlier append of the events was not answered") if again else None
        )

    @property
    def must_look(self) -> bool:
        """Whether the events may be there and the server may not recognise them, or has not."""
        return self._refusal is not None or (self._doubt is not None and self._request.uncertain)

    @property
    def turn(self) -> tuple[str, Deadline, float]:
        """At which stream it waits for its turn, and how long."""
        return self._request.wanted[0][0], self._deadline, self._core.settings.retry.budget

    def _renew(self) -> bool:
        """After refused credentials: whether that is worth another attempt, which it is once."""
        renewed, self._renewed = self._renewed, True
        return not renewed and self._core.renew(self._credentials)

    async def look(self) -> StreamLook:
        """Look whether an earlier attempt has written the events, into the first of their streams.

        Raises OutcomeUnknown where that cannot be seen, and the server's refusal where it has not.
        """
        try:
            look = await self._find(self._request.wanted[0], self._end)
        except (CannotTell, AccessDenied, StreamDeleted) as error:
            raise self._unknown(self._doubt or error) from error
        if self._refusal is not None and look.found is None:
            raise self._refusal
        return look

    async def found(self, first: AppendAnswer) -> Sequence[AppendAnswer]:
        """Where the last events of all streams are: what was written to one of them was written to all."""
        try:
            looks = [await self._find(wanted) for wanted in self._request.wanted[1:]]
        except (CannotTell, AccessDenied, StreamDeleted, StreamNotFound) as error:
            raise self._unknown(self._doubt or error) from error
        return [first, *(look.found or AppendAnswer(None, None) for look in looks)]

    def expected_after(self, look: StreamLook) -> int | None:
        """Return what to expect of the first stream, which does not show the events; None: what the caller does."""
        before = self._request.first_expected
        expected = expected_after_look(before, look.end)
        self._end = self._end if look.end is None else look.end
        self._seen = None if expected == before else self._request.wanted[0][0]
        return None if expected == before else expected

    def overtaken(self, error: EsdbClientException) -> bool:
        """Whether nothing was written because the stream has moved on since it was looked at."""
        return moved_on(error, self._seen)

    def _find(self, wanted: Wanted, seen: int = NO_STREAM) -> Awaitable[StreamLook]:
        return find_written(self._core, wanted, self._start, self._deadline, self._credentials, seen)

    async def failed(self, error: EsdbClientException, *, begun: bool) -> None:
        """Wait until there may be another attempt, or a look; raises where there is no hope.

        `begun`: it was the append that has failed, and not what comes before it.
        """
        if isinstance(error, Unauthenticated) and self._renew():
            return
        self.begun = False
        if self.overtaken(error):
            error = WriteInterrupted(f"stream {self._seen!r} does not end any more where it was seen to end")
            begun = False  # that attempt has written nothing, for certain
        if isinstance(error, (ExpectedPositionError, StreamDeleted)):
            if self._doubt is None or self._refusal is not None or not self._request.wanted:
                raise error
            self._refusal = error
            return
        if isinstance(error, OutcomeUnknown) and (error.events or error.records):
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
        self._request.tell(unknown)
        return unknown
