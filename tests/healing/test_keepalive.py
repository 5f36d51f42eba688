"""Noticing that a peer is dead, and not taking a busy loop for a dead peer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._http2.keepalive import LATE, Act, KeepAlive, Pulse

SECONDS = st.floats(0.1, 60)


def silence(pulse: Pulse, *, lateness: float = 0.0, limit: int = 1000) -> float:
    """Let the timer fire until the peer is given up; return when that was."""
    for _ in range(limit):
        now = pulse.due + lateness
        if pulse.check(now) is Act.GIVE_UP:
            return now
    raise AssertionError("it is never given up")


def test_a_conversation() -> None:
    pulse = Pulse(KeepAlive(10, 3), 100.0)
    assert pulse.due == 110.0
    pulse.heard = 104.0
    assert (pulse.check(110.0), pulse.due) == (Act.NOTHING, 114.0)
    assert (pulse.check(114.0), pulse.due) == (Act.ASK, 117.0)
    pulse.heard = 115.0
    assert (pulse.check(117.0), pulse.due) == (Act.NOTHING, 125.0)
    assert (pulse.check(125.0), pulse.due) == (Act.ASK, 128.0)
    assert pulse.check(128.0) is Act.GIVE_UP


@given(SECONDS, SECONDS)
def test_a_dead_peer_is_noticed_within_interval_and_timeout(interval: float, timeout: float) -> None:
    pulse = Pulse(KeepAlive(interval, timeout), 0.0)
    assert silence(pulse) <= interval + timeout + LATE / 10 + 1e-6


@given(SECONDS, SECONDS, st.floats(0, LATE * 0.9))
def test_a_timer_that_is_a_little_late_changes_little(interval: float, timeout: float, lateness: float) -> None:
    pulse = Pulse(KeepAlive(interval, timeout), 0.0)
    assert silence(pulse, lateness=lateness) <= interval + timeout + 3 * lateness + LATE / 10 + 1e-6


def test_a_late_timer_does_not_kill_a_living_connection() -> None:
    """The loop was busy for a minute: the answer may lie in the socket, unread."""
    pulse = Pulse(KeepAlive(10, 3), 0.0)
    assert pulse.check(10.0) is Act.ASK
    assert pulse.check(70.0) is Act.NOTHING
    assert 70.0 < pulse.due <= 70.0 + LATE
    pulse.heard = 70.05  # the next turn of the loop reads it
    assert pulse.check(pulse.due) is Act.NOTHING
    assert pulse.due == 80.05


def test_a_late_timer_saves_no_dead_connection() -> None:
    pulse = Pulse(KeepAlive(10, 3), 0.0)
    assert pulse.check(10.0) is Act.ASK
    assert pulse.check(70.0) is Act.NOTHING
    assert pulse.check(pulse.due) is Act.GIVE_UP


def test_a_loop_that_is_always_late_notices_the_dead_too() -> None:
    """Each turn of it takes two seconds; between two of them, what has come is read."""
    pulse = Pulse(KeepAlive(10, 3), 0.0)
    assert silence(pulse, lateness=2.0) < 25.0


def test_the_first_question_may_come_late() -> None:
    pulse = Pulse(KeepAlive(10, 3), 0.0)
    assert pulse.check(50.0) is Act.ASK
    assert pulse.due == 53.0


@given(SECONDS, SECONDS, st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_any_sign_of_life_in_time_keeps_the_connection(interval: float, timeout: float, steps: list[float]) -> None:
    """Whatever comes after a question, and before its time is up, is an answer: a ping's or not."""
    pulse, now = Pulse(KeepAlive(interval, timeout), 0.0), 0.0
    for step in steps:
        now = max(now, pulse.due) + step * 0.01
        act = pulse.check(now)
        assert act is not Act.GIVE_UP
        if act is Act.ASK:
            pulse.heard = now + timeout * min(step, 1.0) * 0.99


@given(SECONDS, SECONDS, st.lists(st.floats(0, 1), max_size=60))
def test_a_talkative_peer_is_never_asked(interval: float, timeout: float, steps: list[float]) -> None:
    pulse = Pulse(KeepAlive(interval, timeout), 0.0)
    for step in steps:
        pulse.heard = pulse.due - interval * 0.5 * step
        assert pulse.check(pulse.due) in (Act.NOTHING, Act.ASK)
        assert pulse.due >= pulse.heard


@given(SECONDS, SECONDS, st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=40))
def test_the_next_look_is_always_ahead(interval: float, timeout: float, steps: list[tuple[float, bool]]) -> None:
    """A timer that is due again at once would be a hot loop."""
    pulse, now = Pulse(KeepAlive(interval, timeout), 0.0), 0.0
    for wait, heard in steps:
        now = max(now + wait, pulse.due)
        if heard:
            pulse.heard = now
        if pulse.check(now) is not Act.GIVE_UP:
            assert pulse.due > now


@pytest.mark.parametrize("timeout", [0.0, 0.01])
def test_short_timeouts_leave_a_turn_of_the_loop(timeout: float) -> None:
    pulse = Pulse(KeepAlive(1, timeout), 0.0)
    assert pulse.check(1.0) is Act.ASK
    assert pulse.due >= 1.0 + LATE / 10
