"""Groups survive kill -9: what was checkpointed is not delivered again, everything else is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.groups.parking import checkpoint_stream, read_checkpoint
from tests.support import PATIENCE, environment

from .persistent_calls import Service

EVENTS = 2_000
KILLS = 6
LINE = re.compile(r"acked (\d+)\n?$")


def consume_for_a_while(path: Path, events: int) -> list[int]:
    """Run a consumer and kill it after so many events; return what it has acknowledged, as far as it got to say so."""
    command = [sys.executable, "-m", "tests.services.killed", str(path), str(EVENTS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    with process.stdout as output:
        lines = [output.readline() for _ in range(events)]
        process.kill()
        # Not by `communicate`, which passes over what has been read ahead.
        lines += output.readlines()
    process.wait(timeout=PATIENCE)
    return [int(match[1]) for line in lines if (match := LINE.match(line))]


async def stored_checkpoint(path: Path) -> int:
    """What the file says about how far the group has come."""
    database = await Database.open(path)
    found = await Service(database).stored(checkpoint_stream("s", "g"))
    await database.close()
    return -1 if not found else read_checkpoint(found[-1].data) or 0


@pytest.mark.slow
async def test_nothing_is_lost_and_nothing_checkpointed_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    highest = checkpoint = -1
    for kill in range(KILLS):
        seen = consume_for_a_while(path, 40 + 61 * kill)
        assert seen == list(range(checkpoint + 1, checkpoint + 1 + len(seen)))
        highest, checkpoint = max(highest, seen[-1]), await stored_checkpoint(path)
        assert checkpoint <= highest + 1
    assert checkpoint > 0
    await the_rest_comes(path, highest)


async def the_rest_comes(path: Path, highest: int) -> None:
    """The group goes on after its checkpoint, without a gap, to the end."""
    database = await Database.open(path)
    service = Service(database)
    await service.groups.start()
    consumer = await service.consume("s", buffer_size=EVENTS)
    first = (await consumer.event()).event.stream_revision
    assert first <= highest + 1
    assert await consumer.revisions(EVENTS - first - 1) == list(range(first + 1, EVENTS))
    await service.close()
    await database.close()
