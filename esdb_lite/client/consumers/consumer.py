"""Consumers that remember where they are.

Owns: `AsyncConsumer`, and `ConsumerFeed`, which both clients get their events from.
Must not know: in which order things are done (`steps`), what the arguments were, threads.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from esdb_lite import observing
from esdb_lite._checks import Seconds, checked_bool
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.shared import retrieved
from esdb_lite._stepping import drive_awaiting, make
from esdb_lite.client.cancellation import Cancellation, to_its_end
from esdb_lite.client.consumers.awaiting import Awaited
from esdb_lite.client.consumers.face import ConsumerFace
from esdb_lite.client.consumers.routing import EventRoutes, checked_routed, checked_routes
from esdb_lite.client.consumers.settings import ConsumerSettings, checked_coroutine, checked_forgetting
from esdb_lite.client.consumers.steps import Store, not_let_go
from esdb_lite.client.consumers.tracking import Item
from esdb_lite.client.projections.progress import writer_of
from esdb_lite.consumers import AsyncBatchHandler, AsyncEventHandler, ConsumerPosition, WrittenLike
from esdb_lite.errors import CallCancelled, ClientClosed, EsdbClientException, WrongArgumentType
from esdb_lite.filters import DEFAULT_EXCLUDE

if TYPE_CHECKING:
    from typing_extensions import Self

    from esdb_lite.client._client import AsyncEsdbClient
    from esdb_lite.client.read.iterators import AsyncSubscription
    from esdb_lite.events import SubscriptionItem


H = TypeVar("H", bound=Callable[..., Awaitable[object]])

_LONGEST_LOOK = 1.0
"""Seconds: meanwhile nobody sees that the consumer has ended."""


class ConsumerFeed:
    """The events of a consumer, from the first request to the end. Lives on the event loop."""

    def __init__(self, client: AsyncEsdbClient, settings: ConsumerSettings) -> None:
        self._client = client
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._subscription: AsyncSubscription[SubscriptionItem] | None = None
        self._fetching: asyncio.Task[Sequence[Item]] | None = None
        self.types = client._core.settings.event_types
        self.stopping = False
        """Whether the consumer is to end."""

    def stop(self) -> None:
        """Have the consumer end. From any thread, and in the handler of a signal."""
        self.stopping = True
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed by now
                loop.call_soon_threadsafe(self._wake)

    async def open(self, position: ConsumerPosition | None) -> None:
        """Subscribe after a position, or where the consumer should begin if there is none."""
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        if self.stopping:  # by another thread, which did not know the loop yet
            self._wake()
        await self._unless_stopped(asyncio.ensure_future(self._subscribe(position)))

    async def next(self, timeout: float | None) -> Sequence[Item]:
        """Return what has arrived; [] after so many seconds, and when the consumer is to end."""
        if self._fetching is None:
            self._fetching = asyncio.ensure_future(self._fetch())
            self._fetching.add_done_callback(retrieved)
        fetching = self._fetching
        await self._first(fetching, timeout)
        if self.stopping or not fetching.done():
            return []
        self._fetching = None
        return fetching.result()

    async def pause(self, seconds: float) -> None:
        """Wait, unless the consumer is to end."""
        if self._stopped is None:
            await asyncio.sleep(seconds)
        else:
            await asyncio.wait({self._stopped}, timeout=seconds)

    async def known_end(self) -> int | None:
        """Return the last position of the stream; None where it is not known."""
        asking = asyncio.ensure_future(self._ask_end())
        await self._unless_stopped(asking)
        return None if asking.cancelled() else asking.result()

    async def last_selected(self, place: int, timeout: float | None) -> int | None:
        """Return where the last event is that is consumed, up to a place in all events; None: there is none.

        Raises EsdbClientException: also where no event begins at the place.
        """
        client, settings = self._client, self._settings
        if settings.stream_name is not None:
            return await self._last_linked(settings.stream_name, place, timeout)
        options: Any = {"limit": 1, "timeout": timeout, "credentials": settings.credentials}
        if settings.index is not None:
            found = await client.read_index_events(settings.index, place, backwards=True, **options)
            return found[0].commit_position if found else None
        options.update(filter_exclude=() if settings.filter is None else DEFAULT_EXCLUDE, filter=settings.filter)
        before = await client.read_all_events(place, backwards=True, **options)
        behind = await client.read_all_events(place, **options)
        if behind and behind[0].commit_position == place:
            return place
        return before[0].commit_position if before else None

    async def _last_linked(self, stream_name: str, place: int, timeout: float | None) -> int | None:
        """Return where a stream of links ends when what was written up to a place in all events is linked.

        Raises DeadlineExceeded when that takes longer than a look may take.
        """
        client, settings = self._client, self._settings
        patience = _LONGEST_LOOK if timeout is None else min(timeout, _LONGEST_LOOK)
        writer = writer_of(stream_name)
        assert writer is not None
        await client.wait_for_projection(writer, place, timeout=patience, credentials=settings.credentials)
        return await client.get_stream_position(stream_name, timeout=timeout, credentials=settings.credentials)

    async def close(self) -> None:
        """End the subscription."""
        fetching, self._fetching = self._fetching, None
        subscription, self._subscription = self._subscription, None
        try:
            if fetching is not None:
                await _end(fetching)
        finally:
            if subscription is not None:
                await subscription.close()

    def _wake(self) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    async def _first(self, task: asyncio.Task[object], timeout: float | None = None) -> None:
        """Wait for a task, until the time is up or the consumer is to end."""
        assert self._stopped is not None
        waited: set[asyncio.Future[Any]] = {task, self._stopped}
        await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    async def _unless_stopped(self, task: asyncio.Task[object]) -> None:
        try:
            await self._first(task)
        except BaseException:
            await _end(task)
            raise
        if task.done():
            task.result()
        else:
            await _end(task)

    async def _subscribe(self, position: ConsumerPosition | None) -> None:
        settings = self._settings
        start = settings.position if position is None else position
        from_end = settings.from_end and position is None
        if position is not None and getattr(position, "event_id", None) is None:  # others are checked in any case
            deadline = Deadline(settings.timeout)
            await self._client._check_position(settings.stream_name, position, deadline, settings.credentials)
        if settings.index is not None:
            self._subscription = await self._client.subscribe_index_events(
                settings.index,
                start,
                from_end=from_end,
                include_control=True,
                timeout=settings.timeout,
                credentials=settings.credentials,
            )
        elif settings.stream_name is not None:
            self._subscription = await self._client.subscribe_stream_events(
                settings.stream_name,
                cast("int | None", start),
                from_end=from_end,
                resolve_links=settings.resolve_links,
                include_control=True,
                timeout=settings.timeout,
                credentials=settings.credentials,
            )
        else:
            self._subscription = await self._client.subscribe_all_events(
                start,
                filter_exclude=() if settings.filter is None else DEFAULT_EXCLUDE,
                filter=settings.filter,
                from_end=from_end,
                resolve_links=settings.resolve_links,
                include_control=True,
                timeout=settings.timeout,
                credentials=settings.credentials,
            )

    async def _fetch(self) -> Sequence[Item]:
        assert self._subscription is not None
        self._subscription.handled = True
        items = await self._subscription.next_batch()
        if not items:
            raise CallCancelled("the subscription has ended")
        return items

    async def _ask_end(self) -> int | None:
        assert self._settings.stream_name is not None
        try:
            return await self._client.get_stream_position(
                self._settings.stream_name, timeout=self._settings.timeout, credentials=self._settings.credentials
            )
        except EsdbClientException:  # it is only for the progress, and the subscription will say what is wrong
            return None


async def _end(task: asyncio.Task[object]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class AsyncConsumer(ConsumerFace):
    """Runs a handler over all events, or those of a stream, from where the checkpoint says. See `client.consumer()`.

    It runs once, by `run()`, and ends with `stop()`, when it is cancelled, or with an error. Leaving `async with`
    stops it, and waits until it has ended.
    """

    def __init__(
        self,
        feed: ConsumerFeed,
        settings: ConsumerSettings,
        store: Store,
        handler: AsyncEventHandler | AsyncBatchHandler | None,
    ) -> None:
        self._feed = feed
        store.wrap(_uninterrupted)
        super().__init__(feed, settings, store, EventRoutes(handler, feed.types, _nothing))
        self._cancellation = Cancellation()
        self._ended: asyncio.Future[None] | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    def on(self, what: str | type) -> Callable[[H], H]:
        """Decorator: the function handles events of a type; or, for a class, the objects of that class.

        `what` is a type of events, or a class that the client's `event_types` have: its function gets `event.value`.
        It is a coroutine function. Events that no function is for go to the consumer's `handler`, or are left out where
        there is none. For consumers with a `batch_size` of 1. Raises InvalidArgument, WrongArgumentType.
        """
        checked_routes(self._settings)
        return partial(self._add, what)

    def _add(self, what: str | type, function: H) -> H:
        return self._routes.add(what, checked_coroutine("function", function))

    async def run(self, *, until_caught_up: bool = False) -> None:
        """Handle events until `stop()`; raises the handler's exception unchanged.

        With `until_caught_up` it ends when everything that was stored is handled (servers before 23.10: streams only).
        A handler fails, with RuntimeError, when a task that it awaits is cancelled. Cancelling `run()` ends it at once,
        as a crash would: only what is stored counts; but what the checkpoint is doing is done to its end, for up to 5
        seconds. Raises CheckpointError if the position cannot be loaded or stored,
        ClientClosed if it ran before, and what a subscription raises.
        """
        self._consumption.until_caught_up = checked_bool("until_caught_up", until_caught_up)
        checked_routed(self._routes)
        self._check_unused()
        self._ended = asyncio.get_running_loop().create_future()
        work = drive_awaiting(self._consumption.steps(), make, self._cancellation.judged)
        try:
            await self._cancellation.watch(work)
        finally:
            try:
                await self._feed.close()
            finally:
                try:
                    await to_its_end(self._let_go())
                finally:
                    self._ended.set_result(None)
                    self._tell()
        if self._consumption.failure is not None:
            raise self._consumption.failure

    async def rebuild(self, clear: Callable[[], object] | None = None) -> None:
        """Forget how far the consumer has come, so that `run()` begins anew.

        `clear` empties what its handler has made; it may be a coroutine function. With a store that has transactions
        both are one. Raises InvalidArgument for a store without `forget()`, ClientClosed when the consumer runs or
        has run, CheckpointError.
        """
        checked_forgetting(self._store, clear)
        self._check_unused()
        try:
            await drive_awaiting(self._consumption.rebuilding(clear), make)
        finally:
            await to_its_end(self._let_go())

    async def wait_for(self, result: WrittenLike, *, timeout: Seconds | None = None) -> None:
        """Wait until the consumer has handled what was written, so that it can be seen.

        `result` is what an append or a decision has returned, or a position of what the consumer consumes. Where the
        consumer leaves out the event there, the last one before it counts. A consumer of one stream has nothing to wait
        for where another one was written; but of links that a system projection writes (`$ce-`, `$et-` ...) it waits
        for the projection, and then for its links: that needs the right to ask for projections. With `resolve_links`,
        results of other streams than the consumer's are refused otherwise: pass the position of a link. The consumer
        must run in another task. Raises DeadlineExceeded after `timeout` seconds (default: none), what the consumer
        has ended with, and ProjectionNotFound or ProjectionFailed where links will not come.
        """
        awaited = self._awaited(result, timeout)
        while not self._reached(awaited):
            self._check_in_time(awaited)
            if awaited.due:
                await self._look_for(awaited)
                continue
            change = asyncio.get_running_loop().create_future()
            self._waiting.add(change)
            try:
                await asyncio.wait({change}, timeout=awaited.patience())
            finally:
                self._waiting.discard(change)

    async def _look_for(self, awaited: Awaited) -> None:
        assert awaited.place is not None
        try:
            awaited.found(await self._feed.last_selected(awaited.place, awaited.deadline.remaining()))
        except EsdbClientException as error:  # the consumer comes there, or will say what is wrong
            awaited.not_found(error)

    @property
    def _has_ended(self) -> bool:
        return self._ended is not None and self._ended.done()

    def _tell(self) -> None:
        for change in self._waiting:
            if not change.done():
                change.set_result(None)

    def _check_unused(self) -> None:
        if self._ended is not None:
            raise ClientClosed("a consumer runs once; make another one")

    async def _let_go(self) -> None:
        for step in self._consumption.end():
            try:
                let_go = step()
                if inspect.isawaitable(let_go):
                    await let_go
            except Exception as error:
                not_let_go(error)

    def _handle(self, events: object) -> Awaitable[object]:
        handling = self._routes(events)
        if not inspect.isawaitable(handling):
            raise WrongArgumentType("handler", self._routes.last, "must be a coroutine function")
        return handling if observing.observer is None else self._observed(events, handling)

    async def _observed(self, events: Any, handling: Awaitable[object]) -> None:
        with observing.handling(self._settings.options.source, events):
            await handling

    def stop(self) -> None:
        """End gracefully: the running handler finishes, the position is stored, and `run()` returns.

        May be called from the handler, from other tasks and threads, and when a signal arrives.
        """
        self._feed.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        if self._ended is not None and asyncio.current_task() is not self._cancellation.task:
            await asyncio.wait({self._ended})


def _uninterrupted(function: Callable[..., object]) -> Callable[..., object]:
    """Have what a function begins come to its end, whoever is cancelled meanwhile."""

    def call(*args: object) -> object:
        outcome = function(*args)
        return to_its_end(outcome) if inspect.isawaitable(outcome) else outcome

    return call


async def _nothing() -> None:
    """What is done with an event that nobody wants."""
