"""Visitors: clients, subscriptions and consumers that come, stay for a moment and leave, whatever happens meanwhile.

Owns: what visitors do, and that leaving is quick and complete. Must not know: faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any

from esdb_lite import (
    CallCancelled,
    ConsumerTooSlow,
    NotLeader,
    OperationTimedOut,
    ServiceUnavailable,
    SubscriptionDropped,
)
from tests.benchmarks.soaking.ledger import Sequence, by_position
from tests.benchmarks.soaking.subscribing import Group
from tests.benchmarks.soaking.world import Access, World

LEAVING = 6.5
"""Seconds in which a consumer or client has to be gone: a consumer waits up to 5 for its answers to be counted."""
BROKEN = (ServiceUnavailable, ConsumerTooSlow, CallCancelled, NotLeader, OperationTimedOut, SubscriptionDropped)
"""What a subscription that is not to reconnect may end with."""


class Visitor:
    """Comes and goes."""

    def __init__(self, world: World, access: Access, name: str, groups: list[Group], pause: float) -> None:
        self._world = world
        self._access = access
        self._groups = groups
        self._name = f"visitor {name}"
        self._pause = pause
        self._random = world.random(self._name)
        self._violations = world.ledger.violations
        self.visits = self.turned_away = 0
        self.slowest = 0.0

    async def run(self) -> None:
        """Visit until it is enough."""
        while self._world.writing:
            await self._visit()
            await asyncio.sleep(self._random.random() * 2 * self._pause)

    async def _visit(self) -> None:
        ways: list[Callable[[Any], Awaitable[None]]] = [
            self._subscribe,
            self._subscribe_again,
            self._consume,
            self._ask,
            self._read,
        ]
        way = self._random.choice(ways)
        self.visits += 1
        if self._random.random() < 0.5:
            await way(self._access.client)
            return
        client, close = self._world.visit(self._access.face)
        try:
            await way(client)
        except ServiceUnavailable:  # a server that a client has never met is not waited for
            self.turned_away += 1
        finally:
            await self._leave("client", close())

    async def _leave(self, what: str, leaving: Coroutine[Any, Any, None]) -> None:
        begun = monotonic()
        await leaving
        took = monotonic() - begun
        self.slowest = max(self.slowest, took)
        if took > LEAVING:
            self._violations.add(f"{self._name}: a {what} took {took:.1f} s to leave")

    async def _some(self, iterator: Any, sequence: Sequence, seconds: float) -> None:
        """Take what comes for some time, until somebody else closes it or the patience is over."""
        closing = self._later(seconds, iterator.close) if self._access.blocking or self._random.random() < 0.5 else None
        end = monotonic() + seconds
        try:
            while (left := end - monotonic()) > 0:
                if closing is not None:
                    batch = await iterator.next_batch()
                else:
                    batch = await asyncio.wait_for(iterator.next_batch(), left)
                if not batch:
                    break
                sequence.saw(batch)
        except asyncio.TimeoutError:  # nothing is lost by that
            pass
        finally:
            if closing is not None:
                closing.cancel()
                await asyncio.wait({closing})

    def _later(self, seconds: float, do: Callable[[], Awaitable[object] | None]) -> asyncio.Future[None]:
        async def later() -> None:
            await asyncio.sleep(seconds)
            if (doing := do()) is not None:
                await doing

        return asyncio.ensure_future(later())

    async def _subscribe(self, client: Any) -> None:
        """To everything from the first event, or to a stream."""
        if self._random.random() < 0.5:
            sequence = Sequence(f"{self._name}, all", self._violations)
            subscription = await client.subscribe_all_events()
        else:
            stream = self._stream()
            sequence = Sequence(f"{self._name}, {stream}", self._violations, key=by_position)
            subscription = await client.subscribe_stream_events(stream)
        try:
            await self._some(subscription, sequence, self._random.uniform(0.0, 2.0))
        finally:
            await self._leave("subscription", subscription.close())

    async def _subscribe_again(self, client: Any) -> None:
        """Without reconnecting: whoever does that alone must not miss anything, either."""
        sequence = Sequence(f"{self._name}, by hand", self._violations)
        for _ in range(3):
            position = None if sequence.commit < 0 else sequence.commit
            subscription = await client.subscribe_all_events(position, reconnect=False)
            try:
                with suppress(*BROKEN):
                    await self._some(subscription, sequence, self._random.uniform(0.0, 1.0))
            finally:
                await self._leave("subscription", subscription.close())

    async def _consume(self, client: Any) -> None:
        group = self._random.choice(self._groups)
        consumer = await client.read_subscription(group.name, group.stream, buffer_size=self._random.choice((1, 20)))
        stopping = self._later(self._random.uniform(0.0, 3.0), consumer.stop)
        try:
            for _ in range(self._random.randint(0, 5)):
                events = await consumer.next_batch()
                for event in events:
                    group.saw(event)
                await consumer.ack(events)
                if not events:
                    break
        finally:
            await self._leave("consumer", consumer.close())
            stopping.cancel()
            await asyncio.wait({stopping})

    async def _ask(self, client: Any) -> None:
        stream = self._stream()
        book = next(book for book in self._world.ledger.books.values() if book.stream == stream)
        there = book.position
        position = await client.get_stream_position(stream)
        if (-1 if position is None else position) < there:
            self._violations.add(f"{self._name}: {stream} ends at {position}, {there} was acknowledged before")
        await client.get_commit_position()
        groups = {each.group_name for each in await client.list_subscriptions()}
        if missing := {group.name for group in self._groups} - groups:
            self._violations.add(f"{self._name}: {missing} not among the groups {groups}")

    async def _read(self, client: Any) -> None:
        """Begin to read everything, and leave in the middle."""
        sequence = Sequence(f"{self._name}, read", self._violations)
        response = client.read_all_events()
        try:
            for _ in range(self._random.randint(0, 20)):
                batch = await response.next_batch()
                if not batch:
                    break
                sequence.saw(batch)
        finally:
            await self._leave("read", response.close())

    def _stream(self) -> str:
        streams = [book.stream for book in self._world.ledger.books.values() if book.stream]
        return self._random.choice(streams)
