"""What is said on the log about attempts, and what a call fails with that may have been done."""

from __future__ import annotations

import asyncio
import logging

import pytest

from esdb_lite import errors
from esdb_lite._rpc.deadline import Deadline
from esdb_lite.client.retry import RetryState, Safety
from esdb_lite.client.retry_log import QUIET, RetryLog, outcome_of, unknown_outcome, wait_for_another_try
from esdb_lite.retries import RetryPolicy

LOG = "esdb_lite.client"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, LOG)
    return caplog


def levels(log: pytest.LogCaptureFixture) -> str:
    return "".join(record.levelname[0] for record in log.records if record.name == LOG)


class Staying(RetryPolicy):
    """For a client that does not follow the leader."""

    @property
    def follows_leader(self) -> bool:
        return False


@pytest.mark.parametrize(("policy", "pause"), [(RetryPolicy(), 0.0), (Staying(), None)])
def test_a_refusal_is_followed_where_the_client_follows_the_leader(policy: RetryPolicy, pause: float | None) -> None:
    error = errors.NotLeader("Leader info available")
    error.host, error.port = "h", 1
    retries = RetryState(policy, Safety.ONCE)
    assert retries.pause(error, known=True, now=0.0, left=None, chance=0.0) == pause


def lost(text: str = "lost") -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable(text)


# --- retry_log -------------------------------------------------------------------------------------------------------


def test_the_first_failure_is_a_warning_and_the_others_are_not(log: pytest.LogCaptureFixture) -> None:
    retry_log = RetryLog()
    for number in range(4):
        retry_log.about("Read", lost(), first=number == 0, now=100.0 + number)
    assert levels(log) == "WDDD"
    assert log.records[0].getMessage() == "Read: lost; trying again"


def test_many_calls_on_one_connection_are_worth_one_warning(log: pytest.LogCaptureFixture) -> None:
    retry_log = RetryLog()
    for number in range(100):
        retry_log.about("append", lost(), first=True, now=100.0 + number * QUIET / 1000)
    assert levels(log) == "W" + "D" * 99


def test_the_same_later_is_worth_another(log: pytest.LogCaptureFixture) -> None:
    retry_log = RetryLog()
    for now in (100.0, 100.0 + QUIET / 2, 100.0 + QUIET, 100.1 + QUIET):
        retry_log.about("append", lost(), first=True, now=now)
    assert levels(log) == "WDWD"


def test_another_failure_is_worth_another(log: pytest.LogCaptureFixture) -> None:
    retry_log = RetryLog()
    for text in ("a", "b", "b", "a"):
        retry_log.about("append", lost(text), first=True, now=100.0)
    assert levels(log) == "WWDW"


def test_at_the_very_beginning_of_the_clock(log: pytest.LogCaptureFixture) -> None:
    RetryLog().about("append", lost(""), first=True, now=0.0)
    assert levels(log) == "W"


# --- waiting ----------------------------------------------------------------------------------------------------------


async def test_waiting_says_what_is_made_again_and_for_how_long(log: pytest.LogCaptureFixture) -> None:
    retries = RetryState(RetryPolicy(attempts=2, first_pause=0.01), Safety.REPEATABLE)
    retry_log, loop = RetryLog(), asyncio.get_running_loop()
    before = loop.time()
    assert await wait_for_another_try(retries, lost(), Deadline(None), "/a.b/Read", retry_log, known=True)
    assert loop.time() - before >= 0.004
    assert log.records[0].getMessage() == "Read: lost; trying again"
    assert not await wait_for_another_try(retries, lost(), Deadline(None), "/a.b/Read", retry_log, known=True)
    assert len(log.records) == 1  # where nothing is tried again, nothing is said: the caller gets the error


async def test_nothing_is_waited_for_after_the_deadline() -> None:
    retries = RetryState(RetryPolicy(), Safety.REPEATABLE)
    assert not await wait_for_another_try(retries, lost(), Deadline(0), "x", RetryLog(), known=True)


async def test_an_error_that_says_only_that_time_is_over_says_what_was_before() -> None:
    retries = RetryState(RetryPolicy(first_pause=0.001), Safety.REPEATABLE)
    before, late = lost(), errors.DeadlineExceeded("too late")
    assert await wait_for_another_try(retries, before, Deadline(None), "x", RetryLog(), known=True)
    assert not await wait_for_another_try(retries, late, Deadline(None), "x", RetryLog(), known=True)
    assert str(late) == "too late; the attempt before it: lost"
    assert late.__cause__ is before
    retries.succeed()
    late = errors.DeadlineExceeded("too late")
    assert not await wait_for_another_try(retries, late, Deadline(0), "x", RetryLog(), known=True)
    assert (str(late), late.__cause__) == ("too late", None)


async def test_being_cancelled_while_waiting() -> None:
    retries = RetryState(RetryPolicy(first_pause=60, longest_pause=60, budget=600), Safety.REPEATABLE)
    waiting = wait_for_another_try(retries, lost(), Deadline(None), "x", RetryLog(), known=True)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(waiting, 0.01)


# --- perhaps done -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.DeadlineExceeded("x"), errors.WriteDeadlineExceeded),
        (errors.ServiceUnavailable("x"), errors.WriteInterrupted),
        (errors.DiscoveryFailed("x"), errors.WriteInterrupted),
        (errors.OperationTimedOut("x"), errors.WriteTimedOut),
        (errors.CallCancelled("x"), errors.WriteInterrupted),
        (errors.ProtocolError("x"), errors.WriteInterrupted),
    ],
)
def test_unknown_outcomes_keep_what_is_known(error: errors.ServiceUnavailable, kind: type[Exception]) -> None:
    error.details, error.trailers, error.code = "why", (("a", "b"),), errors.StatusCode.ABORTED
    unknown = unknown_outcome(error)
    assert type(unknown) is kind
    assert isinstance(unknown, errors.OutcomeUnknown)
    assert "x" in str(unknown)
    assert "it may have been done" in str(unknown)
    assert unknown.__cause__ is error
    kept = vars(unknown)
    assert (kept["details"], kept["trailers"], kept["code"]) == ("why", (("a", "b"),), errors.StatusCode.ABORTED)


def test_the_place_is_kept() -> None:
    unknown = unknown_outcome(errors.ServiceUnavailable("x").at("10.0.0.1", 2113))
    assert isinstance(unknown, errors.WriteInterrupted)
    assert (unknown.host, unknown.port) == ("10.0.0.1", 2113)


def unsent(text: str) -> errors.ServiceUnavailable:
    error = errors.ServiceUnavailable(text)
    error.sent = False
    return error


@pytest.mark.parametrize(
    "error",
    [
        errors.AccessDenied("x"),
        errors.NotLeader("x"),
        errors.ClientClosed("x"),
        unsent("x"),
        errors.WriteInterrupted("x"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("safety", Safety)
def test_what_is_certain_stays_as_it_is(error: errors.EsdbClientException, safety: Safety) -> None:
    assert outcome_of(error, safety) is error


def test_what_changes_nothing_is_never_in_doubt() -> None:
    error = lost()
    assert outcome_of(error, Safety.REPEATABLE) is error
    for safety in (Safety.ONCE, Safety.SAME_IDS):
        assert isinstance(outcome_of(error, safety), errors.WriteInterrupted)
