"""Whether a failed call is made again, and when.

Owns: which failures leave it safe to repeat what, and the counting against a `RetryPolicy`: pure, with the time and
chance as arguments. Must not know: calls, nodes, how one waits.
"""

from __future__ import annotations

import enum

from esdb_lite.errors import (
    CallCancelled,
    ConsumerTooSlow,
    DeadlineExceeded,
    DiscoveryFailed,
    EsdbClientException,
    GrpcError,
    HandlerFailed,
    LinkError,
    NotLeader,
    OperationTimedOut,
    OutcomeUnknown,
    ProtocolError,
    ServerNotReady,
    ServiceUnavailable,
    SubscriptionDropped,
    TlsError,
    TooManySubscribers,
)
from esdb_lite.retries import RetryPolicy

HANDLER_FAILURES = 1
"""How often in a row an error that the server does not explain is taken for one that passes."""
PROTOCOL_FAILURES = 3
"""The same for answers of a subscription that cannot be understood."""

_NOT_BEGUN = (NotLeader, ServerNotReady)
"""The server has not begun what it was asked for."""
_PASSING = (ServiceUnavailable, OperationTimedOut, CallCancelled, ConsumerTooSlow, SubscriptionDropped)
"""Another attempt may succeed, where it is safe to make one."""
_IN_DOUBT = (OutcomeUnknown, ServiceUnavailable, OperationTimedOut, CallCancelled, ProtocolError)


class Safety(enum.Enum):
    """What it does to make a call twice."""

    REPEATABLE = "nothing"
    SAME_IDS = "nothing as long as the events have the same ids"
    ONCE = "something else than to make it once"


class RetryState:
    """One call's failures."""

    def __init__(self, policy: RetryPolicy, safety: Safety, *, endless: bool = False) -> None:
        """`endless`: neither attempts nor budget count, unless the policy is to give up at once."""
        self._policy = policy
        self._safety = safety
        self._endless = endless
        self._since: float | None = None
        self._unexplained = 0
        self.failures = 0
        self.last: EsdbClientException | None = None
        """What it has failed with."""

    def pause(self, error: Exception, *, known: bool, now: float, left: float | None, chance: float) -> float | None:
        """Return how many seconds to wait before the next attempt; None if there is none.

        `known`: the client has been connected before, so that a server which cannot be reached was there once.
        `left`: seconds until the call's deadline.
        """
        self.failures += 1
        if self._since is None:
            self._since = now
        if not self._may_repeat(error, known):
            return None
        pause = self._policy.pause(self.failures, chance)
        if isinstance(error, NotLeader) and error.host and self.failures == 1:
            pause = 0.0
        if isinstance(error, GrpcError):
            pause = max(pause, error.retry_after)
        if not self._policy_allows(now + pause - self._since):
            return None
        if left is None:
            return pause
        return min(pause, left / 2) if left > 0 else None

    def succeed(self) -> None:
        """Start over: the call got further."""
        self.failures = self._unexplained = 0
        self._since = self.last = None

    def _policy_allows(self, after: float) -> bool:
        """Whether a call may be retried so many seconds after its first failure."""
        policy = self._policy
        if self._endless:
            return not policy.gives_up_at_once
        if policy.attempts is not None and self.failures >= policy.attempts:
            return False
        return after <= policy.budget

    def _may_repeat(self, error: Exception, known: bool) -> bool:
        if isinstance(error, (TlsError, DeadlineExceeded)):
            return False
        if isinstance(error, _NOT_BEGUN):
            return self._policy.follows_leader or not isinstance(error, NotLeader)
        if isinstance(error, HandlerFailed):
            return self._safety is not Safety.ONCE and self._passes(HANDLER_FAILURES)
        if isinstance(error, ProtocolError):
            return self._endless and self._passes(PROTOCOL_FAILURES)
        if isinstance(error, TooManySubscribers):
            return self._endless  # a place that was had before: that of the consumer itself may not be free yet
        if not isinstance(error, _PASSING):
            return False
        if isinstance(error, DiscoveryFailed) or not was_sent(error):
            return known
        return self._safety is not Safety.ONCE

    def _passes(self, limit: int) -> bool:
        self._unexplained += 1
        return self._unexplained <= limit


def was_sent(error: Exception) -> bool:
    """Whether anything of the call may have been sent when it failed."""
    return error.sent if isinstance(error, LinkError) else True


def in_doubt(error: Exception) -> bool:
    """Whether a call that changes something may have done so before it failed with this error."""
    if isinstance(error, DeadlineExceeded):
        return error.sent
    return isinstance(error, _IN_DOUBT) and not isinstance(error, _NOT_BEGUN) and was_sent(error)


def suspicious(error: Exception) -> bool:
    """Whether the error is a reason to look for another node."""
    return isinstance(
        error,
        (NotLeader, ServiceUnavailable, HandlerFailed, SubscriptionDropped, OperationTimedOut, ProtocolError),
    )
