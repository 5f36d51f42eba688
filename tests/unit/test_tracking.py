"""Positions only grow, are stored when they are due, and tell how far behind a consumer is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest

from esdb_lite.client.consumers.tracking import (
    QUIET_SECONDS,
    RATE_SECONDS,
    EventRate,
    HandledPart,
    Tracker,
    later,
    parts,
    position_of,
)
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.events import CaughtUp, Checkpoint, FellBehind, Reconnected, RecordedEvent

NOON = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)


def event(number: int, commit: int | None = None, **more: object) -> RecordedEvent:
    at = 100 + number if commit is None else commit
    return RecordedEvent("A", b"", b"", "s", number, at, recorded_at=NOON + timedelta(seconds=number), **more)  # type: ignore[arg-type]


def numbers(part: HandledPart) -> list[int]:
    return [each.stream_position for each in part.events]


def tracker(
    *, every: int | None = None, interval: float | None = None, of_stream: bool = True, now: float = 0.0
) -> Tracker:
    return Tracker(of_stream=of_stream, every=every, interval=interval, now=now)


# --- positions ---


@pytest.mark.parametrize(
    ("item", "in_stream", "in_all"),
    [
        (event(7), 7, Checkpoint(107, 107)),
        (event(7, link=event(3)), 3, Checkpoint(103, 103)),
        (RecordedEvent("A", b"", b"", "s", 7, 107, prepare_position=105), 7, Checkpoint(107, 105)),
        (RecordedEvent("A", b"", b"", "s", 7, None), 7, None),
        (Checkpoint(5, 0, NOON), None, Checkpoint(5, 0)),
        (CaughtUp(NOON, 9), 9, None),
        (CaughtUp(NOON, None, 9, 8), None, Checkpoint(9, 8)),
        (CaughtUp(), None, None),
        (FellBehind(NOON, 9, 9, 9), None, None),
        (Reconnected("a:1", "b:1", "lost"), None, None),
    ],
)
def test_where_a_consumer_is_after_an_item(
    item: object, in_stream: ConsumerPosition | None, in_all: ConsumerPosition | None
) -> None:
    assert position_of(item, of_stream=True) == in_stream
    assert position_of(item, of_stream=False) == in_all


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (None, None, None),
        (None, 3, 3),
        (3, None, 3),
        (3, 4, 4),
        (4, 3, 4),
        (Checkpoint(5, 5), Checkpoint(5, 0), Checkpoint(5, 5)),
        (Checkpoint(5, 5), Checkpoint(6, 0), Checkpoint(6, 0)),
        (5, Checkpoint(5, 0), 5),
        (5, Checkpoint(6, 0), Checkpoint(6, 0)),
    ],
)
def test_the_later_position(
    first: ConsumerPosition | None, second: ConsumerPosition | None, expected: ConsumerPosition | None
) -> None:
    assert later(first, second) == expected


# --- parts ---


def test_parts_have_no_more_events_than_wanted() -> None:
    found = list(parts([event(n) for n in range(5)], 2, of_stream=True))
    assert [numbers(part) for part in found] == [[0, 1], [2, 3], [4]]
    assert [part.position for part in found] == [1, 3, 4]
    assert [part.caught_up for part in found] == [None, None, None]


def test_control_objects_belong_to_the_events_before_them() -> None:
    items = [Checkpoint(50, 0), event(0), Checkpoint(200, 0), event(1, 201), CaughtUp(None, None, 300, 300)]
    first, second = parts(items, 1, of_stream=False)
    assert (numbers(first), first.position, first.caught_up) == ([0], Checkpoint(200, 0), None)
    assert (numbers(second), second.position, second.caught_up) == ([1], Checkpoint(300, 300), True)


def test_what_was_said_before_an_event_does_not_hold_after_it() -> None:
    found = list(parts([event(0), CaughtUp(), event(1), FellBehind(), event(2)], 10, of_stream=True))
    assert [(numbers(part), part.caught_up) for part in found] == [([0], True), ([1], False), ([2], None)]


def test_only_control_objects() -> None:
    assert list(parts([Checkpoint(5, 0), Checkpoint(6, 0)], 1, of_stream=False)) == [HandledPart([], Checkpoint(6, 0))]
    assert list(parts([Reconnected("a", "b", "c")], 1, of_stream=False)) == [HandledPart([], None, False)]
    assert list(parts([], 1, of_stream=False)) == [HandledPart([], None)]


def known(position: ConsumerPosition | None) -> tuple[UUID | None, int | None]:
    assert isinstance(position, Checkpoint)
    return position.event_id, position.event_position


def test_places_of_servers_know_the_last_event_before_them() -> None:
    """Behind an event of the same part, of an earlier one, or of an earlier run."""
    seen = event(0, id=UUID(int=7))
    (part,) = parts([seen, CaughtUp(None, None, 300, 300)], 10, of_stream=False)
    assert (part.position, known(part.position)) == (Checkpoint(300, 300), (seen.id, 100))
    tracked = tracker(of_stream=False)
    tracked.loaded(seen.checkpoint, 0.0)
    for place in (300, 400):
        tracked.handled(HandledPart([], Checkpoint(place, 0)), 0.0)
        assert (tracked.position, known(tracked.position)) == (Checkpoint(place, 0), (seen.id, 100))
    tracked.handled(HandledPart([], Checkpoint(500, 0, event_id=UUID(int=8), event_position=450)), 0.0)
    assert known(tracked.position) == (UUID(int=8), 450)
    tracked.loaded(Checkpoint(107, 105, event_id=UUID(int=9)), 0.0)  # of a transaction: nothing can be read from there
    tracked.handled(HandledPart([], Checkpoint(600, 0)), 0.0)
    assert known(tracked.position) == (None, None)


# --- when a position is due ---


def handle(tracked: Tracker, *events: int, now: float = 0.0) -> None:
    tracked.handled(HandledPart([event(number) for number in events], events[-1]), now)


def test_by_default_after_every_part() -> None:
    tracked = tracker()
    assert not tracked.due(0.0)
    handle(tracked, 0, 1)
    assert tracked.due(0.0)
    tracked.saved(1, 0.0)
    assert not tracked.due(1000.0)
    assert tracked.due_in(0.0) is None


def test_after_so_many_events() -> None:
    tracked = tracker(every=3)
    handle(tracked, 0, 1)
    assert not tracked.due(1000.0)
    assert tracked.due_in(0.0) is None
    handle(tracked, 2)
    assert tracked.due(0.0)
    tracked.saved(2, 0.0)
    handle(tracked, 3)
    assert not tracked.due(0.0)


def test_after_so_many_seconds() -> None:
    tracked = tracker(interval=10.0)
    tracked.loaded(4, 100.0)
    handle(tracked, 5, now=103.0)
    assert not tracked.due(103.0)
    assert tracked.due_in(103.0) == 7.0
    assert tracked.due(110.0)
    tracked.saved(5, 110.0)
    handle(tracked, 6, now=111.0)
    assert tracked.due_in(111.0) == 9.0


def test_whichever_comes_first() -> None:
    tracked = tracker(every=2, interval=10.0)
    tracked.loaded(0, 0.0)
    handle(tracked, 1)
    assert (tracked.due(9.0), tracked.due(10.0)) == (False, True)
    handle(tracked, 2)
    assert tracked.due(0.0)


def test_the_first_position_is_stored_at_once() -> None:
    tracked = tracker(of_stream=False)
    tracked.handled(HandledPart([], Checkpoint(5, 0), True), 0.0)
    assert tracked.due(0.0)


def test_what_a_filter_passes_over_is_stored_now_and_then() -> None:
    tracked = tracker(of_stream=False)
    tracked.loaded(Checkpoint(5, 0), 100.0)
    tracked.handled(HandledPart([], Checkpoint(6, 0)), 100.2)
    assert not tracked.due(100.2)
    assert tracked.due_in(100.25) == pytest.approx(QUIET_SECONDS - 0.25)
    assert tracked.due(100.0 + QUIET_SECONDS)


def test_a_long_interval_holds_for_what_a_filter_passes_over_too() -> None:
    tracked = tracker(of_stream=False, interval=30.0)
    tracked.loaded(Checkpoint(5, 0), 0.0)
    tracked.handled(HandledPart([], Checkpoint(6, 0)), 0.0)
    assert tracked.due_in(0.0) == 30.0


def test_what_was_stored_with_the_effects_is_not_due_again() -> None:
    tracked = tracker(of_stream=False)
    tracked.saved(Checkpoint(5, 5), 0.0)
    tracked.handled(HandledPart([event(0, 5)], Checkpoint(5, 5)), 0.0)
    assert not tracked.unsaved
    tracked.handled(HandledPart([], Checkpoint(6, 0)), 0.0)
    assert tracked.unsaved
    assert not tracked.due(0.0)


def test_positions_do_not_go_back() -> None:
    tracked = tracker(of_stream=False)
    tracked.loaded(Checkpoint(5, 5), 0.0)
    tracked.handled(HandledPart([], Checkpoint(5, 0), True), 0.0)
    assert tracked.position == Checkpoint(5, 5)
    assert not tracked.unsaved


# --- progress ---


def test_lag_while_catching_up() -> None:
    tracked = tracker()
    tracked.known_end(99)
    tracked.fetched([event(number) for number in range(10)])
    assert tracked.progress(0.0, NOON).lag is None
    assert tracked.progress(0.0, NOON).lag_events == 100
    handle(tracked, 0, 1, 2, 3)
    progress = tracked.progress(1.0, NOON + timedelta(seconds=63))
    assert (progress.position, progress.stored, progress.handled) == (3, None, 4)
    assert (progress.lag, progress.lag_events, progress.caught_up) == (60.0, 96, False)


def test_no_lag_when_everything_is_done() -> None:
    tracked = tracker()
    tracked.fetched([event(0), CaughtUp()])
    tracked.handled(HandledPart([event(0)], 0, True), 0.0)
    later_on = NOON + timedelta(days=1)
    assert tracked.progress(0.0, later_on).lag == 0.0
    assert tracked.progress(0.0, later_on).lag_events == 0
    assert tracked.progress(0.0, later_on).caught_up
    tracked.fetched([event(1), event(2)])
    assert tracked.progress(0.0, later_on).lag == 24 * 3600
    assert tracked.progress(0.0, later_on).lag_events == 2
    tracked.handled(HandledPart([], None, False), 0.0)
    assert not tracked.progress(0.0, later_on).caught_up


def test_a_server_whose_clock_is_ahead() -> None:
    tracked = tracker()
    handle(tracked, 5)
    assert tracked.progress(0.0, NOON).lag == 0.0


def test_events_behind_are_known_for_a_stream_only() -> None:
    tracked = tracker(of_stream=False)
    tracked.known_end(99)
    tracked.fetched([event(0), CaughtUp()])
    tracked.handled(HandledPart([event(0)], Checkpoint(100, 100), True), 0.0)
    assert tracked.progress(0.0, NOON).lag_events is None
    assert tracker().progress(0.0, NOON).lag_events is None


def test_a_steady_rate_is_seen_from_the_start_on() -> None:
    rate = EventRate(100.0)
    assert rate.read(100.0) == 0.0
    for tick in range(1, 101):
        rate.add(5, 100.0 + tick / 10)
        if tick >= 5:
            assert rate.read(100.0 + tick / 10) == pytest.approx(50.0, rel=0.15)


def test_the_rate_fades() -> None:
    rate = EventRate(0.0)
    rate.add(1000, 1.0)
    busy = rate.read(1.0)
    assert rate.read(1.0 + 20 * RATE_SECONDS) < busy / 1000
