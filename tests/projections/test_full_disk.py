"""A disk that is full, or a file that another program has, holds projections up, and does not end them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from esdb_lite.server.engine.append import Rule
from esdb_lite.server.engine.model import ANY, Outcome
from esdb_lite.server.projections import system_run
from esdb_lite.server.projections.user import run as user_run
from esdb_lite.server.storage import Reader, Record
from esdb_lite.server.storage.errors import PASSING
from tests.healing.waiting import until
from tests.projections.support import caught_up, running, written_by
from tests.projections.test_user_runs import Place
from tests.storage.support import events


def held_up() -> bool:
    """Whether one of them waits for room on the disk."""
    return any(getattr(task.get_coro(), "__name__", "") == "sleep" for task in asyncio.all_tasks())


async def test_they_go_on_when_there_is_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_run, "_ROOM_AFTER", 0.01)
    async with running(tmp_path / "events.db") as (database, manager):
        connection = database._files.writer.connection
        await caught_up(manager)
        await database.append("order-1", ANY, events(2000))
        # The links do not fit any more; what waits for the disk meanwhile is not lost.
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        await until(held_up)
        assert {each.status for each in manager.statistics()} == {"Running"}
        assert any(each.run.progress < 100 for each in manager.statistics())
        connection.execute("PRAGMA max_page_count=1000000")
        await caught_up(manager)
        assert len((await written_by(database, "$by_category"))["$ce-order"]) == 2000


async def test_they_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    async with running(tmp_path / "events.db") as (database, manager):
        connection = database._files.writer.connection
        await caught_up(manager)
        await database.append("order-1", ANY, events(2000))
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        await until(held_up)
        await asyncio.wait_for(manager.stop(), 10)
        connection.execute("PRAGMA max_page_count=1000000")
        await manager.start()
        await caught_up(manager)
        assert len((await written_by(database, "$by_category"))["$ce-order"]) == 2000


LINK = "fromStream('x').when({$any(s, e) { linkTo('out', e) }})"


class FullDisk(Place):
    """A projection that has met a full disk."""

    def limit(self, pages: int) -> None:
        self.database._files.writer.connection.execute(f"PRAGMA max_page_count={pages}")

    def watch(self) -> asyncio.Event:
        """Return what is set when the next write is refused."""
        refused = asyncio.Event()
        execute = self.database.execute

        async def watched(rule: Rule, *, cost: int = 0) -> Outcome:
            try:
                return await execute(rule, cost=cost)
            except PASSING:
                refused.set()
                raise

        self.database.execute = watched  # type: ignore[method-assign]
        return refused

    async def links(self) -> list[bytes]:
        """Return all links, once every event has been handled."""
        await until(lambda: self.manager.statistics("links")[0].run.progress == 100)
        records: list[Record] = []
        for first in range(0, 2000, 500):
            records += await self.database.read(partial(_some_links, first))
        return [record.data for record in records]


def _some_links(first: int, reader: Reader) -> list[Record]:
    return reader.stream_forward("out", first, 500)


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FullDisk]:
    monkeypatch.setattr(user_run, "_ROOM_AFTER", 0.01)
    place = FullDisk(tmp_path / "events.db")
    await place.open()
    refused = place.watch()
    await place.create("links", LINK)
    await place.database.append("x", ANY, events(2000))
    [pages] = place.database._files.writer.connection.execute("PRAGMA page_count").fetchone()
    place.limit(pages)
    await refused.wait()
    yield place
    await place.close()


async def test_queries_go_on_when_there_is_room_again(place: FullDisk) -> None:
    assert place.status("links") == "Running"
    place.limit(1_000_000)
    assert await place.links() == [b"%d@x" % number for number in range(2000)]


async def test_they_pass_nothing_over_when_they_are_stopped_meanwhile(place: FullDisk) -> None:
    stopping = asyncio.create_task(place.manager.disable("links", checkpoint=True))
    await asyncio.sleep(0)
    await place.watch().wait()
    place.limit(1_000_000)
    await stopping
    await place.manager.enable("links")
    assert await place.links() == [b"%d@x" % number for number in range(2000)]


async def test_they_go_on_when_another_program_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_run, "_ROOM_AFTER", 0.01)
    place = FullDisk(tmp_path / "events.db")
    await place.open()
    place.database._files.writer.connection.execute("PRAGMA busy_timeout=0")
    refused = place.watch()
    await place.create("links", LINK)
    with closing(sqlite3.connect(tmp_path / "events.db", isolation_level=None)) as another:
        await place.database.append("x", ANY, events(2000))
        another.execute("BEGIN IMMEDIATE")
        await refused.wait()
        assert place.status("links") == "Running"
    assert await place.links() == [b"%d@x" % number for number in range(2000)]
    await place.close()
