"""A position in a database, stored in the transaction of those who write there.

Owns: the table, its statements for every way of writing parameters, and that nobody overwrites what somebody else has
stored. Must not know: consumers, what database it is.
"""

from __future__ import annotations

import re
import sys
from contextlib import closing, suppress
from typing import Any, Protocol

from esdb_lite.checkpoints.positions import to_text
from esdb_lite.checkpoints.store import BoundStore
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import InvalidArgument, WrongArgumentType

TABLE = "esdb_checkpoints"
LONGEST_NAME = 200

_NOWHERE = "-"
"""Stored for a consumer that has no position yet: some databases do not tell an empty text from none."""

_MARKS = {"qmark": "?", "numeric": ":{number}", "named": ":{name}", "format": "%s", "pyformat": "%({name})s"}
_PARAMETER = re.compile(r":(\w+)")
_TABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", re.ASCII)

_CREATE = (
    "CREATE TABLE {table} (consumer_name VARCHAR(200) NOT NULL PRIMARY KEY, "
    "consumed_source VARCHAR(1000) NOT NULL, stored_position VARCHAR(100) NOT NULL)"
)
_SELECT = "SELECT consumed_source, stored_position FROM {table} WHERE consumer_name = :name"
_INSERT = "INSERT INTO {table} (consumer_name, consumed_source, stored_position) VALUES (:name, :source, :position)"
_UPDATE = (
    "UPDATE {table} SET stored_position = :position, consumed_source = :source "
    "WHERE consumer_name = :name AND stored_position = :before"
)

_FORGET = "UPDATE {table} SET stored_position = :position, consumed_source = :source WHERE consumer_name = :name"


class DbApiConnection(Protocol):
    """A connection as PEP 249 describes it."""

    # drivers annotate their cursors in ways that have nothing in common
    def cursor(self) -> Any:
        """Return a cursor."""

    def commit(self) -> object:
        """Commit."""

    def rollback(self) -> object:
        """Roll back."""


class DbApiCheckpoint(BoundStore):
    """Keeps a consumer's position in a table, in the transaction of a handler that writes with this connection.

    What the handler writes and the position are committed together, once a batch; when the handler fails, everything
    is rolled back. So every event takes effect exactly once. The handler must not commit, and nobody else may use the
    connection while the consumer runs. It is used on the consumer's thread: with asyncio on the event loop's, which
    waits meanwhile.

    The table is made if missing: columns `consumer_name`, `consumed_source` and `stored_position`. If somebody else
    has changed the position, CheckpointConflict is raised and nothing is committed.
    """

    def __init__(
        self, connection: DbApiConnection, name: str, *, table: str = TABLE, paramstyle: str | None = None
    ) -> None:
        """Make a store for the consumer of this name, without asking the database yet.

        `connection` belongs to any driver that follows PEP 249 (psycopg, PyMySQL, oracledb, pyodbc ...), and must not
        be in autocommit mode; for sqlite3 there is `SqliteCheckpoint`. `table` may be `schema.table`. `paramstyle` is
        the driver's (default: what its module says). Raises InvalidArgument.
        """
        if not (hasattr(connection, "cursor") and hasattr(connection, "commit") and hasattr(connection, "rollback")):
            raise WrongArgumentType("connection", connection, "must be a connection as in PEP 249")
        _refuse_autocommit(connection)
        self._connection: DbApiConnection | None = connection
        self._prepare(name, table, _paramstyle_of(connection) if paramstyle is None else paramstyle)

    def _prepare(self, name: str, table: str, paramstyle: str) -> None:
        self._name = _checked_name(name)
        super().__init__(f"the checkpoint {name!r} in table {table}", name)
        if not isinstance(table, str):
            raise WrongArgumentType("table", table, "must be a str")
        if not _TABLE.fullmatch(table):
            raise InvalidArgument("table", table, "must be the name of a table, or schema.table")
        if paramstyle not in _MARKS:
            raise InvalidArgument("paramstyle", paramstyle, f"must be one of {', '.join(_MARKS)}")
        self._table = table
        self._paramstyle = paramstyle
        self._stored: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, table={self._table!r})"

    @property
    def name(self) -> str:
        """Name of the consumer."""
        return self._name

    def load(self) -> ConsumerPosition | None:
        """Return the position in the table, which is made if need be. Ends the transaction that is open, if any."""
        row = self._row()
        if row is None:
            row = self._insert()
        source, text = row
        if text == _NOWHERE:
            self._check_source(source)
        position = None if text == _NOWHERE else self._position(source, text)
        self._commit()
        self._stored = text
        return position

    def begin(self) -> None:
        """Called before the handler."""

    def save(self, position: ConsumerPosition) -> None:
        """Store the position and commit. Raises CheckpointConflict if somebody else has changed it."""
        text = to_text(position)
        if self._stored is None:
            self.load()
        if text != self._stored:
            values = {"name": self._name, "source": self._source, "position": text, "before": str(self._stored)}
            # where a driver does not know how many rows have changed it says -1
            if self._execute(_UPDATE, **values) == 0:
                self.rollback()
                raise self._conflict("the position has changed")
        self._commit()
        self._stored = text

    def forget(self) -> None:
        """Store that there is no position, and commit, so that a consumer begins anew."""
        values = {"name": self._name, "source": self._source, "position": _NOWHERE}
        if self._execute(_FORGET, **values) == 0:
            self._execute(_INSERT, **values)
        self._commit()
        self._stored = _NOWHERE

    def rollback(self) -> None:
        """Undo what the handler has written since the last commit."""
        self._open().rollback()

    # --- inside ---

    def _open(self) -> DbApiConnection:
        assert self._connection is not None
        return self._connection

    def _commit(self) -> None:
        self._open().commit()

    def _row(self) -> tuple[str, str] | None:
        """Return what is stored; where the table cannot be read, it is made."""
        try:
            return self._select()
        except Exception as missing:
            self.rollback()  # some databases refuse everything else after an error
            try:
                self._execute(_CREATE)
                self._commit()
            except Exception:
                self.rollback()
                return self._unless_made_meanwhile(missing)
        return self._select()

    def _unless_made_meanwhile(self, missing: Exception) -> tuple[str, str] | None:
        try:
            return self._select()
        except Exception:
            raise missing from None

    def _insert(self) -> tuple[str, str]:
        row = (self._source, _NOWHERE)
        try:
            self._execute(_INSERT, name=self._name, source=row[0], position=row[1])
            self._commit()
        except Exception:
            self.rollback()
            found = self._select()  # another consumer has been faster
            if found is None:
                raise
            return found
        return row

    def _select(self) -> tuple[str, str] | None:
        with closing(self._open().cursor()) as cursor:
            cursor.execute(*self._statement(_SELECT, {"name": self._name}))
            row = cursor.fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def _execute(self, template: str, **values: str) -> int:
        with closing(self._open().cursor()) as cursor:
            cursor.execute(*self._statement(template, values))
            return int(cursor.rowcount)

    def _statement(self, template: str, values: dict[str, str]) -> tuple[str, dict[str, str] | tuple[str, ...]]:
        return statement(template.format(table=self._table), values, self._paramstyle)


def statement(sql: str, values: dict[str, str], paramstyle: str) -> tuple[str, dict[str, str] | tuple[str, ...]]:
    """Return a statement with parameters like `:name`, and their values, in the style of a driver."""
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        names.append(found[1])
        return _MARKS[paramstyle].format(number=len(names), name=found[1])

    written = _PARAMETER.sub(mark, sql)
    if paramstyle in ("named", "pyformat"):
        return written, {name: values[name] for name in names}
    return written, tuple(values[name] for name in names)


def _checked_name(name: str) -> str:
    if not isinstance(name, str):
        raise WrongArgumentType("name", name, "must be a str")
    if not 0 < len(name) <= LONGEST_NAME:
        raise InvalidArgument("name", name, f"must have 1 to {LONGEST_NAME} characters")
    return name


def _refuse_autocommit(connection: object) -> None:
    """Refuse a connection that commits every statement by itself, as far as that can be seen."""
    plain_sqlite = hasattr(connection, "in_transaction") and getattr(connection, "isolation_level", "") is None
    ask = getattr(connection, "get_autocommit", None)  # of drivers for MySQL
    if plain_sqlite or getattr(connection, "autocommit", False) is True or (ask is not None and ask()):
        raise InvalidArgument("connection", connection, "must not be in autocommit mode")


def _paramstyle_of(connection: object) -> str:
    """Return what the module of a connection, or one of those around it, says."""
    for cls in type(connection).__mro__:
        module = cls.__module__
        while module:
            with suppress(KeyError, AttributeError):
                return str(sys.modules[module].paramstyle)
            module = module.rpartition(".")[0]
    raise InvalidArgument("paramstyle", None, f"must be given: {type(connection)} does not say which")
