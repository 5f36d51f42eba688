"""A consumer that is cancelled after any number of turns of the loop leaves nothing behind, and nothing half done."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import (
    AsyncConsumer,
    AsyncEsdbClient,
    EmbeddedServer,
    ErrorAction,
    NewEvent,
    RecordedEvent,
    SqliteCheckpoint,
)
from esdb_lite.client import cancellation

EVENTS = 12


@pytest.fixture
async def client() -> AsyncIterator[AsyncEsdbClient]:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as made:
        await made.append_events("s", None, [NewEvent("A", b"{}") for _ in range(EVENTS)])
        yield made


def tasks() -> set[Any]:
    """The tasks of consumers and clients; the server, which is on the same loop, has others."""
    running = {task: getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()}
    return {task for task, code in running.items() if code is not None and "esdb_lite/client" in code.co_filename}


class Slow:
    """A store with coroutine functions that takes part in transactions, as one on an asynchronous driver would."""

    def __init__(self) -> None:
        self.position: Any = None
        self.effects: list[int] = []
        self.pending: list[int] = []

    async def load(self) -> Any:
        await asyncio.sleep(0)
        return self.position

    async def save(self, position: Any) -> None:
        await asyncio.sleep(0)
        self.position, self.effects, self.pending = position, self.effects + self.pending, []

    async def rollback(self) -> None:
        await asyncio.sleep(0)
        self.pending = []


class Delicate(Slow):
    """One on a driver that is confused when it is cancelled in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.confused = False
        self.bound = False

    def bind(self, source: str) -> None:
        assert not self.bound
        self.bound = True

    def release(self) -> None:
        self.bound = False

    async def load(self) -> Any:
        return await self._whole(super().load())

    async def begin(self) -> None:
        await self._whole(asyncio.sleep(0))

    async def save(self, position: Any) -> None:
        await self._whole(super().save(position))

    async def rollback(self) -> None:
        await self._whole(super().rollback())

    async def _whole(self, work: Awaitable[Any]) -> Any:
        self.confused = True
        found = await work
        await asyncio.sleep(0)
        self.confused = False
        return found


@pytest.mark.parametrize("insisting", [False, True])
async def test_what_a_store_does_is_done_to_its_end(client: AsyncEsdbClient, insisting: bool) -> None:
    """Also when it is cancelled with every turn of the loop, as anyio does it."""
    cancelled = 0
    while True:
        store = Delicate()
        running = asyncio.ensure_future(consumer_of(client, store).run())
        for _ in range(cancelled):
            await asyncio.sleep(0)
        if running.done():
            break
        running.cancel()
        while insisting and not running.done():
            await asyncio.sleep(0)
            running.cancel()
        await asyncio.wait({running})
        cancelled += 1
        assert running.cancelled()
        assert (store.confused, store.bound, store.pending) == (False, False, [])
        assert store.effects == list(range(len(store.effects)))
    assert running.exception() is None


async def test_a_store_that_comes_to_no_end_is_left(client: AsyncEsdbClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "PATIENCE", 0.01)
    saving = asyncio.Event()

    class Stuck(Slow):
        async def save(self, position: Any) -> None:
            saving.set()
            await asyncio.Event().wait()

    running = asyncio.ensure_future(consumer_of(client, Stuck()).run())
    await saving.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=10)
    assert running.cancelled()


async def test_cancelled_at_every_step(client: AsyncEsdbClient) -> None:
    """After n turns of the loop, for every n until it is faster than that; the next consumer goes on from there."""
    before, cancelled = tasks(), 0
    while True:
        store = Slow()
        running = asyncio.ensure_future(consumer_of(client, store).run())
        for _ in range(cancelled):
            await asyncio.sleep(0)
        if running.done():
            break
        running.cancel()
        await asyncio.wait({running})
        cancelled += 1
        assert store.pending == []
        assert store.effects == list(range(len(store.effects)))
        assert store.position == (len(store.effects) - 1 if store.effects else None)
        assert tasks() <= before
        if cancelled % 10 == 0:
            await asyncio.wait_for(consumer_of(client, store).run(until_caught_up=True), 20)
            assert store.effects == list(range(EVENTS))
    assert running.exception() is None
    assert cancelled > EVENTS * 3  # every event takes several turns


def consumer_of(client: AsyncEsdbClient, store: Slow) -> AsyncConsumer:
    """One that ends with the last event."""

    async def handle(event: RecordedEvent) -> None:
        await asyncio.sleep(0)
        store.pending.append(event.stream_position)
        await asyncio.sleep(0)
        if event.stream_position == EVENTS - 1:
            consumer.stop()

    consumer = client.consumer(handle, checkpoint=store, stream_name="s")
    return consumer


@pytest.mark.parametrize("moment", ["waiting", "handling", "pausing"])
async def test_cancelled_in_a_known_place(client: AsyncEsdbClient, tmp_path: Path, moment: str) -> None:
    connection = sqlite3.connect(tmp_path / "effects.sqlite")
    connection.execute("CREATE TABLE effects (number INTEGER)")
    store, reached = SqliteCheckpoint(connection, "effects"), asyncio.Event()

    async def handle(event: RecordedEvent) -> None:
        connection.execute("INSERT INTO effects VALUES (?)", (event.stream_position,))
        if event.stream_position == 5 and moment == "pausing":
            raise ValueError
        if event.stream_position == 5 and moment == "handling":
            reached.set()
            await asyncio.Event().wait()
        if event.stream_position == EVENTS - 1:
            reached.set()

    def decide(event: RecordedEvent, error: Exception, attempt: int) -> ErrorAction:
        reached.set()
        return ErrorAction.RETRY

    before = tasks()
    consumer = client.consumer(handle, checkpoint=store, stream_name="s", on_error=decide, retry_pause=3600.0)
    running = asyncio.ensure_future(consumer.run())
    await asyncio.wait_for(reached.wait(), 20)
    while moment == "waiting" and consumer.progress.stored != EVENTS - 1:  # noqa: ASYNC110 - nothing else tells
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert tasks() <= before
    assert not connection.in_transaction
    done = EVENTS if moment == "waiting" else 5
    assert connection.execute("SELECT count(*) FROM effects").fetchone() == (done,)
    assert SqliteCheckpoint(connection, "effects").load() == done - 1
    connection.close()


@pytest.mark.parametrize("end", ["stopped", "failed", "cancelled"])
async def test_the_subscription_ends_with_the_consumer(
    client: AsyncEsdbClient, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    made: list[Any] = []
    subscribe = client.subscribe_stream_events

    async def kept(*arguments: Any, **options: Any) -> Any:
        made.append(await subscribe(*arguments, **options))
        return made[-1]

    async def handle(event: RecordedEvent) -> None:
        if end == "failed":
            raise LookupError
        if end == "stopped":
            consumer.stop()
        if event.stream_position == EVENTS - 1:
            handled.set()

    monkeypatch.setattr(client, "subscribe_stream_events", kept)
    handled = asyncio.Event()
    consumer = client.consumer(handle, checkpoint=Slow(), stream_name="s")
    running = asyncio.ensure_future(consumer.run())
    if end == "cancelled":
        await asyncio.wait_for(handled.wait(), 20)
        running.cancel()
    await asyncio.wait({running})
    assert (running.cancelled(), isinstance(None if running.cancelled() else running.exception(), LookupError)) == (
        end == "cancelled",
        end == "failed",
    )
    (subscription,) = made
    assert not await asyncio.wait_for(subscription.next_batch(), 20)
