"""Readers: what is read while things go wrong is complete up to what was acknowledged before, and in order.

Owns: the ways to read, and checking what comes. Must not know: faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from esdb_lite import DeadlineExceeded, RecordedEvent, ServiceUnavailable, StreamNotFound
from tests.benchmarks.soaking.lateness import Stopwatch
from tests.benchmarks.soaking.ledger import Book, Sequence, read
from tests.benchmarks.soaking.world import Access, World


class Reader:
    """Reads, over and over."""

    def __init__(self, world: World, access: Access, name: str, pause: float) -> None:
        self._world = world
        self._client = access.client
        self._name = f"reader {name}"
        self._pause = pause
        self._violations = world.ledger.violations
        self._random = world.random(self._name)
        self.reads = self.events = self.late = 0
        self.longest = 0.0

    async def run(self) -> None:
        """Read until it is enough."""
        ways: list[Callable[[float | None], Awaitable[None]]] = [self._stream, self._backwards, self._piece, self._end]
        while self._world.writing:
            whole = self._random.random() < 0.03
            way = self._everything if whole else self._random.choice(ways)
            timeout = self._random.uniform(0.5, 3.0) if self._random.random() < 0.1 and not whole else None
            await self._once(way, timeout)
            await asyncio.sleep(self._random.random() * 2 * self._pause)

    async def _once(self, way: Callable[[float | None], Awaitable[None]], timeout: float | None) -> None:
        watch = Stopwatch()
        try:
            await way(timeout)
        except (DeadlineExceeded, ServiceUnavailable):
            if timeout is None:
                raise
            self.late += 1
        self.reads += 1
        self.longest = max(self.longest, watch.took)
        if timeout is not None and watch.is_late(timeout):
            self._wrong(f"a read with a timeout of {timeout:.2f} s took {watch.took:.2f} s")

    def _book(self) -> Book:
        books = [book for book in self._world.ledger.books.values() if book.stream]
        return self._random.choice(books)

    async def _all_of(self, response: Any) -> list[RecordedEvent]:
        events: list[RecordedEvent] = []
        async with response:
            while batch := await response.next_batch():
                events += batch
        self.events += len(events)
        return events

    async def _stream(self, timeout: float | None) -> None:
        """Forwards, from somewhere near the end, to the end."""
        book = self._book()
        there = book.position
        start = max(0, there - self._random.choice((10, 100, 2000)))
        try:
            events = await self._all_of(self._client.read_stream_events(book.stream, start, timeout=timeout))
        except StreamNotFound:
            events = []
        self._check(f"{book.stream} from {start}", events, start, 1)
        if start + len(events) <= there:
            self._wrong(f"{book.stream} from {start} has {len(events)} events, {there} was acknowledged before")

    async def _backwards(self, timeout: float | None) -> None:
        """Backwards from the end, with a limit."""
        book = self._book()
        there, limit = book.position, self._random.choice((1, 50, 1000))
        response = self._client.read_stream_events(book.stream, backwards=True, limit=limit, timeout=timeout)
        try:
            events = await self._all_of(response)
        except StreamNotFound:
            events = []
        last = events[0].stream_position if events else -1
        self._check(f"{book.stream} backwards, {limit}", events, last, -1)
        if last < there or len(events) != min(limit, last + 1):
            self._wrong(f"{book.stream} backwards, {limit}: {len(events)} from {last}; {there} was acknowledged before")

    async def _piece(self, timeout: float | None) -> None:
        """Of all events, forwards from an event in the middle, with a limit."""
        book = self._book()
        if book.position < 0:
            return
        position = self._random.randint(0, book.position)
        found = await self._all_of(self._client.read_stream_events(book.stream, position, limit=1, timeout=timeout))
        if not found or found[0].commit_position is None:
            self._wrong(f"{book.stream} has no event {position}, {book.position} was acknowledged before")
            return
        start, limit = found[0].commit_position, self._random.choice((1, 50, 1000))
        events = await self._all_of(self._client.read_all_events(start, limit=limit, timeout=timeout))
        if not events or events[0].id != found[0].id or len(events) > limit:
            self._wrong(f"{limit} of all from {start}: {len(events)}, beginning with {events[:1]}")
        self._once_each(f"{limit} of all from {start}", events, forwards=True)

    async def _end(self, timeout: float | None) -> None:
        """Of all events, backwards from the end, with a limit."""
        there, limit = self._world.ledger.acknowledged, self._random.choice((1, 50, 1000))
        events = await self._all_of(self._client.read_all_events(backwards=True, limit=limit, timeout=timeout))
        if len(events) < min(limit, sum(there.values())):
            self._wrong(f"the last {limit} of all: {len(events)} have come")
        self._once_each(f"the last {limit} of all", events, forwards=False)

    async def _everything(self, timeout: float | None) -> None:
        """All events from the first one."""
        there = self._world.ledger.acknowledged
        sequence = Sequence(f"{self._name}, all", self._violations)
        async with self._client.read_all_events(timeout=timeout) as response:
            while batch := await response.next_batch():
                sequence.saw(batch)
        self.events += sequence.seen
        sequence.end(there)

    def _check(self, what: str, events: list[RecordedEvent], start: int, step: int) -> None:
        for index, event in enumerate(events):
            if event.stream_position != start + index * step:
                self._wrong(f"{what}: {event.stream_position} in place of {start + index * step}")
                return

    def _once_each(self, what: str, events: list[RecordedEvent], *, forwards: bool) -> None:
        sequence = Sequence(f"{self._name}, {what}", self._violations)
        ordered = events if forwards else events[::-1]
        for event in ordered:
            who, number = read(event)
            sequence.next.setdefault(who, number)
        sequence.saw(ordered)

    def _wrong(self, text: str) -> None:
        self._violations.add(f"{self._name}: {text}")
