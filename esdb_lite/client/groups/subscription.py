"""A consumer of a persistent subscription: events come, answers go back, and it survives being dropped.

Owns: handing out events, coming back, and leaving without losing an answer. Must not know: how a group is made or
described (`calls`), what is said on a call (`call`), when answers are sent (`acks`).

Answers are collected and sent together: when there are enough of them, when the oldest has waited for long enough,
and before the call ends. A server says nothing about answers, and forgets those that it has not looked at when the
call ends; so before it ends the call, the consumer asks how many the server has counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from esdb_lite import observing
from esdb_lite._checks import checked_int
from esdb_lite._rpc.deadline import Deadline
from esdb_lite.client.cancellation import to_its_end
from esdb_lite.client.groups.acks import AckSender, Answerable, checked_nack, retry_then_park
from esdb_lite.client.groups.call import COMES_BACK, ConsumerOptions, GroupCall
from esdb_lite.client.groups.handlers import NackPolicy, handle_each, handle_several
from esdb_lite.client.read.iterators import arrived
from esdb_lite.client.retry import RetryState, Safety
from esdb_lite.errors import (
    ClientClosed,
    EsdbClientException,
    GrpcError,
    ServerAnswer,
    TooManySubscribers,
)
from esdb_lite.events import RecordedEvent
from esdb_lite.groups import NackAction

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.client.core import ClientCore
    from esdb_lite.consumers import AsyncEventHandler
    from esdb_lite.settings import CredentialsLike

_log = logging.getLogger("esdb_lite.client")

LEAVING_SECONDS = 5.0
"""So long a consumer that leaves waits for the server to have seen its answers."""
LEAVING_PAUSES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Seconds between asking and asking again."""


class GroupMember:
    """What it is told of a consumer of a group, on either client."""

    _options: ConsumerOptions

    @property
    def group_name(self) -> str:
        """Name of the group."""
        return self._options.group_name

    @property
    def stream_name(self) -> str | None:
        """Name of the stream; None for all events."""
        return self._options.stream_name

    @property
    def subscription_id(self) -> str:
        """What the server calls the subscription: `STREAM::GROUP`."""
        return self._options.subscription_id

    @property
    def ack_batch_size(self) -> int:
        """How many answers are sent together."""
        return self._options.ack_batch_size


class AsyncPersistentSubscription(GroupMember):
    """The events of a group for one of its consumers: an async iterator, and an async context manager.

    Answer every event with `ack()` or `nack()`. The server delivers at most `buffer_size` unanswered events, and
    delivers them again after the group's `message_timeout`, or when the consumer leaves. Leave `async with`, or call
    `close()`, so that the last answers arrive. The server ignores answers to events that it has taken back.
    Iterating raises what ends the subscription: SubscriptionNotFound when the group was deleted, and with
    `reconnect=False` SubscriptionDropped or ServiceUnavailable.
    """

    def __init__(
        self,
        core: ClientCore,
        options: ConsumerOptions,
        *,
        deadline: Deadline,
        credentials: CredentialsLike = None,
        owner: object = None,
    ) -> None:
        self._owner = owner  # the client must not be dropped, which would close it, while it is iterated
        self._core = core
        self._options = options
        self._deadline = deadline
        self._credentials = credentials
        self._name = f"{core.settings.connection_name or 'esdb-lite'}-{uuid4()}"
        self._call: GroupCall | None = None
        self._events: deque[RecordedEvent] = deque()
        self._untold: list[RecordedEvent] = []
        self._loop = asyncio.get_running_loop()
        self._stopped: asyncio.Future[bytes] = self._loop.create_future()
        self._closed = False
        self.handled = False
        """Whether a handler gets the events, which is observed instead."""
        self._last_drop: GrpcError | None = None
        self._acks = AckSender(self._loop, batch_size=options.ack_batch_size, delay=options.ack_delay)
        self._retries = self._new_retries()
        self._again_at = 0.0
        self._coming_back = asyncio.Lock()

    @property
    def last_drop(self) -> GrpcError | None:
        """Why the consumer last had to come back; None if it never had to."""
        return self._last_drop

    @property
    def closed(self) -> bool:
        """Whether the subscription has ended, by `close()` or with an error."""
        return self._closed

    def __repr__(self) -> str:
        state = "closed" if self._closed else "consuming" if self._call is not None else "coming back"
        return f"<{type(self).__name__} {self.subscription_id}, {state}>"

    # --- events -----------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordedEvent:
        if not self._events and not await self._more():
            raise StopAsyncIteration
        self._arrived()
        return self._events.popleft()

    async def next_batch(self) -> list[RecordedEvent]:
        """Return all events that have arrived, after waiting for one; [] after `stop()` or `close()`."""
        await self._more()
        self._arrived()
        batch = list(self._events)
        self._events.clear()
        return batch

    def stop(self) -> None:
        """Take no more events: the iteration ends, and `consume()` ends when its handlers have finished."""
        if not self._stopped.done():
            self._stopped.set_result(b"")
        self._events.clear()

    async def _more(self) -> bool:
        """Wait for events; False when there will be none."""
        while not self._events:
            if self._closed or self._stopped.done():
                return False
            if self._call is None:
                async with self._coming_back:  # tasks that share the events must not become several consumers
                    if self._call is None and not self._stopped.done():
                        await self._come_back()
                continue
            call, arrival = self._call, self._call.arrival()
            await asyncio.wait({arrival, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
            if arrival.done() and call is self._call:
                self._receive(call, arrival)
        return True

    def _receive(self, call: GroupCall, arrival: asyncio.Future[bytes]) -> None:
        try:
            self._take(call.take(arrival))
        except COMES_BACK as error:
            if not self._options.reconnect or self._deadline.passed:
                self._end()
                raise
            self._lose(call, error)
        except EsdbClientException:
            self._end()
            raise

    def _take(self, events: list[RecordedEvent]) -> None:
        self._events.extend(events)
        self._untold += events

    def _arrived(self) -> None:
        """Tell of what has arrived, when it is handed out."""
        if self._untold:
            events, self._untold = self._untold, []
            arrived(events, self._core.settings, self.subscription_id, handled=self.handled)

    # --- the call ---------------------------------------------------------------------------------------------

    async def _begin(self) -> Self:
        """Become a consumer: returns when the server has confirmed it."""
        retries = RetryState(self._core.settings.retry, Safety.REPEATABLE)
        try:
            while True:
                call = self._new_call()
                try:
                    await self._open(call)
                except COMES_BACK as error:
                    if not await self._core.try_again(retries, call.node, error, self._deadline, "consumer"):
                        raise
                else:
                    return self
        except BaseException:
            self._end()
            raise

    def _new_call(self) -> GroupCall:
        return GroupCall(self._core, self._options, self._name, deadline=self._deadline, credentials=self._credentials)

    async def _open(self, call: GroupCall) -> None:
        self._take(await call.open())
        self._call = call
        self._acks.attach(call)

    def _lose(self, call: GroupCall, error: GrpcError) -> None:
        """The call has ended: the next wait for events comes back. Raises the error if there is no hope."""
        self._forget_call()
        self._last_drop = error
        if call.node is not None:
            self._core.failed(call.node, error)
        now, left = self._loop.time(), self._deadline.remaining()
        pause = self._retries.pause(error, known=True, now=now, left=left, chance=random.random())
        if pause is None:
            self._end()
            raise error
        self._again_at = now + pause
        level = logging.WARNING if self._retries.failures == 1 else logging.DEBUG
        _log.log(level, "consumer of %s: %s; coming back", self._options.subscription_id, error)

    async def _come_back(self) -> None:
        """Try to become a consumer again. What was not answered is delivered again by the server.

        If this is cancelled, the next call tries again.
        """
        await asyncio.wait({self._stopped}, timeout=max(0.0, self._again_at - self._loop.time()))
        call = self._new_call()
        try:
            await self._open_unless_stopped(call)
        except (*COMES_BACK, TooManySubscribers) as error:
            if not self._stopped.done():
                self._lose(call, error)
        except EsdbClientException:
            self._end()
            raise

    async def _open_unless_stopped(self, call: GroupCall) -> None:
        opening = asyncio.ensure_future(self._open(call))
        ends: set[asyncio.Future[Any]] = {opening, self._stopped}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opening.cancel()
            await asyncio.wait({opening})
            if self._closed:
                self._forget_call()
            failure = None if opening.cancelled() else opening.exception()
        if failure is not None:
            raise failure
        self._retries = self._new_retries()
        if observing.observer is not None and self._call is not None:
            observing.observer.reconnected()

    def _new_retries(self) -> RetryState:
        return RetryState(self._core.settings.retry, Safety.REPEATABLE, endless=True)

    def _forget_call(self) -> None:
        """End the call without another word; answers that were not sent are of no use any more."""
        call, self._call = self._call, None
        self._acks.detach()
        self._events.clear()
        if call is not None:
            call.close()

    # --- answers ----------------------------------------------------------------------------------------------

    async def ack(self, events: Answerable) -> None:
        """Say that one event or several have been processed. Raises ClientClosed after `close()`.

        Answers are sent in batches: `ack_batch_size` at a time, or after `ack_delay`. The server ignores those for
        events that it does not wait for: answered before, or not delivered on this call.
        """
        await self._answer(0, "", events)

    async def nack(self, events: Answerable, action: NackAction = NackAction.RETRY, reason: str = "") -> None:
        """Say that events could not be processed, what the server should do with them, and why."""
        await self._answer(*checked_nack(action, reason), events)

    async def flush(self) -> None:
        """Send the answers that wait; returns when they are on their way."""
        await self._acks.flush()

    async def _answer(self, action: int, reason: str, events: Answerable) -> None:
        if self.collect(action, reason, events):
            await self._acks.flush()

    def collect(self, action: int, reason: str, events: Answerable) -> bool:
        """Take answers without waiting for anything; True where there are enough to be sent. For the client itself."""
        if self._closed:
            raise ClientClosed("the subscription is closed")
        return self._acks.collect(action, reason, events)

    def call_later(self, callback: Callable[[], None]) -> None:
        """Call after `ack_delay`: for who gathers answers before they are collected. For the client itself."""
        self._loop.call_later(self._options.ack_delay, callback)

    # --- handlers ---------------------------------------------------------------------------------------------

    async def consume(
        self,
        handler: AsyncEventHandler,
        *,
        concurrency: int = 1,
        max_retries: int = 3,
        on_error: NackPolicy | None = None,
    ) -> None:
        """Run a handler for every event, up to `concurrency` at a time, until `stop()`.

        `handler` is a coroutine function. When it returns, the event is acked. When it raises, the event is delivered
        again up to `max_retries` times, and then parked with the exception as the reason; or `on_error(event, error)`
        decides by returning a `NackAction`. `stop()` lets running handlers finish. Cancelling this call cancels them,
        and the server delivers their events again.
        """
        checked_int("concurrency", concurrency, 1)
        checked_int("max_retries", max_retries, 0)
        policy = on_error or (lambda event, _: retry_then_park(event, max_retries))
        self.handled = True
        try:
            if concurrency == 1:
                await handle_each(self, handler, policy)
            else:
                await handle_several(self, handler, policy, concurrency)
        finally:
            await self.flush()

    # --- the end ----------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Send the answers that wait, see that the server has them, and leave. Idempotent.

        Unanswered events go to other consumers at once. Waits up to 5 seconds.
        """
        if self._closed:
            return
        self.stop()
        try:
            await to_its_end(asyncio.wait_for(self._leave(), LEAVING_SECONDS))
        except (asyncio.TimeoutError, EsdbClientException) as error:
            _log.warning(
                "consumer of %s left before the server had processed its acks: %s", self._options.subscription_id, error
            )
        finally:
            self._end()

    async def _leave(self) -> None:
        await self.flush()
        try:
            for pause in LEAVING_PAUSES:
                if self._call is None or not self._acks.sent or await self._counted():
                    return
                await asyncio.sleep(pause)
        except ServerAnswer:  # not everybody may ask
            await asyncio.sleep(LEAVING_PAUSES[-1])

    async def _counted(self) -> bool:
        """Ask the server whether it has counted all answers that were sent."""
        from esdb_lite._convert.groups import info as ask_for_info

        asked, deadline = (self.group_name, self.stream_name), Deadline(LEAVING_SECONDS)
        channel = self._core.channel(deadline, self._credentials, repeatable=True)
        # together with others that leave: each answer describes all consumers
        key = (*asked, self._credentials)
        info = await self._core.together(key, lambda: ask_for_info(channel, *asked), deadline)
        mine = [each for each in info.consumers if each.connection_name == self._name] if info else None
        return mine is not None and (not mine or mine[0].total_items - mine[0].in_flight_messages >= self._acks.sent)

    def _end(self) -> None:
        """End everything here and now."""
        self._closed = True
        self.stop()
        self._acks.cancel_timer()
        self._forget_call()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None:
            call.abandon(self._loop)
