"""Checkpoint stores on real files and databases: what is stored is found again, and nothing else is taken for it."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import DbApiCheckpoint, FileCheckpoint, SqliteCheckpoint
from esdb_lite.checkpoints.databases import statement
from esdb_lite.checkpoints.positions import LONGEST_SOURCE, from_text, source_of, to_text
from esdb_lite.errors import (
    CheckpointConflict,
    CheckpointCorrupt,
    CheckpointError,
    CheckpointMismatch,
    InvalidArgument,
    WrongArgumentType,
)
from esdb_lite.events import Checkpoint
from esdb_lite.filters import Filter
from esdb_lite.positions import LARGEST

# --- as text ---

NUMBERS = st.integers(0, LARGEST)


@given(st.one_of(NUMBERS, st.builds(Checkpoint, NUMBERS, NUMBERS)))
def test_positions_as_text(position: int | Checkpoint) -> None:
    assert from_text(to_text(position)) == position


def test_what_positions_look_like() -> None:
    assert (to_text(17), to_text(Checkpoint(1234, 0))) == ("17", "C:1234/P:0")


@pytest.mark.parametrize("text", ["", "-", "-1", "1.0", "C:1", "C:1/P:", "c:1/p:1", "1 ", "٣", str(2**63), "9" * 30])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match="is not a position"):
        from_text(text)


def test_sources_differ_where_positions_do() -> None:
    sources = [
        source_of("orders", None),
        source_of("orders-2", None),
        source_of("Überweisung", None),
        source_of("x" * 500, None),
        source_of("x" * 501, None),
        source_of(None, None),
        source_of(None, Filter.by_event_type(include=["A"])),
        source_of(None, Filter.by_event_type(exclude=["A"])),
        source_of(None, Filter.by_event_type(prefixes=["A"])),
        source_of(None, Filter.by_event_type(prefixes=["A", "B"])),
        source_of(None, Filter.by_event_type(prefixes=["A', 'B"])),
        source_of(None, Filter.by_stream_name(prefixes=["A"])),
    ]
    assert len(set(sources)) == len(sources)
    assert all(source.isascii() and len(source) <= LONGEST_SOURCE for source in sources)


def test_how_often_a_server_tells_where_it_is_makes_no_other_source() -> None:
    some = [Filter.by_event_type(include=["A"], window=window, checkpoint_interval=window) for window in (8, 32)]
    assert source_of(None, some[0]) == source_of(None, some[1])


# --- all stores ---


class Made:
    """Makes stores of one kind, all of them for the same checkpoint, and cleans up after them."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.connections: list[sqlite3.Connection] = []

    def __call__(self) -> Any:
        if self.kind == "file":
            return FileCheckpoint(self.folder / "position.json")
        if self.kind == "path":
            store = SqliteCheckpoint(self.folder / "positions.sqlite", "totals")
            self.connections.append(store.connection)
            return store
        return STORES[self.kind](self.connect())

    def connect(self) -> sqlite3.Connection:
        autocommit = {"isolation_level": None} if self.kind == "autocommit" else {}
        connection = sqlite3.connect(self.folder / "positions.sqlite", timeout=0.2, **autocommit)  # type: ignore[arg-type]
        self.connections.append(connection)
        return connection


STORES: dict[str, Callable[[sqlite3.Connection], Any]] = {
    "sqlite": lambda connection: SqliteCheckpoint(connection, "totals"),
    "autocommit": lambda connection: SqliteCheckpoint(connection, "totals"),
    "dbapi": lambda connection: DbApiCheckpoint(connection, "totals"),
}
KINDS = ["file", "path", *STORES]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    made = Made(request.param, tmp_path)
    yield made
    for connection in made.connections:
        connection.close()


def bound(make: Made, source: str = "stream s") -> Any:
    store = make()
    store.bind(source)
    return store


def test_there_is_none_at_first(make: Made) -> None:
    assert bound(make).load() is None
    assert bound(make).load() is None


@pytest.mark.parametrize("position", [0, 17, LARGEST, Checkpoint(1234, 1200), Checkpoint(5, 0)])
def test_what_was_saved_is_found(make: Made, position: int | Checkpoint) -> None:
    store = bound(make)
    store.load()
    store.save(position)
    assert bound(make).load() == position


def test_saving_again_and_again(make: Made) -> None:
    store = bound(make)
    store.load()
    for position in (1, 2, 2, 3):
        store.save(position)
    assert store.load() == 3
    again = bound(make)
    assert again.load() == 3
    again.save(4)
    assert bound(make).load() == 4


def test_saving_without_loading_first(make: Made) -> None:
    make().save(3)
    assert make().load() == 3
    bound(make).save(4)
    assert make().load() == 4


def test_what_belongs_to_another_source_is_refused(make: Made) -> None:
    store = bound(make, "stream s")
    store.load()
    store.save(3)
    with pytest.raises(CheckpointMismatch, match=r"belongs to a consumer of stream s, not of stream t") as caught:
        bound(make, "stream t").load()
    assert caught.value.checkpoint in (str(make.folder / "position.json"), "totals")
    assert bound(make, "stream s").load() == 3


def test_another_consumer_is_noticed(make: Made) -> None:
    first, second = bound(make), bound(make)
    first.load()
    second.load()
    first.save(1)
    with pytest.raises(CheckpointConflict, match="used by another consumer"):
        second.save(2)
    first.save(3)
    assert bound(make).load() == 3


def test_another_consumer_in_the_same_place_is_noticed(make: Made) -> None:
    first, second = bound(make), bound(make)
    first.load()
    first.save(5)
    second.load()
    second.save(6)
    with pytest.raises(CheckpointConflict):
        first.save(6)


def test_two_consumers_in_step_are_noticed(make: Made) -> None:
    """Both have seen the same position, and store the same: the second has not been told by its position."""
    first, second = bound(make), bound(make)
    first.load()
    second.load()
    first.save(1)
    with pytest.raises(CheckpointConflict):
        second.save(1)


def test_one_store_is_for_one_consumer_at_a_time(make: Made) -> None:
    store = bound(make)
    with pytest.raises(CheckpointConflict):
        store.bind("stream s")
    store.release()
    store.bind("stream s")
    store.load()
    store.release()


# --- files ---


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 40,
        b"17",
        b"[]",
        b'{"format": 1, "source": "stream s", "posit',
        b'{"format": 2, "source": "stream s", "position": "3"}',
        b'{"format": 1, "source": "stream s"}',
        b'{"format": 1, "source": "stream s", "position": 3}',
        b'{"format": 1, "source": "stream s", "position": "-1"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_corrupt_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "position.json"
    path.write_bytes(content)
    store = FileCheckpoint(path)
    store.bind("stream s")
    with pytest.raises(CheckpointCorrupt, match=r"position\.json") as caught:
        store.load()
    assert caught.value.checkpoint == str(path)
    with pytest.raises(CheckpointCorrupt):
        store.save(5)
    assert path.read_bytes() == content


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    store = FileCheckpoint(tmp_path / "position.json")
    store.load()
    store.save(1)
    with open(store.path, "rb") as before:
        store.save(2)
        assert b'"1"' in before.read()
    assert os.listdir(tmp_path) == ["position.json"]
    assert store.path in repr(store)


def test_what_killed_processes_have_left_is_removed(tmp_path: Path) -> None:
    writer = "0123456789abcdef" * 2
    kept = [f"other.json.{writer}.tmp", f"position.json.{writer}", "position.json.tmp", "position.json.x.tmp"]
    for name in (*kept, f"position.json.{writer}.tmp"):
        (tmp_path / name).touch()
    FileCheckpoint(tmp_path / "position.json").load()
    assert sorted(os.listdir(tmp_path)) == kept


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    store = FileCheckpoint(tmp_path / "position.json")
    store.load()
    os.mkdir(store.path)
    with pytest.raises(OSError, match=r"position\.json"):
        store.save(1)
    assert os.listdir(tmp_path) == ["position.json"]


def test_a_file_that_was_deleted_meanwhile(tmp_path: Path) -> None:
    store = FileCheckpoint(tmp_path / "position.json")
    store.load()
    store.save(1)
    os.unlink(store.path)
    with pytest.raises(CheckpointConflict):
        store.save(2)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    store = FileCheckpoint(tmp_path / "folder" / "position.json")
    (tmp_path / "folder").rmdir()
    with pytest.raises(InvalidArgument, match="path: must be in a folder that exists"):
        store.load()


FILES: dict[str, Callable[[Path], object]] = {
    "path": FileCheckpoint,
    "database": lambda path: SqliteCheckpoint(path, "totals"),
}


@pytest.mark.parametrize("argument", FILES)
def test_what_can_be_no_file_is_refused_at_once(tmp_path: Path, argument: str) -> None:
    make, inside = FILES[argument], tmp_path / "file"
    inside.write_text("no database")
    os.mkfifo(tmp_path / "pipe")
    for path, reason in {
        tmp_path: "must be a file, not a folder",
        tmp_path / "no" / "file": "must be in a folder that exists",
        inside / "file": "must be in a folder that exists",
        tmp_path / "pipe": "must be a file, not a device",
    }.items():
        with pytest.raises(InvalidArgument, match=f"^{argument}: {reason}, not '{re.escape(os.sep)}") as caught:
            make(path)
        assert caught.value.value == str(path)  # the text has the beginning of a long one
    for text in ("", "a\0b"):
        with pytest.raises(InvalidArgument, match=f"^{argument}: must be the path of a file"):
            make(text)  # type: ignore[arg-type]
    with pytest.raises(WrongArgumentType, match=f"^{argument}: must be a path"):
        make(7)  # type: ignore[arg-type]
    assert sorted(os.listdir(tmp_path)) == ["file", "pipe"]


@pytest.mark.parametrize("argument", FILES)
def test_what_may_not_be_written_is_refused_at_once(argument: str) -> None:
    """Looked at by a user who may not do everything: in a process, as tests may run as root."""
    program = (
        "import os, sys; from tests.unit.test_checkpoints import FILES; from pathlib import Path\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: FILES[sys.argv[1]](Path(sys.argv[2]))\n"
        "except ValueError as error: print(error)"
    )
    with tempfile.TemporaryDirectory() as folder:  # where everybody can look: pytest's folders are private
        Path(folder).chmod(0o555)
        path = str(Path(folder) / "file")
        done = subprocess.run(
            [sys.executable, "-c", program, argument, path], capture_output=True, text=True, check=True
        )
        Path(folder).chmod(0o700)
    assert done.stdout == f"{argument}: must be a file that this process may replace, not '{path}'\n"


def test_a_file_that_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(InvalidArgument, match=r"^database: must be an SQLite database, not "):
        SqliteCheckpoint(tmp_path / "text", "totals")
    (tmp_path / "empty").touch()
    SqliteCheckpoint(tmp_path / "empty", "totals")
    SqliteCheckpoint(":memory:", "totals")


def test_looking_at_a_database_takes_no_locks_away(tmp_path: Path) -> None:
    """A file that is opened and closed in a process loses the locks of all who have it open there."""
    path = tmp_path / "database"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN IMMEDIATE")
        SqliteCheckpoint(path, "totals")
        write = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
        other = subprocess.run([sys.executable, "-c", write], capture_output=True, text=True, check=False)
        assert "database is locked" in other.stderr


# --- databases ---


@pytest.fixture(params=["sqlite", "autocommit", "dbapi"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    made = Made(request.param, tmp_path)
    yield made
    for connection in made.connections:
        connection.close()


def totals(made: Made) -> list[int]:
    return [number for (number,) in made.connect().execute("SELECT number FROM totals")]


def writing(made: Made) -> tuple[sqlite3.Connection, Any]:
    connection = made.connect()
    connection.execute("CREATE TABLE totals (number INTEGER)")
    connection.commit()
    store = STORES[made.kind](connection)
    store.bind("stream s")
    store.load()
    return connection, store


def test_effects_are_committed_with_the_position(database: Made) -> None:
    connection, store = writing(database)
    store.begin()
    connection.execute("INSERT INTO totals VALUES (1)")
    assert totals(database) == []
    store.save(0)
    assert totals(database) == [1]
    assert not connection.in_transaction


def test_effects_are_rolled_back(database: Made) -> None:
    connection, store = writing(database)
    store.begin()
    connection.execute("INSERT INTO totals VALUES (1)")
    store.rollback()
    assert (totals(database), connection.in_transaction) == ([], False)
    store.begin()
    connection.execute("INSERT INTO totals VALUES (2)")
    store.save(0)
    assert totals(database) == [2]


def test_the_effects_of_the_slower_of_two_are_not_there(database: Made) -> None:
    connection, store = writing(database)
    other = STORES[database.kind](database.connect())
    other.bind("stream s")
    other.load()
    other.save(7)
    store.begin()
    connection.execute("INSERT INTO totals VALUES (1)")
    with pytest.raises(CheckpointConflict) as caught:
        store.save(0)
    assert caught.value.checkpoint == "totals"
    assert (totals(database), connection.in_transaction) == ([], False)


def test_names_keep_consumers_apart(database: Made) -> None:
    stores = [SqliteCheckpoint(database.connect(), name) for name in ("a", "b")]
    for number, store in enumerate(stores):
        store.bind(f"stream {store.name}")
        assert store.load() is None
        store.save(number)
    assert [store.load() for store in stores] == [0, 1]


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    store = SqliteCheckpoint(tmp_path / "positions.sqlite", "totals", table="main.progress")
    store.save(4)
    rows = store.connection.execute("SELECT * FROM progress").fetchall()
    store.release()
    assert rows == [("totals", "", "4")]
    assert "progress" in repr(store)


def test_a_position_that_is_none(database: Made) -> None:
    connection, store = writing(database)
    connection.execute("UPDATE esdb_checkpoints SET stored_position = 'x'")
    connection.commit()
    with pytest.raises(CheckpointCorrupt, match="totals"):
        store.load()


def test_an_error_of_the_database_is_not_taken_for_a_missing_table(tmp_path: Path) -> None:
    (tmp_path / "positions.sqlite").write_bytes(b"no database" * 100)
    connection = sqlite3.connect(tmp_path / "positions.sqlite")
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        DbApiCheckpoint(connection, "totals").load()
    connection.close()


@pytest.mark.parametrize(
    "commits", [lambda c: c.commit(), lambda c: c.rollback(), lambda c: c.__exit__(None, None, None)]
)
@pytest.mark.parametrize("kind", ["sqlite", "autocommit"])
def test_a_handler_that_commits_by_itself_is_told_so(
    tmp_path: Path, kind: str, commits: Callable[[sqlite3.Connection], object]
) -> None:
    connection, store = writing(made := Made(kind, tmp_path))
    store.begin()
    connection.execute("INSERT INTO totals VALUES (1)")
    commits(connection)
    connection.execute("INSERT INTO totals VALUES (2)")
    with pytest.raises(CheckpointError, match="ended the transaction itself"):
        store.save(0)
    assert store.load() is None
    for each in made.connections:
        each.close()


def test_a_store_closes_what_it_has_opened(tmp_path: Path) -> None:
    store = SqliteCheckpoint(str(tmp_path / "positions.sqlite"), "totals")
    store.bind("stream s")
    store.load()
    store.save(3)
    connection = store.connection
    store.release()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
    store.bind("stream s")
    assert store.load() == 3
    store.release()
    with sqlite3.connect(tmp_path / "positions.sqlite") as given_one:
        store = SqliteCheckpoint(given_one, "totals")
        store.bind("stream s")
        store.release()
        given_one.execute("SELECT 1")
    given_one.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the attribute autocommit came with Python 3.12")
@pytest.mark.parametrize("autocommit", [True, False])
def test_the_newer_modes_of_sqlite3(tmp_path: Path, autocommit: bool) -> None:
    connection = sqlite3.connect(tmp_path / "positions.sqlite", autocommit=autocommit)  # type: ignore[call-arg]
    store = SqliteCheckpoint(connection, "totals")
    store.load()
    store.begin()
    connection.execute("CREATE TABLE totals (number INTEGER)")
    store.rollback()
    store.begin()
    connection.execute("CREATE TABLE totals (number INTEGER)")
    store.save(1)
    connection.close()
    with sqlite3.connect(tmp_path / "positions.sqlite") as other:
        assert other.execute("SELECT number FROM totals").fetchall() == []
        assert SqliteCheckpoint(other, "totals").load() == 1
    other.close()


# --- drivers ---


@pytest.mark.parametrize(
    ("style", "sql", "values"),
    [
        ("qmark", "SET a = ?, b = ? WHERE c = ?", ("1", "2", "1")),
        ("numeric", "SET a = :1, b = :2 WHERE c = :3", ("1", "2", "1")),
        ("named", "SET a = :x, b = :y WHERE c = :x", {"x": "1", "y": "2"}),
        ("format", "SET a = %s, b = %s WHERE c = %s", ("1", "2", "1")),
        ("pyformat", "SET a = %(x)s, b = %(y)s WHERE c = %(x)s", {"x": "1", "y": "2"}),
    ],
)
def test_statements_in_every_style(style: str, sql: str, values: object) -> None:
    assert statement("SET a = :x, b = :y WHERE c = :x", {"x": "1", "y": "2"}, style) == (sql, values)


class StyledCursor:
    """A cursor of sqlite3 behind another style of parameters."""

    def __init__(self, inner: sqlite3.Cursor) -> None:
        self._inner = inner
        self.fetchone, self.close = inner.fetchone, inner.close

    def execute(self, sql: str, values: Any = ()) -> None:
        if isinstance(values, dict):
            self._inner.execute(sql % {name: f":{name}" for name in values}, values)
        else:
            self._inner.execute(sql.replace("%s", "?"), values)

    @property
    def rowcount(self) -> int:
        return self._inner.rowcount


class StyledConnection:
    """A connection of a driver that writes its parameters in another style, on a database of SQLite."""

    def __init__(self, path: Path) -> None:
        self.inner = sqlite3.connect(path)
        self.commit, self.rollback = self.inner.commit, self.inner.rollback

    def cursor(self) -> StyledCursor:
        return StyledCursor(self.inner.cursor())


@pytest.mark.parametrize("style", ["format", "pyformat"])
@pytest.mark.parametrize("told", [True, False])
def test_the_style_of_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: str, told: bool) -> None:
    driver = ModuleType("styled_driver")
    driver.paramstyle = style  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "styled_driver", driver)
    monkeypatch.setattr(StyledConnection, "__module__", "elsewhere" if told else "styled_driver.connections")
    for expected in (None, 5):
        connection = StyledConnection(tmp_path / "positions.sqlite")
        store = DbApiCheckpoint(connection, "totals", paramstyle=style if told else None)
        assert store.load() == expected
        store.save(5)
        connection.inner.close()


def test_a_style_that_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = StyledConnection(tmp_path / "positions.sqlite")
    monkeypatch.setattr(StyledConnection, "__module__", "elsewhere")
    with pytest.raises(InvalidArgument, match="paramstyle"):
        DbApiCheckpoint(connection, "totals")
    connection.inner.close()


def test_wrong_arguments(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    for arguments, argument in [
        ({"connection": 7}, "connection"),
        ({"name": 7}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"table": 7}, "table"),
        ({"table": "a b"}, "table"),
        ({"table": "a; DROP"}, "table"),
        ({"paramstyle": "x"}, "paramstyle"),
    ]:
        with pytest.raises(InvalidArgument, match=f"^{argument}:"):
            DbApiCheckpoint(**{"connection": connection, "name": "totals", **arguments})  # type: ignore[arg-type]
    with pytest.raises(WrongArgumentType, match="database"):
        SqliteCheckpoint(7, "totals")  # type: ignore[arg-type]
    connection.close()


@pytest.mark.parametrize("says", ["isolation_level", "autocommit", "get_autocommit"])
def test_a_connection_that_commits_by_itself_is_refused(tmp_path: Path, says: str) -> None:
    """Each driver says it in its own way."""
    connection: Any = sqlite3.connect(":memory:", isolation_level=None)
    if says != "isolation_level":
        connection.close()
        connection = StyledConnection(tmp_path / "positions.sqlite")
        setattr(connection, says, True if says == "autocommit" else lambda: True)
    with pytest.raises(InvalidArgument, match="autocommit"):
        DbApiCheckpoint(connection, "totals")
    getattr(connection, "inner", connection).close()


def test_a_connection_of_another_thread_is_told_before_anything_is_handled(tmp_path: Path) -> None:
    """sqlite3 says so with everything that is done, also with what would undo it."""
    connection = sqlite3.connect(tmp_path / "positions.sqlite")
    store = SqliteCheckpoint(connection, "totals")
    failures: list[BaseException] = []

    def elsewhere() -> None:
        try:
            store.bind("all events")
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert isinstance(failures[0], CheckpointError)
    assert "is in a connection of another thread" in str(failures[0])
    store.bind("all events")  # it is not taken for one in use
    store.release()
    connection.close()


class NoConnection:
    """A session of SQLAlchemy has this, and no cursor."""

    in_transaction = False


def test_what_is_no_connection_of_sqlite3_is_refused_at_once() -> None:
    with pytest.raises(WrongArgumentType, match=r"driver_connection"):
        SqliteCheckpoint(NoConnection(), "totals")  # type: ignore[arg-type]
