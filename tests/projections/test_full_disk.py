"""A disk that is full holds the system projections up, and does not end them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from esdb_lite.server.engine.model import ANY
from esdb_lite.server.projections import system_run
from tests.healing.waiting import until
from tests.projections.support import caught_up, running, written_by
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
