"""A consumer of either face, at work in the background of a test."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from esdb_lite import ConsumerProgress, RecordedEvent
from tests.contract.faces import Face

PATIENCE = 20.0
"""Seconds after which what should have happened counts as never happening."""


class Notes:
    """What a handler has got: positions in streams, and how many at a time."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.positions: list[int] = []
        self.sizes: list[int] = []
        self.stop_at = stop_at
        self.consumer: Consuming | None = None
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def __call__(self, events: RecordedEvent | list[RecordedEvent]) -> None:
        many = events if isinstance(events, list) else [events]
        self.positions += [event.stream_position for event in many]
        self.sizes.append(len(many))
        if self.stop_at is not None and len(self.positions) >= self.stop_at and self.consumer is not None:
            self.consumer.stop()
        self._loop.call_soon_threadsafe(self._changed.set)

    async def reach(self, count: int) -> None:
        """Wait until so many events have been handled."""
        while len(self.positions) < count:
            await asyncio.wait_for(self._changed.wait(), PATIENCE)
            self._changed.clear()


class Consuming:
    """A consumer made by a client of either face, from a handler that is a plain function."""

    def __init__(self, client: Any, handler: Callable[[Any], object], **options: Any) -> None:
        self.threaded = isinstance(client, Face)
        if isinstance(handler, Notes):
            handler.consumer = self
        self.made = (
            client._inner.consumer(handler, **options)
            if isinstance(client, Face)
            else client.consumer(as_coroutine(handler), **options)
        )
        self.task: asyncio.Task[None] | None = None

    @property
    def progress(self) -> ConsumerProgress:
        """What the consumer says of itself."""
        progress: ConsumerProgress = self.made.progress
        return progress

    def stop(self) -> None:
        """Stop it."""
        self.made.stop()

    async def run(self) -> None:
        """Run it, to its end."""
        await asyncio.wait_for(asyncio.to_thread(self.made.run) if self.threaded else self.made.run(), PATIENCE)

    async def until(self, condition: Callable[[ConsumerProgress], object]) -> None:
        """Wait until the progress is such."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not condition(self.progress):
            assert self.task is None or not self.task.done(), "the consumer has ended"
            assert asyncio.get_running_loop().time() < deadline, self.progress
            await asyncio.sleep(0.002)  # there is nothing else that tells

    async def __aenter__(self) -> Consuming:
        self.task = asyncio.ensure_future(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.task is not None
        self.stop()
        await self.task


def as_coroutine(function: Callable[[Any], object]) -> Callable[[Any], Coroutine[Any, Any, object]]:
    """A function as a coroutine function."""

    @functools.wraps(function)
    async def call(events: Any) -> object:
        return function(events)

    return call
