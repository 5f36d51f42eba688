# ruff: noqa: ASYNC240
"""Every page of a file broken in turn: what is said of it, and what can be taken out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.storage import Record
from esdb_lite.server.storage.backup import backup
from esdb_lite.server.storage.errors import StorageError
from esdb_lite.server.storage.salvage import Salvaged
from esdb_lite.server.storage.verification import verify

PAGE = 4096
STREAMS = 6


async def fill(path: Path) -> list[Record]:
    database = await Database.open(path)
    for number in range(240):
        event = ProposedEvent(number.to_bytes(16, "big"), f"T{number % 3}", True, b"x" * (number % 200))
        await database.append(f"stream-{number % STREAMS}", ANY, [event])
    records = await all_of(database)
    await database.close()
    return records


async def all_of(database: Database) -> list[Record]:
    return await database.read(lambda reader: reader.log_forward(0, 10_000))


async def salvaged(path: Path, copy: Path) -> tuple[Salvaged, list[Record]]:
    """What is said of a copy, and what is in it; it can be written to, and is sound."""
    said = backup(str(path), str(copy), salvage=True)
    assert said is not None
    database = await Database.open(copy)
    records = await all_of(database)
    await database.append("stream-0", ANY, [ProposedEvent(b"n" * 16, "New", True, b"{}")])
    assert (await all_of(database))[-1].type == "New"
    await database.close()
    assert verify(str(copy)) == []
    return said, records


async def test_every_page_broken_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    records = await fill(path)
    content = path.read_bytes()
    assert len(content) % PAGE == 0
    halves = 0
    for page in range(len(content) // PAGE):
        broken = tmp_path / f"page-{page}.db"
        broken.write_bytes(content[: page * PAGE] + b"\xff" * 600 + content[page * PAGE + 600 :])
        try:
            findings = verify(str(broken))
        except StorageError as error:
            findings = [str(error)]
        assert all("\n" not in finding for finding in findings)
        said, found = await salvaged(broken, tmp_path / f"copy-{page}.db")
        assert set(found) <= set(records), page
        if len(found) < len(records):
            assert findings, page
        assert (said.kept, said.lost) == (len(found), len(records) - len(found)), page
        halves += 0 < len(found) < len(records)
    assert halves >= 3  # leaves of the table; without the root of a tree there is nothing


async def test_a_whole_file_is_copied_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    records = await fill(path)
    said, found = await salvaged(path, tmp_path / "copy.db")
    assert (said, found) == (Salvaged(len(records), 0), records)


async def test_what_is_no_database_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE other (a)")
    path.with_suffix(".txt").write_text("a text")
    for strange in (path, path.with_suffix(".txt")):
        with pytest.raises(StorageError):
            backup(str(strange), str(tmp_path / "copy.db"), salvage=True)
        assert not (tmp_path / "copy.db").exists()
        assert not list(tmp_path.glob("*partial*"))
