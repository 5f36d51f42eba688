"""Consumers of persistent subscriptions in the shape of kurrentdbclient, over those of our client.

Owns: handing out, answers, `stop()`. Must not know: how groups are managed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID
from weakref import WeakSet

import esdb_lite
from esdb_lite.compat.kurrentdbclient._failures import translated
from esdb_lite.compat.kurrentdbclient._reads import Ending
from esdb_lite.compat.kurrentdbclient._values import NACKS, answered, their_event
from esdb_lite.compat.kurrentdbclient.common import (
    AbstractAsyncPersistentSubscription,
    AbstractPersistentSubscription,
    Nack,
)
from esdb_lite.compat.kurrentdbclient.events import RecordedEvent
from esdb_lite.compat.kurrentdbclient.exceptions import ProgrammingError

_STOPPED = "Subscription has already been stopped"


def _action(action: Nack) -> esdb_lite.NackAction:
    if action not in NACKS:
        raise ValueError(f"action must be one of {', '.join(NACKS)}, not {action!r}")
    return NACKS[action]


class _Consumer(Ending):
    """What both consumers have."""

    def __init__(
        self, source: esdb_lite.PersistentSubscription | esdb_lite.AsyncPersistentSubscription, open_ones: WeakSet[Any]
    ) -> None:
        super().__init__()
        self._source = source
        self._entered = False
        open_ones.add(self)

    @property
    def subscription_id(self) -> str:
        """What the server calls the subscription."""
        return self._source.subscription_id

    def _answering(self) -> Any:
        if self.is_stopped:
            raise ProgrammingError(_STOPPED)
        return translated()


class PersistentSubscription(_Consumer, AbstractPersistentSubscription):
    """The events of a group for one of its consumers. Stop it, or leave `with`, so that the last answers arrive."""

    _source: esdb_lite.PersistentSubscription

    def __next__(self) -> RecordedEvent:
        try:
            return their_event(next(self._source))
        except (StopIteration, esdb_lite.EsdbClientException) as error:
            finished = error if isinstance(error, StopIteration) else StopIteration()
            reason = self.reason(error, finished)
            if reason is not finished:
                self._entered = False
                self.stop(cancel=True)
            raise reason from error.__cause__ if reason is error else error

    def ack(self, item: UUID | RecordedEvent) -> None:
        """Say that an event has been processed. Raises ProgrammingError after `stop()`."""
        with self._answering():
            self._source.ack(answered(item))

    def nack(self, item: UUID | RecordedEvent, action: Nack) -> None:
        """Say that an event could not be processed, and what the server should do with it."""
        with self._answering():
            self._source.nack(answered(item), _action(action))

    def stop(self, *, cancel: bool = False) -> None:
        """End the iteration; in `with`, events can still be answered."""
        if self._entered:
            with suppress(esdb_lite.ClientClosed):
                self._source.stop()
        elif self.end(cancel):
            self._source.close()

    def __enter__(self) -> PersistentSubscription:
        self._entered = True
        return self

    def __exit__(self, *args: object) -> None:
        self._entered = False
        self.stop()


class AsyncPersistentSubscription(_Consumer, AbstractAsyncPersistentSubscription):
    """The events of a group for one of its consumers. Stop it, or leave `async with`, so that all answers arrive."""

    _source: esdb_lite.AsyncPersistentSubscription

    async def __anext__(self) -> RecordedEvent:
        try:
            return their_event(await self._source.__anext__())
        except (StopAsyncIteration, esdb_lite.EsdbClientException) as error:
            finished = error if isinstance(error, StopAsyncIteration) else StopAsyncIteration()
            reason = self.reason(error, finished)
            if reason is not finished:
                self._entered = False
                await self.stop(cancel=True)
            raise reason from error.__cause__ if reason is error else error

    async def ack(self, item: UUID | RecordedEvent) -> None:
        """Say that an event has been processed. Raises ProgrammingError after `stop()`."""
        with self._answering():
            await self._source.ack(answered(item))

    async def nack(self, item: UUID | RecordedEvent, action: Nack) -> None:
        """Say that an event could not be processed, and what the server should do with it."""
        with self._answering():
            await self._source.nack(answered(item), _action(action))

    async def stop(self, *, timeout: float | None = None, cancel: bool = False) -> None:
        """End the iteration; in `async with`, events can still be answered."""
        if self._entered:
            self._source.stop()
        elif self.end(cancel):
            with translated():
                await self._source.close()

    async def __aenter__(self) -> AsyncPersistentSubscription:
        self._entered = True
        return self

    async def __aexit__(self, *args: object) -> None:
        self._entered = False
        await self.stop()
