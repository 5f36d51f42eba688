"""Reads and subscriptions that go on where they were when their call failed.

Owns: making the call again, leaving a node that no longer leads, and logging that. Must not know: how items are handed
out, how much of a request is left (`progress`), which failures pass (`client.retry`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Union

from esdb_lite import observing
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._wire.controls import SubscriptionConfirmed
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite._wire.read_response import ReadItem
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.client.read.call import ReadCall
from esdb_lite.client.read.continuity import check_landmark
from esdb_lite.client.read.progress import ReadProgress, place_of
from esdb_lite.client.retry import RetryState, Safety
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import CallCancelled, ClientClosed, EsdbClientException, ProtocolError, StreamNotFound
from esdb_lite.events import Checkpoint, Reconnected, RecordedEvent

if TYPE_CHECKING:
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike

STEADY = 5.0
"""Seconds after which a call that was open counts as one that had succeeded."""

_FIRST_WITH_INDEXES = (25, 1)
"""Older servers take the name of an index for a prefix of streams, and find nothing."""

_log = logging.getLogger("esdb_lite.client")

Item = Union[ReadItem, Reconnected]  # noqa: UP007


class HealingReading:
    """A read as batches of items, over as many calls as it takes."""

    _what = "read"
    _ends = True

    def __init__(
        self,
        core: ClientCore,
        request: ReadRequest,
        deadline: Deadline | float | None,
        credentials: CredentialsLike,
        need: Need = Need.PREFERRED,
    ) -> None:
        """`deadline` may be a number of seconds (None: without end), which begin with the first call."""
        self._core = core
        self._request = request
        self._deadline = deadline
        self._credentials = credentials
        self._need = need
        self._progress = ReadProgress(request)
        self._retries = RetryState(core.settings.retry, Safety.REPEATABLE)
        self._call: ReadCall | None = None
        self._repeating: ReadCall | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[ReadCall] | None = None
        self._opened = 0.0
        self._closed = False
        self._doubtful = False
        self.complete = False
        """Whether it is known that nothing more comes."""
        self.only_events = False
        """Whether the last batch had nothing but events."""
        self.last_stream_position: int | None = None
        """Number of the last event of the stream, when the server was to tell it, and has."""

    def __str__(self) -> str:
        """What is read, and how far it has come."""
        stream, seen = self._request.stream_name, self._progress.landmark
        what = self._request.index_name or "of all events" if stream is None else f"of stream {stream!r}"
        return what if seen is None else f"{what}, at {seen.commit}"

    async def batch(self) -> Sequence[Item]:
        """Return the next items; none at the end. Raises StreamNotFound. Being cancelled loses nothing."""
        if self.complete:
            return ()
        slow = self._core.slow
        number = slow.begin(self._what) if self._soon and self._budget().timeout is None else 0
        try:
            return await self._batch()
        finally:
            slow.end(number)

    @property
    def _soon(self) -> bool:
        """Whether the next batch is to come without much ado: it is worth a word when it does not."""
        return True

    async def _batch(self) -> Sequence[Item]:
        while self._call is not None or self._progress.rest() is not None:
            try:
                call = await self._next()
                taken = self._take(await call.batch(), call)
            except EsdbClientException as error:
                if self._progress.rest() is None:  # all that is missing is the word that this was all
                    self._drop()
                else:
                    await self._heal(error)
                continue
            if taken is not None:
                if call.complete and self._ends:
                    self.complete = True
                    self._drop()
                return taken
        return ()

    def close(self) -> None:
        """End the call."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        self._drop()

    def abandon(self) -> None:
        """End the call when nobody holds it any more: from whatever thread and moment the collector has chosen."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed, and the connection with it
                self._loop.call_soon_threadsafe(self.close)

    def _take(self, items: Sequence[ReadItem], call: ReadCall) -> Sequence[Item] | None:
        """Take note of items, and return what is handed out; None when there is nothing."""
        self.last_stream_position = call.last_stream_position
        self.only_events = call.only_events
        if not items:
            return ()
        fresh = self._progress.without_known(items)
        if self._progress.repeated:
            self._say_repeated(call)
        if self._progress.overfull:
            self._drop()
        if fresh:
            fresh = self._progress.saw(fresh, only_events=call.only_events)
            self._retries.succeed()
        return fresh or None

    def _say_repeated(self, call: ReadCall) -> None:
        """Say once of a call that its server has sent events again, which are left out."""
        if call is not self._repeating:
            self._repeating = call
            node = "a server" if call.node is None else call.node.authority
            _log.warning("%s %s: %s has sent events twice; left out the second ones", self._what, self, node)
        self._progress.repeated = 0

    async def _next(self) -> ReadCall:
        """Return the call that has the next batch."""
        if self._call is not None:
            return self._call
        return await (self._open_again() if self._opened else self._open())

    async def _open_again(self) -> ReadCall:
        """Make the call unless this is closed meanwhile: the server may be in no hurry to accept a connection."""
        opening = self._opening = asyncio.ensure_future(self._open())
        try:
            await asyncio.wait({opening})
        except asyncio.CancelledError:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            raise
        finally:
            self._opening = None
        if opening.cancelled():
            raise ClientClosed("the read or subscription was closed")
        return opening.result()

    async def _open(self) -> ReadCall:
        """Make the call for what was not handed out yet."""
        self._loop = asyncio.get_running_loop()
        deadline = self._budget()
        rest = self._progress.rest()
        assert rest is not None
        if rest.index_name is not None:
            await self._core.require_version(_FIRST_WITH_INDEXES, f"reading {rest.index_name}", deadline)
        await self._check()
        call = await self._reach(ReadCall(self._core, rest, deadline, self._credentials, self._need))
        self._call, self._opened = call, self._loop.time()
        return call

    async def _check(self) -> None:
        """See that the log is the same still after its server was lost. Raises CheckpointMismatch."""
        landmark = self._progress.landmark if self._doubtful else None
        if landmark is not None:
            await check_landmark(landmark, self._ask)
        self._doubtful = False

    async def _ask(self, request: ReadRequest, need: Need) -> tuple[RecordedEvent | None, int | None]:
        """Read one event, once; who fails is told as for the call itself. Raises StreamNotFound."""
        asked = request._replace(tells_last=True)
        call = ReadCall(self._core, asked, self._budget(), self._credentials, need=need)
        try:
            return await _first_event(await self._reach(call)), call.last_stream_position
        except EsdbClientException as error:
            if call.node is not None:
                self._core.failed(call.node, error)
            raise

    async def _reach(self, call: ReadCall) -> ReadCall:
        """Send the request of a call, or report the node that failed to take it."""
        try:
            await call.open()
        except EsdbClientException as error:
            if call.node is not None:
                self._core.failed(call.node, error)
            raise
        if self._closed:
            call.close()
            raise ClientClosed("the read or subscription was closed")
        return call

    def _budget(self) -> Deadline:
        if not isinstance(self._deadline, Deadline):
            self._deadline = Deadline(self._deadline)
        return self._deadline

    async def _heal(self, error: EsdbClientException) -> None:
        """Wait until the call can be made again; raises the error if it cannot."""
        node = None if self._call is None else self._call.node
        self._drop()
        if self._closed or not await self._core.try_again(self._retries, node, error, self._budget(), self._what):
            raise error

    def _drop(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            self._doubtful = True  # its server may be stopping: the next one may be another
            call.close()


class HealingSubscription(HealingReading):
    """A subscription as batches of items. The first batch may be empty: the server has confirmed it."""

    _what = "subscription"
    _ends = False

    def __init__(
        self,
        core: ClientCore,
        request: ReadRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        *,
        reconnect: bool,
    ) -> None:
        """`reconnect`: whether it is resumed once it has been confirmed."""
        super().__init__(core, request, deadline, credentials)
        self._reconnect = reconnect
        self._unwatch: Callable[[], None] | None = None
        self._confirmed = False
        self._answered = False
        self._broken: tuple[str, str] | None = None  # who served it before, and why it does no more
        self._moving: str | None = None
        self.subscription_id = ""
        """The server's name for the subscription."""

    def remember(self, position: Checkpoint) -> None:
        """Take note of the event that is known of the place where it begins."""
        self._progress.remember(position)

    @property
    def _soon(self) -> bool:
        return not self._confirmed

    @property
    def last_activity(self) -> datetime | None:
        """When something has come last from the server; None while there is no connection."""
        stream = None if self._call is None else self._call.stream
        heard = None if stream is None else stream.heard
        if heard is None or self._loop is None:
            return None
        return datetime.now(timezone.utc) - timedelta(seconds=self._loop.time() - heard)

    def _take(self, items: Sequence[ReadItem], call: ReadCall) -> Sequence[Item] | None:
        if not items:
            raise CallCancelled("the server has ended the subscription")
        if self._answered:
            return super()._take(items, call)
        said, first = items[0], not self._confirmed
        if not isinstance(said, SubscriptionConfirmed):
            raise ProtocolError("the server has not confirmed the subscription")
        self._answered, self.subscription_id = True, said.subscription_id
        notes = self._notes(call)
        if first:
            self._confirmed = True
            self._retries = RetryState(self._core.settings.retry, Safety.REPEATABLE, endless=True)
        taken = super()._take(items[1:], call) if len(items) > 1 else ()
        self.only_events = False
        return [*notes, *(taken or ())] or (() if first else None)

    def _notes(self, call: ReadCall) -> list[Item]:
        """Return what to report about a resumed subscription."""
        broken, self._broken = self._broken, None
        if broken is None or call.node is None:
            return []
        if observing.observer is not None:
            observing.observer.reconnected()
        note = Reconnected(broken[0], call.node.authority, broken[1])
        _log.info("subscription resumed, from %s to %s: %s", note.from_, note.to, note.reason)
        return [note]

    async def _open(self) -> ReadCall:
        if self._request.from_end:
            self._progress = await self._from_end()
            self._request = self._progress.request
        self._answered = False
        call = await super()._open()
        if call.node is not None:
            self._unwatch = self._core.watch(call.node, self._move)
        return call

    async def _from_end(self) -> ReadProgress:
        """Find out where the end is, so that a subscription from there can be resumed however early it breaks."""
        stream = self._request.stream_name
        read = ReadRequest(stream, from_end=True, backwards=True, limit=1)
        try:
            last, told = await self._ask(read, Need.PREFERRED)
        except StreamNotFound:
            return ReadProgress(self._request._replace(from_end=False))
        place = None if last is None else place_of(last, stream)
        start = place if stream is None else place[0] if told is None and place else told
        return ReadProgress(self._request._replace(start=start, from_end=False), last)

    async def _heal(self, error: EsdbClientException) -> None:
        node = None if self._call is None else self._call.node
        moving, self._moving = self._moving, None
        if self._confirmed and not self._reconnect:
            self._drop()
            raise error
        if self._confirmed and node is not None:
            self._broken = self._broken or (node.authority, moving or str(error))
            if self._loop is not None and self._loop.time() - self._opened > STEADY:
                self._retries.succeed()
        if moving is None or self._closed:
            await super()._heal(error)
        else:
            self._drop()

    def _move(self, reason: str) -> None:
        """Another node leads: leave this one, at once or when somebody asks for the next batch."""
        if self._call is not None and self._moving is None and self._reconnect:
            self._moving = reason
            self._call.close()

    async def _next(self) -> ReadCall:
        if self._moving is not None:
            raise CallCancelled(self._moving)
        return await super()._next()

    def _drop(self) -> None:
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()
        super()._drop()


async def last_event(
    core: ClientCore,
    request: ReadRequest,
    deadline: Deadline,
    credentials: CredentialsLike,
    need: Need = Need.PREFERRED,
) -> tuple[RecordedEvent | None, int | None]:
    """Return the one event that is asked for, and the last position of its stream, as far as they are known."""
    asked = request._replace(tells_last=True)
    reading = HealingReading(core, asked, deadline, checked_credentials(credentials), need)
    return await _only_event(reading), reading.last_stream_position


async def _first_event(call: ReadCall) -> RecordedEvent | None:
    """Read up to the first event, and return it."""
    try:
        while items := await call.batch():
            for item in items:
                if isinstance(item, RecordedEvent):
                    return item
    finally:
        call.close()
    return None


async def _only_event(source: HealingReading) -> RecordedEvent | None:
    """Read to the end, and return the event that there is."""
    found: RecordedEvent | None = None
    try:
        while items := await source.batch():
            found = next((item for item in items if isinstance(item, RecordedEvent)), found)
    finally:
        source.close()
    return found
