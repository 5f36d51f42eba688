"""Decisions of one kind, with everything that they have in common.

Owns: `Decider`, and how the streams of its things are named. Must not know: how decisions are made (`client.decide`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload
from uuid import UUID

from esdb_lite._checks import checked_text
from esdb_lite.decisions import Snapshots
from esdb_lite.errors import InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds
    from esdb_lite.client._client import AsyncEsdbClient
    from esdb_lite.decisions import DecisionResult, LoadedState
    from esdb_lite.event_types.likes import EventsLike
    from esdb_lite.settings import CredentialsLike
    from esdb_lite.sync._client import EsdbClient

S = TypeVar("S")
E = TypeVar("E")
C = TypeVar("C")


class Decider(Generic[S, C]):
    """One kind of decision: how a state is folded, what is decided, and which streams have the events.

    It holds no state and no connection: make one for a module, and use it with clients of both kinds. With
    `AsyncEsdbClient` its results are awaited.
    """

    @overload
    def __init__(
        self: Decider[S, Callable[[S], EventsLike | None]],  # pyright: ignore[reportInvalidTypeVarUse]
        *,
        fold: Callable[[S, E], S],
        initial: Callable[[], S],
        stream: str,
        snapshots: Snapshots | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self,
        *,
        fold: Callable[[S, E], S],
        initial: Callable[[], S],
        stream: str,
        decide: Callable[[S, C], EventsLike | None],
        snapshots: Snapshots | None = None,
    ) -> None: ...

    def __init__(
        self,
        *,
        fold: Callable[[S, E], S],
        initial: Callable[[], S],
        stream: str,
        decide: Callable[[S, C], EventsLike | None] | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        """Say how it is decided. Nothing is asked.

        `fold(state, event)` is that of `client.decide`; `initial()` makes the state that it begins with, such as the
        state's class. `stream` names the streams, with `{}` for the id: "order-{}". `decide(state, command)` returns
        the events to append, or None; without it a command is a function of the state that returns them.
        `snapshots` are for long streams. Raises InvalidArgument, WrongArgumentType.
        """
        for argument, function in (("fold", fold), ("initial", initial), ("decide", decide or _told)):
            if not callable(function):
                raise WrongArgumentType(argument, function, "must be a function")
        if checked_text("stream", stream).count("{}") != 1:
            raise InvalidArgument("stream", stream, "must have {} once, where the id goes")
        if snapshots is not None and not isinstance(snapshots, Snapshots):
            raise WrongArgumentType("snapshots", snapshots, "must be Snapshots")
        self._fold = cast("Callable[[S, Any], S]", fold)
        self._initial = initial
        self._stream = stream
        self._decide = cast("Callable[[S, C], EventsLike | None]", decide or _told)
        self._snapshots = snapshots

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._stream}>"

    def stream_name(self, id: str | int | UUID) -> str:
        """Return the name of the stream of an id. Raises InvalidArgument, WrongArgumentType."""
        if isinstance(id, bool) or not isinstance(id, (str, int, UUID)):
            raise WrongArgumentType("id", id, "must be a str, an int or a UUID")
        if id == "":
            raise InvalidArgument("id", id, "must not be empty")
        return self._stream.replace("{}", checked_text("id", str(id)))

    @overload
    def load_state(
        self,
        client: EsdbClient,
        id: str | int | UUID,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> LoadedState[S]: ...

    @overload
    def load_state(
        self,
        client: AsyncEsdbClient,
        id: str | int | UUID,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> Awaitable[LoadedState[S]]: ...

    def load_state(
        self,
        client: EsdbClient | AsyncEsdbClient,
        id: str | int | UUID,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> LoadedState[S] | Awaitable[LoadedState[S]]:
        """Return the state of an id, and where its stream ends: what `client.load_state` returns."""
        return client.load_state(
            self.stream_name(id),
            self._fold,
            self._initial(),
            snapshots=self._snapshots,
            timeout=timeout,
            credentials=credentials,
        )

    @overload
    def decide(
        self,
        client: EsdbClient,
        id: str | int | UUID,
        command: C,
        *,
        attempts: int = 10,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> DecisionResult[S]: ...

    @overload
    def decide(
        self,
        client: AsyncEsdbClient,
        id: str | int | UUID,
        command: C,
        *,
        attempts: int = 10,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> Awaitable[DecisionResult[S]]: ...

    def decide(
        self,
        client: EsdbClient | AsyncEsdbClient,
        id: str | int | UUID,
        command: C,
        *,
        attempts: int = 10,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> DecisionResult[S] | Awaitable[DecisionResult[S]]:
        """Load the state of an id, decide about a command, and append what follows: what `client.decide` does."""
        return client.decide(
            self.stream_name(id),
            self._fold,
            self._initial(),
            lambda state: self._decide(state, command),
            attempts=attempts,
            snapshots=self._snapshots,
            timeout=timeout,
            credentials=credentials,
        )


def _told(state: Any, command: Any) -> Any:
    """What is decided by a command that is a function of the state."""
    if not callable(command):
        raise WrongArgumentType("command", command, "must be a function of the state: the decider has no `decide`")
    return command(state)
