"""The order in which a consumer loads, handles and stores, and what follows from failures: rules without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from esdb_lite.checkpoints.store import StoreBusy
from esdb_lite.client.consumers.steps import (
    LONGEST_PAUSE,
    Consumption,
    ConsumptionOptions,
    Store,
    checked_position,
    pause_before,
)
from esdb_lite.consumers import ConsumerPosition, ErrorAction
from esdb_lite.errors import CheckpointConflict, CheckpointMismatch, ServiceUnavailable, WrongArgumentType
from esdb_lite.events import CaughtUp, Checkpoint, RecordedEvent

_NOW = datetime.now(timezone.utc)


def event(number: int) -> RecordedEvent:
    return RecordedEvent("A", b"", b"", "s", number, 100 + number)


class World:
    """A source and a store that write down what they are asked to do."""

    def __init__(self, *batches: list[object] | Exception, stored: object = None) -> None:
        self.log: list[object] = []
        self.batches = list(batches)
        self.stored = stored
        self.stopping = False
        self.failing: dict[str, Exception] = {}

    # the source
    def open(self, position: ConsumerPosition | None) -> None:
        self.note("open", position)

    def next(self, timeout: float | None) -> list[object]:
        if not self.batches:
            self.stopping = True
            return []
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def known_end(self) -> int:
        return 99

    def pause(self, seconds: float) -> None:
        self.note("pause", seconds)

    # the store
    def load(self) -> object:
        self.note("load")
        return self.stored

    def save(self, position: ConsumerPosition) -> None:
        self.note("save", position)

    def note(self, *what: object) -> None:
        self.log.append(what[0] if len(what) == 1 else what)
        if error := self.failing.get(str(what[0])):
            raise error

    def handle(self, events: Any) -> None:
        many = events if isinstance(events, list) else [events]
        self.note("handle", *(each.stream_position for each in many))


class Transactions(World):
    """With a store that handlers take part in."""

    def bind(self, source: str) -> None:
        self.note("bind", source)

    def begin(self) -> None:
        self.note("begin")

    def rollback(self) -> None:
        self.note("rollback")

    def release(self) -> None:
        self.note("release")


def consume(
    world: World,
    handler: Callable[[Any], object] | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    **options: Any,
) -> Consumption:
    """Make all calls of a consumption as the client without asyncio does."""
    given = {"batch_size": 1, "checkpoint_every": None, "checkpoint_interval": None, "on_error": None, **options}
    settings = ConsumptionOptions(source="stream s", of_stream=True, retry_pause=1.0, **given)
    store = Store(world.load, world.save, world)
    consumption = Consumption(settings, store, handler or world.handle, world, clock=clock)
    steps = consumption.steps()
    result, error = None, None
    while True:
        try:
            step = steps.send(result) if error is None else steps.throw(error)
        except StopIteration:
            for last in consumption.end():
                last()
            return consumption
        result, error = None, None
        try:
            result = step()
        except BaseException as caught:
            error = caught


def failing_at(world: World, number: int, error: BaseException, times: int = 1) -> Callable[[Any], None]:
    left = [times]

    def handle(events: Any) -> None:
        world.handle(events)
        many = events if isinstance(events, list) else [events]
        if left[0] and number in [each.stream_position for each in many]:
            left[0] -= 1
            raise error

    return handle


def test_every_event_is_handled_and_then_stored() -> None:
    world = World([event(0), event(1)], [event(2), CaughtUp()])
    consumption = consume(world)
    assert world.log == [
        "load", ("open", None), ("handle", 0), ("save", 0), ("handle", 1), ("save", 1), ("handle", 2), ("save", 2),
    ]  # fmt: skip
    assert consumption.failure is None
    assert consumption.tracker.progress(0.0, _NOW).caught_up


def test_it_goes_on_where_the_store_says() -> None:
    world = World([event(8)], stored=7)
    consume(world)
    assert world.log == ["load", ("open", 7), ("handle", 8), ("save", 8)]


def test_batches() -> None:
    world = World([event(0), event(1), event(2)], [event(3)])
    consume(world, batch_size=2)
    assert world.log[2:] == [("handle", 0, 1), ("save", 1), ("handle", 2), ("save", 2), ("handle", 3), ("save", 3)]


def test_the_position_is_stored_now_and_then_and_at_the_end() -> None:
    world = World([event(number) for number in range(5)])
    consume(world, checkpoint_every=2)
    assert [entry for entry in world.log if entry[0] == "save"] == [("save", 1), ("save", 3), ("save", 4)]


def test_an_effect_and_its_position_are_committed_together() -> None:
    world = Transactions([event(0)])
    consume(world)
    assert world.log == [
        ("bind", "stream s"), "load", ("open", None), "begin", ("handle", 0), ("save", 0), "release",
    ]  # fmt: skip


def test_a_failure_is_not_stored_but_what_was_done_before_is() -> None:
    world, error = World([event(0), event(1), event(2)]), ValueError()
    consumption = consume(world, failing_at(world, 1, error), checkpoint_every=100)
    assert world.log[2:] == [("handle", 0), ("handle", 1), ("save", 0)]
    assert consumption.failure is error


def test_a_failure_is_rolled_back() -> None:
    world, error = Transactions([event(0), event(1)]), ValueError()
    consumption = consume(world, failing_at(world, 1, error))
    assert world.log[3:] == ["begin", ("handle", 0), ("save", 0), "begin", ("handle", 1), "rollback", "release"]
    assert consumption.failure is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()])
def test_being_cancelled_is_quick(error: BaseException) -> None:
    world = World([event(0), event(1)])
    assert consume(world, failing_at(world, 1, error), checkpoint_every=9).failure is error
    assert world.log[2:] == [("handle", 0), ("handle", 1)]
    transactions = Transactions([event(0)])
    assert consume(transactions, failing_at(transactions, 0, error)).failure is error
    assert transactions.log[-2:] == ["rollback", "release"]


def test_skipping() -> None:
    world = World([event(0), event(1), event(2)])
    seen: list[object] = []

    def decide(failed: RecordedEvent, error: Exception, attempt: int) -> ErrorAction:
        seen.extend([failed.stream_position, str(error), attempt])
        return ErrorAction.SKIP

    consume(world, failing_at(world, 1, ValueError("no")), on_error=decide)
    assert seen == [1, "no", 1]
    assert world.log[4:] == [("handle", 1), ("save", 1), ("handle", 2), ("save", 2)]


def test_skipping_with_transactions() -> None:
    world = Transactions([event(0)])
    consume(world, failing_at(world, 0, ValueError()), on_error=lambda *_: ErrorAction.SKIP)
    assert world.log[3:] == ["begin", ("handle", 0), "rollback", ("save", 0), "release"]


def test_retrying_takes_longer_and_longer_pauses() -> None:
    world = World([event(0)])
    consume(world, failing_at(world, 0, ValueError(), times=8), on_error=lambda *_: ErrorAction.RETRY)
    pauses = [entry[1] for entry in world.log if isinstance(entry, tuple) and entry[0] == "pause"]
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE]
    assert world.log[-2:] == [("handle", 0), ("save", 0)]


@pytest.mark.parametrize("first", [0.0, 1e-6, 1.0, 1e9])
def test_pauses_do_not_grow_for_ever(first: float) -> None:
    pauses = [pause_before(attempts, first) for attempts in range(1, 3000)]
    assert pauses[0] == min(first, LONGEST_PAUSE)
    assert pauses[-1] == (LONGEST_PAUSE if first else 0.0)
    assert pauses == sorted(pauses)


def test_attempts_are_counted_for_each_batch() -> None:
    world = World([event(0), event(1)])
    attempts: list[tuple[int, int]] = []

    def decide(failed: list[RecordedEvent], error: Exception, attempt: int) -> ErrorAction:
        attempts.append((failed[0].stream_position, attempt))
        return ErrorAction.RETRY if attempt < 3 else ErrorAction.SKIP

    def fail(events: object) -> None:
        raise ValueError

    consume(world, fail, on_error=decide, batch_size=2)
    assert attempts == [(0, 1), (0, 2), (0, 3)]


def test_being_stopped_while_waiting_to_try_again() -> None:
    world = World([event(0), event(1)])

    def decide(failed: RecordedEvent, error: Exception, attempt: int) -> ErrorAction:
        world.stopping = True
        return ErrorAction.RETRY

    assert consume(world, failing_at(world, 1, ValueError()), on_error=decide).failure is None
    assert world.log[-1] == ("pause", 1.0)
    assert ("save", 1) not in world.log


def test_stopping_by_decision_and_by_a_failure_of_the_decision() -> None:
    world, error, other = World([event(0)]), ValueError(), KeyError()

    def decide(*_: object) -> ErrorAction:
        raise other

    assert consume(world, failing_at(world, 0, error), on_error=lambda *_: ErrorAction.STOP).failure is error
    world = World([event(0)])
    assert consume(world, failing_at(world, 0, error), on_error=decide).failure is other
    world = World([event(0)])
    wrong = consume(world, failing_at(world, 0, error), on_error=lambda *_: True)
    assert isinstance(wrong.failure, WrongArgumentType)
    assert wrong.failure.argument == "on_error"


def test_a_commit_that_fails_is_like_a_handler_that_fails() -> None:
    world = Transactions([event(0)])
    world.failing["save"] = OSError("deadlock")
    decided: list[str] = []

    def decide(failed: object, error: Exception, attempt: int) -> ErrorAction:
        decided.append(str(error))
        del world.failing["save"]
        return ErrorAction.RETRY

    assert consume(world, on_error=decide).failure is None
    assert decided == ["deadlock"]
    once = ["begin", ("handle", 0), ("save", 0)]
    assert world.log[3:] == [*once, "rollback", ("pause", 1.0), *once, "release"]


def test_a_conflict_is_the_end() -> None:
    world = Transactions([event(0), event(1)])
    world.failing["save"] = conflict = CheckpointConflict("somebody")
    assert consume(world, on_error=lambda *_: ErrorAction.RETRY).failure is conflict
    assert world.log[3:] == ["begin", ("handle", 0), ("save", 0), "rollback", "release"]


def test_a_rollback_that_fails_is_the_end_with_the_first_error() -> None:
    world, error = Transactions([event(0), event(1)]), ValueError()
    world.failing["rollback"] = OSError("gone")
    assert consume(world, failing_at(world, 0, error), on_error=lambda *_: ErrorAction.SKIP).failure is error
    assert ("save", 0) not in world.log


def test_a_store_that_cannot_save_is_not_asked_again() -> None:
    world = World([event(0), event(1)])
    world.failing["save"] = error = OSError("full")
    assert consume(world).failure is error
    assert world.log.count(("save", 0)) == 1


def test_a_commit_that_fails_without_a_handler_is_rolled_back() -> None:
    world = Transactions([Checkpoint(1, 1), CaughtUp(None, 3)])
    world.failing["save"] = error = OSError("gone")
    assert consume(world).failure is error
    assert world.log[3:] == [("save", 3), "rollback", "release"]


def test_when_the_subscription_ends_what_was_done_is_stored() -> None:
    error = ServiceUnavailable("gone")
    world = World([event(0)], error)
    assert consume(world, checkpoint_every=9).failure is error
    assert world.log[-1] == ("save", 0)


def test_interrupted_between_two_steps() -> None:
    """Ctrl-C can come when no step is being made: what a handler has done is rolled back all the same."""
    world = Transactions([event(0), event(1)])
    settings = ConsumptionOptions("stream s", True, 1, None, None, None, 1.0)
    consumption = Consumption(settings, Store(world.load, world.save, world), world.handle, world)
    steps, result = consumption.steps(), None
    while world.log[-1:] != [("handle", 1)]:
        result = steps.send(result)()
    del steps
    for last in consumption.end():
        last()
    assert world.log[3:] == ["begin", ("handle", 0), ("save", 0), "begin", ("handle", 1), "rollback", "release"]


def test_what_cannot_be_bound_is_not_released() -> None:
    world = Transactions([event(0)])
    world.failing["bind"] = conflict = CheckpointConflict("in use")
    assert consume(world).failure is conflict
    assert world.log == [("bind", "stream s")]


def test_stopped_before_it_begins() -> None:
    world = World([event(0)])
    world.stopping = True
    consume(world)
    assert world.log == ["load"]


def test_stopped_in_the_middle_of_what_has_arrived() -> None:
    world = World([event(0), event(1)])

    def handle(one: RecordedEvent) -> None:
        world.handle(one)
        world.stopping = True

    consume(world, handle)
    assert world.log[2:] == [("handle", 0), ("save", 0)]


@pytest.mark.parametrize("value", ["7", 7.0, True, (1, 2)])
def test_what_is_no_position(value: object) -> None:
    with pytest.raises(WrongArgumentType, match="checkpoint"):
        checked_position(value, of_stream=True)


def test_positions_in_all_events_are_none_in_a_stream() -> None:
    assert checked_position(Checkpoint(1, 1), of_stream=False) == Checkpoint(1, 1)
    assert checked_position(5, of_stream=False) == 5
    with pytest.raises(CheckpointMismatch):
        checked_position(Checkpoint(1, 1), of_stream=True)
    assert isinstance(consume(World(stored=Checkpoint(1, 1))).failure, CheckpointMismatch)


class Busy(Transactions):
    """With a store that others are writing to, for so many looks."""

    def __init__(self, *batches: list[object] | Exception, looks: int, stops: bool = False) -> None:
        super().__init__(*batches)
        self.looks = looks
        self.stops = stops

    def begin(self) -> None:
        super().begin()
        self.looks -= 1
        if self.looks >= 0:
            raise StoreBusy from OSError("locked")

    def pause(self, seconds: float) -> None:
        assert 0 <= seconds <= 0.02
        self.note("pause")
        self.stopping = self.stops


def test_a_transaction_begins_when_others_are_done_with_theirs() -> None:
    world = Busy([event(0)], looks=2)
    consumption = consume(world)
    assert world.log[3:] == ["begin", "pause", "begin", "pause", "begin", ("handle", 0), ("save", 0), "release"]
    assert consumption.failure is None


def test_stopping_does_not_wait_for_others() -> None:
    world = Busy([event(0)], looks=99, stops=True)
    assert consume(world).failure is None
    assert world.log[3:] == ["begin", "pause", "begin", "release"]


def test_others_that_are_never_done_are_a_failure() -> None:
    times = iter(range(0, 10_000, 10))
    world = Busy([event(0)], looks=99)
    failure = consume(world, clock=lambda: float(next(times))).failure
    assert (type(failure), str(failure)) == (OSError, "locked")
    assert 3 < world.log.count("begin") < 10
    assert world.log[-2:] == ["rollback", "release"]


class Claimed(Busy):
    """With a store that has to be free for its position to be loaded, too."""

    def claim(self) -> None:
        self.begin()


def test_the_position_is_loaded_when_others_are_done() -> None:
    world = Claimed([event(0)], looks=1)
    assert consume(world).failure is None
    assert world.log[1:5] == ["begin", "pause", "begin", "load"]


def test_a_claim_is_given_up_when_the_position_cannot_be_loaded() -> None:
    world = Claimed([event(0)], looks=0)
    world.failing["load"] = OSError("gone")
    assert isinstance(consume(world).failure, OSError)
    assert world.log[1:] == ["begin", "load", "rollback", "release"]


def test_stopping_before_the_position_is_loaded() -> None:
    world = Claimed([event(0)], looks=99, stops=True)
    assert consume(world).failure is None
    assert world.log[1:] == ["begin", "pause", "begin", "rollback", "release"]


class ClaimedLater(Claimed):
    """With one that was free for the position to be loaded."""

    def open(self, position: ConsumerPosition | None) -> None:
        super().open(position)
        self.looks = self.later

    later = 99


def test_a_position_without_events_is_stored_when_others_are_done() -> None:
    world = ClaimedLater([CaughtUp(_NOW, 5)], looks=0)
    world.later = 2
    assert consume(world).failure is None
    assert world.log[4:] == ["begin", "pause", "begin", "pause", "begin", ("save", 5), "release"]


def test_a_position_without_events_is_given_up_where_others_write_at_the_end() -> None:
    world = ClaimedLater([CaughtUp(_NOW, 5)], looks=0, stops=True)
    tracker = consume(world).tracker
    assert (tracker.position, tracker.stored) == (5, None)
    assert world.log[4:] == ["begin", "pause", "begin", "rollback", "release"]


def test_the_last_position_does_not_wait_for_others() -> None:
    world = ClaimedLater([CaughtUp(_NOW, 5)], looks=0)
    world.stored = 3
    consumption = consume(world)
    assert (consumption.failure, consumption.tracker.position, consumption.tracker.stored) == (None, 5, 3)
    assert world.log[4:] == ["begin", "rollback", "release"]
