# ruff: noqa: ASYNC240
"""Every page of a file broken in turn: what is said of it, and what can be taken out."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from hashlib import md5
from pathlib import Path

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.maintenance import scavenge
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.storage import Record
from esdb_lite.server.storage.backup import backup
from esdb_lite.server.storage.errors import StorageError
from esdb_lite.server.storage.raw_pages import TABLE, RawPages
from esdb_lite.server.storage.salvage import Salvaged
from esdb_lite.server.storage.verification import verify

PAGE = 4096
STREAMS = 6


async def fill(path: Path) -> list[Record]:
    database = await Database.open(path)
    for number in range(240):
        id = md5(str(number).encode(), usedforsecurity=False).digest()
        # Found again by its id on every page that a part of it is on.
        event = ProposedEvent(id, f"T{number % 3}", True, id * (500 if number % 40 == 7 else number % 12))
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


BREAKS = {
    "head": (0, b"\xff" * 600),
    "zero": (0, bytes(PAGE)),
    "middle": (100, b"\xff" * 600),
    "tail": (PAGE - 600, b"\xff" * 600),
}
"""Where in a page something else stands then, and what."""


@pytest.mark.parametrize("where", BREAKS)
async def test_every_page_broken_in_turn(tmp_path: Path, where: str) -> None:
    """There is always a report, and nothing is lost but what lies on that page."""
    path = tmp_path / "events.db"
    records = await fill(path)
    content = path.read_bytes()
    assert len(content) % PAGE == 0
    offset, breakage = BREAKS[where]
    some = 0
    for page in range(len(content) // PAGE):
        start = page * PAGE + offset
        broken = tmp_path / f"page-{page}.db"
        broken.write_bytes(content[:start] + breakage + content[start + len(breakage) :])
        findings = verify(str(broken))
        assert all("\n" not in finding for finding in findings)
        plain = tmp_path / f"plain-{page}.db"
        if findings:
            with pytest.raises(StorageError, match=f"^{re.escape(str(broken))} is damaged.*verify.*--salvage"):
                backup(str(broken), str(plain))
            assert not plain.exists(), page
        else:
            backup(str(broken), str(plain))
        said, found = await salvaged(broken, tmp_path / f"copy-{page}.db")
        there = content[page * PAGE : (page + 1) * PAGE]
        missing = set(records) - set(found)
        assert set(found) <= set(records), page
        assert all(record.id in there for record in missing), page
        assert findings or not missing, page
        assert (said.kept, said.lost) == (len(found), len(missing)), page
        some += bool(missing)
    assert some >= 3  # leaves of the table, and pages that long events go on in


async def test_the_schema_is_no_text_any_more(tmp_path: Path) -> None:
    """Each byte of a statement broken in turn is reported in a line or does no harm, and everything is kept."""
    path, broken, copy = (tmp_path / name for name in ("events.db", "broken.db", "copy.db"))
    records = await fill(path)
    content = path.read_bytes()
    begin = content.index(b"CREATE TABLE")
    said_so = 0
    for at in range(begin, begin + 60):
        broken.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        findings = verify(str(broken))
        assert all("\n" not in finding for finding in findings)
        said_so += any("is no text" in finding for finding in findings)
        copy.unlink(missing_ok=True)
        _, found = await salvaged(broken, copy)
        assert found == records, at
    assert said_so


async def test_what_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    """Bytes of the first page with another value: `verify` reports what a server refuses, and nothing is lost."""
    path, broken, copy = (tmp_path / name for name in ("events.db", "broken.db", "copy.db"))
    records = await fill(path)
    content = path.read_bytes()
    statements = content.index(b"CREATE TABLE", 0, PAGE)
    flips = [(at, 147) for at in range(100)] + [(at, 64) for at in range(statements, PAGE, 7)]
    flips += [
        (found.start(), mask) for found in re.finditer(b"position|_state|NULL", content[:PAGE]) for mask in (2, 64)
    ]
    refused = 0
    for at, mask in flips:
        Path(f"{broken}-lock").unlink(missing_ok=True)  # what it says of confirmed appends would be another finding
        broken.write_bytes(content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :])
        findings = what_is_wrong(broken)
        opens = await can_be_opened(broken)
        assert opens or findings, (at, mask)
        if 16 <= at < 24 or at % 25 == 0:
            copy.unlink(missing_ok=True)
            assert (await salvaged(broken, copy))[1] == records, (at, mask)
        refused += not opens
    assert refused > 200


def what_is_wrong(path: Path) -> list[str]:
    try:
        return verify(str(path))
    except StorageError as error:
        return [str(error)]


async def can_be_opened(path: Path) -> bool:
    try:
        database = await Database.open(path)
    except StorageError:
        return False
    await database.close()
    return True


async def test_without_any_tree(tmp_path: Path) -> None:
    """The first page and all roots are gone but those of names, and the rest is found; what was scavenged is not."""
    path = tmp_path / "events.db"
    records = await fill(path)
    database = await Database.open(path)
    await database.append("$$stream-0", ANY, [ProposedEvent(b"m" * 16, "$metadata", True, b'{"$maxCount":2}')])
    await database.close()
    scavenge(str(path))
    database = await Database.open(path)
    left = await all_of(database)
    await database.close()
    assert 0 < len(left) < len(records)
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT rootpage FROM sqlite_master WHERE name NOT LIKE 'sqlite_auto%'")
        roots = [1, *(root for (root,) in found)]
    content = bytearray(path.read_bytes())
    for root in roots:
        content[(root - 1) * PAGE : root * PAGE] = b"\xff" * PAGE
    path.write_bytes(content)
    assert verify(str(path))
    said, records = await salvaged(path, tmp_path / "copy.db")
    assert records == left
    assert said.kept == len(left)


async def test_what_was_removed_stays_away(tmp_path: Path) -> None:
    """Pages that are free may still have it."""
    path = tmp_path / "events.db"
    records = await fill(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        # All at once, and not overwritten: then SQLite gives up the pages as they are.
        connection.execute("PRAGMA secure_delete=OFF")
        rest = "SELECT * FROM events WHERE position>=?"
        connection.execute(f"CREATE TEMP TABLE rest AS {rest}", (records[200].position,))
        connection.execute("DELETE FROM events")
        connection.execute("INSERT INTO events SELECT * FROM rest")
    content = path.read_bytes()
    assert any(record.id in content for record in records[:200])
    path.write_bytes(b"\xff" * PAGE + content[PAGE:])
    _, found = await salvaged(path, tmp_path / "copy.db")
    assert found == records[200:]


async def test_pages_of_the_log_count(tmp_path: Path) -> None:
    """What a crash has left in the write-ahead log is salvaged, too, where the tree above it is damaged."""
    path, copy = tmp_path / "events.db", tmp_path / "crashed.db"
    records = await fill(path)
    database = await Database.open(path)
    more = [ProposedEvent(bytes([200 + number]) * 16, "More", True, b"y" * 3000) for number in range(20)]
    await database.append("more", ANY, more)
    for end in ("", "-wal"):
        (tmp_path / f"crashed.db{end}").write_bytes((tmp_path / f"events.db{end}").read_bytes())
    await database.close()
    content = bytearray(copy.read_bytes())
    content[:PAGE] = b"\xff" * PAGE
    copy.write_bytes(content)
    with closing(RawPages(str(copy))) as pages:
        assert len({row[0] for row in pages.rows(TABLE, (10,))}) == len(records) + 20
    _, found = await salvaged(copy, tmp_path / "copy.db")
    assert [record for record in found if record.type == "T0"] == [record for record in records if record.type == "T0"]
    assert len([record for record in found if record.stream == "more"]) == 20


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
