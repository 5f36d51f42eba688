"""Notes beside the log: in the transaction of what is written with them, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.append import LogState, Moment, append
from esdb_lite.server.engine.model import ANY, Decision
from esdb_lite.server.storage import (
    Forget,
    GoBack,
    Note,
    PartitionState,
    Progress,
    StoredPosition,
    projection_notes,
    schema,
)
from esdb_lite.server.storage.errors import StorageError
from tests.storage.support import event, of_stream, opened

A, B = PartitionState('{"n":1}', ""), PartitionState("", "r")


def noting(notes: Sequence[Note], state: LogState, moment: Moment) -> Decision:
    """A rule that writes an event and the notes."""
    return append(state, moment, stream="s", expected=ANY, events=[event()])._replace(notes=notes)


async def position(database: Database, id: int) -> StoredPosition | None:
    return await database.read(lambda reader: reader.projection_position(id))


async def states(database: Database, id: int, *partitions: str) -> dict[str, PartitionState]:
    return await database.read(lambda reader: reader.projection_states(id, partitions))


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "events.db" if request.param == "file" else None


async def test_progress(path: Path | None) -> None:
    async with opened(path) as database:
        assert await position(database, 3) is None
        await database.execute(partial(noting, [Progress(3, "7", {"": A}), Progress(4, "8")]))
        await database.execute(partial(noting, [Progress(3, "9", {"x": B})]))
        assert await position(database, 3) == StoredPosition("9", "")
        assert await states(database, 3, "", "x", "y") == {"": A, "x": B}
        assert await states(database, 4, "") == {}
        await database.execute(partial(noting, [Forget(3)]))
        assert await position(database, 3) is None
        assert await states(database, 3, "", "x") == {}
        assert await position(database, 4) == StoredPosition("8", "")
        assert len(await of_stream(database, "s")) == 3


async def test_back_to_the_checkpoint(path: Path | None) -> None:
    async with opened(path) as database:
        await database.execute(partial(noting, [Progress(3, "7", {"": A}, checkpoint=True)]))
        await database.execute(partial(noting, [Progress(3, "8", {"": B, "new": A})]))
        assert await position(database, 3) == StoredPosition("8", "7")
        await database.execute(partial(noting, [GoBack(3)]))
        assert await position(database, 3) == StoredPosition("7", "7")
        assert await states(database, 3, "", "new") == {"": A}


def failing(state: LogState, moment: Moment) -> Decision:
    raise RuntimeError("no")


async def test_all_or_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "events.db") as database:

        def broken(state: LogState, moment: Moment) -> Decision:
            decision = noting([Progress(3, "7")], state, moment)
            # A revision that is there already: SQLite refuses it, after the note has been written.
            twice = [*decision.records, decision.records[0]._replace(position=decision.log_end)]
            return decision._replace(records=twice, log_end=decision.log_end + 1000)

        with pytest.raises(StorageError):
            await database.execute(broken)
        assert await position(database, 3) is None
        assert await of_stream(database, "s") == []
        with pytest.raises(RuntimeError, match="no"):
            await database.execute(failing)


async def test_they_survive(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with opened(path) as database:
        await database.execute(partial(noting, [Progress(3, "7", {"": A})]))
    async with opened(path) as database:
        assert await position(database, 3) == StoredPosition("7", "")
        assert await states(database, 3, "") == {"": A}


async def test_a_file_without_their_tables_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with opened(path) as database:
        await database.append("s", ANY, [event()])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE projections")
        connection.execute("DROP TABLE projection_states")
    async with opened(path) as database:
        assert await position(database, 3) is None
        await database.execute(partial(noting, [Progress(3, "7")]))
        assert await position(database, 3) == StoredPosition("7", "")


async def test_a_file_without_their_index_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with opened(path) as database:
        await database.execute(partial(noting, [Progress(3, "7", {"": A})]))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX projection_states_changed")
    async with opened(path) as database:
        await database.execute(partial(noting, [Progress(3, "8", checkpoint=True)]))
        await database.execute(partial(noting, [Progress(3, "9", {"": B}), GoBack(3)]))
        assert await states(database, 3, "") == {"": A}


def test_a_checkpoint_costs_what_has_changed_and_not_what_there_is() -> None:
    with closing(schema.open_writer(None)) as connection:
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1

        def taken(note: Note) -> int:
            nonlocal steps
            steps = 0
            connection.set_progress_handler(step, 1)
            projection_notes.save(connection, note)
            connection.set_progress_handler(None, 1)
            return steps

        projection_notes.save(connection, Progress(3, "1", {"a": A}, checkpoint=True))
        few = [taken(Progress(3, "2", {"a": B}, checkpoint=True)), taken(Progress(3, "3", {"a": A})), taken(GoBack(3))]
        projection_notes.save(connection, Progress(3, "4", {str(n): A for n in range(5000)}, checkpoint=True))
        many = [taken(Progress(3, "5", {"a": B}, checkpoint=True)), taken(Progress(3, "6", {"a": A})), taken(GoBack(3))]
        assert max(many) < 2 * max(few)


async def test_what_is_of_users() -> None:
    async with opened() as database:
        names = ["a", "$$a", "$a", "$$$a", "$", "é", "$$$$a", "b"]
        for name in names:
            await database.append(name, ANY, [event()])
        start = (await of_stream(database, "a"))[0].position
        end = database.log_end
        read = await database.read(lambda reader: reader.log_of_users(start, end, 10))
        assert [record.stream for record in read] == ["a", "$$a", "é", "b"]
        assert await database.read(lambda reader: reader.log_of_users(start, end, 2)) == read[:2]
        assert await database.read(lambda reader: reader.log_of_users(start + 1, read[3].position, 10)) == read[1:3]
