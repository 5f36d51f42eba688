"""Which fault meets which call: order, times, delays, and counting events. No server."""

from __future__ import annotations

import pytest

from esdb_lite.server.faults.plan import (
    Delay,
    DropAfter,
    EventLimits,
    LoseAnswers,
    Misdirect,
    Plan,
    RefuseAppends,
    RefuseConnections,
    Rule,
    Stall,
    TimeOutAppends,
)


@pytest.fixture
def plan() -> Plan:
    return Plan()


def test_nothing_is_the_matter(plan: Plan) -> None:
    assert plan.empty
    assert plan.fate_of_append() is None
    assert plan.misdirection() is None
    assert plan.delays("Append") == []
    assert not (plan.frozen)
    assert not (plan.unanswering)
    assert not (plan.refuses_connections)
    assert not (plan.delays_or_stalls)


def test_the_first_comes_first_until_it_is_used_up(plan: Plan) -> None:
    first, second = LoseAnswers(1), TimeOutAppends(2)
    plan.add(first)
    plan.add(second)
    assert [plan.fate_of_append() for _ in range(4)] == [first, second, second, None]
    assert plan.empty
    assert not first.cleared


def test_without_times_it_lasts_until_it_is_taken_back(plan: Plan) -> None:
    rule = RefuseAppends()
    plan.add(rule)
    assert [plan.fate_of_append() for _ in range(50)] == [rule] * 50
    plan.remove(rule)
    assert plan.fate_of_append() is None
    assert rule.cleared
    plan.remove(rule)


def test_delays_are_for_a_method_and_add_up(plan: Plan) -> None:
    every, reads = Delay(None, 0.1), Delay(1, 0.2, "Read")
    plan.add(every)
    plan.add(reads)
    assert plan.delays("Append") == [every]
    assert plan.delays("Read") == [every, reads]
    assert plan.delays("Read") == [every]
    assert plan.fate_of_append() is None


def test_writes_and_others_share_the_times_of_a_misdirection(plan: Plan) -> None:
    rule = Misdirect(2, "there", 1)
    plan.add(rule)
    assert plan.misdirection() is rule
    assert plan.fate_of_append() is rule
    assert plan.misdirection() is None


def test_other_calls_do_not_meet_the_faults_of_appends(plan: Plan) -> None:
    plan.add(RefuseAppends(1))
    assert plan.misdirection() is None
    assert not plan.empty


@pytest.mark.parametrize(
    ("rule", "frozen", "unanswering", "refusing"),
    [
        (Stall(), True, True, False),
        (Stall(connections=False), False, True, False),
        (RefuseConnections(), False, False, True),
    ],
)
def test_what_connections_meet(plan: Plan, rule: Rule, frozen: bool, unanswering: bool, refusing: bool) -> None:
    plan.add(rule)
    assert (plan.frozen, plan.unanswering, plan.refuses_connections) == (frozen, unanswering, refusing)


def test_every_change_is_told(plan: Plan) -> None:
    told: list[bool] = []
    plan.changed = lambda: told.append(plan.empty)
    rules = [RefuseAppends(1), Stall()]
    for rule in rules:
        plan.add(rule)
    plan.fate_of_append()
    plan.clear()
    plan.clear()
    plan.remove(rules[1])
    assert told == [False, False, False, True]
    assert [rule.cleared for rule in rules] == [False, True]


# --- events ---


def test_a_call_is_cut_after_its_events(plan: Plan) -> None:
    plan.add(DropAfter(1, 5))
    limits = EventLimits(plan)
    assert limits.allowed(4) is None
    assert limits.allowed(3) == 1
    assert plan.empty
    assert limits.allowed(100) is None


def test_exactly_as_many_as_are_sent(plan: Plan) -> None:
    plan.add(DropAfter(1, 5))
    assert EventLimits(plan).allowed(5) == 5


def test_each_call_counts_for_itself_and_the_times_are_shared(plan: Plan) -> None:
    plan.add(DropAfter(2, 3))
    calls = [EventLimits(plan) for _ in range(3)]
    assert [call.allowed(2) for call in calls] == [None, None, None]
    assert [call.allowed(2) for call in calls] == [1, 1, None]


def test_the_nearer_limit_cuts(plan: Plan) -> None:
    far, near = DropAfter(1, 9), DropAfter(1, 2)
    plan.add(far)
    plan.add(near)
    assert EventLimits(plan).allowed(3) == 2
    assert [*plan.limits()] == [far]


def test_counting_begins_when_the_fault_is_set(plan: Plan) -> None:
    plan.add(DropAfter(1, 100))
    limits = EventLimits(plan)
    assert limits.allowed(10) is None
    plan.add(DropAfter(1, 4))
    limits.begin()
    assert limits.allowed(3) is None
    assert limits.allowed(3) == 1


def test_what_was_taken_back_cuts_nobody(plan: Plan) -> None:
    rule = DropAfter(1, 2)
    plan.add(rule)
    limits = EventLimits(plan)
    plan.remove(rule)
    assert limits.allowed(5) is None
