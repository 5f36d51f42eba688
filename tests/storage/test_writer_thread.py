"""In which portions the writer's thread takes what waits."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from esdb_lite.server.database.threads import WriterJob, WriterThread

LONG = 1024 * 1024


def test_who_appends_does_not_wait_for_what_comes_behind_nor_for_two_long_ones() -> None:
    portions: list[list[str]] = []
    ended, begun, go_on = threading.Event(), threading.Event(), threading.Event()

    def run(jobs: Sequence[WriterJob[str]]) -> None:
        begun.set()
        go_on.wait()
        portions.append([job.work for job in jobs])

    writer = WriterThread(run, ended.set)
    writer.put([_append("first")])
    begun.wait()
    writer.put([_append("a"), _append("b", LONG), _long("links"), _append("c"), _append("d"), _long("e"), _long("f")])
    go_on.set()
    writer.close()
    writer.join()
    assert portions == [["first"], ["a", "b"], ["links"], ["c", "d"], ["e"], ["f"]]
    assert ended.is_set()


def _append(name: str, cost: int = 1000) -> WriterJob[str]:
    return WriterJob(name, cost, None, anywhere=True)


def _long(name: str) -> WriterJob[str]:
    return WriterJob(name, LONG, None)
