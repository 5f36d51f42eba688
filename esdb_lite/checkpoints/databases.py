"""A position in a database, stored in the transaction of those who write there.

Owns: connections as PEP 249 has them, and their ways of writing parameters. Must not know: consumers, what database it
is, in which order things are done (`table`).
"""

from __future__ import annotations

import re
import sys
from contextlib import closing, suppress
from typing import Any, Protocol

from esdb_lite._stepping import drive
from esdb_lite.checkpoints.table import TABLE, CheckpointTable, Order, TableAction
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import InvalidArgument, WrongArgumentType

_MARKS = {"qmark": "?", "numeric": ":{number}", "named": ":{name}", "format": "%s", "pyformat": "%({name})s"}
_PARAMETER = re.compile(r":(\w+)")


class DbApiConnection(Protocol):
    """A connection as PEP 249 describes it."""

    # drivers annotate their cursors in ways that have nothing in common
    def cursor(self) -> Any:
        """Return a cursor."""

    def commit(self) -> object:
        """Commit."""

    def rollback(self) -> object:
        """Roll back."""


class DbApiCheckpoint(CheckpointTable):
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
        CheckpointTable.__init__(self, name, table)
        if paramstyle not in _MARKS:
            raise InvalidArgument("paramstyle", paramstyle, f"must be one of {', '.join(_MARKS)}")
        self._paramstyle = paramstyle

    def load(self) -> ConsumerPosition | None:
        """Return the position in the table, which is made if need be. Ends the transaction that is open, if any."""
        position: ConsumerPosition | None = drive(self._loading(), self._carry_out)
        return position

    def begin(self) -> None:
        """Called before the handler."""

    def save(self, position: ConsumerPosition) -> None:
        """Store the position and commit. Raises CheckpointConflict if somebody else has changed it."""
        drive(self._saving(position), self._carry_out)

    def forget(self) -> None:
        """Store that there is no position, and commit, so that a consumer begins anew."""
        drive(self._forgetting(), self._carry_out)

    def rollback(self) -> None:
        """Undo what the handler has written since the last commit."""
        self._open().rollback()

    # --- inside ---

    def _open(self) -> DbApiConnection:
        assert self._connection is not None
        return self._connection

    def _commit(self) -> None:
        self._open().commit()

    def _carry_out(self, order: Order) -> object:
        if order.action in (TableAction.COMMIT, TableAction.ROLLBACK):
            end = self._commit if order.action is TableAction.COMMIT else self.rollback
            end()
            return None
        with closing(self._open().cursor()) as cursor:
            cursor.execute(*statement(order.sql, order.values, self._paramstyle))
            return cursor.fetchone() if order.action is TableAction.SELECT else int(cursor.rowcount)


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
