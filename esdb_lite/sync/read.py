"""Reads and subscriptions for code without asyncio.

Owns: handing out, one by one, what crosses the threads in batches. Must not know: where the batches come from.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from esdb_lite.errors import ClientClosed, WrongContext
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
        # Ctrl-C, or what a signal handler raises, may come when a batch is there already, and before it is taken: so it
        # is kept here by the thread of the loop, and taken without a call, as Python looks for signals at calls only.
        self._items: Iterator[T_co] = iter(())
        self._arrived = self._items
        self._together: Sequence[T_co] = ()
        self._over = False
        """Whether it was told that nothing more comes, for which the other thread was not asked."""
        self._turn = asyncio.Lock()
        self._thread = 0
        self._pid = os.getpid()

    def __repr__(self) -> str:
        if self._over:
            return f"<{type(self).__name__} that has ended>"
        return repr(self._source).replace("<Async", "<", 1)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co:
        for item in self._items:
            return item
        if self._ended:
            self._over = True
            raise StopIteration
        self._run(self._next, self._arrive, get_ident())
        self._items = self._arrived
        for item in self._items:
            return item
        raise StopIteration

    def next_batch(self) -> Sequence[T_co]:
        """Return all items that are there, after waiting for one; none at the end."""
        if not self._together:
            self._together = [*self._items]
        if not (self._together or self._ended):
            self._run(self._next, self._gather, get_ident())
        batch, self._together = self._together, ()
        return batch

    @property
    def _ended(self) -> bool:
        """Whether nothing more is to come, and nothing has come that was not taken. Asked in this order: see above."""
        if not self._source._complete or self._turn.locked():
            return False
        return self._items is self._arrived and not self._together

    def close(self) -> None:
        """End the call and the iteration. Idempotent.

        Does nothing to the call in a forked process: it belongs to the other one.
        """
        self._items = self._arrived = iter(())
        self._together = ()
        if self._pid != os.getpid():
            return
        with suppress(ClientClosed):
            self._run(self._source.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- on the thread of the loop ---

    async def _next(self, get: Callable[[], Awaitable[None]], thread: int) -> None:
        """Have the next batch here, when another call of the same thread has ended that has given it up."""
        if self._turn.locked() and thread != self._thread:
            raise WrongContext("two threads iterate over the same object")
        self._thread = thread
        async with self._turn:
            await get()

    async def _arrive(self) -> None:
        """Get a batch, unless there is one that nobody has taken."""
        if self._together:
            self._arrived, self._together = iter(self._together), ()
        elif self._items is self._arrived:
            self._arrived = iter(await self._source.next_batch())

    async def _gather(self) -> None:
        """The same for a batch that is handed out as a whole."""
        if not self._together:
            self._together = [*self._arrived] or await self._source.next_batch()
            self._items = self._arrived


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
