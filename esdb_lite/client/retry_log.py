"""Waiting for the next attempt, and the error of a call without one.

Owns: the pause, its log line, and the exceptions that say that nobody knows whether something was done.
Must not know: which failures may be repeated (`client.retry`), how calls are made.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar

from esdb_lite import observing
from esdb_lite._rpc.deadline import Deadline
from esdb_lite.client.retry import RetryState, Safety, in_doubt
from esdb_lite.errors import (
    DeadlineExceeded,
    EsdbClientException,
    GrpcError,
    OperationTimedOut,
    OutcomeUnknown,
    ServiceUnavailable,
    WriteDeadlineExceeded,
    WriteInterrupted,
    WriteTimedOut,
)

QUIET = 1.0
"""Seconds for which the same failure of another call is not worth a warning."""

_log = logging.getLogger("esdb_lite.client")

_E = TypeVar("_E", WriteDeadlineExceeded, WriteInterrupted, WriteTimedOut)


class RetryLog:
    """Says on the log that calls are made again, and not a hundred times when they all were on the same connection."""

    def __init__(self) -> None:
        self._last: tuple[str, float] = "", 0.0

    def about(self, what: str, error: EsdbClientException, *, first: bool, now: float) -> None:
        """Say what has failed."""
        text, before = str(error), self._last
        again = not first or (before[0] == text and now - before[1] < QUIET)
        if not again:
            self._last = text, now
        _log.log(logging.DEBUG if again else logging.WARNING, "%s: %s; trying again", what, text)


async def wait_for_another_try(
    retries: RetryState,
    error: EsdbClientException,
    deadline: Deadline,
    what: str,
    retry_log: RetryLog,
    *,
    known: bool,
) -> bool:
    """Wait until a call may be made again; False when it is not to be."""
    from random import random  # here: few calls fail

    now = asyncio.get_running_loop().time()
    before, retries.last = retries.last, error
    pause = retries.pause(error, known=known, now=now, left=deadline.remaining(), chance=random())
    if pause is None:
        if before is not None and (deadline.passed or isinstance(error, DeadlineExceeded)):
            _explain(error, before)
        return False
    if observing.observer is not None:
        observing.observer.retried(what)
    retry_log.about(what.rpartition("/")[2], error, first=retries.failures == 1, now=now)
    await asyncio.sleep(pause)
    return True


def _explain(error: EsdbClientException, before: EsdbClientException) -> None:
    """Have an error that says only that time is over say why it was."""
    if error.__cause__ is None and str(error) != str(before):
        error.__cause__ = before
        error.args = (f"{error}; the attempt before it: {before}",)


def outcome_of(error: EsdbClientException, safety: Safety) -> EsdbClientException:
    """Return what to raise for a call that has failed for good."""
    if safety is Safety.REPEATABLE or not in_doubt(error) or isinstance(error, OutcomeUnknown):
        return error
    return unknown_outcome(error)


def unknown_outcome(error: EsdbClientException) -> EsdbClientException:
    """Return an error as one that leaves open whether something was done."""
    if isinstance(error, DeadlineExceeded):
        return _like(WriteDeadlineExceeded, error)
    if isinstance(error, OperationTimedOut):
        return _like(WriteTimedOut, error)
    return _like(WriteInterrupted, error) if isinstance(error, GrpcError) else error


def _like(kind: type[_E], error: GrpcError) -> _E:
    new = kind(f"{error} (it may have been done)", code=error.code, details=error.details, trailers=error.trailers)
    if isinstance(error, ServiceUnavailable) and isinstance(new, ServiceUnavailable):
        new.at(error.host, error.port)
    new.__cause__ = error
    return new
