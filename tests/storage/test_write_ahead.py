# ruff: noqa: ASYNC240
"""A write-ahead log that was damaged is told from one that a crash has left."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.maintenance import backup, scavenge, verify
from esdb_lite.server.options import Durability
from esdb_lite.server.storage import confirm_notes
from esdb_lite.server.storage.errors import StorageCorrupted
from esdb_lite.server.storage.schema import connect_reader
from esdb_lite.server.storage.write_ahead import lost_commits
from tests.storage.support import event, events, log, opened, written

PARTS = ("", "-wal", "-lock")
FRAME = 24 + 4096


def crashed(path: str, to: str) -> None:
    """Copy what the end of the server's process would leave now (the memory shared by processes is made anew)."""
    for part in PARTS:
        shutil.copyfile(path + part, to + part)


async def crashed_after(path: str, to: str, *commits: int, durability: Durability = Durability.FULL) -> int:
    """Leave a file as if the process had ended after commits of so many events each; returns how many there are."""
    async with opened(path, durability=durability) as database:
        for count in commits:
            await written(database, "s", [event(bytes(1000)) for _ in range(count)])
        crashed(path, to)
        return len(await log(database))


async def served(path: str) -> int:
    async with opened(path) as database:
        return len(await log(database))


def frames(path: str) -> list[tuple[int, bool]]:
    """Where each frame of the log begins, and whether it is a commit."""
    content = Path(path + "-wal").read_bytes()
    starts = range(32, len(content) - FRAME + 1, FRAME)
    return [(start, content[start + 4 : start + 8] != bytes(4)) for start in starts]


def flip(path: str, offset: int) -> None:
    content = bytearray(Path(path).read_bytes())
    content[offset] ^= 0x10
    Path(path).write_bytes(content)


def forget_notes(path: str) -> None:
    """As if a power cut had come before any of them was on the disk."""
    os.unlink(path + "-lock")


async def refusal(path: str) -> str:
    with pytest.raises(StorageCorrupted) as caught:
        await Database.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "events.db")


@pytest.fixture
def left(tmp_path: Path) -> str:
    """Where the crashed server leaves its file."""
    return str(tmp_path / "left.db")


class TestACrash:
    async def test_all_that_was_confirmed_is_served(self, path: str, left: str) -> None:
        count = await crashed_after(path, left, 1, 20, 1, 3)
        assert verify(left) == []
        assert await served(left) == count
        assert verify(left) == []

    @pytest.mark.parametrize("missing", [1, 30, 4096, FRAME, 5 * FRAME + 7])
    async def test_a_torn_transaction_is_forgotten(self, path: str, left: str, missing: int) -> None:
        """Its end has not been written, or not been kept by the machine: nobody had been told of it."""
        async with opened(path) as database:
            await written(database, "s", events(3))
            before = len(await log(database))
            crashed(path, left)
            await written(database, "s", [event(bytes(1000)) for _ in range(60)])
            shutil.copyfile(path + "-wal", left + "-wal")
        os.truncate(left + "-wal", os.path.getsize(left + "-wal") - missing)
        assert verify(left) == []
        assert await served(left) == before

    async def test_a_transaction_of_which_only_the_end_is_on_the_disk(self, path: str, left: str) -> None:
        async with opened(path) as database:
            await written(database, "s", events(3))
            before = len(await log(database))
            crashed(path, left)
            first = len(frames(left))
            await written(database, "s", [event(bytes(1000)) for _ in range(60)])
            shutil.copyfile(path + "-wal", left + "-wal")
        assert len(frames(left)) > first + 10
        for number in random.sample(range(first, len(frames(left)) - 1), 5):
            flip(left + "-wal", frames(left)[number][0] + 100)
        assert verify(left) == []
        assert await served(left) == before
        # What was written over its beginning is followed by its end: still nothing is wrong.
        async with opened(left) as database:
            await written(database, "s", events(1))
        assert verify(left) == []

    async def test_what_was_rolled_back_is_no_loss(self, path: str, left: str) -> None:
        async with opened(path) as database:
            await written(database, "s", events(1))
            connection = database._files.writer.connection
            connection.execute("PRAGMA cache_size=10")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE large (x)")
            connection.executemany("INSERT INTO large VALUES (?)", [(bytes(3000),)] * 300)
            connection.execute("ROLLBACK")
            size = os.path.getsize(path + "-wal")
            await written(database, "s", events(2))
            await written(database, "s", events(1))
            assert os.path.getsize(path + "-wal") == size > 100 * 4096
            crashed(path, left)
            count = len(await log(database))
        assert verify(left) == []
        assert await served(left) == count

    async def test_a_log_that_was_begun_anew_over_an_older_one(self, path: str, left: str) -> None:
        async with opened(path) as database:
            for _ in range(30):
                await written(database, "s", [event(bytes(3000))])
            database._files.writer.connection.execute("PRAGMA wal_checkpoint(RESTART)")
            await written(database, "s", events(1))
            crashed(path, left)
            count = len(await log(database))
        assert len(frames(left)) > 30
        assert verify(left) == []
        assert await served(left) == count

    async def test_time_and_again(self, path: str, tmp_path: Path) -> None:
        count = 0
        for run in range(4):
            to = str(tmp_path / f"left-{run}.db")
            count = await crashed_after(path, to, 1, 1, 1)
            path = to
        assert await served(path) == count == 12


class TestDamage:
    """Of what a killed process leaves: the notes say exactly how far appends were confirmed."""

    async def test_every_damaged_frame_is_reported(self, path: str, left: str, tmp_path: Path) -> None:
        await crashed_after(path, left, 1, 2, 5, 1)
        damaged = str(tmp_path / "damaged.db")
        for start, _ in frames(left):
            crashed(left, damaged)
            flip(damaged + "-wal", start + random.randrange(FRAME))
            assert len(verify(damaged)) >= 1, start
            await refusal(damaged)
            # It stays so.
            assert "appends up to position" in await refusal(damaged)

    @pytest.mark.parametrize("size", [0, 20, 32, 32 + FRAME, None])
    async def test_a_log_that_was_cut_off_or_removed(self, path: str, left: str, size: int | None) -> None:
        await crashed_after(path, left, 1, 2, 5, 1)
        if size is None:
            os.unlink(left + "-wal")
        else:
            os.truncate(left + "-wal", size)
        assert "appends up to position" in await refusal(left)
        if size is None:
            return
        with pytest.raises(StorageCorrupted, match="appends up to position"):
            scavenge(left)

    async def test_a_copy_of_what_is_left(self, path: str, left: str, tmp_path: Path) -> None:
        count = await crashed_after(path, left, 1, 2, 5, 1)
        flip(left + "-wal", frames(left)[-1][0] + 50)
        copy = str(tmp_path / "copy.db")
        with pytest.raises(StorageCorrupted, match="--salvage"):
            backup(left, copy)
        backup(left, copy, salvage=True)
        assert verify(copy) == []
        assert await served(copy) == count - 1

    async def test_another_database_in_its_place_is_no_loss(self, path: str, left: str, tmp_path: Path) -> None:
        await crashed_after(path, left, 100)
        other = str(tmp_path / "other.db")
        async with opened(other) as database:
            await written(database, "s", events(1))
        os.unlink(left + "-wal")
        shutil.copyfile(other, left)
        assert await served(left) == 1

    async def test_a_new_database_in_its_place_is_no_loss(self, path: str, left: str) -> None:
        await crashed_after(path, left, 100)
        for part in ("", "-wal"):
            os.unlink(left + part)
        assert await served(left) == 0

    async def test_an_older_copy_in_its_place_is_refused_until_the_notes_are_removed(
        self, path: str, left: str, tmp_path: Path
    ) -> None:
        async with opened(path) as database:
            await written(database, "s", events(1))
            backup(path, str(tmp_path / "copy.db"))
            await written(database, "s", events(1))
            crashed(path, left)
        os.unlink(left + "-wal")
        shutil.copyfile(tmp_path / "copy.db", left)
        assert f"remove {left}-lock" in await refusal(left)
        os.unlink(left + "-lock")
        assert await served(left) == 1


class TestDamageWithoutNotes:
    """A power cut may have kept the notes from the disk; then the log has to speak for itself."""

    async def test_a_damaged_frame_before_the_last_commit_is_reported(
        self, path: str, left: str, tmp_path: Path
    ) -> None:
        await crashed_after(path, left, 1, 2, 5, 1, 1)
        forget_notes(left)
        commits = [number for number, (_, commits) in enumerate(frames(left)) if commits]
        damaged = str(tmp_path / "damaged.db")
        for number, (start, _) in enumerate(frames(left)):
            if number > commits[-2]:
                break
            for part in ("", "-wal"):
                shutil.copyfile(left + part, damaged + part)
            flip(damaged + "-wal", start + 24 + random.randrange(4096))
            assert "is damaged behind its frame" in verify(damaged)[0], number
            assert "is damaged behind its frame" in await refusal(damaged)

    @pytest.mark.parametrize("offset", [0, 5, 10, 17, 25])
    async def test_a_damaged_header_is_reported(self, path: str, left: str, offset: int) -> None:
        await crashed_after(path, left, 1, 2, 5)
        forget_notes(left)
        flip(left + "-wal", offset)
        assert "is damaged behind its frame 0" in await refusal(left)

    async def test_without_syncing_it_may_be_the_machine(self, path: str, left: str) -> None:
        """With durability "relaxed" nobody was promised anything, and a power cut may leave any part of the log."""
        await crashed_after(path, left, 1, 2, 5, 1, 1, durability=Durability.RELAXED)
        flip(left + "-wal", frames(left)[len(frames(left)) // 2][0] + 50)
        assert verify(left) == []
        assert 0 < await served(left) < 10
        assert verify(left) == []


class TestNotes:
    async def test_they_are_gone_with_their_holder(self, path: str) -> None:
        async with opened(path) as database:
            await written(database, "s", events(1))
            ((_, end),) = set(confirm_notes.read(path).notes[:1])
            assert 0 < end <= database.log_end
            assert max(end for _, end in confirm_notes.read(path).notes) == database.log_end
        assert not os.path.exists(path + "-lock")

    async def test_they_stay_as_long_as_there_is_a_log(self, path: str) -> None:
        async with opened(path) as database:
            await written(database, "s", events(1))
            end = database.log_end
            reading = connect_reader(path)
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM events").fetchone()
        assert max(noted for _, noted in confirm_notes.read(path).notes) == end
        reading.close()
        os.unlink(path + "-wal")
        assert "appends up to position" in await refusal(path)

    async def test_who_need_not_be_on_the_disk_is_not_noted(self, path: str) -> None:
        async with opened(path, durability=Durability.RELAXED) as database:
            await written(database, "s", events(1))
            assert confirm_notes.read(path) == confirm_notes.LastRun(relaxed=True)

    async def test_a_damaged_note_is_ignored(self, path: str, left: str) -> None:
        count = await crashed_after(path, left, 1, 1)
        for offset in (70, 140):
            flip(left + "-lock", offset)
        assert confirm_notes.read(left) == confirm_notes.LastRun()
        assert await served(left) == count

    async def test_a_lock_of_an_earlier_version(self, path: str, left: str) -> None:
        count = await crashed_after(path, left, 1, 1)
        Path(left + "-lock").write_text("12345\n")
        assert await served(left) == count


def test_a_log_in_use_is_not_taken_for_damaged(path: str) -> None:
    """Frames are written while somebody looks: those that SQLite knows of by now are none of his business."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer, closing(connect_reader(path)) as reader:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (x)")
        for number in range(200):
            writer.execute("INSERT INTO t VALUES (?)", (bytes(2000),))
            if number % 40 == 39:
                writer.execute("PRAGMA wal_checkpoint(RESTART)")
            reader.execute("SELECT count(*) FROM t").fetchone()
            assert lost_commits(path) is None


class TestABackupThatIsPutBack:
    """After a crash, beside a write-ahead log that stayed behind."""

    async def crash(self, path: str, left: str, copy: str) -> None:
        async with opened(path) as database:
            await written(database, "s", events(1))
            backup(path, copy)
            await written(database, "s", [event(bytes(1000)) for _ in range(100)])
            database._files.writer.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            await written(database, "s", events(1))
            crashed(path, left)

    @pytest.mark.parametrize("has_notes", [True, False])
    async def test_an_older_one_is_refused_until_the_log_is_removed(
        self, path: str, left: str, tmp_path: Path, *, has_notes: bool
    ) -> None:
        copy = str(tmp_path / "copy.db")
        await self.crash(path, left, copy)
        if not has_notes:
            forget_notes(left)
        shutil.copyfile(copy, left)
        before = Path(left).read_bytes()
        assert f"remove {left}-wal and {left}-lock" in await refusal(left)
        assert Path(left).read_bytes() == before
        os.unlink(left + "-wal")
        Path(left + "-lock").unlink(missing_ok=True)
        assert await served(left) == 1

    async def test_one_of_another_database_is_refused(self, path: str, left: str, tmp_path: Path) -> None:
        copy, other = str(tmp_path / "copy.db"), str(tmp_path / "other.db")
        await self.crash(path, left, copy)
        async with opened(other) as database:
            await written(database, "s", [event(bytes(1000)) for _ in range(500)])
        shutil.copyfile(other, left)
        assert await refusal(left)
        os.unlink(left + "-wal")
        os.unlink(left + "-lock")
        assert await served(left) == 500

    async def test_one_that_has_all_that_the_log_builds_on_is_what_was_lost(
        self, path: str, left: str, tmp_path: Path
    ) -> None:
        copy = str(tmp_path / "copy.db")
        async with opened(path) as database:
            await written(database, "s", [event(bytes(1000)) for _ in range(100)])
            backup(path, copy)
            await written(database, "s", events(20))
            crashed(path, left)
            count = len(await log(database))
        shutil.copyfile(copy, left)
        assert await served(left) == count
        assert verify(left) == []
