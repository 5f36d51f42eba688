"""kill -9 in the middle of concurrent appends: what was acknowledged is there, once, and nothing is half there.

ESDB_LITE_KILLS sets how often (50 unless told).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from esdb_lite.server.database.maintenance import verify
from esdb_lite.server.engine.model import Appended
from esdb_lite.server.storage import Record
from esdb_lite.server.storage.schema import open_reader
from esdb_lite.server.storage.sqlite_reader import SqliteReader
from tests.storage import crashing
from tests.storage.support import opened

KILLS = int(os.environ.get("ESDB_LITE_KILLS", "50"))


class Acknowledged(NamedTuple):
    stream: str
    expected: int
    run: int
    number: int
    size: int


@contextmanager
def appending(path: str, run: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, crashing.__file__, path, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def killed_after(path: str, run: int, acknowledgements: int) -> list[Acknowledged]:
    """Let a process append, kill it, and return everything that it had been told was written."""
    with appending(path, run) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledgements)]
        process.kill()
        lines += process.stdout.readlines()
    # A line that was cut short was acknowledged no less, but does not say what it was about.
    return [_parsed(line) for line in lines if line.endswith(b"\n")]


def _parsed(line: bytes) -> Acknowledged:
    stream, *numbers = line.decode().split()
    return Acknowledged(stream, *map(int, numbers))


def stored(path: str, first: int) -> list[Record]:
    reader = SqliteReader(open_reader(path), path)
    records: list[Record] = []
    try:
        while page := reader.log_forward(records[-1].position + 1 if records else first, 10_000):
            records += page
        return records
    finally:
        reader.close()


def check(records: list[Record], acknowledged: list[Acknowledged], run: int) -> None:
    """The appends of one run: whole, in order, each once, and all that were acknowledged."""
    appends: dict[tuple[int, int], list[Record]] = {}
    for record in records:
        written_by, number, index, size = map(int, record.data.split())
        assert written_by == run
        of_append = appends.setdefault((number, size), [])
        assert index == len(of_append), "written twice, or out of order"
        assert not of_append or (of_append[-1].stream, of_append[-1].revision + 1) == (record.stream, record.revision)
        of_append.append(record)
    for (number, size), of_append in appends.items():
        assert len(of_append) == size, f"append {number} is half there"
    for acknowledgement in acknowledged:
        of_append = appends[acknowledgement.number, acknowledgement.size]
        assert of_append[0].stream == acknowledgement.stream
        if acknowledgement.expected >= -1:
            assert of_append[0].revision == acknowledgement.expected + 1


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = str(tmp_path / "events.db")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choice = random.Random(seed)
    everything: list[Acknowledged] = []
    first = 733
    for run in range(KILLS):
        acknowledged = killed_after(path, run, choice.choice([1, choice.randrange(1, 50), choice.randrange(1, 2000)]))
        records = stored(path, first)
        check(records, acknowledged, run)
        first = records[-1].position + 1
        everything += acknowledged
    assert verify(path) == []
    await _retry(path, [append for append in everything if append.expected >= -1])


async def _retry(path: str, appends: list[Acknowledged]) -> None:
    """Whoever did not hear the answer sends it again: it is recognised, and nothing is written."""
    async with opened(path) as database:
        end = database.log_end
        for stream, expected, run, number, size in random.sample(appends, min(500, len(appends))):
            outcome = await database.append(stream, expected, crashing.proposed(run, number, size))
            assert isinstance(outcome, Appended)
            assert outcome.idempotent
            assert outcome.revision == expected + size
        assert database.log_end == end
    counts = Counter(record.id for record in stored(path, 733))
    assert set(counts.values()) == {1}
