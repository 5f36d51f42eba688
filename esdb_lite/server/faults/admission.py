"""What stands between a call and its service: faults that were asked for, and the role of the node.

Owns: carrying out what `plan` and `membership` decide about a call: waiting, refusing, losing the answer.
Must not know: connections, what the services do. Where nothing is the matter (`idle`), nobody asks here at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, NoReturn, TypeVar
from uuid import UUID

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite.server.faults.membership import Asks, ClusterMember, Membership, Verdict
from esdb_lite.server.faults.open_calls import LongCalls
from esdb_lite.server.faults.plan import (
    BATCH_APPEND,
    Delay,
    EventLimits,
    LoseAnswers,
    Misdirect,
    Plan,
    Refusal,
    RefuseAppends,
    TimeOutAppends,
)
from esdb_lite.server.handlers import Handler, ServerCall

T = TypeVar("T")

FORWARDING_TIMEOUT = 4.3
"""Seconds after which a node gives up waiting for the leader, to which it has forwarded a write."""

_PACKAGE = "/event_store.client."
_STREAMS = f"{_PACKAGE}streams.Streams/"
_GROUPS = f"{_PACKAGE}persistent_subscriptions.PersistentSubscriptions/"
_ASKS: Mapping[str, Asks] = {
    **{_GROUPS + name: Asks.GROUP for name in ("Create", "Update", "Delete", "Read")},
    **{_GROUPS + name: Asks.GROUP_INFO for name in ("GetInfo", "List", "ReplayParked", "TruncateParked")},
    f"{_GROUPS}RestartSubsystem": Asks.GROUP_RESTART,
}
"""Methods that are refused before anything else. Streams ask when they have looked at the request."""

_COUNTED = frozenset((f"{_STREAMS}Read", f"{_GROUPS}Read"))
"""Methods whose answers may be events."""
_EVENT = 0x0A
"""What an answer begins with that holds an event."""


class KnownLeader(NamedTuple):
    """Where the leader is, as far as a node knows."""

    host: str
    port: int
    node_id: str | None = None


class WriteRefused(RpcError):
    """A write is not answered as it went. As the end of a call of its own it is a status like any other."""

    def __init__(self, reason: Refusal | None, error: RpcError, leader: KnownLeader | None = None) -> None:
        super().__init__(error.code, error.message, error.trailers)
        self.reason = reason
        """None: the whole call ends, also where many appends share it."""
        self.leader = leader
        """Where the client is sent."""


class WriteFate(NamedTuple):
    """What becomes of a write."""

    writes: bool = True
    refused: WriteRefused | None = None
    after: float = 0.0
    """Seconds before it is refused."""
    answered: bool = True


class Admission:
    """Decides about the calls of one server."""

    def __init__(
        self,
        plan: Plan | None = None,
        membership: Membership | None = None,
        member: ClusterMember | None = None,
        *,
        forwarding_timeout: float = FORWARDING_TIMEOUT,
    ) -> None:
        """`member`: the server's place in its cluster; None: it is alone, and leads."""
        self.idle = True
        """Whether calls may pass without asking."""
        self.subscriptions = LongCalls()
        self.consumers = LongCalls()
        self._plan = Plan() if plan is None else plan
        self._membership = membership
        self._member = member
        self._forwarding_timeout = forwarding_timeout
        self._waiting: set[asyncio.Future[None]] = set()
        self.refresh()

    def refresh(self) -> None:
        """Faults or roles have changed."""
        leads = self._member is None or self._verdict(Asks.WRITE, required=True) is Verdict.SERVED
        self.idle = self._plan.empty and leads
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def admitting(self, path: str, handler: Handler) -> Handler:
        """Make a handler for times when faults are on, or the node does not lead."""
        method = path.rpartition("/")[2]
        asks = _ASKS.get(path, Asks.OTHER)

        async def handle(call: ServerCall) -> None:
            if method != BATCH_APPEND:
                await self.enter(method)
            if asks is not Asks.OTHER:
                self.admit(call, asks)
            self.watch(path, call)
            await handler(call)

        return handle

    # --- waiting ---

    async def enter(self, method: str) -> None:
        """Wait as long as faults have it."""
        if not self._plan.delays_or_stalls:
            return
        for delay in self._plan.delays(method):
            await self._wait(delay)
        while self._plan.unanswering:
            await self._change(None)

    async def _wait(self, delay: Delay) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + delay.seconds
        while not delay.cleared and (left := until - loop.time()) > 0:
            await self._change(left)

    async def _change(self, timeout: float | None) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait({waiter}, timeout=timeout)
        finally:
            self._waiting.discard(waiter)

    # --- events ---

    def watch(self, path: str, call: ServerCall) -> None:
        """Count the events of a call from now on, where a fault wants that."""
        if path not in _COUNTED or not any(self._plan.limits()):
            return
        if call.tap is not None:
            call.tap.begin()
            return
        call.tap = EventCounter(self._plan)

    # --- roles ---

    def admit(self, call: ServerCall, asks: Asks) -> None:
        """Refuse a call that this node does not serve. Raises RpcError."""
        required = requires_leader(call)
        if required or asks in (Asks.GROUP, Asks.GROUP_INFO):
            misdirected = self._plan.misdirection()
            if misdirected is not None:
                raise refusals.not_leader(misdirected.host, misdirected.port)
        refused = self._refusal(self._verdict(asks, required=required))
        if refused is not None:
            raise refused

    def _verdict(self, asks: Asks, *, required: bool) -> Verdict:
        if self._membership is None or self._member is None:
            return Verdict.SERVED
        return self._membership.verdict(self._member, asks, required=required)

    def _refusal(self, verdict: Verdict) -> WriteRefused | None:
        if verdict is Verdict.SERVED:
            return None
        if verdict is Verdict.NOT_LEADER and self._membership is not None and self._membership.leader is not None:
            leader = self._membership.leader
            return _sent_to(KnownLeader(leader.host, leader.port, str(UUID(bytes=leader.instance))))
        if verdict is Verdict.WRONG_STATE:
            return WriteRefused(None, refusals.subscription_failed("", "", _WRONG_STATE))
        if verdict is Verdict.LOST:
            return WriteRefused(Refusal.TIMED_OUT, refusals.timed_out("Forwarding timeout"))
        return WriteRefused(Refusal.NOT_READY, refusals.not_ready())

    # --- writes ---

    async def write(self, call: ServerCall, begin: Callable[[], Awaitable[T]], *, leader_only: bool = False) -> T:
        """Write as faults and role have it. `leader_only`: it is never forwarded. Raises WriteRefused."""
        fate = self.fate(call, leader_only=leader_only)
        if not fate.writes:
            await self.settle(call, fate)
        outcome = await begin()
        if not fate.answered or fate.refused is not None:
            await self.settle(call, fate)
        return outcome

    def fate(self, call: ServerCall, *, leader_only: bool = False) -> WriteFate:
        """Decide about a write."""
        rule = self._plan.fate_of_append()
        if isinstance(rule, Misdirect):
            return WriteFate(writes=False, refused=_sent_to(KnownLeader(rule.host, rule.port)))
        if isinstance(rule, RefuseAppends):
            return WriteFate(writes=False, refused=_REFUSALS[rule.reason]())
        verdict = self._verdict(Asks.WRITE, required=leader_only or requires_leader(call))
        refused = self._refusal(verdict)
        if refused is not None:
            return WriteFate(False, refused, self._forwarding_timeout if verdict is Verdict.LOST else 0.0)
        if isinstance(rule, TimeOutAppends):
            return WriteFate(refused=WriteRefused(Refusal.TIMED_OUT, refusals.timed_out("Commit phase timeout.")))
        return WriteFate(answered=not isinstance(rule, LoseAnswers))

    async def settle(self, call: ServerCall, fate: WriteFate) -> NoReturn:
        """End a write that is not answered as it went. Raises WriteRefused."""
        if fate.after:
            await asyncio.sleep(fate.after)
        if fate.refused is not None:
            raise fate.refused
        call.cut()
        await asyncio.get_running_loop().create_future()  # until it is noticed that the connection is gone
        raise AssertionError("nobody answers this")


class EventCounter:
    """Looks at what a call sends, for the faults that cut connections after some events."""

    def __init__(self, plan: Plan) -> None:
        self._limits = EventLimits(plan)

    def begin(self) -> None:
        """Count for further faults."""
        self._limits.begin()

    def allowed(self, messages: list[bytes]) -> int | None:
        """Return how many messages to send before the connection is cut; None: all, and it is not cut."""
        events = [index for index, message in enumerate(messages) if message[:1] and message[0] == _EVENT]
        cut = self._limits.allowed(len(events))
        if cut is None:
            return None
        return events[cut - 1] + 1 if cut > 0 else 0


_WRONG_STATE = "Persistent Subscriptions cannot be restarted as it is in the wrong state."

_REFUSALS: Mapping[Refusal, Callable[[], WriteRefused]] = {
    Refusal.NOT_READY: lambda: WriteRefused(Refusal.NOT_READY, refusals.not_ready()),
    Refusal.TIMED_OUT: lambda: WriteRefused(Refusal.TIMED_OUT, refusals.timed_out("Prepare phase timeout.")),
    Refusal.TOO_BUSY: lambda: WriteRefused(Refusal.TOO_BUSY, refusals.too_busy()),
    Refusal.UNKNOWN: lambda: WriteRefused(None, RpcError(StatusCode.UNKNOWN, "Exception was thrown by handler.")),
}


def _sent_to(leader: KnownLeader) -> WriteRefused:
    return WriteRefused(None, refusals.not_leader(leader.host, leader.port), leader)


def requires_leader(call: ServerCall) -> bool:
    """Whether a call wants the leader: anything but `true`, in any case, does not."""
    return call.metadata.get("requires-leader", "").lower() == "true"
