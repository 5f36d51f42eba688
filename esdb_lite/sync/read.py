"""Reads and subscriptions for code without asyncio.

Owns: handing out, one by one, what crosses the threads in batches. Must not know: where the batches come from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from esdb_lite.errors import ClientClosed
from esdb_lite.events import RecordedEvent

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.client.read.iterators import AsyncEventIterator, AsyncSubscription

T_co = TypeVar("T_co", covariant=True)

Run = Callable[..., Any]
"""Takes an asynchronous function and its arguments, and returns its result."""


class EventIterator(Generic[T_co]):
    """Hands out what a call brings, one by one.

    Works in `with`. The call ends when the iterator is exhausted, fails, is closed or is dropped.
    """

    def __init__(self, owner: object, run: Run, source: AsyncEventIterator[T_co]) -> None:
        self._owner = owner  # the client must not be dropped, which would close it, while it is iterated
        self._run = run
        self._source = source
        self._items: Iterator[T_co] = iter(())
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return repr(self._source).replace("<Async", "<", 1)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co:
        for item in self._items:
            return item
        self._items = iter(self._fetch())
        return next(self._items)

    def next_batch(self) -> Sequence[T_co]:
        """Return all items that are there, after waiting for one; none at the end."""
        return list(self._items) or self._fetch()

    def _fetch(self) -> Sequence[T_co]:
        items: Sequence[T_co] = () if self._source.complete else self._run(self._source.next_batch)
        return items

    def close(self) -> None:
        """End the call and the iteration. Idempotent.

        Does nothing to the call in a forked process: it belongs to the other one.
        """
        self._items = iter(())
        if self._pid != os.getpid():
            return
        with suppress(ClientClosed):
            self._run(self._source.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ReadResponse(EventIterator[RecordedEvent]):
    """The events that a read finds. Reading begins when the first one is asked for."""


class Subscription(EventIterator[T_co]):
    """Stored events, then new ones as they are appended, without end.

    When the connection is lost, another node leads, or the server calls it too slow, the subscription resumes after
    the last event it handed out: nothing is missing, and nothing comes twice.
    """

    def __init__(self, owner: object, run: Run, source: AsyncSubscription[T_co]) -> None:
        super().__init__(owner, run, source)
        self._subscription = source

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
