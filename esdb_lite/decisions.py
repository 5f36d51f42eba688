"""What a decision has led to, and snapshots that make the next one quicker.

Owns: `DecisionResult`, `LoadedState`, `Snapshot`, `Snapshots`. Must not know: how events are read and appended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from esdb_lite._checks import checked_int, checked_text
from esdb_lite.errors import WrongArgumentType

if TYPE_CHECKING:
    from uuid import UUID

    from esdb_lite.events import AppendResult, JsonValue, NewEvent
    from esdb_lite.records import RecordsResult

S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True)
class DecisionResult(Generic[S_co]):
    """The outcome of `decide`."""

    state: S_co
    """The state with the new events in it."""
    events: Sequence[NewEvent]
    """What was appended; empty where nothing was to be done."""
    result: AppendResult | None
    """Where the last new event is; None where nothing was appended."""
    position: int | None
    """Where the stream ends now; None for a stream without events."""
    attempts: int
    """How often it was decided: more than once where somebody else has appended meanwhile."""


@dataclass(frozen=True)
class AtomicDecisionResult(Generic[S_co]):
    """The outcome of `decide_across`."""

    state: S_co
    """The state with the new events in it."""
    events: Mapping[str, Sequence[NewEvent]]
    """What was appended, by stream; empty where nothing was to be done."""
    result: RecordsResult | None
    """Where the new events are; None where nothing was appended."""
    positions: Mapping[str, int | None]
    """Where the streams end now; None for a stream without events."""
    attempts: int
    """How often it was decided."""


@dataclass(frozen=True)
class LoadedState(Generic[S_co]):
    """A state, and the place up to which events are in it."""

    state: S_co
    """The state."""
    position: int | None
    """Position of the last event in it: what to expect when appending; None for a stream without events."""


@dataclass(frozen=True)
class Snapshot:
    """A state that was stored."""

    state: JsonValue
    """As JSON values."""
    position: int
    """Position of the last event that is in it."""
    event_id: UUID
    """Id of that event, by which a stream that was begun anew is noticed."""
    version: int = 1
    """Of the state's class; of another version it is not used."""


class SnapshotStore(Protocol):
    """Keeps snapshots by the names of streams. With asyncio its methods may be coroutine functions."""

    def load(self, stream_name: str) -> object:
        """Return the `Snapshot` of a stream, or None."""
        ...

    def save(self, stream_name: str, snapshot: Snapshot) -> object:
        """Keep a snapshot in place of the one before."""
        ...


@dataclass(frozen=True)
class Snapshots:
    """How snapshots of states are kept. Raises InvalidArgument, WrongArgumentType."""

    kind: type
    """Class of the state: a dataclass, an attrs class, or what JSON has (`dict`, `list`, `int` ...)."""
    every: int = 100
    """After so many events there is a new one."""
    version: int = 1
    """To be raised when the class or the fold changes: snapshots of other versions are not used."""
    prefix: str = "snapshot-"
    """They are kept in streams whose names begin with this, and then have the name of the stream."""
    store: SnapshotStore | None = None
    """Where they are kept in place of streams."""

    def __post_init__(self) -> None:
        if not isinstance(self.kind, type):
            raise WrongArgumentType("kind", self.kind, "must be a class")
        checked_int("every", self.every, 1, 2**31)
        checked_int("version", self.version, 1, 2**31)
        checked_text("prefix", self.prefix)
