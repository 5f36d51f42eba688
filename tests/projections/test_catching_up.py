"""System projections that read what lies before the end of the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projections.naive import RULES, Arrival, Naive, of_users
from tests.projections.support import caught_up, running, written_by
from tests.storage.support import events, log, written


@pytest.mark.parametrize("size", [1, 513, 1030])
async def test_who_starts_over_sees_all_that_lies_between_links(tmp_path: Path, size: int) -> None:
    async with running(tmp_path / "events.db") as (database, manager):
        for number in range(max(3, 30 // size)):
            await written(database, f"cat-{number % 2}", events(size))
            await caught_up(manager)
        for name in RULES:
            await manager.reset(name)
        await written(database, "cat-0", events(1))
        await caught_up(manager)
        naive = Naive()
        naive.arrivals = [Arrival(record, record) for record in await log(database, 0) if of_users(record)]
        for name in RULES:
            found = {stream: records for stream, records in (await written_by(database, name)).items() if records}
            assert found == naive.written(name), name
