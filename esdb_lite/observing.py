"""Who is told what clients do: tracing and metrics, where a program wants them.

Owns: `Observer`, and which one there is. Must not know: what becomes of it. Without an observer each place costs one
look at a module's variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from esdb_lite.events import RecordedEvent
    from esdb_lite.settings import ConnectionSettings

Marks = Mapping[str, str]
"""What is added to the metadata of events, so that it leads from them back to where they were appended."""


class Observer(Protocol):
    """What is told."""

    def append(
        self, settings: ConnectionSettings, operation: str, streams: Sequence[str], count: int
    ) -> AbstractContextManager[Marks]:
        """Events are appended inside; their metadata get the marks."""
        ...

    def read(self, settings: ConnectionSettings, seconds: float) -> None:
        """A read has brought its first events after so long."""

    def received(
        self, settings: ConnectionSettings, subscription: str, events: Sequence[RecordedEvent], *, handled: bool
    ) -> None:
        """Events have come. `subscription`: which; empty for a read. `handled`: a handler will get them."""

    def handling(
        self, subscription: str, events: RecordedEvent | Sequence[RecordedEvent]
    ) -> AbstractContextManager[None]:
        """A handler works on events inside; what it raises is its failure."""
        ...

    def retried(self, operation: str) -> None:
        """A call is made again."""

    def reconnected(self) -> None:
        """A subscription was resumed."""


observer: Observer | None = None
"""The one there is; None: nobody wants to know."""


def appending(
    settings: ConnectionSettings, operation: str, streams: Sequence[str], count: int
) -> AbstractContextManager[Marks]:
    """Tell of an append that is made inside."""
    return nullcontext({}) if observer is None else observer.append(settings, operation, streams, count)


def handling(subscription: str, events: RecordedEvent | Sequence[RecordedEvent]) -> AbstractContextManager[None]:
    """Tell of a handler that works inside."""
    return nullcontext() if observer is None else observer.handling(subscription, events)
