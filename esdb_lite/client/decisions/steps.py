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
from typing import Any, NamedTuple, Protocol
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

ATTEMPTS = 10
"""How often a decision is made at most, unless the caller says otherwise."""
LATE = 5.0
"""Seconds that a follower may be late with what its leader has."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5


class _ReadUpTo(NamedTuple):
    """Up to where a stream was read, or is in a snapshot."""

    position: int
    event_id: UUID


class _Place(NamedTuple):
    """Where an event was found."""

    stream_position: int
    commit_position: int | None


_Seen = Mapping[UUID, _Place]
"""What was read, by its ids."""


class _Outdated(Exception):
    """The stream is not the one that was read before, or of which there is a snapshot."""


class _Missing(Exception):
    """The event up to which it was read is not there any more; the next one is."""


class GrowingState:
    """A state, as it grows with the events of a stream."""

    def __init__(
        self, means: Means, stream_name: str, fold: Fold, initial: object, snapshots: Snapshots | None
    ) -> None:
        self.stream_name = checked_stream(stream_name)
        self._means = means
        self._fold = checked_function("fold", fold)
        self._initial = initial
        self.state: Any = _copied(initial)
        if snapshots is not None and not isinstance(snapshots, Snapshots):
            raise WrongArgumentType("snapshots", snapshots, "must be Snapshots")
        self._keeper = None if snapshots is None else SnapshotKeeper(snapshots, means, self.stream_name)
        self._unchecked: _ReadUpTo | None = None
        self._may_miss = False
        self._last: RecordedEvent | None = None
        self.position: int | None = None
        """Where the stream ends; None for a stream without events."""

    def load(self) -> Calls:
        """Begin with a snapshot if there is one, and read what came after it."""
        found = None if self._keeper is None else (yield from self._keeper.load())
        if found is not None:
            snapshot, self.state = found
            self.position = snapshot.position
            self._unchecked = _ReadUpTo(snapshot.position, snapshot.event_id)
        yield from self._go_on()
        return LoadedState(self.state, self.position)

    def read(self) -> Calls:
        """Read what was appended since; everything, where the stream was deleted meanwhile. Returns where, by ids."""
        if self._last is not None and self._last.stream_position == self.position:
            self._unchecked = _ReadUpTo(self._last.stream_position, self._last.id)
        return (yield from self._go_on())

    def _go_on(self) -> Calls:
        try:
            return (yield from self._read_behind())
        except _Outdated:
            self._unchecked, self.state, self.position = None, _copied(self._initial), None
            return (yield from self._read())

    def _read_behind(self) -> Calls:
        """Read, and where the event is missing up to which it was read, find out why. Raises _Outdated."""
        self._may_miss = False
        try:
            return (yield from self._read())
        except _Missing:
            assert self._unchecked is not None
            if not (yield from self._outlives(self._unchecked.position)):
                raise _Outdated from None
            self._may_miss = True
            return (yield from self._read())

    def _outlives(self, position: int) -> Calls:
        if self._keeper is None:
            return (yield from outlives(self._means, self.stream_name, position))
        return (yield from self._keeper.outlives(position))

    def _read(self) -> Calls:
        seen: dict[UUID, _Place] = {}

        def take(event: RecordedEvent) -> None:
            if not self._is_known(event):
                self._add(event)
                seen[event.id] = _place_of(event)

        start = None if self.position is None else self.position + (self._unchecked is None)
        yield from go_through(self._means, self.stream_name, start, take)
        if self._unchecked is not None:
            raise _Outdated
        return seen

    def grow(self, written: Sequence[NewEvent], result: AppendResult) -> None:
        """Take in what was appended."""
        for event in recorded(written, self.stream_name, self.position, result.stream_position, result.commit_position):
            self._add(event)

    def decided(self, given: Any) -> list[NewEvent]:
        """What is to be appended. Raises WrongArgumentType."""
        return _decided(given, self._means)

    def append(self, written: Sequence[NewEvent]) -> Call:
        """The call that appends it."""
        client, options = self._means.client, self._means.options()
        return partial(client.append_events, self.stream_name, self.position, written, **options)

    def last_id(self, written: Sequence[NewEvent]) -> UUID:
        """By which event it is recognised when it has been written."""
        return written[-1].id

    def found(self, written: Sequence[NewEvent], seen: _Seen) -> AppendResult:
        """What its append would have returned, by what was read since."""
        place = seen[written[-1].id]
        return AppendResult(place.commit_position, place.stream_position)

    def behind(self, failure: Exception) -> Mapping[str, int]:
        """By stream: where it ends by what an append was refused for, if that was not read yet."""
        end = failure.current if isinstance(failure, ExpectedPositionError) else None
        return {} if end is None or (self.position is not None and self.position >= end) else {self.stream_name: end}

    def pass_over(self, name: str, position: int) -> None:
        """Take over where the stream ends, as its events cannot be read any more."""
        self.position = position

    def correct(self, failure: Exception) -> None:
        """Take over that the stream ends before."""
        if isinstance(failure, ExpectedPositionError):
            self.position = failure.current

    def outcome(self, written: Sequence[NewEvent], result: AppendResult | None, attempts: int) -> DecisionResult[Any]:
        """What the decision has led to."""
        return DecisionResult(self.state, tuple(written), result, self.position, attempts)

    def keep(self) -> Calls:
        """Store a snapshot when it is time for it."""
        if self._keeper is not None and self._last is not None:
            yield from self._keeper.save(self.state, self._last)

    def _is_known(self, event: RecordedEvent) -> bool:
        """Whether it is the event up to which it was read, and the others follow. Raises _Outdated, _Missing."""
        place = self._unchecked
        if place is None:
            return False
        if event.stream_position == place.position + 1:
            if not self._may_miss:
                raise _Missing
            self._unchecked = None
            return False
        if event.stream_position != place.position or event.id != place.event_id:
            raise _Outdated
        self._unchecked, self._last = None, event
        return True

    def _add(self, event: RecordedEvent) -> None:
        self.state = self._fold(self.state, self._means.value(event))
        self.position = event.stream_position
        self._last = event


def _place_of(event: RecordedEvent) -> _Place:
    return _Place(event.stream_position, event.commit_position)


def go_through(means: Means, stream_name: str, start: int | None, take: Callable[[RecordedEvent], object]) -> Calls:
    """Hand every event of a stream to a function; none where there is no stream."""
    response = means.client.read_stream_events(stream_name, start, **means.options())
    try:
        while batch := (yield response.next_batch):
            for event in batch:
                take(event)
    except StreamNotFound:
        return
    except GeneratorExit:
        raise
    except BaseException:
        yield response.close
        raise


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


class Growing(Protocol):
    """A state that grows with what is read and appended, of one stream or of several."""

    state: Any

    def load(self) -> Calls: ...
    def read(self) -> Calls: ...
    def decided(self, given: Any) -> Any: ...
    def append(self, written: Any) -> Call: ...
    def grow(self, written: Any, result: Any) -> None: ...
    def keep(self) -> Calls: ...
    def last_id(self, written: Any) -> UUID: ...
    def found(self, written: Any, seen: _Seen) -> Any: ...
    def behind(self, failure: Exception) -> Mapping[str, int]: ...
    def pass_over(self, name: str, position: int) -> None: ...
    def correct(self, failure: Exception) -> None: ...
    def outcome(self, written: Any, result: Any, attempts: int) -> Any: ...


def deciding(means: Means, growing: Growing, decide: Callable[[Any], Any], attempts: int) -> Calls:
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
        sent[growing.last_id(written)] = written
        yield from _pause(means, attempt)
        seen: _Seen = yield from _looked(_read_on(means, growing, failure), failure)
        for found in seen.keys() & sent.keys():  # an answer was lost, or an earlier attempt came late
            return growing.outcome(sent[found], growing.found(sent[found], seen), attempt)
        if attempt == attempts:
            raise failure
    raise AssertionError("there is at least one attempt")


def _read_on(means: Means, growing: Growing, failure: EsdbClientException) -> Calls:
    """Read what was appended since, with everything for which the append was refused. Returns where, by ids.

    A follower may be late with it: only where it is known to be hidden it is passed over. Raises the failure where
    there is no telling.
    """
    seen: dict[UUID, _Place] = dict((yield from growing.read()))
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


def _decided(events: Any, means: Means) -> list[NewEvent]:
    return [] if events is None else checked_events(events, means.types)


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
        """Of the last events that were read or written."""

    def read(self) -> Calls:
        """Read what was appended since; everything, where a stream was deleted meanwhile. Returns where, by ids."""
        try:
            return (yield from self._read())
        except _Outdated:
            self.state, self.positions = _copied(self._initial), dict.fromkeys(self.positions)
            self._ids.clear()
            return (yield from self._read())

    load = read

    def _read(self) -> Calls:
        """Raises _Outdated."""
        events: list[RecordedEvent] = []
        for name, position in self.positions.items():
            found: list[RecordedEvent] = []
            known = None if position is None else self._ids.get(name)
            start = None if position is None else position + (known is None)
            yield from go_through(self._means, name, start, found.append)
            if position is not None and known is not None:
                yield from self._check(found, _ReadUpTo(position, known))
            events += found
        events.sort(key=lambda event: event.commit_position or 0)
        for event in events:
            self._add(event)
        return {event.id: _place_of(event) for event in events}

    def _check(self, found: list[RecordedEvent], place: _ReadUpTo) -> Calls:
        """Take away the event that is known. Raises _Outdated where others do not follow it."""
        first = found[0] if found else None
        if first is not None and first.stream_position == place.position + 1:
            if (yield from outlives(self._means, first.stream_name, place.position)):
                return
        elif first is not None and (first.stream_position, first.id) == place:
            del found[0]
            return
        raise _Outdated

    def grow(self, written: Mapping[str, Sequence[NewEvent]], result: RecordsResult) -> None:
        """Take in what was appended."""
        for name, events in written.items():
            last = result.stream_positions.get(name)
            for event in recorded(events, name, self.positions[name], last, result.commit_position):
                self._add(event)

    def decided(self, given: object) -> dict[str, list[NewEvent]]:
        """What is to be appended, by stream. Raises WrongArgumentType, InvalidArgument."""
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise WrongArgumentType("decide", given, "must return events by the names of their streams, or None")
        for name in given:
            if name not in self.positions:
                raise InvalidArgument("decide", name, "must return events for streams of stream_names only")
        found = {name: _decided(events, self._means) for name, events in given.items()}
        return {name: events for name, events in found.items() if events}

    def append(self, written: Mapping[str, Sequence[NewEvent]]) -> Call:
        """The call that appends it, if the other streams are as they were."""
        appends = [StreamAppend(name, self.positions[name], events) for name, events in written.items()]
        checks = [StreamCheck(name, at) for name, at in self.positions.items() if name not in written]
        return partial(self._means.client.append_records, appends, checks=checks, **self._means.options())

    def last_id(self, written: Mapping[str, Sequence[NewEvent]]) -> UUID:
        """By which event it is recognised when it has been written: all are there, or none."""
        return next(iter(written.values()))[-1].id

    def found(self, written: Mapping[str, Sequence[NewEvent]], seen: _Seen) -> RecordsResult:
        """What its append would have returned, by what was read since."""
        places = {name: seen[events[-1].id] for name, events in written.items() if events[-1].id in seen}
        commits = [place.commit_position for place in places.values() if place.commit_position is not None]
        ends = {name: place.stream_position for name, place in places.items()}
        return RecordsResult(max(commits, default=None), ends)

    def behind(self, failure: Exception) -> Mapping[str, int]:
        """By stream: where it ends by what an append was refused for, if that was not read yet."""
        ends: dict[str, int] = {}
        for violation in failure.violations if isinstance(failure, ConsistencyError) else ():
            at, name = self.positions.get(violation.stream_name), violation.stream_name
            if isinstance(violation.actual, int) and (at is None or at < violation.actual):
                ends[name] = violation.actual
        return ends

    def pass_over(self, name: str, position: int) -> None:
        """Take over where a stream ends, as its events cannot be read any more."""
        self.positions[name] = position
        self._ids.pop(name, None)

    def correct(self, failure: Exception) -> None:
        """Take over that streams end before."""
        for violation in failure.violations if isinstance(failure, ConsistencyError) else ():
            if isinstance(violation.actual, int):
                self.positions[violation.stream_name] = violation.actual
                self._ids.pop(violation.stream_name, None)

    def keep(self) -> Calls:
        """There are no snapshots of several streams."""
        yield from ()

    def outcome(
        self, written: Mapping[str, Sequence[NewEvent]], result: RecordsResult | None, attempts: int
    ) -> AtomicDecisionResult[Any]:
        """What the decision has led to."""
        return AtomicDecisionResult(self.state, written, result, self.positions, attempts)

    def _add(self, event: RecordedEvent) -> None:
        self.state = self._fold(self.state, self._means.value(event))
        self.positions[event.stream_name] = event.stream_position
        self._ids[event.stream_name] = event.id
