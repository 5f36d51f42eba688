"""A consumer's position in a table, whatever speaks to the database.

Owns: the table, its statements, and in which order they are made, so that nobody overwrites what somebody else has
stored. Pure: it yields orders, which a store carries out and whose outcome it gets back. Must not know: drivers.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from esdb_lite.checkpoints.positions import to_text
from esdb_lite.checkpoints.store import BoundStore
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import InvalidArgument, WrongArgumentType

TABLE = "esdb_checkpoints"
LONGEST_NAME = 200

_NOWHERE = "-"
"""Stored for a consumer that has no position yet: some databases do not tell an empty text from none."""
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


class TableAction(enum.Enum):
    """What a store is to do."""

    SELECT = "select"
    """Return the first row, or None."""
    EXECUTE = "execute"
    """Return how many rows have changed; below 0 where that is not known."""
    COMMIT = "commit"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Order:
    """One thing to do."""

    action: TableAction
    sql: str = ""
    """With parameters like `:name`."""
    values: dict[str, str] = field(default_factory=dict)


Orders = Generator[Order, Any, Any]

_COMMIT, _ROLLBACK = Order(TableAction.COMMIT), Order(TableAction.ROLLBACK)


class CheckpointTable(BoundStore):
    """The row of a consumer. Stores derive from it."""

    def __init__(self, name: str, table: str) -> None:
        """Raises InvalidArgument, WrongArgumentType."""
        self._name = _checked_name(name)
        super().__init__(f"the checkpoint {name!r} in table {table}", name)
        if not isinstance(table, str):
            raise WrongArgumentType("table", table, "must be a str")
        if not _TABLE.fullmatch(table):
            raise InvalidArgument("table", table, "must be the name of a table, or schema.table")
        self._table = table
        self._stored: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, table={self._table!r})"

    @property
    def name(self) -> str:
        """Name of the consumer."""
        return self._name

    def _loading(self) -> Orders:
        """Find the position; the table is made if need be."""
        row = yield from self._row()
        if row is None:
            row = yield from self._inserting()
        source, text = str(row[0]), str(row[1])
        if text == _NOWHERE:
            self._check_source(source)
        position = None if text == _NOWHERE else self._position(source, text)
        yield _COMMIT
        self._stored = text
        return position

    def _saving(self, position: ConsumerPosition) -> Orders:
        """Store a position and commit. Raises CheckpointConflict."""
        text = to_text(position)
        if self._stored is None:
            yield from self._loading()
        if text != self._stored:
            changed = yield self._order(_UPDATE, position=text, before=str(self._stored))
            if changed == 0:
                yield _ROLLBACK
                raise self._conflict("the position has changed")
        yield _COMMIT
        self._stored = text

    def _forgetting(self) -> Orders:
        """Store that there is no position, and commit."""
        changed = yield self._order(_FORGET, position=_NOWHERE)
        if changed == 0:
            yield self._order(_INSERT, position=_NOWHERE)
        yield _COMMIT
        self._stored = _NOWHERE

    def _row(self) -> Orders:
        """What is stored; where the table cannot be read, it is made."""
        try:
            return (yield self._select())
        except Exception as missing:
            yield _ROLLBACK  # some databases refuse everything else after an error
            try:
                yield self._order(_CREATE)
                yield _COMMIT
            except Exception:
                yield _ROLLBACK
                return (yield from self._unless_made_meanwhile(missing))
        return (yield self._select())

    def _unless_made_meanwhile(self, missing: Exception) -> Orders:
        try:
            return (yield self._select())
        except Exception:
            raise missing from None

    def _inserting(self) -> Orders:
        try:
            yield self._order(_INSERT, position=_NOWHERE)
            yield _COMMIT
        except Exception:
            yield _ROLLBACK
            found = yield self._select()  # another consumer has been faster
            if found is None:
                raise
            return found
        return self._source, _NOWHERE

    def _select(self) -> Order:
        return Order(TableAction.SELECT, _SELECT.format(table=self._table), {"name": self._name})

    def _order(self, sql: str, **values: str) -> Order:
        known = {"name": self._name, "source": self._source, **values}
        used = {name: value for name, value in known.items() if f":{name}" in sql}
        return Order(TableAction.EXECUTE, sql.format(table=self._table), used)


def _checked_name(name: str) -> str:
    if not isinstance(name, str):
        raise WrongArgumentType("name", name, "must be a str")
    if not 0 < len(name) <= LONGEST_NAME:
        raise InvalidArgument("name", name, f"must have 1 to {LONGEST_NAME} characters")
    return name
