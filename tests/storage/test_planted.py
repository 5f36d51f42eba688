# ruff: noqa: ASYNC221, ASYNC240
"""Files that strangers can read, links that they have planted, and what happens when the database is taken away."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.maintenance import scavenge, verify
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.storage import ownership
from esdb_lite.server.storage.backup import backup
from esdb_lite.server.storage.errors import StorageFailed, StorageLocked, StorageReadOnly, StorageUnavailable
from esdb_lite.server.storage.files import Files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files have no such modes there")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def append(database: Database, number: int = 0, data: bytes = b"{}") -> None:
    await database.append("s", ANY, [ProposedEvent(number.to_bytes(16, "big"), "T", True, data)])


async def begun(path: Path) -> Database:
    """An open database with an event."""
    database = await Database.open(path)
    await append(database)
    return database


async def test_what_is_made_is_for_its_owner_only(path: Path) -> None:
    before = os.umask(0)
    try:
        database = await Database.open(path)
        await append(database)
        made = {file.name: mode(file) for file in path.parent.iterdir()}
        await database.close()
    finally:
        os.umask(before)
    assert {"events.db", "events.db-wal", "events.db-lock"} <= made.keys()
    assert set(made.values()) == {0o600}


@pytest.mark.parametrize("bits", [0o600, 0o640])
async def test_a_backup_is_no_wider_open_than_its_source(path: Path, bits: int) -> None:
    await (await Database.open(path)).close()
    path.chmod(bits)
    backup(str(path), str(path) + ".copy")
    assert mode(Path(str(path) + ".copy")) == bits & ~_umask()


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


def test_a_link_in_place_of_the_lock_is_not_followed(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"x" * 1000)
    Path(str(path) + "-lock").symlink_to(victim)
    with pytest.raises(StorageReadOnly):
        Files(str(path))
    assert victim.read_bytes() == b"x" * 1000


def test_what_is_no_file_is_no_lock(path: Path) -> None:
    os.mkfifo(str(path) + "-lock")
    with pytest.raises(StorageReadOnly):
        Files(str(path))


async def test_a_planted_partial_copy_is_not_written_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await Database.open(path)).close()
    victim = path.parent / "victim"
    victim.write_bytes(b"precious")
    monkeypatch.setattr("secrets.token_hex", lambda size: "planted")
    Path(f"{path}.copy.partial-{os.getpid()}-planted").symlink_to(victim)
    with pytest.raises(StorageUnavailable):
        backup(str(path), f"{path}.copy")
    assert victim.read_bytes() == b"precious"


async def test_a_database_with_two_names_has_one_server(path: Path) -> None:
    database = await Database.open(path)
    other = linked(path)
    with pytest.raises(StorageLocked, match="by another name"):
        Files(str(other))
    await append(database)
    await database.close()
    again = await Database.open(other)
    await append(again, 1)
    await again.close()


async def test_with_the_lock_removed_there_is_still_one_server(path: Path) -> None:
    database = await Database.open(path)
    Path(str(path) + "-lock").unlink()
    with pytest.raises(StorageLocked):
        Files(str(path))
    await append(database)
    await database.close()


async def test_a_database_that_was_removed_confirms_nothing(path: Path) -> None:
    database = await begun(path)
    path.unlink()
    with pytest.raises(StorageFailed, match="was removed"):
        await append(database, 1)
    await database.close()


async def test_nor_one_that_was_emptied(path: Path) -> None:
    database = await begun(path)
    os.truncate(path, 0)
    with pytest.raises(StorageFailed, match="was emptied"):
        await append(database, 1)
    await database.close()


@pytest.mark.parametrize("left", [4096, 65536])
async def test_nor_one_that_was_cut_off(path: Path, left: int) -> None:
    """Whether the pages that are missing were written lately or long ago."""
    database = await Database.open(path)
    for number in range(2):
        await append(database, number, bytes(1_000_000))
    database._files.writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await append(database, 2)
    assert path.stat().st_size > 2_000_000
    os.truncate(path, left)
    for _ in range(2):
        with pytest.raises(StorageFailed, match="was cut off"):
            await append(database, 3)
    await database.close()


async def test_one_that_a_scavenge_has_made_shorter_goes_on(path: Path) -> None:
    """In this process, and in another one."""
    database = await Database.open(path)
    for number in range(2):
        await append(database, number, bytes(1_000_000))
    connection = database._files.writer.connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await append(database, 2)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DELETE FROM events WHERE length(data)=1000000")
        other.commit()
        other.executescript("PRAGMA incremental_vacuum")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size < 100_000
    await append(database, 3)
    await append(database, 4, bytes(500_000))
    await database.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_nor_one_that_was_replaced(path: Path) -> None:
    database = await begun(path)
    path.rename(f"{path}.moved")
    sqlite3.connect(path).close()
    path.touch()
    with pytest.raises(StorageFailed, match="replaced"):
        await append(database, 1)
    await database.close()


@pytest.fixture
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_BESIDE_EVERY", 0.0)


@pytest.mark.usefixtures("looks_at_once")
@pytest.mark.parametrize("end", ["-wal", "-shm"])
async def test_nor_one_that_has_lost_what_is_beside_it(path: Path, end: str) -> None:
    database = await begun(path)
    Path(str(path) + end).unlink()
    with pytest.raises(StorageFailed, match=f"{end} was removed"):
        await append(database, 1)
    await database.close()
    assert await count(path) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="an open log could not be removed there")
@pytest.mark.parametrize("left", [0, 32, 10_000])
async def test_nor_one_whose_log_was_cut_off(path: Path, left: int) -> None:
    database = await Database.open(path)
    for number in range(5):
        await append(database, number)
    os.truncate(f"{path}-wal", left)
    for _ in range(2):
        with pytest.raises(StorageFailed, match="-wal was cut off"):
            await append(database, 5)
    await database.close()


async def test_a_log_that_another_process_has_emptied_is_whole(path: Path) -> None:
    database = await Database.open(path)
    await append(database)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert os.path.getsize(f"{path}-wal") == 0
    await append(database, 1)
    await database.close()
    assert await count(path) == 2


async def test_it_is_noticed_after_a_while_and_from_then_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_BESIDE_EVERY", 1000.0)
    database = await begun(path)
    Path(f"{path}-wal").unlink()
    await append(database, 1)
    owned = database._files._ownership
    assert owned is not None
    owned._look_again -= 1000.0
    for number in (2, 3):
        with pytest.raises(StorageFailed, match="-wal was removed"):
            await append(database, number)
    left = path.parent / "left.db"
    shutil.copy(path, left)
    assert await count(left) == 2
    await database.close()


@pytest.mark.usefixtures("looks_at_once")
async def test_what_was_confirmed_before_the_log_was_removed_survives_a_kill(path: Path) -> None:
    database = await begun(path)
    Path(str(path) + "-wal").unlink()
    with pytest.raises(StorageFailed):
        await append(database, 1)
    left = path.parent / "left.db"
    shutil.copy(path, left)
    assert await count(left) == 1
    await database.close()


def linked(path: Path) -> Path:
    """Another name of a database."""
    other = path.parent / "other.db"
    other.hardlink_to(path)
    return other


async def test_another_name_of_a_database_of_this_process_does_not_end_the_locks_of_sqlite(path: Path) -> None:
    database = await begun(path)
    other = linked(path)
    with pytest.raises(StorageLocked, match="by another name"):
        Files(str(other))
    # The last to leave a database removes its log; a process that saw no lock would take itself for that.
    program = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('SELECT count(*) FROM events'); c.close()"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert Path(f"{path}-wal").exists()
    await append(database, 1)
    await database.close()


async def test_a_scavenge_by_another_name_is_refused(path: Path) -> None:
    """It would have a write-ahead log of its own: the database was destroyed."""
    database = await begun(path)
    other = linked(path)
    with pytest.raises(StorageLocked, match="by another name"):
        scavenge(str(other))
    await database.close()
    assert scavenge(str(other)).removed == 0


def test_what_another_process_uses_by_another_name_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_BETWEEN_LOOKS", 0.0)
    Files(str(path)).close()
    other = linked(path)
    program = "import sys; from esdb_lite.server.storage.files import Files; f = Files(sys.argv[1]); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for read in (lambda: verify(str(other)), lambda: backup(str(other), str(other) + ".copy")):
            with pytest.raises(StorageLocked, match="by another name"):
                read()
        assert verify(str(path)) == []
        process.communicate(b"\n")
    assert verify(str(other)) == []


async def count(path: Path) -> int:
    """How many events of the test there are."""
    database = await Database.open(path)
    try:
        return len(await database.read(lambda reader: reader.stream_forward("s", 0, 10)))
    finally:
        await database.close()
