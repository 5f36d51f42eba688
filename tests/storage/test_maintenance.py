"""Backups of files in use, and what a check finds."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from esdb_lite.server.database.maintenance import backup, verify
from esdb_lite.server.engine.model import ANY
from esdb_lite.server.storage.errors import StorageNotADatabase, StorageUnavailable
from tests.storage.support import event, events, log, of_stream, opened, written


@pytest.fixture
async def path(tmp_path: Path) -> str:
    """A closed file with a few streams."""
    path = str(tmp_path / "events.db")
    async with opened(path) as database:
        for number in range(30):
            await written(database, f"s{number % 3}", [event(b"%d" % number)])
    return path


async def test_a_backup_is_one_moment_of_a_file_in_use(path: str, tmp_path: Path) -> None:
    copy = str(tmp_path / "copy.db")
    async with opened(path) as database:
        appends = [asyncio.ensure_future(database.append("pairs", ANY, events(2))) for _ in range(200)]
        copying = asyncio.get_running_loop().run_in_executor(None, backup, path, copy)
        await asyncio.gather(*appends, copying)
        await asyncio.get_running_loop().shutdown_default_executor()
        everything = await log(database)
    async with opened(copy) as database:
        copied = await log(database)
        assert len(await of_stream(database, "pairs")) % 2 == 0
        await written(database, "goes", events(1))
    assert copied == everything[: len(copied)]
    assert len(copied) >= 30
    assert verify(copy) == []


def test_what_a_killed_backup_has_left_goes_with_the_next(path: str, tmp_path: Path) -> None:
    left = [tmp_path / f"copy.db.partial-4711-0123abcd{end}" for end in ("", "-journal")]
    kept = [
        tmp_path / name for name in ("copy.db.partial-x", "other.db.partial-1-0123abcd", "copy.db.partial-2-0123abcd")
    ]
    for each in left + kept:
        each.touch()
    for each in left + kept[:2]:
        os.utime(each, (0, 0))
    backup(path, str(tmp_path / "copy.db"))
    assert [each.exists() for each in left + kept] == [False, False, True, True, True]


def test_a_backup_leaves_only_itself(path: str, tmp_path: Path) -> None:
    backup(path, str(tmp_path / "copy.db"))
    assert not [name for name in os.listdir(tmp_path) if "partial" in name or name.startswith("copy.db-")]


def test_nothing_is_overwritten(path: str, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(StorageUnavailable, match="exists already"):
        backup(path, str(tmp_path / "copy.db"))
    assert (tmp_path / "copy.db").read_text() == "precious"


@pytest.mark.parametrize("action", [verify, lambda path: backup(path, path + ".copy")])
def test_what_is_no_database_is_refused(action: object, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text" * 100)
    with pytest.raises(StorageNotADatabase):
        action(str(tmp_path / "text"))  # type: ignore[operator]
    with pytest.raises(StorageUnavailable, match="none does not exist"):
        action(str(tmp_path / "none"))  # type: ignore[operator]
    assert os.listdir(tmp_path) == ["text"]


def test_a_sound_file_has_no_findings(path: str) -> None:
    seen: list[int] = []
    assert verify(path, progress=seen.append) == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE events SET data='x' WHERE stream=3 AND revision=2", "wrong checksum"),
        ("UPDATE events SET position=position+1 WHERE stream=3 AND revision=2", "wrong checksum"),
        ("UPDATE events SET created='now' WHERE stream=3 AND revision=2", "wrong checksum"),
        ("UPDATE streams SET name='other' WHERE number=3", "wrong checksum"),
        ("DELETE FROM streams WHERE number=3", "names a stream or type that is not there"),
        ("DELETE FROM events WHERE stream=3 AND revision=2", "stream 's0' has 9 events with revisions from 0 to 9"),
        ("DELETE FROM events WHERE stream=3 AND revision=0", "stream 's0' has 9 events with revisions from 1 to 9"),
    ],
)
def test_what_is_wrong_is_found(path: str, statement: str, finding: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    assert finding in verify(path)[0]


def test_a_lost_index_entry_is_found(path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("DELETE FROM sqlite_master WHERE name='events_of_stream'")
    assert verify(path)
