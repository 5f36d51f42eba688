"""Several consumers, run, stopped and looked at as one.

Owns: `AsyncConsumerGroup`. Must not know: what the consumers do.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from esdb_lite._checks import checked_bool
from esdb_lite.client.consumers.consumer import AsyncConsumer
from esdb_lite.consumers import ConsumerHealth
from esdb_lite.errors import ClientClosed, InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    from typing_extensions import Self

C = TypeVar("C")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class AsyncConsumerGroup:
    """Runs several consumers side by side: all end when one fails, or with `stop()`. Nothing of it is on the server.

    `await group.run()` runs them to their end. In `async with` they run in the background, and are stopped on leaving.
    """

    def __init__(self, consumers: Mapping[str, AsyncConsumer]) -> None:
        """`consumers` by names of your own. Raises InvalidArgument, WrongArgumentType."""
        self._consumers = checked_consumers(consumers, AsyncConsumer)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._consumers)}>"

    async def run(self, *, until_caught_up: bool = False, signals: bool = False) -> None:
        """Run all consumers until `stop()`; when one fails, the others are stopped, and its exception is raised.

        With `until_caught_up` it ends when all have handled everything that was stored. With `signals`, SIGINT and
        SIGTERM stop it as `stop()` does; the second one does what it did before, so that a handler that hangs can be
        ended. Cancelling it cancels all. Raises ClientClosed if it ran before, and where another has cancelled the
        task of a consumer.
        """
        checked_bool("until_caught_up", until_caught_up)
        if self._tasks:
            raise ClientClosed("a group of consumers runs once; make another one")
        with on_signals(self.stop, checked_bool("signals", signals)):
            for name, consumer in self._consumers.items():
                self._tasks[name] = task = asyncio.ensure_future(consumer.run(until_caught_up=until_caught_up))
                task.add_done_callback(self._end)
            try:
                await asyncio.wait(self._tasks.values())
            finally:
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for health in self.health().values():
            if health.failure is not None:
                raise health.failure

    def stop(self) -> None:
        """End gracefully: running handlers finish, positions are stored, and `run()` returns.

        From any thread, and when a signal arrives.
        """
        for consumer in self._consumers.values():
            consumer.stop()

    def health(self) -> Mapping[str, ConsumerHealth]:
        """Return the health of each consumer, by name."""
        return {name: self._health(name, consumer) for name, consumer in self._consumers.items()}

    def _end(self, task: asyncio.Task[None]) -> None:
        if _failure_of(task) is not None:
            self.stop()

    def _health(self, name: str, consumer: AsyncConsumer) -> ConsumerHealth:
        task = self._tasks.get(name)
        running = task is not None and not task.done()
        failure = None if task is None or running else _failure_of(task)
        return ConsumerHealth(running, failure, consumer.progress)

    async def __aenter__(self) -> Self:
        self._running = asyncio.ensure_future(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._running is not None:
            (failure,) = await asyncio.gather(self._running, return_exceptions=True)
            if failure is not None and error is None:
                raise failure


def _failure_of(task: asyncio.Task[None]) -> BaseException | None:
    """Return what a consumer that has ended failed with."""
    return ClientClosed("the consumer was cancelled") if task.cancelled() else task.exception()


@contextmanager
def on_signals(stop: Callable[[], object], wanted: bool) -> Iterator[None]:
    """Have a signal stop something, where that is wanted; the next one, and those afterwards, do what they did before.

    So one that waits for ever can be ended: by KeyboardInterrupt, by cancelling, or by the default of SIGTERM.
    """
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        while before:
            each, handler = before.popitem()
            signal.signal(each, signal.SIG_DFL if handler is None else handler)

    def end(*_: object) -> None:
        restore()
        stop()

    try:
        if wanted:
            before.update({each: signal.signal(each, end) for each in SIGNALS})
        yield
    finally:
        restore()


def checked_consumers(value: object, kind: type[C]) -> dict[str, C]:
    """Consumers of one face by names. Raises InvalidArgument, WrongArgumentType."""
    if not isinstance(value, Mapping):
        raise WrongArgumentType("consumers", value, "must be consumers by their names")
    for name, consumer in value.items():
        if not isinstance(name, str) or not isinstance(consumer, kind):
            raise WrongArgumentType("consumers", consumer, f"must be {kind.__name__} objects by their names")
    if not value:
        raise InvalidArgument("consumers", value, "must be one or more")
    return dict(value)
