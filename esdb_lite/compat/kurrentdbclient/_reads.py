"""Reads and catch-up subscriptions in the shape of kurrentdbclient, over those of our client.

Owns: handing out, `stop()`, and what iterating raises then. Must not know: what is read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import esdb_lite
from esdb_lite.compat.kurrentdbclient._failures import failure_of, translated
from esdb_lite.compat.kurrentdbclient._values import their_item
from esdb_lite.compat.kurrentdbclient.common import (
    AbstractAsyncCatchupSubscription,
    AbstractAsyncReadResponse,
    AbstractCatchupSubscription,
    AbstractReadResponse,
)
from esdb_lite.compat.kurrentdbclient.events import RecordedEvent
from esdb_lite.compat.kurrentdbclient.exceptions import CancelledByClientError

if TYPE_CHECKING:
    Source = esdb_lite.ReadResponse | esdb_lite.Subscription[esdb_lite.SubscriptionItem]
    AsyncSource = esdb_lite.AsyncReadResponse | esdb_lite.AsyncSubscription[esdb_lite.SubscriptionItem]

Kinds = tuple[type[RecordedEvent], ...]
"""What a subscription hands out."""


class Ending:
    """Whether an iteration was stopped, and how."""

    def __init__(self, timeout: float | None = None) -> None:
        """`timeout`: that of a read, which begins when it is made, and not as with ours when it is iterated."""
        self._is_stopped = False
        self._is_cancelled = False
        self._until = None if timeout is None else time.monotonic() + timeout

    @property
    def is_stopped(self) -> bool:
        """Whether it has ended."""
        return self._is_stopped

    @property
    def is_cancelled(self) -> bool:
        """Whether it was broken off."""
        return self._is_cancelled

    def end(self, cancel: bool) -> bool:
        """Take note of the end; False where it has ended before."""
        if self._is_stopped:
            return False
        self._is_stopped, self._is_cancelled = True, cancel
        return True

    def check_time(self) -> None:
        """Raise where the time is over."""
        if self._until is not None and not self._is_stopped and time.monotonic() >= self._until:
            raise esdb_lite.DeadlineExceeded("the timeout of the read is over")

    def reason(self, error: Exception, finished: Exception) -> Exception:
        """Return what iterating raises after an error or the end."""
        if self._is_cancelled:
            return CancelledByClientError()
        if self._is_stopped or error is finished:
            return finished
        return failure_of(error) if isinstance(error, esdb_lite.EsdbClientException) else error


class ReadResponse(Ending, AbstractReadResponse):
    """The events that a read finds."""

    def __init__(self, source: Source, kinds: Kinds, timeout: float | None, open_ones: WeakSet[Any]) -> None:
        super().__init__(timeout)
        self._source = source
        self._kinds = kinds
        open_ones.add(self)

    def __next__(self) -> RecordedEvent:
        try:
            self.check_time()
            while True:
                event = their_item(next(self._source))
                if event is not None and event.__class__ in self._kinds:
                    return event
        except (StopIteration, esdb_lite.EsdbClientException) as error:
            finished = error if isinstance(error, StopIteration) else StopIteration()
            reason = self.reason(error, finished)
            self.stop(cancel=reason is not finished)
            raise reason from error.__cause__ if reason is error else error

    def stop(self, *, cancel: bool = False) -> None:
        """End the iteration."""
        if self.end(cancel):
            self._source.close()

    def __exit__(self, *args: object) -> None:
        self.stop()


class CatchupSubscription(ReadResponse, AbstractCatchupSubscription):
    """Stored events, then new ones as they are appended. It ends when the connection is lost."""

    _source: esdb_lite.Subscription[esdb_lite.SubscriptionItem]

    @property
    def subscription_id(self) -> str:
        """The server's name for the subscription."""
        return self._source.subscription_id


class AsyncReadResponse(Ending, AbstractAsyncReadResponse):
    """The events that a read finds."""

    def __init__(self, source: AsyncSource, kinds: Kinds, timeout: float | None, open_ones: WeakSet[Any]) -> None:
        super().__init__(timeout)
        self._source = source
        self._kinds = kinds
        open_ones.add(self)

    async def __anext__(self) -> RecordedEvent:
        try:
            self.check_time()
            while True:
                event = their_item(await self._source.__anext__())
                if event is not None and event.__class__ in self._kinds:
                    return event
        except (StopAsyncIteration, esdb_lite.EsdbClientException) as error:
            finished = error if isinstance(error, StopAsyncIteration) else StopAsyncIteration()
            reason = self.reason(error, finished)
            await self.stop(cancel=reason is not finished)
            raise reason from error.__cause__ if reason is error else error

    async def stop(self, *, timeout: float | None = None, cancel: bool = False) -> None:
        """End the iteration."""
        if self.end(cancel):
            with translated():
                await self._source.close()

    async def __aexit__(self, *args: object) -> None:
        await self.stop()


class AsyncCatchupSubscription(AsyncReadResponse, AbstractAsyncCatchupSubscription):
    """Stored events, then new ones as they are appended. It ends when the connection is lost."""

    _source: esdb_lite.AsyncSubscription[esdb_lite.SubscriptionItem]

    @property
    def subscription_id(self) -> str:
        """The server's name for the subscription."""
        return self._source.subscription_id
