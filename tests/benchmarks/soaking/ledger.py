"""What has been written, and whether those who read it see all of it, once, and in order.

Owns: the numbering of events, and the checks, in memory that does not grow with the number of events (but for one byte
for each event and group). Must not know: clients, faults, time.

A writer counts its events from 0, over all streams that it writes to, and has no more than one append under way. So
whoever reads all events must see 0, 1, 2... of each writer; and whoever reads a stream its positions.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, uuid5

from esdb_lite import NewEvent, RecordedEvent

OFTEN, SELDOM = "soak-often", "soak-seldom"
EVERY = 40
"""One of so many events is of the type that comes seldom."""
_SHOWN = 40
_PADDING = "x" * 100


def type_of(number: int) -> str:
    """The type of a writer's event."""
    return OFTEN if number % EVERY else SELDOM


def make(writer: str, number: int, *, large: bool = False, fixed: bool = False) -> NewEvent:
    """Make an event that says who has written it, and its number. With `fixed` its id depends on these alone."""
    id = uuid5(NAMESPACE_URL, f"{writer} {number}") if fixed else None
    values = {"w": writer, "n": number, "x": _PADDING * (5_000 if large else 1)}
    return NewEvent.json(type_of(number), values, id=id)


def read(event: RecordedEvent) -> tuple[str, int]:
    """Return who has written an event, and its number."""
    values = json.loads(event.data)
    return values["w"], values["n"]


class Violations:
    """What must not happen and has: all are counted, the first ones are kept."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[str] = []

    def add(self, text: str) -> None:
        """Take note of one."""
        self.count += 1
        if len(self.kept) < _SHOWN:
            self.kept.append(text)
            print(f"VIOLATION {text}", flush=True)


@dataclass
class Book:
    """What one writer has done."""

    name: str
    stream: str | None
    """The stream that only it writes to."""
    started: int = 0
    """Events that have been given to an append, those under way included."""
    acknowledged: int = 0
    position: int = -1
    """Of the last event in its stream that was acknowledged."""
    reach: int = -1
    """The last position in its stream that an append has tried to write."""
    appends: int = 0
    unknown: int = 0
    """How often an append has ended with OutcomeUnknown, and was made again."""
    failed: int = 0
    """How often an append has ended with another error that says that nothing was written, and was made again."""
    longest: float = 0.0
    """Seconds that the slowest append took, from the first attempt to the last."""
    last: float = 0.0
    """When an append was acknowledged last."""
    lost: bool = False
    """It has given up, after a violation."""


@dataclass
class Ledger:
    """All writers, and what went wrong."""

    books: dict[str, Book] = field(default_factory=dict)
    violations: Violations = field(default_factory=Violations)
    events: Counter[str] = field(default_factory=Counter)
    """How often things have happened that are worth telling."""

    def book(self, name: str, stream: str | None) -> Book:
        """Begin the book of a writer."""
        self.books[name] = Book(name, stream)
        return self.books[name]

    @property
    def started(self) -> dict[str, int]:
        """How many events each writer has tried to write."""
        return {name: book.started for name, book in self.books.items()}

    @property
    def acknowledged(self) -> dict[str, int]:
        """How many events of each writer have been acknowledged."""
        return {name: book.acknowledged for name, book in self.books.items()}


Key = Callable[[RecordedEvent], "tuple[str, int]"]


def by_position(event: RecordedEvent) -> tuple[str, int]:
    """For those who read a stream."""
    return event.stream_name, event.stream_position


def one_by_one(number: int) -> int:
    """The number after a number."""
    return number + 1


def seldom(number: int) -> int:
    """The number after a number, of events that come seldom."""
    return (number // EVERY + 1) * EVERY


class Sequence:
    """Checks that events come without a gap, once, and in order."""

    def __init__(
        self,
        name: str,
        violations: Violations,
        *,
        key: Key = read,
        after: Callable[[int], int] = one_by_one,
        first: Mapping[str, int] | None = None,
        latest: Mapping[str, int] | None = None,
    ) -> None:
        """`first`: number of the first event that may come, of each writer (default: 0), `latest`: that must come."""
        self.name = name
        self.seen = self.missing = self.doubled = self.disordered = 0
        self.next: dict[str, int] = {}
        self._violations = violations
        self._key = key
        self._after = after
        self._first = first or {}
        self._latest = latest or self._first
        self.commit = -1

    def saw(self, events: Iterable[RecordedEvent]) -> None:
        """Take note of events."""
        for event in events:
            who, number = self._key(event)
            self.seen += 1
            self._order(event)
            expected = self.next.get(who)
            if expected is None:
                expected = self._begin(who, number)
            if number < expected:
                self.doubled += 1
                self._violations.add(f"{self.name}: saw {who} {number} again, expected {expected}")
                continue
            if number > expected:
                self.missing += self._count(expected, number)
                self._violations.add(f"{self.name}: saw {who} {number}, expected {expected}: a gap")
            self.next[who] = self._after(number)

    def _begin(self, who: str, number: int) -> int:
        """Return which number of a writer of whom nothing has come yet is right."""
        first, latest = self._first.get(who, 0), self._latest.get(who, 0)
        first, latest = self._after(first - 1), self._after(latest - 1)
        return number if first <= number <= latest else (first if number < first else latest)

    def _order(self, event: RecordedEvent) -> None:
        commit = event.commit_position or 0
        if commit <= self.commit:
            self.disordered += 1
            self._violations.add(f"{self.name}: saw position {commit} after {self.commit}")
        self.commit = max(self.commit, commit)

    def _count(self, start: int, stop: int) -> int:
        count = 0
        while start < stop:
            count, start = count + 1, self._after(start)
        return count

    def lacks(self, ends: Mapping[str, int]) -> dict[str, int]:
        """Return how many are still to come, of each writer, where all have written up to a number (exclusive)."""
        lacking = {}
        for who, end in ends.items():
            start = self.next.get(who, self._after(self._latest.get(who, 0) - 1))
            count = self._count(start, end)
            if count:
                lacking[who] = count
        return lacking

    def passed(self, marks: Mapping[str, int]) -> bool:
        """Whether an event has been seen of any writer that is not before its mark."""
        return any(self.next.get(who, 0) > mark for who, mark in marks.items())

    def end(self, ends: Mapping[str, int]) -> None:
        """All is written, and there was time to see it: what has not come is missing."""
        for who, count in self.lacks(ends).items():
            self.missing += count
            self._violations.add(f"{self.name}: the last {count} of {who} have not come")


class Tally:
    """Checks that a group has processed every event at least once."""

    def __init__(self, name: str, violations: Violations, key: Key = read) -> None:
        self.name = name
        self.processed = self.again = self.refused = self.parked = 0
        self.missing = 0
        self._key = key
        self._violations = violations
        self._done: dict[str, bytearray] = {}
        self.highest: dict[str, int] = {}

    def saw(self, event: RecordedEvent) -> None:
        """Take note that an event has been processed."""
        self.saw_number(*self._key(event))

    def saw_number(self, who: str, number: int) -> None:
        """The same for an event of which only this is known."""
        done = self._done.setdefault(who, bytearray())
        if len(done) <= number:
            done.extend(bytes(number - len(done) + 1000))
        if done[number]:
            self.again += 1
        else:
            self.processed += 1
        done[number] = 1
        self.highest[who] = max(self.highest.get(who, -1), number)

    def lacks(self, ends: Mapping[str, int]) -> dict[str, int]:
        """Return how many have not been processed, of each writer."""
        lacking = {}
        for who, end in ends.items():
            count = end - self._done.get(who, bytearray()).count(1)
            if count:
                lacking[who] = count
        return lacking

    def passed(self, marks: Mapping[str, int]) -> bool:
        """Whether an event has been processed of any writer that is not before its mark."""
        return any(self.highest.get(who, -1) >= mark for who, mark in marks.items())

    def end(self, ends: Mapping[str, int]) -> None:
        """All is written, and there was time to process it: what has not been is missing."""
        for who, count in self.lacks(ends).items():
            done = self._done.get(who, bytearray())
            left = [number for number in range(ends[who]) if number >= len(done) or not done[number]]
            self.missing += count
            self._violations.add(f"{self.name}: {count} of {who} were not processed: {left[:10]}...")
