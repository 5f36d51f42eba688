"""A file to which another program is writing: its transaction is waited for, and nobody else has to wait with it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent, StreamState
from esdb_lite.server.database import database as module
from esdb_lite.server.engine.model import ANY
from esdb_lite.server.storage import sqlite_writer
from esdb_lite.server.storage.errors import StorageLocked
from tests.healing.waiting import until
from tests.storage.support import events, of_stream, opened


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits are made on the loop, however slow the disk is."""
    monkeypatch.setattr(module, "SLOW_COMMIT", float("inf"))


@pytest.fixture
def another(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that uses the file."""
    with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as connection:
        yield connection


async def test_the_loop_does_not_wait(tmp_path: Path, another: sqlite3.Connection) -> None:
    async with opened(tmp_path / "events.db") as database:
        await database.append("s", ANY, events(1))
        performing, thread = asyncio.Event(), threading.current_thread()
        perform, loop = database._perform, asyncio.get_running_loop()

        def performed(jobs):  # type: ignore[no-untyped-def]
            if threading.current_thread() is not thread:
                loop.call_soon_threadsafe(performing.set)
            return perform(jobs)

        database._perform = performed  # type: ignore[method-assign]
        another.execute("BEGIN IMMEDIATE")
        append = asyncio.ensure_future(database.append("s", ANY, events(2)))
        at_thread = asyncio.ensure_future(performing.wait())
        await asyncio.wait([append, at_thread], return_when=asyncio.FIRST_COMPLETED)
        assert not append.done()  # the writer's thread waits for the other program
        assert len(await of_stream(database, "s")) == 1
        another.execute("ROLLBACK")
        await append
        assert len(await of_stream(database, "s")) == 3


async def test_patience_has_an_end(
    tmp_path: Path, another: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "PATIENCE", 0)
    async with opened(tmp_path / "events.db") as database:
        another.execute("BEGIN IMMEDIATE")
        appends = (database.append("s", ANY, events(1)) for _ in range(3))
        refused = await asyncio.gather(*appends, return_exceptions=True)
        assert [type(error) for error in refused] == [StorageLocked] * 3
        another.execute("ROLLBACK")
        await database.append("s", ANY, events(1))
        assert len(await of_stream(database, "s")) == 1


async def test_clients_try_again(
    tmp_path: Path, another: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with EmbeddedServer(tmp_path / "events.db") as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("s", None, NewEvent("T", b""))
        monkeypatch.setattr(sqlite_writer, "PATIENCE", 0)
        another.execute("BEGIN IMMEDIATE")
        calls = [
            asyncio.ensure_future(client.append_events("s", 0, NewEvent("T", b""))),
            asyncio.ensure_future(client.set_stream_metadata("s", {"a": 1})),
            asyncio.ensure_future(client.append_events("t", StreamState.ANY, NewEvent("T", b""))),
        ]
        await until(lambda: "in use by another program; trying again" in caplog.text)
        another.execute("ROLLBACK")
        await asyncio.gather(*calls)
        assert await client.get_stream_position("s") == 1
