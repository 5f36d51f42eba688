"""Reading a category or a type, by entries and by searching, against the rule applied to every record."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.records import SchemaFormat
from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.indexes import is_selected
from esdb_lite.server.engine.model import ANY, Appended, Decision, ProposedEvent
from esdb_lite.server.storage import (
    IndexProgress,
    LogSelection,
    Named,
    Reader,
    Record,
    SelectedPage,
    StoredSchema,
    selections,
)
from tests.engine.naive_reader import name_of

NAMES = ("a-1", "a-2", "a", "aa-1", "é-1", "-a", "$a-1", "a%-1", "A-1")
TYPES = ("T", "t", "$T", "T é")
LOOKED_AT = 7


async def filled(events: list[tuple[str, str]]) -> Database:
    database = await Database.open()
    for number, (stream, type) in enumerate(events):
        await database.append(stream, ANY, [ProposedEvent(number.to_bytes(16, "big"), type, True, b"{}")])
    return database


def searched(reader: Reader, selection: LogSelection, start: int, limit: int, *, backwards: bool) -> list[Record]:
    found: list[Record] = []
    place: int | None = start
    search = reader.selected_backward if backwards else reader.selected_forward
    while place is not None:
        records, place = search(selection, place, limit)
        assert len(records) <= limit
        found += records
    return found


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(TYPES)), max_size=25),
    st.builds(LogSelection, st.sampled_from([None, "a", "é", "", "a%", "A", "a-1"]), st.sampled_from([None, "T", "x"])),
    st.integers(0, 4000),
    st.integers(1, 5),
    st.lists(st.integers(1, 15), max_size=3),
)
def test_nothing_is_missing_and_nothing_comes_twice(
    events: list[tuple[str, str]], selection: LogSelection, start: int, limit: int, entered: list[int]
) -> None:
    import asyncio

    async def check() -> None:
        database = await filled(events)
        for count in entered:  # entries of the first events, in steps
            database._files.writer.index(count)
        try:
            every = await database.read(lambda reader: reader.log_forward(0, 1000))
            chosen = [record for record in every if is_selected(selection, record)]
            forward = await database.read(lambda reader: searched(reader, selection, start, limit, backwards=False))
            backward = await database.read(lambda reader: searched(reader, selection, start, limit, backwards=True))
        finally:
            await database.close()
        assert forward == [record for record in chosen if record.position >= start]
        assert backward == [record for record in reversed(chosen) if record.position <= start]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selections, "LOOKED_AT", LOOKED_AT)
        asyncio.run(check())


async def test_events_at_positions() -> None:
    database = await filled([("a", "T"), ("b", "T"), ("c", "T")])
    try:
        every = await database.read(lambda reader: reader.log_forward(0, 1000))
        asked = [every[-1].position, every[-1].position + 1, every[-3].position]
        assert await database.read(lambda reader: reader.log_at(asked)) == [every[-1], every[-3]]
    finally:
        await database.close()


def entered(path: Path) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
    """What is in the tables of entries: up to where, and the rows of categories and types."""
    with closing(sqlite3.connect(path)) as connection:
        position = connection.execute("SELECT coalesce(max(position), 0) FROM indexed").fetchone()[0]
        categories, types = (
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("category_events", "type_events")
        )
    return position, categories, types


async def written(database: Database, count: int) -> None:
    """Write events of two categories, a hundred at a time."""
    for number in range(count // 100):
        events = [ProposedEvent(uuid4().bytes, f"T{event % 3}", True, b"{}") for event in range(100)]
        await database.append(f"c{number % 2}-{number}", ANY, events)


async def test_entries_are_made_as_events_are_written(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "db")
    await written(database, 2500)
    await database.close()
    position, categories, types = entered(tmp_path / "db")
    assert len(categories) == len(types) >= 2000
    assert max(categories, key=lambda row: row[1])[1] <= position


async def test_entries_of_long_runs_are_those_of_single_events(tmp_path: Path) -> None:
    """Where there are few streams and types, their names are not looked at for each event."""
    kinds = [("a-1", "T"), ("a-2", "T"), ("$a-1", "T"), ("b", "$T"), ("b", "t"), ("a-1", "t")]
    found = []
    for step in (1, 7, 20, 200):
        database = await Database.open(tmp_path / f"{step}.db", now=lambda: 1)
        for stream, type in kinds:
            await database.append(stream, ANY, [ProposedEvent(uuid4().bytes, type, True, b"{}") for _ in range(20)])
        while database._files.writer.index(step):
            pass
        await database.close()
        found.append(entered(tmp_path / f"{step}.db"))
    assert len(found[0][1]) == len(found[0][2]) == 80
    assert found[1:] == [found[0]] * 3


async def test_an_older_file_gets_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "db"
    database = await Database.open(path)
    await written(database, 6000)
    await database.close()
    assert len(entered(path)[1]) >= 5000
    with closing(sqlite3.connect(path)) as connection:
        for table in ("indexed", "category_events", "type_events", "categories"):
            connection.execute(f"DROP TABLE {table}")
        connection.commit()
    database = await Database.open(path)
    await database.close()  # it finishes the step that it has begun
    first = entered(path)
    assert 0 < len(first[1]) < 6000
    database = await Database.open(path)
    one = LogSelection(category="c1")
    found = await database.read(lambda reader: searched(reader, one, 0, 100, backwards=False))
    assert len(found) == 3000
    await database.close()
    _, categories, types = entered(path)
    assert len(categories) == len(types) >= 5000


async def test_removed_events_lose_their_entries(tmp_path: Path) -> None:
    path = tmp_path / "db"
    database = await Database.open(path)
    await written(database, 2000)
    rules = ProposedEvent(uuid4().bytes, "$metadata", True, b'{"$maxCount":1}')
    old = ProposedEvent(uuid4().bytes, "$metadata", True, b'{"$maxAge":1}')
    await database.append("$$c0-0", ANY, [rules])
    await database.append("$$c1-1", ANY, [old])
    some = [(record.position, b"") for record in await database.read(lambda reader: reader.log_forward(0, 1500))]
    note = IndexProgress(1, some[-1][0], some)
    await database.execute(lambda state, moment: Decision(Appended(-1, None), (), moment.log_end, [note]))
    database._now = database._committer._now = lambda: 2**62  # all is old
    await database.start_scavenge()
    await database.scavenge_ended()
    await written(database, 1000)
    await database.close()
    _, categories, types = entered(path)
    with closing(sqlite3.connect(path)) as connection:
        there = {row[0] for row in connection.execute("SELECT position FROM events")}
        noted = {row[0] for row in connection.execute("SELECT position FROM user_index_events")}
    assert noted == {position for position, _ in some} & there
    assert len(noted) < len(some)
    assert {row[1] for row in categories} <= there
    assert {row[1] for row in types} <= there
    assert len(categories) == len(types) < 3000


async def test_a_rare_category_is_found_in_one_step(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "db")
    await database.append("rare-1", ANY, [ProposedEvent(uuid4().bytes, "Rare", True, b"{}")])
    await written(database, 5000)

    def pages(reader: Reader, selection: LogSelection) -> list[SelectedPage]:
        found = [reader.selected_backward(selection, 2**62, 10)]
        while (place := found[-1].following) is not None:
            found.append(reader.selected_backward(selection, place, 10))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selections, "LOOKED_AT", 1000)
        for selection in (LogSelection(category="rare"), LogSelection(type="Rare")):
            found = await database.read(lambda reader, wanted=selection: pages(reader, wanted))  # type: ignore[misc]
            assert len(found) <= 3  # what has no entries yet, and the entries
            assert [record.stream for page in found for record in page.records] == ["rare-1"]
    await database.close()


def named_sketches(what: Named, first: int, limit: int, reader: Reader) -> list[tuple[int, str]]:
    found = reader.log_sketched(what, first, limit)
    return [(sketch.position, reader.name_of(what, sketch.number)) for sketch in found]


async def test_sketches_say_where_events_are_and_of_which_stream_and_type() -> None:
    database = await filled([("a", "T"), ("b", "T é"), ("a", "$T")])
    try:
        await database.append("c", ANY, [ProposedEvent(bytes([9] * 16), "T", False, b"x" * 9000, b"m")])
        schema = StoredSchema(SchemaFormat.AVRO, 77)
        await database.append("c", ANY, [ProposedEvent(bytes([8] * 16), "T", False, b"xy", b"shown", schema)])
        every = await database.read(lambda reader: reader.log_forward(0, 1000))
        for what in Named:
            wanted = [(record.position, name_of(what, record)) for record in every]
            assert await database.read(partial(named_sketches, what, every[1].position, 1000)) == wanted[1:]
            assert await database.read(partial(named_sketches, what, 0, 2)) == wanted[:2]
    finally:
        await database.close()
