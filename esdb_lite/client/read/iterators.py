"""Reads and subscriptions: asking, taking what comes in batches, and handing it out.

Owns: `ReadCall`, which is one call; `AsyncReadResponse` and `AsyncSubscription`; what of an answer is an event, an
error or the end. Must not know: how bytes become events, what is done when a call fails (`resuming`).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from esdb_lite import observing
from esdb_lite.client.face import short
from esdb_lite.errors import EsdbClientException, WrongContext
from esdb_lite.events import CaughtUp, Checkpoint, FellBehind, Reconnected, RecordedEvent

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.client.admin.statistics import StatisticsReading
    from esdb_lite.client.read.resuming import HealingReading, HealingSubscription
    from esdb_lite.connection_strings import ConnectionSettings


T_co = TypeVar("T_co", covariant=True)
_CONTROL = (Checkpoint, CaughtUp, FellBehind, Reconnected)


class AsyncEventIterator(Generic[T_co]):
    """Hands out what a call brings, one by one, without waiting while something is there.

    Works in `async with`. The call ends when the iterator is exhausted, fails, is closed or is dropped.
    """

    def __init__(
        self,
        reading: HealingReading | StatisticsReading | None,
        first: Sequence[T_co] = (),
        *,
        owner: object = None,
        settings: ConnectionSettings | None = None,
    ) -> None:
        self._owner = owner  # the client must not be dropped, which would close it, while it is iterated
        self._reading = reading
        self._settings = settings
        self._first = first
        self._items: Iterator[T_co] = iter(())
        self._fetching = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'that has ended' if self._reading is None else self._reading}>"

    def __aiter__(self) -> Self:
        return self

    _usage = "`async for`"
    """What is done with it, for those who do something else."""

    def __iter__(self) -> Self:
        """Refuse: `for` is of the client without asyncio."""
        raise WrongContext(f"use {self._usage} for {type(self).__name__}")

    async def __anext__(self) -> T_co:
        for item in self._items:
            return item
        if self._complete:
            self._end()
            raise StopAsyncIteration
        batch = await self._fetch()
        if not batch:
            raise StopAsyncIteration
        self._items = iter(batch)
        return next(self._items)

    async def next_batch(self) -> Sequence[T_co]:
        """Return all items that are there, after waiting for one; none at the end."""
        return list(self._items) or await self._fetch()

    @property
    def _complete(self) -> bool:
        """Whether it is known that nothing more comes than what is there."""
        return self._reading is None or self._reading.complete

    async def close(self) -> None:
        """End the call and the iteration. Idempotent."""
        self._end()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        reading = getattr(self, "_reading", None)
        if reading is not None:
            reading.abandon()

    async def _fetch(self) -> Sequence[T_co]:
        """Return the next batch; none, and everything closed, at the end. Being cancelled loses nothing."""
        if self._fetching:
            raise WrongContext("two tasks or threads iterate over the same object")
        self._fetching = True
        try:
            if self._first:
                first, self._first = self._first, ()
                return self._arrived(first)
            while self._reading is not None:
                reading = self._reading
                items = await reading.batch()
                if not items:
                    self._end()
                    break
                if batch := self._select(items, reading.only_events):
                    return self._arrived(batch)
            return ()
        except Exception as error:
            if self._reading is None:  # closed by another task meanwhile
                return ()
            self._end()
            if isinstance(error, EsdbClientException):
                raise short(error)  # noqa: B904 - it is the same exception
            raise
        finally:
            self._fetching = False

    def _arrived(self, items: Sequence[T_co]) -> Sequence[T_co]:
        """Tell who wants to know of what is handed out. Returns the very same items."""
        return arrived(items, self._settings)

    def _select(self, items: Sequence[object], all_events: bool) -> Sequence[T_co]:
        """Choose what is handed out."""
        chosen = items if all_events else [item for item in items if isinstance(item, RecordedEvent)]
        return cast("Sequence[T_co]", chosen)

    def _end(self) -> None:
        reading, self._reading = self._reading, None
        self._items, self._first = iter(()), ()
        if reading is not None:
            reading.close()


class AsyncReadResponse(AsyncEventIterator[RecordedEvent]):
    """The events that a read finds. Reading begins when the first one is asked for.

    Awaited instead of iterated, it is a list of them all.
    """

    _usage = "`async for`, or `await` for a list,"

    def __await__(self) -> Generator[Any, Any, list[RecordedEvent]]:
        return self._all().__await__()

    if not TYPE_CHECKING:

        def __getitem__(self, index: object) -> object:
            raise WrongContext(f"use {self._usage} for {type(self).__name__}")

    _begun = False

    async def _fetch(self) -> Sequence[RecordedEvent]:
        watching = None if self._begun else observing.observer
        began = 0.0 if watching is None else time.perf_counter()
        self._begun = True
        try:
            batch = await super()._fetch()
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception
        if watching is not None and self._settings is not None:
            watching.read(self._settings, time.perf_counter() - began)
        return batch

    async def _all(self) -> list[RecordedEvent]:
        events: list[RecordedEvent] = []
        async with self:
            while batch := await self.next_batch():
                events += batch
        return events


class AsyncSubscription(AsyncEventIterator[T_co]):
    """Stored events, then new ones as they are appended, without end.

    When the connection is lost, another node leads, or the server calls it too slow, the subscription resumes after
    the last event it handed out: nothing is missing, and nothing comes twice.
    """

    def __init__(
        self,
        reading: HealingSubscription,
        first: Sequence[T_co],
        control: bool,
        *,
        owner: object = None,
        settings: ConnectionSettings | None = None,
    ) -> None:
        super().__init__(reading, first, owner=owner, settings=settings)
        self.handled = False
        """Whether a handler gets the events, which is observed instead."""
        self._subscription = reading
        self._control = control

    @property
    def subscription_id(self) -> str:
        """The server's name for the subscription; it changes when the subscription is resumed."""
        return self._subscription.subscription_id

    @property
    def last_activity(self) -> datetime | None:
        """When the server was last heard, answers to keep-alive pings included; None while there is no connection.

        In UTC, by the clock of this machine.
        """
        return self._subscription.last_activity

    def _arrived(self, items: Sequence[T_co]) -> Sequence[T_co]:
        return arrived(items, self._settings, self.subscription_id, handled=self.handled)

    def _select(self, items: Sequence[object], all_events: bool) -> Sequence[T_co]:
        return cast("Sequence[T_co]", select(items, control=self._control, all_events=all_events))


async def subscribe(
    reading: HealingSubscription, *, control: bool, owner: object, settings: ConnectionSettings
) -> AsyncSubscription[Any]:
    """Open a subscription; returns when the server has confirmed it."""
    try:
        items = await reading.batch()
    except BaseException:
        reading.close()
        raise
    first = select(items, control=control, all_events=False)
    return AsyncSubscription(reading, first, control, owner=owner, settings=settings)


S = TypeVar("S", bound=Sequence[object])


def arrived(items: S, settings: ConnectionSettings | None, subscription: str = "", *, handled: bool = False) -> S:
    """Tell events which classes there are, and an observer of the events. Returns the very same items."""
    if settings is None or (settings.event_types is None and observing.observer is None):
        return items
    events = [item for item in items if isinstance(item, RecordedEvent)]
    if settings.event_types is not None:
        for event in events:
            event._types = settings.event_types
    if observing.observer is not None and events:
        observing.observer.received(settings, subscription, events, handled=handled)
    return items


def select(items: Sequence[object], *, control: bool, all_events: bool) -> Sequence[object]:
    """Choose what a subscription hands out."""
    if all_events:
        return items
    kinds = (RecordedEvent, *_CONTROL) if control else (RecordedEvent,)
    return [item for item in items if isinstance(item, kinds)]
