"""A consumer of a persistent subscription: events come, answers go back, and it survives being dropped.

Owns: the conversation with the server, when answers are sent, coming back, and leaving without losing an answer.
Must not know: how a group is made or described (`calls`).

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
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from typing_extensions import Self

from esdb_lite._convert.groups import GET_INFO, READ, decode_info, encode_get_info
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.shapes import BidiStream
from esdb_lite._wire.acks import encode_consumer_options
from esdb_lite._wire.controls import SubscriptionConfirmed
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.client.groups.acks import (
    Answerable,
    Answers,
    checked_answerable,
    checked_nack,
    checked_number,
    retry_then_park,
)
from esdb_lite.client.groups.handlers import Handler, OnError, handle_each, handle_several
from esdb_lite.client.groups.options import ConsumerOptions
from esdb_lite.client.retry import RetryState, Safety
from esdb_lite.client.topology.choosing import Need
from esdb_lite.errors import (
    CallCancelled,
    ClientClosed,
    ConsumerTooSlow,
    EsdbClientException,
    GrpcError,
    HandlerFailed,
    NotLeader,
    OperationTimedOut,
    ProtocolError,
    ServerAnswer,
    ServiceUnavailable,
    SubscriptionDropped,
    TooManySubscribers,
    Unauthenticated,
)
from esdb_lite.events import RecordedEvent
from esdb_lite.groups import NackAction

if TYPE_CHECKING:
    from esdb_lite._rpc.pool import ConnectionPool
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike

_log = logging.getLogger("esdb_lite.client")

LEAVING_SECONDS = 5.0
"""So long a consumer that leaves waits for the server to have seen its answers."""
LEAVING_PAUSES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Seconds between asking and asking again."""
COMES_BACK = (
    SubscriptionDropped,
    ServiceUnavailable,
    NotLeader,
    CallCancelled,
    ConsumerTooSlow,
    HandlerFailed,
    OperationTimedOut,
)


class AsyncPersistentSubscription:
    """The events of a group for one of its consumers: an async iterator, and an async context manager.

    Answer every event with `ack()` or `nack()`. The server delivers at most `buffer_size` unanswered events, and
    delivers them again after the group's `message_timeout`, or when the consumer leaves. Leave `async with`, or call
    `close()`, so that the last answers arrive. The server ignores answers to events that it has taken back.
    Iterating raises what ends the subscription: SubscriptionNotFound when the group was deleted, and with
    `reconnect=False` SubscriptionDropped or ServiceUnavailable.
    """

    def __init__(
        self,
        session: ClientCore,
        options: ConsumerOptions,
        *,
        deadline: Deadline,
        credentials: CredentialsLike = None,
    ) -> None:
        self._session = session
        self._options = options
        self._deadline = deadline
        self._credentials = credentials
        self._name = f"{session.settings.connection_name or 'esdb-lite'}-{uuid4()}"
        self._call: BidiStream | None = None
        self._unwatch: Callable[[], None] | None = None
        self._moved: list[str] = []
        self._node: ConnectionPool | None = None
        self._receiving: asyncio.Future[bytes] | None = None
        self._decoder = ReadDecoder(persistent=True)
        self._events: deque[RecordedEvent] = deque()
        self._answers = Answers()
        self._sent = 0
        self._sending = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._stopped: asyncio.Future[bytes] = self._loop.create_future()
        self._closed = False
        self._last_drop: GrpcError | None = None
        self._struggle = self._new_struggle()
        self._again_at = 0.0

    @property
    def group_name(self) -> str:
        """Name of the group."""
        return self._options.group_name

    @property
    def stream_name(self) -> str | None:
        """Name of the stream; None for all events."""
        return self._options.stream_name

    @property
    def last_drop(self) -> GrpcError | None:
        """Why the consumer last had to come back; None if it never had to."""
        return self._last_drop

    @property
    def closed(self) -> bool:
        """Whether the subscription has ended, by `close()` or with an error."""
        return self._closed

    # --- events -----------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordedEvent:
        if not self._events and not await self._more():
            raise StopAsyncIteration
        return self._events.popleft()

    async def next_batch(self) -> list[RecordedEvent]:
        """Return all events that have arrived, after waiting for one; [] after `stop()` or `close()`."""
        await self._more()
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
                await self._come_back()
                continue
            if self._receiving is None:
                self._receiving = asyncio.ensure_future(self._call.receive_data())
            receiving = self._receiving
            await asyncio.wait({receiving, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and receiving is self._receiving:
                self._receiving = None
                self._received(receiving)
        return True

    def _received(self, receiving: asyncio.Future[bytes]) -> None:
        try:
            data = receiving.result()
            if not data:
                raise CallCancelled("the server has ended the call")
            self._events.extend(self._decode(data))
        except COMES_BACK as error:
            reason = self._node.failure(self._moved[0]) if self._moved and self._node is not None else error
            if not self._options.reconnect or self._deadline.passed or not isinstance(reason, GrpcError):
                self._end()
                raise
            self._lose(reason)
        except EsdbClientException:
            self._end()
            raise

    def _decode(self, data: bytes) -> list[RecordedEvent]:
        try:
            return [item for item in self._decoder.feed(data) if isinstance(item, RecordedEvent)]
        except WireError as error:
            raise ProtocolError(str(error)) from error

    # --- the call ---------------------------------------------------------------------------------------------

    async def _begin(self) -> Self:
        """Become a consumer: returns when the server has confirmed it."""
        struggle = RetryState(self._session.settings.retry, Safety.REPEATABLE)
        try:
            while True:
                try:
                    await self._open()
                except COMES_BACK as error:
                    if not await self._session.try_again(struggle, self._node, error, self._deadline, "consumer"):
                        raise
                else:
                    return self
        except BaseException:
            self._end()
            raise

    async def _open(self) -> None:
        """Make the call; a token that is refused is replaced once."""
        try:
            await self._open_once()
        except Unauthenticated:
            if not self._session.renew(self._credentials):
                raise
            await self._open_once()

    async def _open_once(self) -> None:
        options = self._options
        self._node = None
        node = self._node = await self._session.node(self._deadline, Need.LEADER)
        who = await self._session.metadata(node, self._credentials, self._deadline, Need.LEADER)
        metadata = (*who, ("connection-name", self._name))
        call = BidiStream(node, READ, deadline=self._deadline, metadata=metadata)
        try:
            await call.open()
            request = encode_consumer_options(
                stream=options.stream_name, group=options.group_name, buffer_size=options.buffer_size
            )
            await call.send([request])
            self._decoder = ReadDecoder(persistent=True)
            self._events.extend(await self._confirmed(call))
        except BaseException:
            call.close()
            raise
        self._call = call
        self._watch(node, call)
        self._sent = 0

    def _watch(self, node: ConnectionPool, call: BidiStream) -> None:
        """Have the call ended when another node leads: a leader that is frozen does not say so."""
        moved: list[str] = []

        def leave(reason: str) -> None:  # without `self`, which would never be dropped
            moved.append(reason)
            call.close()

        self._moved, self._unwatch = moved, self._session.watch(node, leave)

    async def _confirmed(self, call: BidiStream) -> list[RecordedEvent]:
        """Wait for the confirmation; return the events that came with it."""
        items: list[object] = []
        while not items:
            data = await call.receive_data()
            if not data:
                raise CallCancelled("the server has ended the call")
            try:
                items.extend(self._decoder.feed(data))
            except WireError as error:
                raise ProtocolError(str(error)) from error
        if not isinstance(items[0], SubscriptionConfirmed):
            raise ProtocolError("the server has not confirmed the subscription")
        return [item for item in items if isinstance(item, RecordedEvent)]

    def _lose(self, error: GrpcError) -> None:
        """The call has ended: the next wait for events comes back. Raises the error if there is no hope."""
        self._forget_call()
        self._last_drop = error
        if self._node is not None:
            self._session.failed(self._node, error)
        now, left = self._loop.time(), self._deadline.remaining()
        pause = self._struggle.pause(error, known=True, now=now, left=left, chance=random.random())
        if pause is None:
            self._end()
            raise error
        self._again_at = now + pause
        level = logging.WARNING if self._struggle.failures == 1 else logging.DEBUG
        _log.log(level, "consumer of %s: %s; coming back", self._options.subscription_id, error)

    async def _come_back(self) -> None:
        """Try to become a consumer again. What was not answered is delivered again by the server.

        If this is cancelled, the next call tries again.
        """
        await asyncio.wait({self._stopped}, timeout=max(0.0, self._again_at - self._loop.time()))
        try:
            await self._open_unless_stopped()
        except (*COMES_BACK, TooManySubscribers) as error:
            if not self._stopped.done():
                self._lose(error)
        except EsdbClientException:
            self._end()
            raise

    async def _open_unless_stopped(self) -> None:
        opening = asyncio.ensure_future(self._open())
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
        self._struggle = self._new_struggle()

    def _new_struggle(self) -> RetryState:
        return RetryState(self._session.settings.retry, Safety.REPEATABLE, endless=True)

    def _forget_call(self) -> None:
        """End the call without another word; answers that were not sent are of no use any more."""
        call, self._call = self._call, None
        receiving, self._receiving = self._receiving, None
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()
        self._events.clear()
        self._answers.clear()
        if call is not None:
            call.close()
        if receiving is not None:
            receiving.cancel()

    # --- answers ----------------------------------------------------------------------------------------------

    @property
    def ack_batch_size(self) -> int:
        """How many answers are sent together."""
        return self._options.ack_batch_size

    async def ack(self, events: Answerable) -> None:
        """Say that one event or several have been processed. Raises ClientClosed after `close()`.

        Answers are sent in batches: `ack_batch_size` at a time, or after `ack_delay`.
        """
        await self._answer(0, "", events)

    async def nack(self, events: Answerable, action: NackAction = NackAction.RETRY, reason: str = "") -> None:
        """Say that events could not be processed, what the server should do with them, and why."""
        await self._answer(*checked_nack(action, reason), events)

    async def flush(self) -> None:
        """Send the answers that wait; returns when they are on their way."""
        self._cancel_timer()
        async with self._sending:
            call = self._call
            if call is None:
                return
            messages, count = self._answers.take()
            if messages:
                self._sent += count
                with suppress(GrpcError):  # the receiver finds out
                    await call.send(messages)

    async def _answer(self, action: int, reason: str, events: Answerable) -> None:
        self._collect(action, reason, events)
        if self._answers.count >= self._options.ack_batch_size:
            await self.flush()

    def _collect(self, action: int, reason: str, events: Answerable) -> None:
        """Collect answers without waiting for anything; they are sent after `ack_delay` at the latest."""
        if self._closed:
            raise ClientClosed("the subscription is closed")
        self._answers.add(action, reason, checked_answerable(events))
        if self._timer is None and self._answers.count:
            self._timer = asyncio.get_running_loop().call_later(self._options.ack_delay, self._due)

    def _call_later(self, callback: Callable[[], None]) -> None:
        """Call after `ack_delay`: for those who collect answers themselves."""
        self._loop.call_later(self._options.ack_delay, callback)

    def _due(self) -> None:
        self._timer = None
        self._flushing = asyncio.ensure_future(self.flush())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- handlers ---------------------------------------------------------------------------------------------

    async def consume(
        self,
        handler: Handler,
        *,
        concurrency: int = 1,
        max_retries: int = 3,
        on_error: OnError | None = None,
    ) -> None:
        """Run a handler for every event, up to `concurrency` at a time, until `stop()`.

        `handler` is a coroutine function. When it returns, the event is acked. When it raises, the event is delivered
        again up to `max_retries` times, and then parked with the exception as the reason; or `on_error(event, error)`
        decides by returning a `NackAction`. `stop()` lets running handlers finish. Cancelling this call cancels them,
        and the server delivers their events again.
        """
        checked_number("concurrency", concurrency, 1)
        checked_number("max_retries", max_retries, 0)
        policy = on_error or (lambda event, _: retry_then_park(event, max_retries))
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
            await asyncio.wait_for(self._leave(), LEAVING_SECONDS)
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
                if self._call is None or not self._sent or await self._counted():
                    return
                await asyncio.sleep(pause)
        except ServerAnswer:  # not everybody may ask
            await asyncio.sleep(LEAVING_PAUSES[-1])

    async def _counted(self) -> bool:
        """Ask the server whether it has counted all answers that were sent."""
        options = self._options
        request = encode_get_info(options.group_name, options.stream_name)
        answer = await self._session.call(
            GET_INFO,
            request,
            deadline=Deadline(LEAVING_SECONDS),
            credentials=self._credentials,
            repeatable=True,
        )
        info = decode_info(answer)
        mine = [consumer for consumer in info.consumers if consumer.connection_name == self._name] if info else []
        return not mine or mine[0].total_items - mine[0].in_flight_messages >= self._sent

    def _end(self) -> None:
        """End everything here and now."""
        self._closed = True
        self.stop()
        self._cancel_timer()
        self._forget_call()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        call, receiving = getattr(self, "_call", None), getattr(self, "_receiving", None)
        unwatch = getattr(self, "_unwatch", None)
        with suppress(RuntimeError):  # the loop is closed, and the connection with it
            # the collector may run in any thread
            if unwatch is not None:
                self._loop.call_soon_threadsafe(unwatch)
            if call is not None:
                self._loop.call_soon_threadsafe(call.close)
            if receiving is not None:
                self._loop.call_soon_threadsafe(receiving.cancel)
