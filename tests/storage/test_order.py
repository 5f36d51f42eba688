"""Listeners get events in the order of the log, whoever commits them: the writer's thread or the loop."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine import append as appending
from tests.storage.support import ANY, events


async def test_what_the_writer_has_committed_comes_before_what_the_loop_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is done, and the loop has not been told yet, when it commits something itself."""
    database = await Database.open(tmp_path / "events.db")
    listener = database.listen(lambda: None, stream=None, limit=100)
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    append = partial(appending.append, stream="s", expected=ANY, events=events(1))

    def slowly(*arguments: Any) -> Any:
        begun.set()
        go_on.wait()
        return append(*arguments)

    perform = database._perform
    monkeypatch.setattr(database, "_perform", lambda jobs: (perform(jobs), done.set())[0])
    by_writer = asyncio.ensure_future(database.execute(slowly))
    while not begun.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0)
    answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    database.begin_append("s", ANY, events(1), 0, answered.set_result)
    database.commit()  # in the next turn of the loop
    go_on.set()
    done.wait()
    time.sleep(0.02)  # noqa: ASYNC251 - the writer tells the loop, which is not to have its turn before
    await asyncio.wait({by_writer, answered})
    positions = [record.position for record in listener.take()]
    assert len(positions) == 2
    assert positions == sorted(positions)
    assert database.last_position == positions[-1]
    listener.close()
    await database.close()
