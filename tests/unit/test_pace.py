"""What is done on the loop and what in a thread, and when the loop stands still for a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from itertools import count

from esdb_lite.server.database.giving_way import BUSY, GIVEN, LATE, GivingWay, Want
from esdb_lite.server.database.pace import Pace
from esdb_lite.server.database.threads import WriterJob, WriterThread

EVER = 30
"""Seconds, for what comes at once."""


def test_after_one_that_is_slow_some_go_to_a_thread() -> None:
    pace = Pace(0.5, 2)
    pace.took(0.5)
    assert pace.quick
    pace.took(0.6)
    assert not pace.quick
    pace.went_elsewhere()
    assert not pace.quick
    pace.went_elsewhere()
    assert pace.quick
    pace.took(0.4)
    assert pace.quick


def test_what_goes_to_a_thread_for_other_reasons_does_not_make_up_for_one_that_was_slow() -> None:
    pace = Pace(0.5, 2)
    for _ in range(5):
        pace.went_elsewhere()
    assert pace.quick
    pace.took(1)
    pace.went_elsewhere()
    assert not pace.quick


def test_where_nothing_waits_for_a_disk_all_are_quick() -> None:
    pace = Pace(0.5, 2, always=True)
    pace.took(9)
    assert pace.quick


def test_a_busy_loop_stands_still_for_a_thread_that_is_late_and_again_when_it_still_is() -> None:
    want = Want(100.0, 5.0)
    assert not want.look(100 + LATE * 0.9, 5 + LATE * 0.9)
    assert want.look(100 + LATE, 5 + LATE)
    assert not want.look(100 + LATE * 1.9, 5 + LATE * 1.9)
    assert want.look(100 + LATE * 2, 5 + LATE * 2)


def test_a_loop_that_has_hardly_computed_does_not() -> None:
    want = Want(0.0, 0.0)
    computed = 0.0
    for now in range(1, 10):
        computed += BUSY * 0.9 * LATE
        assert not want.look(now * LATE, computed)
    assert want.look(10 * LATE, computed + BUSY * 1.1 * LATE)


def test_nor_for_a_thread_that_gets_on() -> None:
    want = Want(0.0, 0.0)
    want.restart(LATE * 0.9, LATE * 0.9)
    assert not want.look(LATE * 1.8, LATE * 1.8)


async def test_it_looks_as_long_as_there_is_work() -> None:
    given: list[float] = []
    waited = asyncio.Event()

    def wait(seconds: float) -> None:
        given.append(seconds)
        if len(given) == 3:
            way.progress(more=False)
            waited.set()

    way = GivingWay(wait, now=count(0.0, 1.0).__next__, computed=count(0.0, 1.0).__next__)
    way.begin()
    way.begin()
    await asyncio.wait_for(waited.wait(), EVER)
    assert given == [GIVEN] * 3
    waited.clear()
    given.clear()
    way.begin()
    await asyncio.wait_for(waited.wait(), EVER)
    assert given == [GIVEN] * 3


def test_who_waits_for_the_writer_goes_on_when_it_has_nothing_left_to_do() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def run(_: Sequence[WriterJob[None]]) -> None:
        begun.set()
        go_on.wait()

    writer = WriterThread(run, lambda: None)
    writer.put([WriterJob(None, 0, None)])
    begun.wait()
    assert not writer.wait(0.0)
    go_on.set()
    assert writer.wait(EVER)
    writer.close()
    writer.join()
    assert writer.wait(0.0)
