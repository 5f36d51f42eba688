"""kill -9 at any moment: no link is missing, and none is there twice.

ESDB_LITE_KILLS sets how often (8 unless told).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from esdb_lite.server.database.maintenance import verify
from tests.projections import crashing
from tests.projections.naive import RULES, Arrival, Naive, of_users
from tests.projections.support import caught_up, killed_after, running, written_by
from tests.storage.support import log

KILLS = int(os.environ.get("ESDB_LITE_KILLS", "8"))


async def test_nothing_missing_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    chance = random.Random(4)
    for run in range(KILLS):
        killed_after(crashing, path, chance.randint(1, 150), run)
        if run % 3 == 2:
            await check(path)
    await check(path)
    assert verify(str(path)) == []


async def check(path: Path) -> None:
    async with running(path) as (database, manager):
        await caught_up(manager)
        naive = Naive()
        naive.arrivals = [Arrival(record, record) for record in await log(database, 0) if of_users(record)]
        assert len(naive.arrivals) > 0
        for name in RULES:
            assert await written_by(database, name) == naive.written(name), name
