"""Decisions, as calls of the client for asyncio.

Owns: `AsyncDecisionApi`, the part of the asynchronous client that makes decisions, and driving their steps. Must not
know: what they consist of, which is imported when one is made: few programs need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds
    from esdb_lite.client.core import ClientCore
    from esdb_lite.client.decisions.means import Means
    from esdb_lite.decisions import AtomicDecisionResult, DecisionResult, LoadedState, Snapshots
    from esdb_lite.event_types.likes import EventsLike
    from esdb_lite.settings import CredentialsLike

S = TypeVar("S")
E = TypeVar("E")


class AsyncDecisionApi:
    """Decisions."""

    _core: ClientCore

    async def load_state(
        self,
        stream_name: str,
        fold: Callable[[S, E], S],
        initial: S,
        *,
        snapshots: Snapshots | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> LoadedState[S]:
        """Return the state that the events of a stream make, and where the stream ends.

        The arguments are those of `decide`. Without a stream it is the initial state, at None.
        """
        from esdb_lite._stepping import drive_awaiting, make
        from esdb_lite.client.decisions.steps import GrowingState

        means = self._means(timeout, credentials)
        growing = GrowingState(means, stream_name, fold, initial, snapshots)
        loaded: LoadedState[S] = await drive_awaiting(growing.load(), make)
        return loaded

    async def decide(
        self,
        stream_name: str,
        fold: Callable[[S, E], S],
        initial: S,
        decide: Callable[[S], EventsLike | None],
        *,
        attempts: int = 10,
        snapshots: Snapshots | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> DecisionResult[S]:
        """Load a state, decide what happens, and append it, as if nobody else did anything meanwhile.

        `fold(state, event)` returns the state after an event, beginning with a copy of `initial`. It gets
        `event.value` where the client has `event_types`, else the `RecordedEvent`. `decide(state)` returns the events
        to append, or None; what it raises is raised. Both are ordinary functions, and `decide` may be called several
        times: where somebody else has appended meanwhile, the new events are read and it is decided again, up to
        `attempts` times. A follower that does not have them yet gets 5 seconds. Where no answer came, the stream tells
        whether the events are there.
        `snapshots` keep the state of a long stream, so that only what came after it has to be read.
        Raises ExpectedPositionError when it was overtaken every time, OutcomeUnknown, StreamDeleted, AppendTooLarge.
        """
        from esdb_lite._stepping import drive_awaiting, make
        from esdb_lite.client.decisions.steps import GrowingState, deciding

        means = self._means(timeout, credentials)
        growing = GrowingState(means, stream_name, fold, initial, snapshots)
        decision: DecisionResult[S] = await drive_awaiting(deciding(means, growing, decide, attempts), make)
        return decision

    async def decide_across(
        self,
        stream_names: Iterable[str],
        fold: Callable[[S, E], S],
        initial: S,
        decide: Callable[[S], Mapping[str, EventsLike] | None],
        *,
        attempts: int = 10,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AtomicDecisionResult[S]:
        """Do what `decide` does for one state of several streams, to some or all of which events are appended.

        The events of all streams are folded in the order in which they were committed. `decide(state)` returns events
        by the names of their streams, or None. They are appended all or none, if none of the streams has changed.
        Raises what `append_records` raises, with the same needs: KurrentDB 26.0.3 or 26.1 where a stream is only looked
        at, 25.1 where all are written.
        """
        from esdb_lite._stepping import drive_awaiting, make
        from esdb_lite.client.decisions.steps import GrowingStates, deciding

        means = self._means(timeout, credentials)
        growing = GrowingStates(means, stream_names, fold, initial)
        decision: AtomicDecisionResult[S] = await drive_awaiting(deciding(means, growing, decide, attempts), make)
        return decision

    def _means(self, timeout: Seconds | None, credentials: CredentialsLike) -> Means:
        from asyncio import sleep

        from esdb_lite.client.decisions.means import Means

        self._core.check()
        return Means(self, self._core.settings, sleep, timeout, credentials)
