"""Read models: consumers that catch up, are waited for, are rebuilt, and have functions by type."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from esdb_lite import (
    AsyncConsumerGroup,
    AsyncEsdbClient,
    Checkpoint,
    ClientClosed,
    ConsumerGroup,
    DeadlineExceeded,
    EsdbClient,
    EventTypes,
    FileCheckpoint,
    Filter,
    IndexQuery,
    InvalidArgument,
    NewEvent,
    RecordedEvent,
    SqliteCheckpoint,
    WrongArgumentType,
)
from esdb_lite.checkpoints.store import StoreBusy
from tests.contract.consuming import PATIENCE, Consuming, Notes, as_coroutine
from tests.contract.faces import Face
from tests.support import environment

types = EventTypes()


@types.register("Paid")
@dataclass(frozen=True)
class Paid:
    amount: int


@pytest.fixture
def event_types() -> EventTypes:
    return types


def made_by(client: Any, **options: Any) -> Any:
    """A consumer of a client of either face."""
    return client._inner.consumer(**options) if isinstance(client, Face) else client.consumer(**options)


def fitting(client: Any, function: Callable[[Any], object]) -> Any:
    """A handler for a client of either face."""
    return function if isinstance(client, Face) else as_coroutine(function)


async def called(client: Any, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a method of a consumer brings."""
    if isinstance(client, Face):
        return await asyncio.wait_for(asyncio.to_thread(method, *args, **kwargs), PATIENCE)
    return await asyncio.wait_for(method(*args, **kwargs), PATIENCE)


def events(count: int) -> list[NewEvent]:
    return [NewEvent("A", b"") for _ in range(count)]


@pytest.mark.parametrize("of_stream", [True, False])
async def test_until_caught_up(client: Any, stream: str, tmp_path: Path, of_stream: bool) -> None:
    await client.append_events(stream, None, events(30))
    options: dict[str, Any] = (
        {"stream_name": stream} if of_stream else {"filter": Filter.by_stream_name(include=[stream])}
    )
    options["checkpoint"] = FileCheckpoint(tmp_path / "checkpoint")
    notes = Notes()
    consumer = Consuming(client, notes, **options)
    await called(client, consumer.made.run, until_caught_up=True)
    assert notes.positions == list(range(30))
    await client.append_events(stream, 29, events(2))
    consumer = Consuming(client, notes, **options)
    await called(client, consumer.made.run, until_caught_up=True)
    assert notes.positions == list(range(32))
    consumer = Consuming(client, notes, **options)
    await called(client, consumer.made.run, until_caught_up=True)
    assert notes.positions == list(range(32))


async def test_until_caught_up_without_a_stream(client: Any, stream: str, tmp_path: Path) -> None:
    consumer = Consuming(client, Notes(), stream_name=stream, checkpoint=FileCheckpoint(tmp_path / "checkpoint"))
    await called(client, consumer.made.run, until_caught_up=True)
    with pytest.raises(WrongArgumentType, match="until_caught_up"):
        await called(client, consumer.made.run, until_caught_up=1)


@pytest.mark.parametrize("of_stream", [True, False])
async def test_reading_ones_own_writes(client: Any, stream: str, tmp_path: Path, of_stream: bool) -> None:
    notes = Notes()
    options: dict[str, Any] = {"stream_name": stream} if of_stream else {}
    async with Consuming(client, notes, checkpoint=FileCheckpoint(tmp_path / "checkpoint"), **options) as consumer:
        for count in (1, 3):
            result = await client.append_events(stream, None if count == 1 else 0, events(count))
            await called(client, consumer.made.wait_for, result)
            assert notes.positions[-1] == result.stream_position
        records = await client.append_records({stream: events(2), f"{stream}-other": events(1)})
        await called(client, consumer.made.wait_for, records)
        assert notes.positions[4:6] == [4, 5] or not of_stream
        await called(client, consumer.made.wait_for, 0)
        with pytest.raises(DeadlineExceeded, match=r"did not come to 99999 within 0\.05 seconds"):
            await called(client, consumer.made.wait_for, 99999, timeout=0.05)
        with pytest.raises(WrongArgumentType, match="result: must be what an append has returned"):
            await called(client, consumer.made.wait_for, "x")
        if of_stream:
            with pytest.raises(WrongArgumentType):
                await called(client, consumer.made.wait_for, Checkpoint(1, 1))
        else:
            await called(client, consumer.made.wait_for, Checkpoint(records.commit_position, records.commit_position))
        waiting = asyncio.ensure_future(called(client, consumer.made.wait_for, 99999))
        await asyncio.sleep(0)
        consumer.stop()
        with pytest.raises(ClientClosed, match="the consumer ended before it came to 99999"):
            await waiting


async def test_waiting_for_events_that_a_consumer_leaves_out(client: Any, stream: str, tmp_path: Path) -> None:
    """The server says nothing of them."""
    notes, options = Notes(), {"filter": Filter.by_stream_name(include=[stream])}
    async with Consuming(client, notes, checkpoint=FileCheckpoint(tmp_path / "checkpoint"), **options) as consumer:
        other = await client.append_events(f"{stream}-other", None, events(1))
        await called(client, consumer.made.wait_for, other)
        result = await client.append_records({stream: events(2), f"{stream}-other": events(2)})
        await called(client, consumer.made.wait_for, result)
        assert notes.positions == [0, 1]
        await called(client, consumer.made.wait_for, await client.set_stream_metadata(stream, {"a": 1}))


async def test_waiting_for_events_that_are_not_in_an_index(client: Any, stream: str, tmp_path: Path) -> None:
    category, notes = f"c{uuid4().hex}", Notes()
    checkpoint = FileCheckpoint(tmp_path / "checkpoint")
    async with Consuming(client, notes, checkpoint=checkpoint, index=IndexQuery.category(category)) as consumer:
        result = await client.append_records({f"{category}-1": events(2), stream: events(2)})
        await called(client, consumer.made.wait_for, result)
        assert notes.positions == [0, 1]


async def test_waiting_for_a_consumer_that_fails(client: Any, stream: str, tmp_path: Path) -> None:
    def fail(event: RecordedEvent) -> None:
        raise KeyError("no")

    consumer = Consuming(client, fail, stream_name=stream, checkpoint=FileCheckpoint(tmp_path / "checkpoint"))
    running = asyncio.ensure_future(consumer.run())
    result = await client.append_events(stream, None, events(1))
    with pytest.raises(KeyError):
        await called(client, consumer.made.wait_for, result)
    with pytest.raises(KeyError):
        await running


async def test_waiting_for_a_consumer_that_ends_the_program(client: Any, stream: str, tmp_path: Path) -> None:
    """What ends the thread, or the task, of the consumer does not end that of whoever waits."""

    class Leave(BaseException):
        pass

    def leave(event: RecordedEvent) -> None:
        raise Leave

    await client.append_events(stream, None, events(1))
    consumer = made_by(
        client,
        handler=fitting(client, leave),
        stream_name=stream,
        checkpoint=FileCheckpoint(tmp_path / "checkpoint"),
    )
    with pytest.raises(Leave):
        await called(client, consumer.run)
    with pytest.raises(ClientClosed, match="the consumer ended before it came to 5"):
        await called(client, consumer.wait_for, 5)


def sums(path: Path) -> list[tuple[int]]:
    database = sqlite3.connect(path)
    try:
        return database.execute("SELECT total FROM sums").fetchall()
    finally:
        database.close()


async def test_rebuilding_with_transactions(client: Any, stream: str, tmp_path: Path) -> None:
    path = tmp_path / "model.db"
    database = sqlite3.connect(path, check_same_thread=False)
    database.execute("CREATE TABLE sums (total INTEGER)")
    database.execute("INSERT INTO sums VALUES (0)")
    database.commit()
    by = 1

    def add(event: RecordedEvent) -> None:
        database.execute("UPDATE sums SET total = total + ?", (by,))

    def clear() -> None:
        database.execute("UPDATE sums SET total = 0")

    def clear_and_fail() -> None:
        clear()
        raise KeyError("no")

    async def catch_up() -> None:
        consumer = Consuming(client, add, stream_name=stream, checkpoint=SqliteCheckpoint(database, "sums"))
        await called(client, consumer.made.run, until_caught_up=True)

    await client.append_events(stream, None, events(5))
    await catch_up()
    assert sums(path) == [(5,)]
    consumer = Consuming(client, add, stream_name=stream, checkpoint=SqliteCheckpoint(database, "sums"))
    with pytest.raises(KeyError):
        await called(client, consumer.made.rebuild, clear_and_fail)
    assert sums(path) == [(5,)]
    by = 10
    await called(client, consumer.made.rebuild, clear)
    assert sums(path) == [(0,)]
    await called(client, consumer.made.run, until_caught_up=True)
    assert sums(path) == [(50,)]
    with pytest.raises(ClientClosed, match="a consumer runs once"):
        await called(client, consumer.made.rebuild, clear)
    await catch_up()
    assert sums(path) == [(50,)]
    database.close()


async def test_rebuilding_with_a_file(client: Any, stream: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    await client.append_events(stream, None, events(3))
    notes = Notes()
    for _ in range(2):
        consumer = Consuming(client, notes, stream_name=stream, checkpoint=FileCheckpoint(path))
        await called(client, consumer.made.rebuild, notes.positions.clear)
        assert not path.exists()
        await called(client, consumer.made.run, until_caught_up=True)
        assert notes.positions == [0, 1, 2]
    path.write_text("damaged")
    consumer = Consuming(client, notes, stream_name=stream, checkpoint=FileCheckpoint(path))
    await called(client, consumer.made.rebuild)
    await called(client, consumer.made.run, until_caught_up=True)
    assert notes.positions == [0, 1, 2, 0, 1, 2]


async def test_what_cannot_be_rebuilt(client: Any, stream: str) -> None:
    consumer = Consuming(client, Notes(), stream_name=stream, checkpoint=(lambda: None, print))
    with pytest.raises(InvalidArgument, match=r"checkpoint: must have a method forget\(\)"):
        await called(client, consumer.made.rebuild)
    with pytest.raises(WrongArgumentType, match="clear: must be a function"):
        await called(client, consumer.made.rebuild, 5)


async def test_functions_by_type(typed_client: Any, stream: str, tmp_path: Path) -> None:
    got: list[object] = []
    consumer = made_by(typed_client, stream_name=stream, checkpoint=FileCheckpoint(tmp_path / "checkpoint"))

    def noted(event: RecordedEvent) -> None:
        got.append(event.type)

    consumer.on(Paid)(fitting(typed_client, got.append))
    assert consumer.on("Noted")(function := fitting(typed_client, noted)) is function
    await typed_client.append_events(stream, None, [Paid(5), NewEvent("Noted", b""), NewEvent("Other", b"")])
    await called(typed_client, consumer.run, until_caught_up=True)
    assert got == [Paid(5), "Noted"]
    assert consumer.progress.handled == 3


async def test_a_handler_for_the_others(client: Any, stream: str, tmp_path: Path) -> None:
    notes, got = Notes(), []
    consumer = Consuming(client, notes, stream_name=stream, checkpoint=FileCheckpoint(tmp_path / "checkpoint"))
    consumer.made.on("B")(fitting(client, got.append))
    await client.append_events(stream, None, [*events(1), NewEvent("B", b""), *events(1)])
    await called(client, consumer.made.run, until_caught_up=True)
    assert notes.positions == [0, 2]
    assert [event.type for event in got] == ["B"]


async def test_wrong_functions(client: Any, typed_client: Any, stream: str, tmp_path: Path) -> None:
    checkpoint = FileCheckpoint(tmp_path / "checkpoint")
    consumer = made_by(client, stream_name=stream, checkpoint=checkpoint)
    with pytest.raises(WrongArgumentType, match="handler: must be given, or functions by type"):
        await called(client, consumer.run)
    with pytest.raises(InvalidArgument, match="the client has no event_types"):
        consumer.on(Paid)(print)
    with pytest.raises(InvalidArgument, match="type: must not be empty"):
        consumer.on("")(print)
    with pytest.raises(WrongArgumentType, match="type: must be a str"):
        consumer.on(5)(print)
    with pytest.raises(WrongArgumentType, match=r"function: must be a (coroutine )?function"):
        consumer.on("A")(5)
    consumer.on("A")(print)
    with pytest.raises(InvalidArgument, match="must be a type without a function"):
        consumer.on("A")(print)
    with pytest.raises(InvalidArgument, match="must be a registered class"):
        made_by(typed_client, stream_name=stream, checkpoint=checkpoint).on(int)(print)
    with pytest.raises(InvalidArgument, match="batch_size: must be 1 for functions by type, not 5"):
        made_by(client, stream_name=stream, checkpoint=checkpoint, batch_size=5).on("A")


async def test_functions_that_bring_nothing_to_await(tmp_path: Path) -> None:
    """Refused when the consumer is made, where that is known then."""

    def plain(event: RecordedEvent) -> None:
        raise AssertionError

    async def generating(event: RecordedEvent) -> Any:
        yield

    async with AsyncEsdbClient("esdb+embedded:") as client:
        for function in (plain, generating):
            with pytest.raises(WrongArgumentType, match="handler: must be a coroutine function"):
                client.consumer(function, checkpoint=FileCheckpoint(tmp_path / "a"))  # type: ignore[call-overload]
            with pytest.raises(WrongArgumentType, match="function: must be a coroutine function"):
                client.consumer(checkpoint=FileCheckpoint(tmp_path / "a")).on("A")(function)  # type: ignore[type-var]
        client.consumer(lambda event: as_coroutine(print)(event), checkpoint=FileCheckpoint(tmp_path / "a"))


def grouped(client: Any, consumers: dict[str, Consuming]) -> Any:
    """The group of consumers of a client of either face."""
    kind = ConsumerGroup if isinstance(client, Face) else AsyncConsumerGroup
    return kind({name: consumer.made for name, consumer in consumers.items()})


def two(client: Any, stream: str, folder: Path, *handlers: Callable[[Any], object]) -> dict[str, Consuming]:
    """Consumers of one stream."""
    return {
        name: Consuming(client, handler, stream_name=stream, checkpoint=FileCheckpoint(folder / name))
        for name, handler in zip("ab", handlers, strict=True)
    }


async def test_a_group_that_catches_up(client: Any, stream: str, tmp_path: Path) -> None:
    await client.append_events(stream, None, events(5))
    first, second = Notes(), Notes()
    group = grouped(client, two(client, stream, tmp_path, first, second))
    assert {name: health.running for name, health in group.health().items()} == {"a": False, "b": False}
    await called(client, group.run, until_caught_up=True)
    assert first.positions == second.positions == [0, 1, 2, 3, 4]
    health = group.health()["a"]
    assert (health.running, health.failure, health.progress.handled) == (False, None, 5)
    with pytest.raises(ClientClosed, match="a group of consumers runs once"):
        await called(client, group.run)


async def test_a_group_of_which_one_fails(client: Any, stream: str, tmp_path: Path) -> None:
    def fail(event: RecordedEvent) -> None:
        raise KeyError("no")

    notes = Notes()
    group = grouped(client, two(client, stream, tmp_path, notes, fail))
    running = asyncio.ensure_future(called(client, group.run))
    await client.append_events(stream, None, events(1))
    with pytest.raises(KeyError):
        await running
    health = group.health()
    assert isinstance(health["b"].failure, KeyError)
    assert (health["a"].failure, health["a"].running) == (None, False)


async def later(client: Any, consumer: Any) -> None:
    await asyncio.sleep(0.03)
    await called(client, consumer.run, until_caught_up=True)


@pytest.mark.parametrize("journal", ["wal", "delete"])
async def test_a_group_with_one_sqlite_file(client: Any, stream: str, tmp_path: Path, journal: str) -> None:
    """Handlers that read before they write would not get the lock of others who did the same."""
    path = tmp_path / "models.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.execute("CREATE TABLE counts (name TEXT PRIMARY KEY, number INTEGER)")
        database.executemany("INSERT INTO counts VALUES (?, 0)", ["a", "b", "c"])
        database.commit()

    def counting(name: str) -> Any:
        store = SqliteCheckpoint(path, name)

        def read() -> int:
            found: tuple[int] = store.connection.execute("SELECT number FROM counts WHERE name = ?", name).fetchone()
            return found[0]

        def write(number: int) -> None:
            store.connection.execute("UPDATE counts SET number = ? WHERE name = ?", (number, name))

        def count(event: RecordedEvent) -> None:
            write(read() + 1)

        async def count_later(event: RecordedEvent) -> None:
            number = read()
            await asyncio.sleep(0)
            write(number + 1)

        handler = count if isinstance(client, Face) else count_later
        return made_by(client, handler=handler, checkpoint=store, stream_name=f"{stream}-{name}")

    for name in "abc":
        await client.append_events(f"{stream}-{name}", None, events(20))
    kind: Any = ConsumerGroup if isinstance(client, Face) else AsyncConsumerGroup
    group = kind({name: counting(name) for name in "ab"})
    late = counting("c")  # which makes its row while others write
    await asyncio.gather(called(client, group.run, until_caught_up=True), later(client, late))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT number FROM counts").fetchall() == [(20,)] * 3


async def test_a_position_without_events_waits_for_others(client: Any, stream: str, tmp_path: Path) -> None:
    """It is stored like any other, and SQLite's own way to wait would let nothing else happen on the event loop."""
    path, refused, loop = tmp_path / "models.sqlite", asyncio.Event(), asyncio.get_running_loop()

    class OthersWrite(SqliteCheckpoint):
        def load(self) -> Any:
            position = super().load()
            other.execute("BEGIN IMMEDIATE")
            return position

        def claim(self) -> None:
            try:
                super().claim()
            except StoreBusy:
                loop.call_soon_threadsafe(refused.set)
                raise

    with closing(sqlite3.connect(path, check_same_thread=False)) as other:
        await client.append_events(f"{stream}-other", None, events(1))
        options: dict[str, Any] = {"checkpoint": OthersWrite(path, "a"), "filter": Filter.by_event_type(include=["X"])}
        consumer = Consuming(client, Notes(), **options)
        running = asyncio.ensure_future(called(client, consumer.made.run, until_caught_up=True))
        running.add_done_callback(lambda _: refused.set())
        await refused.wait()
        other.rollback()
        await running
    assert consumer.progress.stored == consumer.progress.position is not None


async def test_a_group_in_the_background(client: Any, stream: str, tmp_path: Path) -> None:
    first, second = Notes(), Notes()
    consumers = two(client, stream, tmp_path, first, second)
    group = grouped(client, consumers)
    entered = await asyncio.to_thread(group.__enter__) if isinstance(client, Face) else await group.__aenter__()
    assert entered is group
    result = await client.append_events(stream, None, events(2))
    for consumer in consumers.values():
        await called(client, consumer.made.wait_for, result)
    assert first.positions == second.positions == [0, 1]
    assert all(health.running for health in group.health().values())
    leave = group.__exit__ if isinstance(client, Face) else group.__aexit__
    await called(client, leave, None, None, None)
    assert not any(health.running for health in group.health().values())


def test_signals_stop_a_group(tmp_path: Path) -> None:
    def interrupt(event: RecordedEvent) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with EsdbClient("esdb+embedded:") as client:
        client.append_events("s", None, events(1))
        consumer = client.consumer(interrupt, stream_name="s", checkpoint=FileCheckpoint(tmp_path / "a"))
        ConsumerGroup({"a": consumer}).run(signals=True)
        assert consumer.progress.stored == 0
    assert signal.getsignal(signal.SIGTERM) is before


async def test_signals_stop_a_group_with_asyncio(tmp_path: Path) -> None:
    async def interrupt(event: RecordedEvent) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    async with AsyncEsdbClient("esdb+embedded:") as client:
        await client.append_events("s", None, events(1))
        consumer = client.consumer(interrupt, stream_name="s", checkpoint=FileCheckpoint(tmp_path / "a"))
        await asyncio.wait_for(AsyncConsumerGroup({"a": consumer}).run(signals=True), PATIENCE)
        assert consumer.progress.stored == 0
    assert signal.getsignal(signal.SIGTERM) is before


HANGING = {
    "sync": """
def hang(event):
    threading.Thread(target=press, daemon=True).start()
    time.sleep(3600)

client = EsdbClient("esdb+embedded:")
client.append_events("s", None, NewEvent("A", b""), timeout=60)
consumer = client.consumer(hang, checkpoint=(lambda: None, print), stream_name="s")
ConsumerGroup({"a": consumer}).run(signals=True)""",
    "async": """
async def hang(event):
    threading.Thread(target=press, daemon=True).start()
    await asyncio.Event().wait()

async def main():
    global consumer
    async with AsyncEsdbClient("esdb+embedded:") as client:
        await client.append_events("s", None, NewEvent("A", b""), timeout=60)
        consumer = client.consumer(hang, checkpoint=(lambda: None, print), stream_name="s")
        await AsyncConsumerGroup({"a": consumer}).run(signals=True)

asyncio.run(main())""",
}
PRESS = """
import asyncio, os, signal, sys, threading, time
from esdb_lite import *

def press():
    os.kill(os.getpid(), int(sys.argv[1]))
    while not consumer._feed.stopping: time.sleep(0.001)
    os.kill(os.getpid(), int(sys.argv[1]))

signal.signal(signal.SIGINT, signal.default_int_handler)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are different there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("face", HANGING)
def test_the_second_signal_ends_a_group_that_hangs(face: str, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PRESS + HANGING[face], str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=False)
    assert done.returncode == -number, done.stderr
    assert (done.stderr.splitlines() or [""])[-1] == ("KeyboardInterrupt" if number is signal.SIGINT else "")


@pytest.mark.parametrize("kind", [ConsumerGroup, AsyncConsumerGroup])
@pytest.mark.parametrize("consumers", [{}, [1], {"a": 1}])
def test_what_is_no_group(kind: Any, consumers: Any) -> None:
    with pytest.raises(InvalidArgument, match="consumers: must be"):
        kind(consumers)


async def test_cancelling_a_group(tmp_path: Path) -> None:
    async with AsyncEsdbClient("esdb+embedded:") as client:
        consumer = client.consumer(as_coroutine(print), checkpoint=FileCheckpoint(tmp_path / "a"))
        task = asyncio.ensure_future(AsyncConsumerGroup({"a": consumer}).run())
        await client.append_events("s", None, events(1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
