"""Subscribers and consumers: they go on by themselves, whatever happens.

Owns: the kinds of subscriptions and of consumers, and handing what comes to the checks of the ledger.
Must not know: faults.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence as Items
from datetime import timedelta
from random import Random
from typing import Any

from esdb_lite import (
    CaughtUp,
    Checkpoint,
    ClientClosed,
    FellBehind,
    NackAction,
    Reconnected,
    RecordedEvent,
    SubscriptionSettings,
)
from tests.benchmarks.soaking.ledger import OFTEN, SELDOM, Ledger, Sequence, Tally, by_position, read, seldom
from tests.benchmarks.soaking.world import Access, World

WHOLE, OFTEN_ONLY, SELDOM_ONLY, END, STREAM, STREAM_END = (
    "all",
    "all, filtered",
    "all, sparse filter",
    "all, from the end",
    "stream",
    "stream, from the end",
)
KINDS = (WHOLE, OFTEN_ONLY, SELDOM_ONLY, END, STREAM, STREAM_END)

SETTINGS = SubscriptionSettings(message_timeout=timedelta(seconds=5), max_retry_count=50)


class Subscriber:
    """A catch-up subscription from its beginning to the end of the soak."""

    def __init__(self, world: World, access: Access, kind: str, stream: str, *, control: bool) -> None:
        self.name = f"subscriber ({access.face}{', control' if control else ''}) to {kind}"
        self.kind = kind
        self.sequence: Sequence | None = None
        self._world = world
        self._client = access.client
        self._stream = stream
        self._control = control
        self._subscription: Any = None
        self._closed = False
        self._place = -1
        self._random = world.random(self.name)
        self.items = 0

    @property
    def of_stream(self) -> bool:
        """Whether it sees one stream only."""
        return self.kind in (STREAM, STREAM_END)

    @property
    def dense(self) -> bool:
        """Whether something comes all the time, and is taken at once."""
        return self.kind != SELDOM_ONLY and not self._control

    async def run(self) -> None:
        """Subscribe, and check what comes."""
        before = self._marks(ends=False)
        subscription = self._subscription = await self._subscribe()
        from_end = self.kind in (END, STREAM_END)
        self.sequence = Sequence(
            self.name,
            self._world.ledger.violations,
            **({"key": by_position} if self.of_stream else {}),
            **({"after": seldom} if self.kind == SELDOM_ONLY else {}),
            **({"first": before, "latest": self._marks(ends=True)} if from_end else {}),
        )
        async with subscription:
            while items := await subscription.next_batch():
                self._take(items)
                if self._control and self._random.random() < 0.02:  # one that is slow at times
                    await asyncio.sleep(self._random.uniform(0.0, 3.0))
        if not self._closed:
            self._world.ledger.violations.add(f"{self.name} has ended by itself")

    async def _subscribe(self) -> Any:
        client, kind, control = self._client, self.kind, self._control
        if kind in (STREAM, STREAM_END):
            return await client.subscribe_stream_events(
                self._stream, from_end=kind == STREAM_END, include_control=control
            )
        if kind == OFTEN_ONLY:
            # what is not of the other type: all but a few
            return await client.subscribe_all_events(filter_include=(OFTEN, SELDOM), include_control=control)
        if kind == SELDOM_ONLY:
            return await client.subscribe_all_events(filter_include=(SELDOM,), include_control=control)
        return await client.subscribe_all_events(from_end=kind == END, include_control=control)

    def _marks(self, *, ends: bool) -> dict[str, int]:
        """Where writers are: the numbers of the events that come next, those under way (`ends`) left out or not."""
        ledger = self._world.ledger
        if self.of_stream:
            book = next(book for book in ledger.books.values() if book.stream == self._stream)
            return {self._stream: (book.reach if ends else book.position) + 1}
        return ledger.started if ends else ledger.acknowledged

    def marks(self) -> dict[str, int]:
        """What has to be passed to have seen something that is not yet begun."""
        return self._marks(ends=True)

    def ends(self) -> dict[str, int]:
        """What there is to be seen once everything is acknowledged."""
        return self._marks(ends=False)

    def _take(self, items: Items[object]) -> None:
        self.items += len(items)
        events = [item for item in items if isinstance(item, RecordedEvent)]
        if self._control:
            for item in items:
                self._control_item(item)
        elif len(events) != len(items):
            self._world.ledger.violations.add(f"{self.name}: control items that nobody has asked for")
        assert self.sequence is not None
        self.sequence.saw(events)

    def _control_item(self, item: object) -> None:
        counts = self._world.ledger.events
        if isinstance(item, (Reconnected, CaughtUp, FellBehind, Checkpoint)):
            counts[type(item).__name__] += 1
        place = item.commit_position if isinstance(item, (Checkpoint, RecordedEvent)) else None
        if place is not None:
            if place < self._place:
                self._world.ledger.violations.add(f"{self.name}: {type(item).__name__} {place} after {self._place}")
            self._place = place

    async def close(self) -> None:
        """End it."""
        self._closed = True
        if self._subscription is not None:
            await self._subscription.close()


class Group:
    """A group, which several consumers share."""

    def __init__(self, ledger: Ledger, name: str, stream: str | None) -> None:
        self.name = name
        self.stream = stream
        self.tally = Tally(f"group {name}", ledger.violations, by_position if stream else read)
        self._ledger = ledger
        self._lock = threading.Lock()

    async def create(self, client: Any) -> None:
        """Make it on the server."""
        await client.create_subscription(self.name, self.stream, settings=SETTINGS)

    def saw(self, event: RecordedEvent) -> None:
        """A consumer has processed an event; from any thread."""
        with self._lock:
            self.tally.saw(event)

    def saw_number(self, who: str, number: int) -> None:
        """Another process has processed an event."""
        with self._lock:
            self.tally.saw_number(who, number)

    def marks(self) -> dict[str, int]:
        """What has to be passed to have processed something that is not yet begun."""
        if self.stream is None:
            return self._ledger.started
        return {self.stream: self._book.reach + 1}

    def ends(self) -> dict[str, int]:
        """What there is to be processed once everything is acknowledged."""
        if self.stream is None:
            return self._ledger.acknowledged
        return {self.stream: self._book.position + 1}

    @property
    def _book(self) -> Any:
        return next(book for book in self._ledger.books.values() if book.stream == self.stream)


class Consumer:
    """One consumer of a group, which answers itself or has `consume()` do so."""

    def __init__(self, world: World, access: Access, group: Group, *, handler: bool) -> None:
        self.name = f"consumer ({access.face}{', consume' if handler else ''}) of {group.name}"
        self._world = world
        self._access = access
        self._group = group
        self._handler = handler
        self._random: Random = world.random(self.name)
        self._consumer: Any = None
        self.handled = 0

    async def run(self) -> None:
        """Process events until it is closed."""
        consumer = self._consumer = await self._access.client.read_subscription(
            self._group.name, self._group.stream, buffer_size=100, ack_batch_size=20
        )
        if self._handler:
            await consumer.consume(self._handle_blocking if self._access.blocking else self._handle, concurrency=3)
            return
        try:
            while events := await consumer.next_batch():
                await self._answer(consumer, events)
        except ClientClosed:
            if self._world.writing:
                raise

    async def _answer(self, consumer: Any, events: list[RecordedEvent]) -> None:
        self.handled += len(events)
        good: list[RecordedEvent] = []
        for event in events:
            chance = self._random.random()
            if chance < 0.03:
                await consumer.nack(event, NackAction.RETRY, "later")
                self._group.tally.refused += 1
            elif chance < 0.033:
                await consumer.nack(event, NackAction.PARK, "put aside")
                self._group.tally.parked += 1
            else:
                good.append(event)
        for event in good:
            self._group.saw(event)
        await consumer.ack(good)

    async def _handle(self, event: RecordedEvent) -> None:
        await asyncio.sleep(0)
        self._handle_blocking(event)

    def _handle_blocking(self, event: RecordedEvent) -> None:
        self.handled += 1
        if self._random.random() < 0.02:
            self._group.tally.refused += 1
            raise RuntimeError("later")
        self._group.saw(event)

    async def close(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            await self._consumer.close()
