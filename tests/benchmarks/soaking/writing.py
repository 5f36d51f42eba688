"""Writers: every kind of expectation, one event and several, repeated until it is known that they are written.

Owns: what is appended, how, and checking the answers. Must not know: faults.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from esdb_lite import (
    AppendResult,
    DeadlineExceeded,
    EsdbClientException,
    HandlerFailed,
    NewEvent,
    OutcomeUnknown,
    ServiceUnavailable,
    StreamState,
)
from tests.benchmarks.soaking.lateness import Stopwatch
from tests.benchmarks.soaking.ledger import Book, make
from tests.benchmarks.soaking.world import Access, World

EXACT, ANYWHERE, NEW = "exact", "any", "new"
KINDS = (EXACT, ANYWHERE, NEW)
SHARED_STREAM = "soak-shared"
LARGE = 0.003
"""How many of the appends are of half a megabyte."""
PATIENCE = 60.0
"""Seconds in which an append has to be known to be done: the retries of a client, twice."""


class Writer:
    """Appends events, one append after the other."""

    def __init__(self, world: World, access: Access, name: str, kind: str, pause: float) -> None:
        self._ledger = world.ledger
        self._world = world
        self._client = access.client
        self._blocking = access.blocking
        self._kind = kind
        self._pause = pause
        self._random = world.random(name)
        self._streams = 0
        self._end: int | None = None
        """The last position of the stream that it has begun last."""
        self.book: Book = world.ledger.book(name, f"soak-{name}" if kind == EXACT else None)

    async def run(self) -> None:
        """Append until it is enough."""
        while self._world.writing and not self.book.lost:
            await self.append()
            await asyncio.sleep(self._random.random() * 2 * self._pause)

    async def append(self) -> None:
        """Append events and wait until they are written."""
        book = self.book
        chance = self._random.random()
        count = 1 if chance < 0.7 else self._random.randint(2, 20)
        events = [make(book.name, book.started + index, large=chance < LARGE) for index in range(count)]
        stream, expected = self._target()
        own = stream == book.stream
        book.started += count
        book.appends += 1
        if own:
            book.reach += count
        result = await self._until_known(stream, expected, events)
        if result is None:
            book.lost = True
            return
        book.acknowledged += count
        book.last = monotonic()
        self._end = result.stream_position
        if own:
            if result.stream_position != book.position + count:
                self._wrong(f"was told {result!r} for {count} events after {book.position}")
            book.position = book.reach

    def _target(self) -> tuple[str, int | StreamState | None]:
        book = self.book
        if self._kind == EXACT:
            assert book.stream is not None
            return book.stream, None if book.position < 0 else book.position
        if self._kind == NEW:
            if self._end is not None and self._random.random() < 0.8:
                return f"soak-{book.name}-{self._streams}", self._end
            self._streams += 1
            return f"soak-{book.name}-{self._streams}", self._random.choice((None, StreamState.NO_STREAM))
        exists = book.acknowledged and self._random.random() < 0.3
        return SHARED_STREAM, StreamState.EXISTS if exists else StreamState.ANY

    async def _until_known(
        self, stream: str, expected: int | StreamState | None, events: list[NewEvent]
    ) -> AppendResult | None:
        """Append events again and again; None after a violation."""
        begun, alone = monotonic(), self._random.random() < 0.05
        try:
            while monotonic() - begun < PATIENCE:
                timeout = self._random.uniform(0.5, 3.0) if self._random.random() < 0.2 else None
                result = await self._attempt(stream, expected, events, timeout, alone)
                if result is not None:
                    return result
        except EsdbClientException as error:
            self._wrong(f"append of {len(events)} to {stream!r}, expected {expected!r}: {error!r}")
            return None
        finally:
            self.book.longest = max(self.book.longest, monotonic() - begun)
        self._wrong(f"append to {stream!r} is not known to be done after {PATIENCE:g} s")
        return None

    async def _send(
        self,
        stream: str,
        expected: int | StreamState | None,
        events: list[NewEvent],
        timeout: float | None,
        credentials: tuple[str, str] | None,
    ) -> AppendResult:
        """Append events; some callers lose their patience."""
        append = self._client.append_events(stream, expected, events, timeout=timeout, credentials=credentials)
        if self._blocking or self._random.random() > 0.05:
            return await append
        return await asyncio.wait_for(append, self._random.choice((0.0, 0.005, 0.02, 0.3)))

    async def _attempt(
        self,
        stream: str,
        expected: int | StreamState | None,
        events: list[NewEvent],
        timeout: float | None,
        alone: bool,
    ) -> AppendResult | None:
        """Append events; None when it is to be done again."""
        credentials = ("admin", "changeit") if alone else None
        watch = Stopwatch()
        try:
            return await self._send(stream, expected, events, timeout, credentials)
        except OutcomeUnknown as error:
            self.book.unknown += 1
            self._ledger.events[type(error).__name__] += 1
            if error.stream_name != stream or list(error.events) != events:
                self._wrong(f"{error!r} is about {error.stream_name!r} and {len(error.events)} events")
            return None
        except HandlerFailed:  # the server has failed inside: it is not for the client to say that it will pass
            self._again("HandlerFailed")
            return None
        except (DeadlineExceeded, ServiceUnavailable) as error:
            if timeout is None:
                raise
            self._again(f"{type(error).__name__} (not sent)")
            return None
        except asyncio.TimeoutError:
            self._ledger.events["append cancelled"] += 1
            return None
        finally:
            if timeout is not None and watch.is_late(timeout):
                self._wrong(f"an append with a timeout of {timeout:.2f} s took {watch.took:.2f} s")

    def _again(self, reason: str) -> None:
        self.book.failed += 1
        self._ledger.events[reason] += 1

    def _wrong(self, text: str) -> None:
        self._ledger.violations.add(f"writer {self.book.name}: {text}")
