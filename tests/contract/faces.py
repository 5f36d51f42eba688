"""The client for threads, dressed up like the one for asyncio: what blocks runs in a thread and is awaited.

Also what tests of both write and look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

from esdb_lite import NewEvent, RecordedEvent

_AT_ONCE = ("read_stream_events", "read_all_events", "read_index_events")
_END = object()


class Face:
    """A client, or an iterator that it has made."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value
        if name in _AT_ONCE:
            return lambda *args, **kwargs: Face(value(*args, **kwargs))
        return _awaitable(value)

    def __aiter__(self) -> Face:
        return self

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self._inner, _END)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Face:
        self._inner.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._inner.__exit__, kind, error, trace)


def _awaitable(method: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        result = await asyncio.to_thread(method, *args, **kwargs)
        return Face(result) if hasattr(result, "next_batch") else result

    return call


def new(count: int, type_: str = "OrderPlaced") -> list[NewEvent]:
    """Events with their numbers."""
    return [NewEvent(type_, b"%d" % number) for number in range(count)]


def positions(events: list[RecordedEvent]) -> list[int]:
    """Where they are in their streams."""
    return [event.stream_position for event in events]


async def drain(iterator: Any) -> list[Any]:
    """Return all that an iterator hands out."""
    return [item async for item in iterator]


async def take(iterator: Any, count: int) -> list[Any]:
    """Return the next items; fails when they do not come."""
    return [await asyncio.wait_for(iterator.__anext__(), 20) for _ in range(count)]
