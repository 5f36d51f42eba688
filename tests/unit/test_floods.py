"""What one client may cost in frames that carry nothing: pure counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._http2.flood import (
    BYTES_PER_IDLE,
    IDLE,
    IDLE_PER_SECOND,
    IDLE_PER_STEP,
    RESETS,
    RESETS_PER_SECOND,
    FloodVerdict,
    FloodWatch,
    FrameAllowance,
    Traffic,
)

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, UNKNOWN = 0, 1, 2, 3, 4, 6, 8, 9, 77
TAKE, TOO_MUCH = FloodVerdict.TAKE, FloodVerdict.TOO_MUCH


def taken(kind: int, number: int, seconds: float, *, answered: int = 0) -> bool:
    """Whether so many frames, spread over so many seconds, are all taken."""
    watch = FloodWatch(0.0)
    return all(
        watch.frames(kind, 1, Traffic(answered=answered * (at + 1) // number), now=seconds * at / number) is TAKE
        for at in range(number)
    )


def test_many_at_once_and_then_so_many_a_second() -> None:
    for kind, most, rate in ((RESET, RESETS, RESETS_PER_SECOND), (PING, IDLE, IDLE_PER_SECOND)):
        assert taken(kind, most, 0)
        assert not taken(kind, most + 1, 0)
        assert taken(kind, 20 * rate, 20)
        assert not taken(kind, 100 * rate, 20)


def test_which_frames_are_counted() -> None:
    for kind in (DATA, PRIORITY, SETTINGS, PING, WINDOW_UPDATE, UNKNOWN, RESET):
        assert not taken(kind, 100_000, 1)
    for kind in (HEADERS, CONTINUATION):  # there may be only so many at a time, anyway
        assert taken(kind, 100_000, 1)


def test_who_reads_much_may_open_the_window_often() -> None:
    assert taken(WINDOW_UPDATE, 100_000, 10, answered=100_000 * BYTES_PER_IDLE)
    assert not taken(WINDOW_UPDATE, 100_000, 10, answered=10_000 * BYTES_PER_IDLE)


@pytest.mark.parametrize("field", ["requests", "pieces"])
def test_windows_may_be_opened_with_every_request_and_every_piece_of_an_answer(field: str) -> None:
    watch = FloodWatch(0.0)
    for steps in range(1, 100_000):
        assert watch.frames(WINDOW_UPDATE, IDLE_PER_STEP, Traffic(**{field: steps}), 0.0) is TAKE
    # nothing is saved up
    assert watch.frames(WINDOW_UPDATE, IDLE + 1, Traffic(**{field: 200_000}), 0.0) is TOO_MUCH


def test_what_has_begun_to_be_answered_may_be_broken_off() -> None:
    watch = FloodWatch(0.0)
    for number in range(1, 100_000):
        assert watch.frames(RESET, 1, Traffic(requests=number, pieces=number), 0.0) is TAKE
    assert watch.frames(RESET, RESETS + 1, Traffic(requests=1_000_000, pieces=100_000), 0.0) is TOO_MUCH


@given(
    st.integers(1, 100),
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 50), st.floats(0, 3), st.floats(0, 20))),
)
def test_never_more_than_what_was_allowed(most: int, rate: int, script: list[tuple[int, float, float]]) -> None:
    allowance, now, spent, earned = FrameAllowance(most, rate, 0.0), 0.0, 0, 0.0
    for number, pause, more in script:
        now, spent, earned = now + pause, spent + number, earned + more
        if not allowance.spend(number, now, more):
            return
        assert spent <= most + now * rate + earned + 1e-6


EXACT = st.integers(0, 5 * 64).map(lambda number: number / 64)
"""Seconds that add up without rounding."""


@given(st.lists(EXACT), st.integers(1, 10), st.integers(1, 10))
def test_who_keeps_to_it_is_never_refused(pauses: list[float], most: int, rate: int) -> None:
    allowance, now, due = FrameAllowance(most, rate, 0.0), 0.0, 0.0
    for pause in pauses:
        now += pause
        due = min(due + pause * rate, most)
        number = int(due)
        due -= number
        assert allowance.spend(number, now)
