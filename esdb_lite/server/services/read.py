"""Streams/Read: runs reads and subscriptions, and sends their results.

Owns: fetching page after page, and the hand-over from history to live events.
Must not know: which events a read consists of (the engine does), how they are encoded (`read_messages` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from time import perf_counter
from uuid import uuid4

from esdb_lite._status import refusals
from esdb_lite._wire.read_request import FilterRequest, ReadOptions, StreamRange, decode_read_request
from esdb_lite._wire.read_response_encode import encode_confirmation
from esdb_lite.positions import ALL_STREAM
from esdb_lite.server.database.feed import Listener
from esdb_lite.server.database.loop_share import BATCH
from esdb_lite.server.engine.access import Action, Principal
from esdb_lite.server.engine.links import LINKS_AT_ONCE
from esdb_lite.server.engine.node_streams import in_memory
from esdb_lite.server.engine.read import AnswerPage, NoRecordAt, Read
from esdb_lite.server.engine.regex.matcher import RegexTooSlow
from esdb_lite.server.engine.subscriptions import HistoryPart, Message, SubscriptionRules
from esdb_lite.server.engine.visibility import StreamTombstoned
from esdb_lite.server.faults.membership import Asks
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.indexes.catalogue import IndexMissing, OpenIndex
from esdb_lite.server.services.acl_watch import AclWatch
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.page_room import HeldPage
from esdb_lite.server.services.protected_targets import without_protected
from esdb_lite.server.services.read_messages import AT_ONCE, send
from esdb_lite.server.services.read_plans import SubscriptionPlan, has_long_expression, index_of, plan_index, plan_read
from esdb_lite.server.services.unary import decoded, only_request
from esdb_lite.server.storage import Reader, Record

LIVE_BUFFER = 1024
"""Live events that wait for a subscriber before it is sent back to reading from storage."""

TOO_SLOW = "Consumer too slow to handle event while live. Client resubscription required."
_NO_STREAM = ""


class ReadService:
    """The method Read of the Streams service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, call: ServerCall) -> None:
        """Serve one call."""
        request = decoded(decode_read_request, await only_request(call))
        stream = _asked_for(request)
        guard = AclWatch(self._context, call.principal, stream or "")
        try:
            if stream is not None:
                await self._context.require(call.principal, stream, Action.READ)
            if not self._context.admission.idle:
                self._admit(call, request)
            await self._serve(call, request, guard)
        except IndexMissing:
            raise refusals.index_unreadable(index_of(request) or "") from None
        finally:
            guard.close()

    def _admit(self, call: ServerCall, request: ReadOptions | None) -> None:
        """Refuse a read that this node does not serve; a subscription asks when it has something to catch up."""
        if request is None or not request.subscription:
            self._context.admission.admit(call, Asks.READ)

    async def _serve(self, call: ServerCall, request: ReadOptions | None, guard: AclWatch) -> None:
        index = await self._index(request)
        plan = await self._plan(request, index)
        structured = request is not None and request.structured is True
        try:
            if isinstance(plan, SubscriptionPlan):
                with self._context.admission.subscriptions.until_ended(refusals.timed_out(TOO_SLOW)):
                    await _Subscribed(self._context, call, plan, guard, index, structured=structured).run()
            else:
                await self._read(call, plan, guard, index, structured=structured)
        except StreamTombstoned as error:
            raise refusals.stream_deleted(error.stream) from None
        except NoRecordAt:
            filtered = request is not None and isinstance(request.filter, FilterRequest)
            raise refusals.invalid_read_position(filtered=filtered) from None
        except RegexTooSlow as error:
            raise refusals.invalid_argument(f"options.filter: {error}.") from None

    async def _plan(self, request: ReadOptions | None, index: OpenIndex | None) -> Read | SubscriptionPlan:
        """Return what a request asks for. Raises RpcError."""
        if index is not None and request is not None:
            return plan_index(request, index.content)
        if has_long_expression(request):
            return await self._context.cold_calls.costly(partial(plan_read, request))
        return plan_read(request)

    async def _index(self, request: ReadOptions | None) -> OpenIndex | None:
        """Return the index that a request reads. Raises RpcError, IndexMissing."""
        indexes = self._context.indexes
        name = None if indexes is None else index_of(request)
        return None if indexes is None or name is None else await indexes.open(name)

    async def _read(
        self, call: ServerCall, read: Read, guard: AclWatch, index: OpenIndex | None, *, structured: bool
    ) -> None:
        done = False
        while not done:
            if index is not None:
                await index.ready()
            done = await self._read_page(call, read, guard, structured=structured)

    async def _read_page(self, call: ServerCall, read: Read, guard: AclWatch, *, structured: bool) -> bool:
        """Read and send a page, which nothing holds any longer than that; return whether it was the last."""
        async with self._context.pages.page(call.peer) as held:
            now = self._context.now()
            page = await self._context.read(partial(_page, read, now, call.principal))
            await guard.check()
            await send(call, [*page.before, *page.events, *page.after], now, held, structured=structured)
            return page.done


def _asked_for(request: ReadOptions | None) -> str | None:
    """The stream to which access is needed; None where the request does not say."""
    if request is None or request.source is None:
        return None
    return request.source.stream if isinstance(request.source, StreamRange) else ALL_STREAM


def _page(read: Read, now: int, principal: Principal, reader: Reader) -> AnswerPage:
    page = read.page(reader, now)
    if principal.is_admin:
        return page
    return page._replace(events=without_protected(reader, principal, page.events))


class _Subscribed:
    """One subscription call: history, then live events, and back when the subscriber is too slow."""

    def __init__(
        self,
        context: Context,
        call: ServerCall,
        plan: SubscriptionPlan,
        guard: AclWatch,
        index: OpenIndex | None,
        *,
        structured: bool,
    ) -> None:
        self._context = context
        self._now = context.now
        self._call = call
        self._admission = context.admission
        self._admitted = False
        self._subscription: SubscriptionRules = plan.subscription
        self._stream = plan.stream
        self._structured = structured
        self._guard = guard
        self._awake = asyncio.Event()
        guard.wake = self._rouse
        self._index = index
        self._unwatch = None if index is None else index.watch(self._rouse)
        self._asks_nobody = index is None and not guard.watches and not self._subscription.resolves_links
        """Live events can be sent as they come, without looking or asking for anything."""
        self._rests = False
        """The call waits for live events."""
        self._unsent: Sequence[Message] = ()
        """Messages that could not be sent as they came."""
        self._failed: Exception | None = None
        """What the call ends with."""
        self._listener = self._listen()

    def _listen(self) -> Listener:
        # What is appended by the name of one of the node's own streams is not read by it.
        stream = _NO_STREAM if self._stream is not None and in_memory(self._stream) else self._stream
        return self._context.database.listen(self._came, stream=stream, limit=LIVE_BUFFER)

    def _listen_again(self) -> None:
        self._listener.close()
        self._listener = self._listen()

    async def run(self) -> None:
        """Send what the subscription consists of, until the call is cancelled or the stream tombstoned."""
        subscription = self._subscription
        try:
            await self._context.read(lambda reader: subscription.start(reader, self._now()))
            await self._call.send([encode_confirmation(str(uuid4()))])
            while True:
                await self._history()
                self._admitted = True
                await self._send_caught_up()
                await self._live()
                subscription.fall_behind()
                self._listen_again()
        except NoRecordAt:
            raise refusals.invalid_position() from None
        finally:
            self._listener.close()
            if self._unwatch is not None:
                self._unwatch()

    async def _ready(self) -> None:
        """Go on if the subscriber still may, and the index is still there. Raises RpcError, IndexMissing."""
        await self._guard.check()
        if self._index is not None:
            await self._index.ready()

    async def _history(self) -> None:
        subscription = self._subscription
        end = not subscription.behind
        while not end:
            await self._ready()
            end = await self._history_page()
            if end and self._listener.overflowed:
                # The listener has missed what was committed meanwhile: listen again, and read it.
                self._listen_again()
                end = False

    async def _history_page(self) -> bool:
        """Read and send a page, which nothing holds any longer than that; return whether the end was reached."""
        async with self._context.pages.page(self._call.peer) as held:
            part = await self._context.read(self._page)
            await self._guard.check()
            if not self._admission.idle:
                self._admit(part)
            await self._send(part.messages, held)
            return part.end

    def _page(self, reader: Reader) -> HistoryPart:
        part = self._subscription.page(reader, self._now())
        return part._replace(messages=without_protected(reader, self._call.principal, part.messages))

    async def _send_caught_up(self) -> None:
        async with self._context.pages.page(self._call.peer) as held:
            await self._send(self._subscription.caught_up(), held)

    def _admit(self, part: HistoryPart) -> None:
        """Refuse a subscription that has something to catch up, where this node does not serve it.

        Once it has caught up it stays, whatever the node becomes.
        """
        if not self._admitted and (part.messages or not part.end):
            self._admission.admit(self._call, Asks.SUBSCRIPTION)

    async def _live(self) -> None:
        """Send live events until more of them come than can be kept for this subscriber."""
        while not self._listener.overflowed or self._unsent:
            await self._ready()
            if self._failed is not None:
                raise self._failed
            if not await self._live_batch():
                await self._rest()

    async def _rest(self) -> None:
        """Wait until there is something that cannot be sent as it comes."""
        self._awake.clear()
        if self._listener.holds or self._listener.overflowed:
            return
        self._rests = True
        try:
            await self._awake.wait()
        finally:
            self._rests = False

    def _rouse(self) -> None:
        """End the rest of the call."""
        self._rests = False
        self._awake.set()

    def _came(self) -> None:
        """Live events have come, or too many of them."""
        if self._rests and self._asks_nobody and not self._listener.overflowed:
            self._context.database.turns.when(BATCH, self._send_at_once)
        else:
            self._rouse()

    def _send_at_once(self) -> bool:
        """Send live events while the call rests: to wake it for each takes three times as long."""
        if not self._rests:
            return False
        try:
            if not self._admission.idle or not self._pass_on(self._listener.take(AT_ONCE)):
                self._rouse()
        except Exception as error:
            self._failed = error
            self._rouse()
        return True

    def _pass_on(self, records: Sequence[Record]) -> bool:
        """Send live events now; False where the call has to do something about it. Raises what it is to end with."""
        now, began = self._now(), perf_counter()
        messages = self._subscription.live(records, None, now)
        self._context.database.turns.charge(perf_counter() - began, BATCH)
        sent = not messages or self._call.send_with_others(
            self._context.live.framed(messages, now, structured=self._structured)
        )
        if not sent:
            self._unsent = messages
        return sent and self._subscription.ended is None and not self._listener.holds

    async def _live_batch(self) -> bool:
        """Send some live events, which nothing holds any longer than that; return whether there were any."""
        async with self._context.pages.page(self._call.peer) as held:
            unsent, self._unsent = self._unsent, ()
            await self._send(unsent, held)
            records = self._listener.take(AT_ONCE)
            if not records:
                self._check_ended()
                return bool(unsent)
            await self._context.database.turns.enter(BATCH)
            for some in self._together(records):
                await self._send(await self._live_messages(some), held)
            self._check_ended()
        return True

    def _check_ended(self) -> None:
        if self._subscription.ended is not None:
            raise refusals.stream_deleted(self._subscription.ended)

    def _together(self, records: Sequence[Record]) -> Iterable[Sequence[Record]]:
        """What is looked at together: of links a few at a time, whose targets may be large."""
        if not self._subscription.needs_reader(records):
            return (records,)
        return (records[start : start + LINKS_AT_ONCE] for start in range(0, len(records), LINKS_AT_ONCE))

    async def _live_messages(self, records: Sequence[Record]) -> Sequence[Message]:
        subscription, now = self._subscription, self._now()
        if subscription.needs_reader(records):
            await self._ready()  # for records that were committed since
            principal = self._call.principal
            return await self._context.read(
                lambda reader: without_protected(reader, principal, subscription.live(records, reader, now))
            )
        began = perf_counter()
        messages = subscription.live(records, None, now)
        self._context.database.turns.charge(perf_counter() - began, BATCH)
        return messages

    async def _send(self, messages: Sequence[Message], held: HeldPage) -> None:
        await send(self._call, messages, self._now(), held, structured=self._structured)
