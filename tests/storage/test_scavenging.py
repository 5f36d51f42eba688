# ruff: noqa: ASYNC240
"""A scavenge removes what cannot be read by name any more, nothing else, and makes the file shorter."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.group_commit import Committer
from esdb_lite.server.database.maintenance import Scavenged, scavenge, verify
from esdb_lite.server.database.scavenging import Steps
from esdb_lite.server.engine.append import Rule
from esdb_lite.server.engine.metadata import METASTREAM, TICKS_PER_SECOND, min_readable, of_record, oldest_readable
from esdb_lite.server.engine.model import ANY, Appended, is_metastream, original_of
from esdb_lite.server.storage import TOMBSTONE, Reader, Record
from esdb_lite.server.storage.errors import StorageClosed, StorageLocked, StorageNotADatabase, StorageUnavailable
from esdb_lite.server.storage.files import Files
from esdb_lite.server.storage.sqlite_scavenger import SqliteScavenger
from tests.engine.programs import STREAMS, programs
from tests.storage.support import event, events, log, of_stream, opened, written


class Clock:
    def __init__(self) -> None:
        self.now = TICKS_PER_SECOND * 1000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["file", "memory"])
async def db(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Database]:
    async with opened(tmp_path / "events.db" if request.param == "file" else None, now=clock) as database:
        yield database


async def scavenged(database: Database) -> int:
    scavenge = await database.start_scavenge()
    await database.scavenge_ended()
    return scavenge.removed


async def revisions(database: Database, stream: str) -> list[int]:
    return [record.revision for record in await of_stream(database, stream)]


@pytest.mark.parametrize(
    ("metadata", "left"),
    [(b'{"$maxCount":2}', [8, 9]), (b'{"$tb":7}', [7, 8, 9]), (b'{"$tb":50}', [9]),
     (b'{"$maxCount":20}', list(range(10))), (b'{"$maxCount":"2"}', list(range(10))),
     (b'{"$tb":3,"$maxCount":9}', list(range(3, 10)))],
)  # fmt: skip
async def test_truncated_events_go(db: Database, metadata: bytes, left: list[int]) -> None:
    await written(db, "s", events(10))
    await written(db, "$$s", [event(metadata)])
    assert await scavenged(db) == 10 - len(left)
    assert await revisions(db, "s") == left


async def test_expired_events_go_but_for_the_last(db: Database, clock: Clock) -> None:
    await written(db, "$$s", [event(b'{"$maxAge":10}')])
    await written(db, "s", events(5))
    clock.now += 5 * TICKS_PER_SECOND
    await written(db, "s", events(5))
    clock.now += 6 * TICKS_PER_SECOND
    assert await scavenged(db) == 5
    assert await revisions(db, "s") == [5, 6, 7, 8, 9]
    clock.now += 6 * TICKS_PER_SECOND
    assert await scavenged(db) == 4
    assert await revisions(db, "s") == [9]


async def test_only_what_is_expired_goes_wherever_it_is(db: Database, clock: Clock) -> None:
    await written(db, "$$s", [event(b'{"$maxAge":10}')])
    await written(db, "s", events(1))
    clock.now -= 100 * TICKS_PER_SECOND
    await written(db, "s", events(2))
    clock.now += 100 * TICKS_PER_SECOND
    await written(db, "s", events(1))
    assert await scavenged(db) == 2
    assert await revisions(db, "s") == [0, 3]


async def test_a_soft_deleted_stream_keeps_its_last_event(db: Database) -> None:
    await written(db, "s", events(5))
    await db.delete("s", ANY)
    assert await scavenged(db) == 4
    assert await revisions(db, "s") == [4]
    assert (await written(db, "s", events(1))).revision == 5


async def test_a_tombstoned_stream_keeps_its_tombstone_only(db: Database) -> None:
    await written(db, "$$s", events(2))
    await written(db, "s", events(5))
    await db.tombstone("s", ANY)
    assert await scavenged(db) == 7
    assert await revisions(db, "s") == [TOMBSTONE]
    assert await revisions(db, "$$s") == []


async def test_metadata_keeps_its_newest_event(db: Database) -> None:
    await written(db, "$$s", events(5))
    assert await scavenged(db) == 4
    assert await revisions(db, "$$s") == [4]


async def test_the_log_goes_on_at_the_next_chunk(db: Database) -> None:
    await scavenged(db)
    assert db.log_end == 268_435_456
    assert (await written(db, "s", events(1))).position == 268_435_456


async def test_positions_are_not_used_again_after_the_end_of_the_log_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with opened(path) as database:
        await written(database, "$$s", events(1))
        await database.tombstone("s", ANY)
        await written(database, "$$s", events(1))
        end = database.log_end
    assert scavenge(str(path)) == Scavenged(2, 0)
    async with opened(path) as database:
        assert database.log_end == end


async def test_one_scavenge_at_a_time(db: Database) -> None:
    first = await db.start_scavenge()
    assert await db.start_scavenge() is first
    assert db.scavenge is first
    await db.scavenge_ended()
    assert db.scavenge is None
    assert (await db.start_scavenge()).id != first.id
    await db.scavenge_ended()


async def test_a_scavenge_can_be_stopped(db: Database) -> None:
    await written(db, "$$s", [event(b'{"$maxCount":1}')])
    await written(db, "s", events(5000))
    scavenge = await db.start_scavenge()
    scavenge.stop()
    await db.scavenge_ended()
    assert scavenge.stopped
    assert len(await revisions(db, "s")) == 5000 - scavenge.removed > 1
    await scavenged(db)
    assert await revisions(db, "s") == [4999]


async def test_closing_ends_a_scavenge(tmp_path: Path) -> None:
    async with opened(tmp_path / "events.db") as database:
        await written(database, "$$s", [event(b'{"$maxCount":1}')])
        await written(database, "s", events(5000))
        await database.start_scavenge()
    assert verify(str(tmp_path / "events.db")) == []
    with pytest.raises(StorageClosed):
        await database.start_scavenge()


async def test_serving_goes_on_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.server.database.scavenging._LARGEST", 64)
    async with opened(tmp_path / "events.db") as database:
        for number in range(20):
            await written(database, "s", events(500, bytes(500)))
            await written(database, f"t{number}", events(20))
        await written(database, "$$s", [event(b'{"$maxCount":10}')])
        await database.start_scavenge()
        answered = 0
        while database.scavenge is not None:
            assert len(await database.read(lambda reader: reader.stream_backward("s", 2**63 - 1, 10))) == 10
            assert isinstance(await database.append("s", ANY, events(1)), Appended)
            answered += 1
        assert answered > 10
        assert (await revisions(database, "s"))[-10:] == list(range(9_990 + answered, 10_000 + answered))
    assert verify(str(tmp_path / "events.db")) == []


async def test_the_file_becomes_shorter(tmp_path: Path) -> None:
    path = str(tmp_path / "events.db")
    async with opened(path) as database:
        await written(database, "kept", events(100, bytes(1000)))
        await written(database, "s", events(300, bytes(20_000)))
        await database.delete("s", ANY)
    before = Path(path).stat().st_size
    result = scavenge(path)
    assert result.removed == 299
    assert Path(path).stat().st_size == before - result.freed < 300_000
    assert verify(path) == []


async def test_many_pages_are_given_back_at_a_time(tmp_path: Path) -> None:
    async with opened(str(tmp_path / "events.db")) as database:
        await written(database, "s", events(30, bytes(20_000)))
        writer = database._files.writer
        writer.connection.execute("DELETE FROM events WHERE length(data)=20000")
        assert SqliteScavenger(writer).shorten(50) == 50 * 4096


async def test_a_file_that_a_server_uses_can_be_scavenged(tmp_path: Path) -> None:
    path = str(tmp_path / "events.db")
    async with opened(path) as database:
        await written(database, "$$s", [event(b'{"$maxCount":5}')])
        await written(database, "s", events(3000, bytes(300)))
        scavenging = asyncio.create_subprocess_exec(
            sys.executable, "-c",
            f"from esdb_lite.server.database.maintenance import scavenge; print(scavenge({path!r}).removed)",
            stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        process = await scavenging
        while process.returncode is None and not process.stdout.at_eof():  # type: ignore[union-attr]
            assert isinstance(await database.append("s", ANY, events(1)), Appended)
        output, _ = await process.communicate()
        assert int(output) > 2900
        assert (await revisions(database, "s"))[-1] == (await database.read(lambda r: r.head("s")))[0]  # type: ignore[index]
    assert verify(path) == []


async def test_a_server_that_comes_meanwhile_is_told_of_the_scavenge(tmp_path: Path) -> None:
    path, told = str(tmp_path / "events.db"), list[str]()
    async with opened(path) as database:
        await written(database, "s", events(1))

    def come(_: Scavenged) -> None:
        with pytest.raises(StorageLocked) as refused:
            Files(path)
        told.append(str(refused.value))

    scavenge(path, progress=come)
    assert set(told) == {f"{path} is in use by a scavenge (process {os.getpid()})"}
    async with opened(path):
        with pytest.raises(StorageLocked, match=f"in use by another server .process {os.getpid()}"):
            Files(path)


def test_what_cannot_be_scavenged(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="does not exist"):
        scavenge(str(tmp_path / "none.db"))
    (tmp_path / "other.db").write_bytes(b"text" * 100)
    with pytest.raises(StorageNotADatabase):
        scavenge(str(tmp_path / "other.db"))


def readable(reader: Reader, stream: str, now: int) -> list[Record]:
    """What a reader of the stream may see, by the rules of reading."""
    head = reader.head(stream)
    original = reader.head(original_of(stream)) if is_metastream(stream) else None
    tombstoned = original is not None and original.last_revision == TOMBSTONE
    if head is None or tombstoned or head.last_revision == TOMBSTONE:
        return []
    metadata = METASTREAM if is_metastream(stream) else of_record(head.metadata)
    oldest = oldest_readable(metadata, now) or 0
    lowest = min_readable(metadata, head.last_revision)
    return [record for record in reader.stream_forward(stream, lowest, 1000) if record.created >= oldest]


@given(programs, st.integers(0, 40), programs)
def test_what_can_be_read_stays_and_the_rules_go_on(program: list[Rule], age: int, more: list[Rule]) -> None:
    time = [TICKS_PER_SECOND]
    files = Files(None)
    try:
        committer = Committer(files.writer, lambda: time[0])
        for rule in program:
            time[0] += TICKS_PER_SECOND // 10
            committer.commit([rule])
        now = time[0] + age * TICKS_PER_SECOND // 20
        before = {stream: files.loop_reader(lambda r, s=stream: (r.head(s), readable(r, s, now))) for stream in STREAMS}
        end = committer.log_end
        steps = Steps(committer, SqliteScavenger(files.writer), lambda: now)
        while steps.step():
            pass
        for stream, (head, events_before) in before.items():
            head_after, events_after = files.loop_reader(lambda r, s=stream: (r.head(s), readable(r, s, now)))
            assert events_after == events_before
            tombstoned = is_metastream(stream) and committer.last_revision(original_of(stream)) == TOMBSTONE
            assert tombstoned or (head_after and head_after.last_revision) == (head and head.last_revision)
        assert committer.log_end == files.writer.log_end() == end
        results = [committer.commit([rule]).results[0] for rule in more]
        assert not [result for result in results if isinstance(result, Exception)]
    finally:
        files.close()


async def test_scavenging_again_removes_nothing(db: Database) -> None:
    await written(db, "$$s", [event(b'{"$maxCount":3}')])
    await written(db, "s", events(50))
    assert await scavenged(db) == 47
    stored = await log(db)
    assert await scavenged(db) == 0
    assert await log(db) == stored
