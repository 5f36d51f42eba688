"""Which calls are made again after which failures, how often and when; and what the failures say of what was done."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import errors
from esdb_lite.client.retry import (
    HANDLER_FAILURES,
    PROTOCOL_FAILURES,
    RetryState,
    Safety,
    in_doubt,
    suspicious,
    was_sent,
)
from esdb_lite.retries import RetryPolicy

ONCE, SAME_IDS, REPEATABLE = Safety.ONCE, Safety.SAME_IDS, Safety.REPEATABLE
POLICY = RetryPolicy()


def unsent(error: errors.LinkError) -> errors.LinkError:
    error.sent = False
    return error


def asked(
    error: Exception,
    safety: Safety = REPEATABLE,
    *,
    known: bool = True,
    endless: bool = False,
    policy: RetryPolicy = POLICY,
    left: float | None = None,
) -> float | None:
    return RetryState(policy, safety, endless=endless).pause(error, known=known, now=100.0, left=left, chance=0.5)


# --- the whole table --------------------------------------------------------------------------------------------------

# error; safe to repeat: once, with the same ids, always; also when never connected; in doubt; suspicious
TABLE: list[tuple[errors.EsdbClientException, str, bool, bool, bool]] = [
    # the server has not begun: everything is made again
    (errors.NotLeader("n"), "once ids always", True, False, True),
    (errors.ServerNotReady("n"), "once ids always", True, False, True),
    (unsent(errors.ServerNotReady("n")), "once ids always", True, False, True),
    # lost on the way: what is safe to repeat is
    (errors.ServiceUnavailable("s"), "ids always", True, True, True),
    (errors.OperationTimedOut("s"), "ids always", True, True, True),
    (errors.CallCancelled("s"), "ids always", True, True, False),
    (errors.ConsumerTooSlow("s"), "ids always", True, False, False),
    (errors.SubscriptionDropped("s"), "ids always", True, False, True),
    (errors.HandlerFailed("s"), "ids always", True, False, True),
    (errors.WriteInterrupted("s"), "ids always", True, True, True),
    (errors.WriteTimedOut("s"), "ids always", True, True, True),
    # never sent: everything, once the client has been connected
    (unsent(errors.ServiceUnavailable("u")), "once ids always", False, False, True),
    (unsent(errors.DiscoveryFailed("u")), "once ids always", False, False, True),
    (errors.DiscoveryFailed("u"), "once ids always", False, True, True),
    # nothing helps
    (errors.TlsError("t"), "", True, True, True),
    (unsent(errors.TlsError("t")), "", True, False, True),
    (errors.DeadlineExceeded("d"), "", True, True, False),
    (unsent(errors.DeadlineExceeded("d")), "", True, False, False),
    (errors.WriteDeadlineExceeded("d"), "", True, True, False),
    (errors.ProtocolError("p"), "", True, True, True),
    # the server has answered, or the caller is mistaken
    (errors.AccessDenied("a"), "", True, False, False),
    (errors.Unauthenticated("a"), "", True, False, False),
    (errors.ExpectedPositionError("a"), "", True, False, False),
    (errors.StreamNotFound("a"), "", True, False, False),
    (errors.StreamDeleted("a"), "", True, False, False),
    (errors.InvalidRequest("a"), "", True, False, False),
    (errors.AppendTooLarge("a"), "", True, False, False),
    (errors.ResourceExhausted("a"), "", True, False, False),
    (errors.NotSupported("a"), "", True, False, False),
    (errors.SubscriptionNotFound("a"), "", True, False, False),
    (errors.TooManySubscribers("a"), "", True, False, False),
    (errors.GrpcError("a"), "", True, False, False),
    (errors.ClientClosed("c"), "", True, False, False),
    (errors.WrongContext("c"), "", True, False, False),
    (errors.InvalidArgument("x", 1, "c"), "", True, False, False),
    (errors.CredentialsUnavailable("c"), "", True, False, False),
]
NAMES = [f"{type(row[0]).__name__}{'' if was_sent(row[0]) else ' unsent'}" for row in TABLE]


@pytest.mark.parametrize(("error", "safe", "unknown_too", "_", "__"), TABLE, ids=NAMES)
@pytest.mark.parametrize("safety", Safety)
@pytest.mark.parametrize("known", [True, False])
def test_what_is_made_again(
    error: errors.EsdbClientException, safe: str, unknown_too: bool, _: bool, __: bool, safety: Safety, known: bool
) -> None:
    name = {ONCE: "once", SAME_IDS: "ids", REPEATABLE: "always"}[safety]
    expected = name in safe.split() and (known or unknown_too)
    assert (asked(error, safety, known=known) is not None) is expected


@pytest.mark.parametrize(("error", "_", "__", "doubt", "suspect"), TABLE, ids=NAMES)
def test_what_failures_say(error: errors.EsdbClientException, _: str, __: bool, doubt: bool, suspect: bool) -> None:
    assert in_doubt(error) is doubt
    assert suspicious(error) is suspect


@pytest.mark.parametrize(("error", "safe", "unknown_too", "_", "__"), TABLE, ids=NAMES)
def test_endless_retries_take_the_same_for_passing_and_two_more(
    error: errors.EsdbClientException, safe: str, unknown_too: bool, _: bool, __: bool
) -> None:
    more = isinstance(error, (errors.ProtocolError, errors.TooManySubscribers))
    for known in (True, False):
        expected = more or ("always" in safe and (known or unknown_too))
        assert (asked(error, known=known, endless=True) is not None) is expected


def test_what_was_not_sent() -> None:
    assert was_sent(errors.ServiceUnavailable("x"))
    assert not was_sent(unsent(errors.ServiceUnavailable("x")))
    assert was_sent(errors.CallCancelled("x"))
    assert was_sent(ValueError("x"))


def test_errors_of_others_are_never_made_again() -> None:
    for error in (ValueError("x"), OSError("x"), KeyError("x")):
        assert asked(error) is None
        assert asked(error, endless=True) is None
        assert not in_doubt(error)


# --- how often --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
def test_attempts(attempts: int) -> None:
    retries = RetryState(RetryPolicy(attempts=attempts), REPEATABLE)
    made = 1
    while retries.pause(errors.ServiceUnavailable("x"), known=True, now=0.0, left=None, chance=0.0) is not None:
        made += 1
    assert made == attempts


def test_attempts_are_counted_anew_after_a_success() -> None:
    retries = RetryState(RetryPolicy(attempts=2), REPEATABLE)
    for _ in range(5):
        assert retries.pause(errors.ServiceUnavailable("x"), known=True, now=0.0, left=None, chance=0.0) is not None
        retries.succeed()
    assert retries.failures == 0


def test_the_budget_begins_with_the_first_failure() -> None:
    retries = RetryState(RetryPolicy(budget=10), REPEATABLE)
    times = [1000.0, 1005.0, 1009.4, 1009.9, 1010.1]
    allowed = [
        retries.pause(errors.ServiceUnavailable("x"), known=True, now=now, left=None, chance=0.0) is not None
        for now in times
    ]
    assert allowed == [True, True, True, False, False]
    retries.succeed()
    assert retries.pause(errors.ServiceUnavailable("x"), known=True, now=2000.0, left=None, chance=0.0) is not None


def test_the_budget_counts_from_zero_as_well() -> None:
    retries = RetryState(RetryPolicy(budget=1), REPEATABLE)
    assert retries.pause(errors.ServiceUnavailable("x"), known=True, now=0.0, left=None, chance=0.0) is not None
    assert retries.pause(errors.ServiceUnavailable("x"), known=True, now=1.5, left=None, chance=0.0) is None


def test_no_budget_is_no_second_attempt() -> None:
    assert asked(errors.ServiceUnavailable("x"), policy=RetryPolicy(budget=0)) is None


@given(
    st.floats(0, 5),
    st.floats(0, 5),
    st.floats(0, 20),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1)), max_size=40),
)
def test_nothing_begins_later_than_the_budget(
    first: float, longest: float, budget: float, steps: list[tuple[float, float]]
) -> None:
    retries = RetryState(RetryPolicy(first_pause=first, longest_pause=longest, budget=budget), REPEATABLE)
    now = begin = 50.0
    for took, chance in steps:
        pause = retries.pause(errors.ServiceUnavailable("x"), known=True, now=now, left=None, chance=chance)
        if pause is None:
            return
        assert now + pause <= begin + budget + 1e-9
        now += pause + took


def test_endless_retries_count_neither_attempts_nor_budget() -> None:
    retries = RetryState(RetryPolicy(attempts=2, budget=0.5), REPEATABLE, endless=True)
    for now in range(0, 100_000, 1000):
        pause = retries.pause(errors.ServiceUnavailable("x"), known=True, now=float(now), left=None, chance=0.0)
        assert pause is not None
        assert pause <= 0.5


def test_endless_retries_end_where_nothing_is_ever_tried_again() -> None:
    for error in (
        errors.ServiceUnavailable("x"),
        errors.NotLeader("x"),
        errors.SubscriptionDropped("x"),
        errors.ServerNotReady("x"),
    ):
        assert asked(error, endless=True, policy=RetryPolicy(attempts=1)) is None
        assert asked(error, policy=RetryPolicy(attempts=1)) is None


@pytest.mark.parametrize(
    ("error", "endless", "limit"),
    [
        (errors.HandlerFailed("x"), False, HANDLER_FAILURES),
        (errors.HandlerFailed("x"), True, HANDLER_FAILURES),
        (errors.ProtocolError("x"), True, PROTOCOL_FAILURES),
    ],
)
def test_what_is_not_explained_is_tried_again_a_few_times(error: Exception, endless: bool, limit: int) -> None:
    retries = RetryState(RetryPolicy(), REPEATABLE, endless=endless)
    for _ in range(2):
        for _ in range(limit):
            assert retries.pause(error, known=True, now=0.0, left=None, chance=0.0) is not None
        assert retries.pause(error, known=True, now=0.0, left=None, chance=0.0) is None
        retries.succeed()


# --- when -------------------------------------------------------------------------------------------------------------


def named() -> errors.NotLeader:
    error = errors.NotLeader("x")
    error.host, error.port = "10.0.0.1", 2113
    return error


def test_a_leader_that_is_named_is_gone_to_at_once_but_only_the_first_time() -> None:
    retries = RetryState(RetryPolicy(), REPEATABLE)
    pauses = [retries.pause(named(), known=True, now=0.0, left=None, chance=0.0) for _ in range(3)]
    assert pauses == [0.0, 0.1, 0.2]
    assert asked(errors.NotLeader("nobody is named")) != 0.0
    later = RetryState(RetryPolicy(), REPEATABLE)
    later.pause(errors.ServiceUnavailable("x"), known=True, now=0.0, left=None, chance=0.0)
    assert later.pause(named(), known=True, now=0.0, left=None, chance=0.0) == 0.1


def test_the_deadline_shortens_pauses_and_ends_attempts() -> None:
    policy = RetryPolicy(first_pause=10, longest_pause=10, budget=100)
    assert asked(errors.ServiceUnavailable("x"), policy=policy, left=4.0) == 2.0
    assert asked(errors.ServiceUnavailable("x"), policy=policy, left=100.0) == 7.5
    assert asked(errors.ServiceUnavailable("x"), policy=policy, left=0.0) is None
    assert asked(named(), left=0.0) is None
    assert asked(named(), left=0.1) == 0.0


@given(
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.integers(1, 10_000),
    st.floats(0, 1),
)
def test_pauses_are_within_their_bounds(first: float, longest: float, failures: int, chance: float) -> None:
    policy = RetryPolicy(first_pause=first, longest_pause=longest)
    pause, most = policy.pause(failures, chance), policy.pause(failures, 0.0)
    assert 0 <= most / 2 <= pause <= most <= longest
    assert math.isfinite(pause)
    assert policy.pause(failures + 1, chance) >= pause


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first_pause=0.1, longest_pause=1.0)
    assert [policy.pause(n, 0.0) for n in range(1, 7)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    assert [policy.pause(n, 1.0) for n in range(1, 7)] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.5, 0.5])


# --- the policy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value", "kind"),
    [
        ("attempts", 0, errors.InvalidArgument),
        ("attempts", -1, errors.InvalidArgument),
        ("attempts", 1.5, TypeError),
        ("attempts", True, TypeError),
        ("attempts", "3", TypeError),
        ("first_pause", -0.1, errors.InvalidArgument),
        ("first_pause", math.inf, errors.InvalidArgument),
        ("first_pause", math.nan, errors.InvalidArgument),
        ("first_pause", None, TypeError),
        ("longest_pause", -1, errors.InvalidArgument),
        ("longest_pause", math.inf, errors.InvalidArgument),
        ("longest_pause", "1", TypeError),
        ("budget", -1, errors.InvalidArgument),
        ("budget", math.nan, errors.InvalidArgument),
        ("budget", False, TypeError),
    ],
)
def test_wrong_arguments(argument: str, value: object, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=argument) as caught:
        RetryPolicy(**{argument: value})  # type: ignore[arg-type]
    assert isinstance(caught.value, errors.InvalidArgument)
    assert caught.value.argument == argument


def test_right_arguments() -> None:
    policy = RetryPolicy(attempts=None, first_pause=0, longest_pause=0, budget=math.inf)
    assert policy.pause(5, 0.5) == 0
    assert not policy.gives_up_at_once
    assert RetryPolicy(attempts=1).gives_up_at_once
    assert asked(errors.ServiceUnavailable("x"), policy=policy) == 0
