"""A consumer of a persistent subscription for code without asyncio.

Owns: `PersistentSubscription`, which hands events and answers across the threads in batches.
Must not know: how anything is done.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING

from esdb_lite import observing
from esdb_lite._checks import checked_int
from esdb_lite.client.groups.acks import (
    Answerable,
    checked_answerable,
    checked_nack,
    reason_of,
    retry_then_park,
)
from esdb_lite.client.groups.handlers import NackPolicy, decided
from esdb_lite.client.groups.subscription import AsyncPersistentSubscription, GroupMember
from esdb_lite.errors import ClientClosed, GrpcError
from esdb_lite.events import RecordedEvent
from esdb_lite.groups import NackAction

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.consumers import EventHandler
    from esdb_lite.sync.portal import Portal, SharedPortal


class PersistentSubscription(GroupMember):
    """The events of a group for one of its consumers: an iterator, and a context manager.

    Answer every event with `ack()` or `nack()`, from any thread. The server delivers at most `buffer_size` unanswered
    events, and delivers them again after the group's `message_timeout`, or when the consumer leaves. Leave `with`, or
    call `close()`, so that the last answers arrive. The server ignores answers to events that it has taken back.
    Iterating raises what ends the subscription: SubscriptionNotFound when the group was deleted, and with
    `reconnect=False` SubscriptionDropped or ServiceUnavailable.
    """

    def __init__(self, owner: object, portal: Portal | SharedPortal, source: AsyncPersistentSubscription) -> None:
        self._owner = owner  # the client must not be dropped, which would close it, while it is iterated
        self._portal = portal
        self._source = source
        self._options = source._options
        self._events: deque[RecordedEvent] = deque()
        # No lock: a signal handler may answer an event in the middle of another answer.
        self._answers: deque[tuple[int, str, Sequence[RecordedEvent]]] = deque()
        self._count = 0
        self._armed = False

    @property
    def closed(self) -> bool:
        """Whether the subscription has ended, by `close()` or with an error."""
        return self._source.closed

    @property
    def last_drop(self) -> GrpcError | None:
        """Why the consumer last had to come back; None if it never had to."""
        return self._source.last_drop

    def __repr__(self) -> str:
        return repr(self._source).replace("<Async", "<", 1)

    # --- events ---

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordedEvent:
        with suppress(IndexError):  # `stop` may empty it at any place
            return self._events.popleft()
        self._portal.run(self._exchange)
        with suppress(IndexError):
            return self._events.popleft()
        raise StopIteration

    def next_batch(self) -> list[RecordedEvent]:
        """Return all events that have arrived, after waiting for one; [] after `stop()` or `close()`."""
        if not self._events:
            self._portal.run(self._exchange)
        batch: list[RecordedEvent] = []
        with suppress(IndexError):
            while True:
                batch.append(self._events.popleft())
        return batch

    def stop(self) -> None:
        """Take no more events: the iteration ends, and `consume()` ends when its handlers have finished."""
        self._portal.run(self._stop)
        self._events.clear()

    # --- answers ---

    def ack(self, events: Answerable) -> None:
        """Say that one event or several have been processed. Raises ClientClosed after `close()`.

        Answers are sent in batches: `ack_batch_size` at a time, or after `ack_delay`.
        """
        self._answer(0, "", events)

    def nack(self, events: Answerable, action: NackAction = NackAction.RETRY, reason: str = "") -> None:
        """Say that events could not be processed, what the server should do with them, and why."""
        self._answer(*checked_nack(action, reason), events)

    def flush(self) -> None:
        """Send the answers that wait; returns when they are on their way."""
        self._portal.run(self._flush)

    def _answer(self, action: int, reason: str, events: Answerable) -> None:
        checked = (events,) if isinstance(events, RecordedEvent) else tuple(checked_answerable(events))
        if self._source.closed:
            raise ClientClosed("the subscription is closed")
        self._answers.append((action, reason, checked))
        self._count += len(checked)  # about: it only decides when to send
        if self._count >= self._source.ack_batch_size:
            self.flush()
        elif not self._armed:
            self._armed = True
            self._portal.post(self._arm)

    # --- handlers ---

    def consume(
        self,
        handler: EventHandler,
        *,
        concurrency: int = 1,
        max_retries: int = 3,
        on_error: NackPolicy | None = None,
    ) -> None:
        """Run a handler for every event, up to `concurrency` at a time, until `stop()`.

        `handler` is a function; with a `concurrency` above 1, handlers run on threads of their own. When it returns,
        the event is acked. When it raises, the event is delivered again up to `max_retries` times, and then parked
        with the exception as the reason; or `on_error(event, error)` decides by returning a `NackAction`. `stop()`,
        which a handler may call, lets running handlers finish.
        """
        checked_int("concurrency", concurrency, 1)
        checked_int("max_retries", max_retries, 0)
        policy = on_error or (lambda event, _: retry_then_park(event, max_retries))
        self._source.handled = True
        try:
            if concurrency == 1:
                for event in self:
                    self._handle(handler, event, policy)
            else:
                self._handle_several(handler, policy, concurrency)
        finally:
            with suppress(ClientClosed):
                self.flush()

    def _handle_several(self, handler: EventHandler, policy: NackPolicy, concurrency: int) -> None:
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(concurrency, thread_name_prefix=f"esdb-lite {self.group_name}") as pool:
            for event in self:
                running.add(pool.submit(self._handle, handler, event, policy))
                if len(running) >= concurrency:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    _raise_first(done)
        _raise_first(running)

    def _handle(self, handler: EventHandler, event: RecordedEvent, policy: NackPolicy) -> None:
        try:
            with observing.handling(self.subscription_id, event):
                handler(event)
        except Exception as error:
            action = decided(self.subscription_id, event, error, policy)
            if not self.closed:
                self.nack(event, action, reason_of(error))
        else:
            if not self.closed:
                self.ack(event)

    # --- the end ---

    def close(self) -> None:
        """Send the answers that wait, see that the server has them, and leave. Idempotent.

        Unanswered events go to other consumers at once. Waits up to 5 seconds. Does nothing in a forked process.
        """
        if self._portal.pid != os.getpid():
            return
        self._events.clear()
        with suppress(ClientClosed):
            self._portal.run(self._close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- on the thread of the loop ---

    def _hand_over(self) -> None:
        # The mark goes first: an answer that was added while it was set is taken here, a later one sets it again.
        self._armed = False
        self._count = 0
        while self._answers:
            action, reason, events = self._answers.popleft()
            if not self._source.closed:
                self._source.collect(action, reason, events)

    def _arm(self) -> None:
        self._source.call_later(self._hand_over)

    async def _exchange(self) -> None:
        self._hand_over()
        if not self._events:  # else of a call that Ctrl-C has ended when they were here already
            self._events.extend(await self._source.next_batch())

    async def _flush(self) -> None:
        self._hand_over()
        await self._source.flush()

    async def _stop(self) -> None:
        self._source.stop()

    async def _close(self) -> None:
        self._hand_over()
        await self._source.close()


def _raise_first(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        future.result()
