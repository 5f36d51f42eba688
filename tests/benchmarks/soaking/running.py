"""One soak: workers of both faces at work, faults one after the other, and the settlement at the end.

Owns: who works, in which order things begin and end, and what is compared at the end. Must not know: which faults
there are, how servers are made.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from esdb_lite import RecordedEvent
from tests.benchmarks.soaking import subscribing, writing
from tests.benchmarks.soaking.healing import Healing
from tests.benchmarks.soaking.ledger import Sequence, read
from tests.benchmarks.soaking.reading import Reader
from tests.benchmarks.soaking.resources import Gauge
from tests.benchmarks.soaking.subscribing import Consumer, Group, Subscriber
from tests.benchmarks.soaking.trouble import Deck
from tests.benchmarks.soaking.victims import Victim
from tests.benchmarks.soaking.visiting import Visitor
from tests.benchmarks.soaking.world import FACES, World
from tests.benchmarks.soaking.writing import Writer

LONGEST_FAULT = 30.0
SETTLING = 40.0
"""Seconds that all workers get to come to their ends, once no fault is left."""
FIRST_EVENTS = 50
"""Events that are there before subscriptions begin."""


@dataclass
class Outcome:
    """What a soak has led to."""

    mode: str
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    settling: float = 0.0
    """Seconds from the last append to the moment when everybody had seen everything."""


class Soak:
    """A soak of one kind of server."""

    def __init__(
        self,
        mode: str,
        world: World,
        deck: Deck,
        clear: Callable[[], Awaitable[None]],
        pace: float,
        victim: Victim | None = None,
    ) -> None:
        """`clear` ends all faults; `pace`: seconds that writers wait between appends, on average; readers wait more."""
        self.world = world
        self.outcome = Outcome(mode)
        self.gauge = Gauge()
        self.writers: list[Writer] = []
        self.readers: list[Reader] = []
        self.subscribers: list[Subscriber] = []
        self.groups: list[Group] = []
        self.consumers: list[Consumer] = []
        self.visitors: list[Visitor] = []
        self._deck = deck
        self._clear = clear
        self._pace = pace
        self._victim = victim
        self._hire()
        self.healing = Healing(world.ledger, self.subscribers, self.groups)

    # --- who works ---

    def _hire(self) -> None:
        """Engage everybody: each face has one client for all, and one that prefers followers and only reads."""
        world, pace = self.world, self._pace
        accesses = {face: (world.access(face), world.access(face, "&nodePreference=follower")) for face in FACES}
        for face, (main, _) in accesses.items():
            for kind in writing.KINDS:
                self.writers.append(Writer(world, main, f"{face}-{kind}", kind, pace))
            self.writers += [
                Writer(world, main, f"{face}-side-{number}", writing.EXACT, pace * 4) for number in range(4)
            ]
        streams = [writer.book.stream for writer in self.writers if writer.book.stream is not None]
        for face, (main, other) in accesses.items():
            self.readers += [
                Reader(world, main, face, pace * 10),
                Reader(world, other, f"{face}, other node", pace * 10),
            ]
            for number, kind in enumerate(subscribing.KINDS):
                access, control = (main, other)[number % 2], number % 3 == 0
                self.subscribers.append(Subscriber(world, access, kind, streams[number % 2], control=control))
            self.subscribers.append(Subscriber(world, other, subscribing.WHOLE, streams[0], control=face == "sync"))
        self.groups = [Group(world.ledger, "soak-all", None), Group(world.ledger, "soak-stream", streams[0])]
        for main, _ in accesses.values():
            self.consumers.append(Consumer(world, main, self.groups[0], handler=False))
            self.consumers.append(Consumer(world, main, self.groups[1], handler=True))
            self.visitors.append(Visitor(world, main, main.face, self.groups, pace * 10))
        self._main = accesses["async"][0].client

    # --- from the beginning to the end ---

    async def run(self, seconds: float) -> None:
        """Do all of it; what is wrong is in the ledger's violations."""
        begun = monotonic()
        tasks = asyncio.all_tasks()
        watching = asyncio.ensure_future(self.gauge.watch(min(60.0, seconds / 4)))
        try:
            await self._begin()
            await self._suffer(begun + seconds)
            await self._settle()
            self.gauge.end()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await self.world.close()
            await self.world.ended(5.0)
        self.outcome.seconds = monotonic() - begun
        for task in asyncio.all_tasks() - tasks:
            self.world.ledger.violations.add(f"a task is left: {task!r}")

    async def _begin(self) -> None:
        """Let all begin to work, with some events there already."""
        for group in self.groups:
            await group.create(self._main)
        for writer in self.writers:
            while writer.book.acknowledged < FIRST_EVENTS // len(self.writers):
                await writer.append()
        for subscriber in self.subscribers:
            self.world.run(subscriber.name, subscriber.run())
        for consumer in self.consumers:
            self.world.run(consumer.name, consumer.run())
        for writer in self.writers:
            self.world.run(f"writer {writer.book.name}", writer.run())
        for number, reader in enumerate(self.readers):
            self.world.run(f"reader {number}", reader.run())
        if self._victim is not None:
            self._victim.group = self.groups[0]
            self.world.run("victim", self._victim.run())
        for number, visitor in enumerate(self.visitors):
            self.world.run(f"visitor {number}", visitor.run())
        await self.healing.wait("(the beginning)")

    async def _suffer(self, until: float) -> None:
        """Let one fault follow another, sometimes two at a time; at least one, however long the beginning has taken."""
        while not self.outcome.faults or monotonic() < until:
            await asyncio.sleep(self._deck.gap())
            name, fault = self._deck.deal()
            faults = [fault]
            self.outcome.faults[name] += 1
            if self._deck.doubles():
                other, fault = self._deck.deal()
                self.outcome.faults[other] += 1
                faults.append(fault)
                name = "two at a time"
            await self._happen(name, faults)
            await self.healing.wait(name)

    async def _happen(self, name: str, faults: list[Awaitable[None]]) -> None:
        results = await asyncio.wait_for(asyncio.gather(*faults, return_exceptions=True), LONGEST_FAULT)
        for result in results:
            if isinstance(result, BaseException):
                self.world.ledger.violations.add(f"the fault itself has failed: {name}: {result!r}")

    # --- the settlement ---

    async def _settle(self) -> None:
        """Let writers end, everybody see everything, and compare."""
        world, ledger = self.world, self.world.ledger
        await self._clear()
        world.writing = False
        await world.ended(SETTLING, "writer", "reader", "visitor", "victim")
        begun = monotonic()
        while (lacking := await self._lacking()) and monotonic() - begun < SETTLING:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        self.outcome.settling = monotonic() - begun
        if lacking:
            ledger.violations.add(f"after {SETTLING:g} s are missing: {lacking}")
        for subscriber in self.subscribers:
            if subscriber.sequence is not None:
                subscriber.sequence.end(subscriber.ends())
            await subscriber.close()
        for group in self.groups:
            group.tally.end(group.ends())
        for consumer in self.consumers:
            await consumer.close()
        await world.ended(10.0, "subscriber", "consumer")
        await self._compare()

    async def _lacking(self) -> dict[str, dict[str, int]]:
        """Who has not seen what; parked events are sent again."""
        found: dict[str, dict[str, int]] = {}
        for subscriber in self.subscribers:
            if subscriber.sequence is not None and (few := subscriber.sequence.lacks(subscriber.ends())):
                found[subscriber.name] = few
        for group in self.groups:
            if few := group.tally.lacks(group.ends()):
                found[group.name] = few
                await self._main.replay_parked_events(group.name, group.stream)
        return found

    async def _compare(self) -> None:
        """Read everything back: what was acknowledged is there once, and nothing else is."""
        ledger, outcome = self.world.ledger, self.outcome
        sequence = Sequence("what is stored", ledger.violations)
        of_streams: Counter[str] = Counter()
        ids: set[bytes] = set()
        async for event in self._main.read_all_events():
            sequence.saw([event])
            self._count(event, of_streams)
            ids.add(event.id.bytes)
        sequence.end(ledger.acknowledged)
        outcome.stored, outcome.lost = sequence.seen, sequence.missing
        outcome.doubled = max(sequence.doubled, sequence.seen - len(ids))  # by numbers, and by ids
        if sequence.seen != sum(ledger.acknowledged.values()):
            ledger.violations.add(f"{sequence.seen} stored, {sum(ledger.acknowledged.values())} acknowledged")
        for stream, count in of_streams.items():
            told = await self._main.get_stream_position(stream)
            if told != count - 1:
                ledger.violations.add(f"{stream} has {count} events, and {told} is the last")

    def _count(self, event: RecordedEvent, of_streams: Counter[str]) -> None:
        """Check the place of an event in its stream."""
        if event.stream_position != of_streams[event.stream_name]:
            self.world.ledger.violations.add(
                f"stored: {event.stream_name} has {event.stream_position} in place of {of_streams[event.stream_name]}"
            )
        of_streams[event.stream_name] = event.stream_position + 1
        book = self.world.ledger.books[read(event)[0]]
        if book.stream is not None and event.stream_name != book.stream:
            self.world.ledger.violations.add(f"stored: an event of {book.name} in {event.stream_name}")
