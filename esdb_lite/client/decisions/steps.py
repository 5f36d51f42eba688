"""What a decision consists of, one step after another, without doing it.

Owns: loading, folding, deciding, appending, and what follows when somebody else was faster or no answer came. Pure: it
yields calls of the client, which a driver makes (and awaits, with asyncio), and gets back what they bring; so both
clients behave alike, and functions of the caller run where the caller is. Must not know: event loops, threads.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from esdb_lite._checks import checked_int, checked_items
from esdb_lite.client.arguments import checked_events, checked_stream
from esdb_lite.client.decisions.keeping import SnapshotKeeper, hides, outlives
from esdb_lite.client.decisions.means import Call, Calls, Means
from esdb_lite.decisions import AtomicDecisionResult, DecisionResult, LoadedState, Snapshots
from esdb_lite.errors import (
    ConsistencyError,
    EsdbClientException,
    ExpectedPositionError,
    InvalidArgument,
    OutcomeUnknown,
    StreamNotFound,
    WrongArgumentType,
)
from esdb_lite.events import AppendResult, NewEvent, RecordedEvent
from esdb_lite.records import RecordsResult, StreamAppend, StreamCheck

Fold = Callable[[Any, Any], Any]

LATE = 5.0
"""Seconds that a follower may be late with what its leader has."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5


class _FoundAt(NamedTuple):
    """Where an event was found."""

    stream_position: int
    commit_position: int | None


_Seen = Mapping[UUID, _FoundAt]
"""What was read, by ids."""


class _Outdated(Exception):
    """The stream is not the one that was read before, or of which there is a snapshot."""


def _found_at(event: RecordedEvent) -> _FoundAt:
    return _FoundAt(event.stream_position, event.commit_position)


def recorded(
    events: Sequence[NewEvent], stream_name: str, before: int | None, last: int | None, commit_position: int | None
) -> Iterator[RecordedEvent]:
    """Return events as they are in their stream now; `before` counts where the server does not know where they are."""
    end = (-1 if before is None else before) + len(events) if last is None else last
    for position, event in enumerate(events, end + 1 - len(events)):
        yield RecordedEvent(
            event.type,
            event.data,
            event.metadata,
            stream_name,
            position,
            commit_position,
            id=event.id,
            content_type=event.content_type,
        )


def deciding(means: Means, growing: GrowingStates, decide: Callable[[Any], Any], attempts: int) -> Calls:
    """Load, decide and append until nobody is faster. Returns the outcome."""
    checked_function("decide", decide)
    checked_int("attempts", attempts, 1, 1_000_000)
    yield from growing.load()
    sent: dict[UUID, Any] = {}
    for attempt in range(1, attempts + 1):
        written = growing.decided(decide(growing.state))
        if not written:
            return growing.outcome(written, None, attempt)
        try:
            result = yield growing.append(written)
        except (ExpectedPositionError, OutcomeUnknown) as error:
            failure = error
        else:
            growing.grow(written, result)
            yield from growing.keep()
            return growing.outcome(written, result, attempt)
        # by one of its events it is recognised when it has been written: all are there, or none
        sent[next(iter(written.values()))[-1].id] = written
        yield from _pause(means, attempt)
        seen: _Seen = yield from _looked(_read_on(means, growing, failure), failure)
        for found in seen.keys() & sent.keys():  # an answer was lost, or an earlier attempt came late
            return growing.outcome(sent[found], growing.found(sent[found], seen), attempt)
        if attempt == attempts:
            raise failure
    raise AssertionError("there is at least one attempt")


def _read_on(means: Means, growing: GrowingStates, failure: EsdbClientException) -> Calls:
    """Read what was appended since, with everything for which the append was refused. Returns where, by ids.

    A follower may be late with it: only where it is known to be hidden it is passed over. Raises the failure where
    there is no telling.
    """
    seen: dict[UUID, _FoundAt] = dict((yield from growing.read()))
    if not seen and not growing.behind(failure):
        growing.correct(failure)
    pause, ends_at = _FIRST_PAUSE, time.monotonic() + LATE
    while behind := growing.behind(failure):
        for name, position in behind.items():
            if (yield from hides(means, name, position)):
                growing.pass_over(name, position)
        if not growing.behind(failure):
            break
        if time.monotonic() > ends_at:
            raise failure
        yield partial(means.pause, pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        seen |= yield from growing.read()
    return seen


def _pause(means: Means, attempt: int) -> Calls:
    """Wait longer from time to time, so that many who want the same come to an end; the first time not at all."""
    if attempt > 1:
        yield partial(means.pause, random.uniform(0, min(_LONGEST_PAUSE, 0.005 * 2**attempt)))


def _looked(looking: Calls, failure: Exception) -> Calls:
    """Look what was appended; where that is not possible, what went wrong before counts."""
    try:
        return (yield from looking)
    except EsdbClientException as error:
        raise failure from (None if error is failure else error)


def _copied(initial: Any) -> Any:
    """A state of its own, which a fold may change. Raises InvalidArgument."""
    try:
        return deepcopy(initial)
    except Exception as error:
        raise InvalidArgument("initial", initial, f"must be a value that can be copied ({error!r})") from error


def checked_function(argument: str, value: Any) -> Any:
    """Something that can be called. Raises WrongArgumentType."""
    if not callable(value):
        raise WrongArgumentType(argument, value, "must be a function")
    return value


class GrowingStates:
    """One state, as it grows with the events of several streams, in the order in which they were committed."""

    def __init__(self, means: Means, stream_names: object, fold: Fold, initial: object) -> None:
        names = checked_items("stream_names", stream_names, str, "must be a sequence of names of streams")
        if not names or len(set(names)) != len(names):
            raise InvalidArgument("stream_names", names, "must be one name or more, each once")
        self.positions: dict[str, int | None] = {checked_stream(name, "stream_names"): None for name in names}
        """Where the streams end; None for a stream without events."""
        self._means = means
        self._fold = checked_function("fold", fold)
        self._initial = initial
        self.state: Any = _copied(initial)
        self._ids: dict[str, UUID] = {}
        """Of the events at these positions, as far as they are known."""

    def load(self) -> Calls:
        """Read the streams from their beginning."""
        yield from self.read()

    def read(self) -> Calls:
        """Read what was appended since; everything, where a stream was deleted meanwhile. Returns where, by ids."""
        try:
            return (yield from self._read())
        except _Outdated:
            self.state, self.positions = _copied(self._initial), dict.fromkeys(self.positions)
            self._ids.clear()
            return (yield from self._read())

    def _read(self) -> Calls:
        events: list[RecordedEvent] = []
        for name in self.positions:
            yield from self._go_through(name, events.append)
        events.sort(key=lambda event: event.commit_position or 0)
        for event in events:
            self._add(event)
        return {event.id: _found_at(event) for event in events}

    def _go_through(self, name: str, take: Callable[[RecordedEvent], object]) -> Calls:
        """Hand every event of a stream that is not known yet to a function. Raises _Outdated."""
        position, known = self.positions[name], self._ids.get(name)
        start = None if position is None else position + (known is None)
        response = self._means.client.read_stream_events(name, start, **self._means.options())
        try:
            while batch := (yield response.next_batch):
                if position is not None and known is not None:
                    batch, known = (yield from self._behind(batch, position, known)), None
                for event in batch:
                    take(event)
        except StreamNotFound:
            pass
        except GeneratorExit:
            raise
        except BaseException:
            yield response.close
            raise
        if known is not None:
            raise _Outdated

    def _behind(self, batch: Sequence[RecordedEvent], position: int, known: UUID) -> Calls:
        """Return what follows the known event. Raises _Outdated where it is another one, or missing for no reason."""
        first = batch[0]
        if (first.stream_position, first.id) == (position, known):
            return batch[1:]
        if first.stream_position == position + 1 and (yield from self._outlives(first.stream_name, position)):
            return batch
        raise _Outdated

    def _outlives(self, name: str, position: int) -> Calls:
        """Whether a state counts whose last event is missing while the next one is there."""
        return (yield from outlives(self._means, name, position))

    def _add(self, event: RecordedEvent) -> None:
        self.state = self._fold(self.state, self._means.value(event))
        self.positions[event.stream_name] = event.stream_position
        self._ids[event.stream_name] = event.id

    def decided(self, given: Any) -> dict[str, list[NewEvent]]:
        """What is to be appended, by stream. Raises WrongArgumentType, InvalidArgument."""
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise WrongArgumentType("decide", given, "must return events by the names of their streams, or None")
        for name in given:
            if name not in self.positions:
                raise InvalidArgument("decide", name, "must return events for streams of stream_names only")
        found = {
            name: [] if events is None else checked_events(events, self._means.types) for name, events in given.items()
        }
        return {name: events for name, events in found.items() if events}

    def append(self, written: Mapping[str, Sequence[NewEvent]]) -> Call:
        """The call that appends it, if the other streams are as they were."""
        appends = [StreamAppend(name, self.positions[name], events) for name, events in written.items()]
        checks = [StreamCheck(name, at) for name, at in self.positions.items() if name not in written]
        return partial(self._means.client.append_records, appends, checks=checks, **self._means.options())

    def grow(self, written: Mapping[str, Sequence[NewEvent]], result: Any) -> None:
        """Take in what was appended."""
        for name, events in written.items():
            last = self._last_of(name, result)
            for event in recorded(events, name, self.positions[name], last, result.commit_position):
                self._add(event)

    def found(self, written: Mapping[str, Sequence[NewEvent]], seen: _Seen) -> Any:
        """What the append would have returned, by what was read since."""
        places = {name: seen[events[-1].id] for name, events in written.items() if events[-1].id in seen}
        commits = [place.commit_position for place in places.values() if place.commit_position is not None]
        return RecordsResult(max(commits, default=None), {name: at.stream_position for name, at in places.items()})

    def _last_of(self, name: str, result: RecordsResult) -> int | None:
        return result.stream_positions.get(name)

    def _ends(self, failure: Exception) -> Mapping[str, int | None]:
        """By stream: where it ends by what an append was refused for."""
        violations = failure.violations if isinstance(failure, ConsistencyError) else ()
        return {each.stream_name: each.actual for each in violations if isinstance(each.actual, int)}

    def behind(self, failure: Exception) -> Mapping[str, int]:
        """The same, where it was not read yet."""
        ends: dict[str, int] = {}
        for name, end in self._ends(failure).items():
            at = self.positions.get(name)
            if end is not None and (at is None or at < end):
                ends[name] = end
        return ends

    def correct(self, failure: Exception) -> None:
        """Take over that streams end before."""
        for name, end in self._ends(failure).items():
            self.pass_over(name, end)

    def pass_over(self, name: str, position: int | None) -> None:
        """Take over where a stream ends, as its events cannot be read any more."""
        self.positions[name] = position
        self._ids.pop(name, None)

    def keep(self) -> Calls:
        """Store a snapshot when it is time for it. There are none of several streams."""
        yield from ()

    def outcome(self, written: Mapping[str, Sequence[NewEvent]], result: Any, attempts: int) -> Any:
        """What the decision has led to."""
        return AtomicDecisionResult(self.state, written, result, self.positions, attempts)


class GrowingState(GrowingStates):
    """A state, as it grows with the events of one stream."""

    def __init__(
        self, means: Means, stream_name: str, fold: Fold, initial: object, snapshots: Snapshots | None
    ) -> None:
        self.stream_name = checked_stream(stream_name)
        super().__init__(means, [stream_name], fold, initial)
        if snapshots is not None and not isinstance(snapshots, Snapshots):
            raise WrongArgumentType("snapshots", snapshots, "must be Snapshots")
        self._keeper = None if snapshots is None else SnapshotKeeper(snapshots, means, stream_name)

    @property
    def position(self) -> int | None:
        """Where the stream ends; None for a stream without events."""
        return self.positions[self.stream_name]

    def load(self) -> Calls:
        """Begin with a snapshot if there is one, and read what came after it."""
        found = None if self._keeper is None else (yield from self._keeper.load())
        if found is not None:
            snapshot, self.state = found
            self.positions[self.stream_name], self._ids[self.stream_name] = snapshot.position, snapshot.event_id
        yield from self.read()
        return LoadedState(self.state, self.position)

    def _read(self) -> Calls:
        seen: dict[UUID, _FoundAt] = {}

        def take(event: RecordedEvent) -> None:
            self._add(event)
            seen[event.id] = _found_at(event)

        yield from self._go_through(self.stream_name, take)
        return seen

    def _outlives(self, name: str, position: int) -> Calls:
        return (
            yield from (super()._outlives(name, position) if self._keeper is None else self._keeper.outlives(position))
        )

    def decided(self, given: Any) -> dict[str, list[NewEvent]]:
        """What is to be appended. Raises WrongArgumentType."""
        return super().decided({self.stream_name: given})

    def append(self, written: Mapping[str, Sequence[NewEvent]]) -> Call:
        """The call that appends it."""
        [(name, events)] = written.items()
        return partial(self._means.client.append_events, name, self.position, events, **self._means.options())

    def found(self, written: Mapping[str, Sequence[NewEvent]], seen: _Seen) -> AppendResult:
        """What the append would have returned, by what was read since."""
        place = seen[written[self.stream_name][-1].id]
        return AppendResult(place.commit_position, place.stream_position, self.stream_name)

    def _last_of(self, name: str, result: Any) -> int | None:
        position: int | None = result.stream_position
        return position

    def _ends(self, failure: Exception) -> Mapping[str, int | None]:
        return {self.stream_name: failure.current} if isinstance(failure, ExpectedPositionError) else {}

    def keep(self) -> Calls:
        """Store a snapshot when it is time for it."""
        if self._keeper is not None and self.position is not None and self.stream_name in self._ids:
            yield from self._keeper.save(self.state, self.position, self._ids[self.stream_name])

    def outcome(self, written: Mapping[str, Sequence[NewEvent]], result: Any, attempts: int) -> DecisionResult[Any]:
        """What the decision has led to."""
        events = tuple(written.get(self.stream_name, ()))
        return DecisionResult(self.state, events, result, self.position, attempts)
