"""What is told of a projection: that it has come so far is true, whoever looks, and whenever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.engine.append import LogState, Moment, close_chunk
from esdb_lite.server.engine.model import Decision
from esdb_lite.server.projections.definitions import Definition
from esdb_lite.server.projections.manager import ProjectionManager
from esdb_lite.server.projections.pages import LogPages
from esdb_lite.server.projections.running import RunStatistics
from esdb_lite.server.projections.user.engine import UserEngine
from tests.healing.waiting import until
from tests.storage.support import events, of_stream, opened, written

EMITS = "fromStream('cat-1').when({Type(s, e) { linkTo('$ce-cat', e) }})"


@asynccontextmanager
async def managed(path: Path) -> AsyncIterator[tuple[Database, ProjectionManager]]:
    async with opened(path) as database:
        engine = UserEngine(database, now=ticks_now)
        manager = ProjectionManager(database, now=ticks_now, engine=engine, starts_standard=False)
        await manager.start()
        try:
            yield database, manager
        finally:
            await manager.stop()


def _told(manager: ProjectionManager, name: str) -> RunStatistics:
    return manager.statistics(name)[0].run


async def _caught_up(manager: ProjectionManager, name: str) -> None:
    await until(lambda: _told(manager, name).progress == 100.0)


class Held:
    """A commit that keeps the writer of a database busy until it is let go."""

    def __init__(self, database: Database) -> None:
        self._let_go = threading.Event()
        self._task = asyncio.ensure_future(database.execute(self._rule))

    def _rule(self, state: LogState, moment: Moment) -> Decision:
        self._let_go.wait(20)
        return close_chunk(state, moment)

    async def let_go(self) -> None:
        self._let_go.set()
        await self._task


@pytest.mark.parametrize("name", ["$by_category", "links"])
async def test_nobody_is_said_to_have_come_further_than_what_is_committed(tmp_path: Path, name: str) -> None:
    if name == "links" and find_spec("_quickjs") is None:
        pytest.skip("quickjs-ng is not installed")
    async with managed(tmp_path / "events.db") as (database, manager):
        if name == "links":
            await manager.create(Definition(name, EMITS, emit_enabled=True))
        else:
            await manager.enable(name)
        await written(database, "cat-1", events(1))
        await _caught_up(manager, name)
        before = _told(manager, name)
        await written(database, "cat-1", events(1))
        held = Held(database)
        await until(lambda: database.waiting == 2)
        during = _told(manager, name)
        stored = len(await of_stream(database, "$ce-cat"))
        await held.let_go()
        assert (during.position, during.events_processed, stored) == (before.position, before.events_processed, 1)
        assert during.progress < 100
        await _caught_up(manager, name)
        after = _told(manager, name)
        assert after.position != before.position
        assert after.events_processed == before.events_processed + 1
        assert len(await of_stream(database, "$ce-cat")) == 2


def _asks(pages: LogPages, position: int) -> bool:
    """Ask for a page; whether one is at the end by that."""
    return pages.is_at_end(pages.page(position))


async def test_who_waits_where_too_much_has_come_is_not_at_the_end() -> None:
    async with opened() as database:
        pages = LogPages(database, ticks_now)
        end = database.log_end
        waiting = pages.page(end)
        await until(lambda: pages.is_at_end(waiting))
        # More than may wait is committed in the next turn of the loop, in which somebody asks who is behind, too.
        asked: list[bool] = []
        appending = asyncio.ensure_future(written(database, "cat-1", events(5000)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(lambda: asked.append(_asks(pages, 0) or pages.is_at_end(waiting)))
        await appending
        assert asked == [False]
        page = await waiting
        assert (page.next, page.written) == (end, ())
        assert (await pages.page(end)).written
        await pages.close()
