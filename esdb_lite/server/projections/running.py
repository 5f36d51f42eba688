"""What a projection at work looks like to those who start, stop and ask it, whoever computes what it does.

Owns: the shape of a run, and of what computes projections of users. Must not know: definitions' streams, commands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from esdb_lite._log_positions import log_position
from esdb_lite.server.projections.definitions import Definition

NOWHERE = log_position(0, -1)
"""The position in the log of what has not handled anything."""


@dataclass(frozen=True)
class RunStatistics:
    """How far a run has come."""

    position: str = NOWHERE
    last_checkpoint: str = NOWHERE
    progress: float = -1.0
    """Percent; -1: it has never been started."""
    events_processed: int = 0
    """Since it was started."""
    partitions_cached: int = 1


@dataclass(frozen=True)
class RunEvents:
    """What a run tells of itself, on the loop: once at most, and after that nothing."""

    faulted: Callable[[str], None]
    """It cannot go on; with the reason."""
    completed: Callable[[], None]
    """It was to go to the end of the log, and is there."""


class Run(Protocol):
    """One projection, with one query. Everything is called on the loop of the database; `start` and `stop` once."""

    async def start(self) -> None:
        """Begin, or go on where the notes beside the log say it is."""
        ...

    async def stop(self, *, checkpoint: bool) -> None:
        """End; what is being written is finished. With `checkpoint`, that is written down as the real server does.

        May be called without `start`, and after a fault.
        """
        ...

    async def state(self, partition: str) -> str | None:
        """What it holds, as text; also before `start` and after `stop`. Empty or None: nothing."""
        ...

    async def result(self, partition: str) -> str | None:
        """What it has put out, as text."""
        ...

    @property
    def statistics(self) -> RunStatistics:
        """How far it has come."""
        ...


class QueryRefused(Exception):
    """A query cannot be run at all; the text is the fault's reason."""


class EngineMissing(Exception):
    """There is nothing that could run queries of users; the text says what to do."""


class QueryEngine(Protocol):
    """What runs the queries of users."""

    async def source_of(self, query: str) -> Mapping[str, object]:
        """Return what is written down of a query's source. Raises QueryRefused, EngineMissing."""
        ...

    def run(self, definition: Definition, key: int, events: RunEvents) -> Run:
        """Make a run of a query that `source_of` has read; `key` is its id in notes beside the log."""
        ...

    async def go_back(self, key: int) -> None:
        """Let the next run go on from the last checkpoint. Raises StorageError."""
        ...
