"""Who is told what clients do: tracing and metrics, where a program wants them.

Owns: `Observer`, which one there is, and that its failures hurt nobody. Must not know: what becomes of what it is told.
Without an observer each place costs one look at a module's variable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

    from esdb_lite.connection_strings import ConnectionSettings
    from esdb_lite.events import RecordedEvent

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


T = TypeVar("T")

_log = logging.getLogger("esdb_lite.client")


class GuardedObserver:
    """Tells another one. What that raises is logged, the first time, and changes nothing."""

    def __init__(self, inner: Observer) -> None:
        self._inner = inner
        self._has_failed = False

    def append(
        self, settings: ConnectionSettings, operation: str, streams: Sequence[str], count: int
    ) -> AbstractContextManager[Marks]:
        return _Guarded(lambda: self._inner.append(settings, operation, streams, count), {}, self.failed)

    def read(self, settings: ConnectionSettings, seconds: float) -> None:
        self._tell(lambda: self._inner.read(settings, seconds))

    def received(
        self, settings: ConnectionSettings, subscription: str, events: Sequence[RecordedEvent], *, handled: bool
    ) -> None:
        self._tell(lambda: self._inner.received(settings, subscription, events, handled=handled))

    def handling(
        self, subscription: str, events: RecordedEvent | Sequence[RecordedEvent]
    ) -> AbstractContextManager[None]:
        return _Guarded(lambda: self._inner.handling(subscription, events), None, self.failed)

    def retried(self, operation: str) -> None:
        self._tell(lambda: self._inner.retried(operation))

    def reconnected(self) -> None:
        self._tell(self._inner.reconnected)

    def failed(self, error: Exception) -> None:
        """Log what it raises, once."""
        if not self._has_failed:
            self._has_failed = True
            _log.warning("tracing or metrics fail, which is logged once: %r", error, exc_info=error)

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self.failed(error)


class _Guarded(AbstractContextManager[T], Generic[T]):
    """Another context manager, or none where that cannot begin."""

    def __init__(
        self, make: Callable[[], AbstractContextManager[T]], otherwise: T, failed: Callable[[Exception], None]
    ) -> None:
        self._make = make
        self._otherwise = otherwise
        self._failed = failed
        self._inner: AbstractContextManager[T] | None = None

    def __enter__(self) -> T:
        try:
            inner = self._make()
            entered = inner.__enter__()
        except Exception as error:
            self._failed(error)
            return self._otherwise
        self._inner = inner
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._inner is not None:
                self._inner.__exit__(kind, error, trace)
        except Exception as failure:
            if failure is not error:
                self._failed(failure)


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
