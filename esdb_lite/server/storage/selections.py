"""The events of a category or a type: entries for most of the log, and a search of the rest, in SQL.

Owns: the statements, and how much of the log one of them looks at; the tables of entries, which are filled behind the
appends, many events at a time. Must not know: what the events are for, who has entries made and when.

What has no entries yet is searched: names are compared once for each event of the part that is looked at, which takes
about a tenth of the time that reading the events would take. Events that were removed have no entries, or ones that
are passed over.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from esdb_lite.server.storage import LogSelection

LOOKED_AT = 10_000
"""Events of the log that one search looks at: some ten milliseconds."""

_LAST = {
    False: "SELECT max(position) FROM (SELECT position FROM events WHERE position>=? ORDER BY position LIMIT ?)",
    True: "SELECT min(position) FROM (SELECT position FROM events WHERE position<=? ORDER BY position DESC LIMIT ?)",
}
_FROM = "FROM events e CROSS JOIN streams s ON s.number=e.stream CROSS JOIN types t ON t.number=e.type "
_NOT_OWN = "substr(s.name,1,1)<>'$' AND substr(t.name,1,1)<>'$'"
_OF_CATEGORY = " AND (s.name=? OR substr(s.name,1,?)=?)"
_OF_TYPE = " AND t.name=?"
_CATEGORY = "CASE instr(s.name,'-') WHEN 0 THEN s.name ELSE substr(s.name,1,instr(s.name,'-')-1) END"
_NEW = f"WHERE e.position>? AND e.position<=? AND {_NOT_OWN}"
_MAKE_ENTRIES = (
    f"INSERT OR IGNORE INTO categories (name) SELECT DISTINCT {_CATEGORY} {_FROM}{_NEW}",
    f"INSERT OR IGNORE INTO category_events SELECT c.number, e.position {_FROM}"
    f"CROSS JOIN categories c ON c.name={_CATEGORY} {_NEW} ORDER BY 1, 2",
    f"INSERT OR IGNORE INTO type_events SELECT e.type, e.position {_FROM}{_NEW} ORDER BY 1, 2",
)
_FEW_KINDS = 4
"""Streams and types that are looked up once each, and their events compared by number."""
_KINDS = (
    f"SELECT e.stream, e.type, {_NOT_OWN} FROM"
    f" (SELECT DISTINCT stream, type FROM events WHERE position>? AND position<=? LIMIT {_FEW_KINDS + 1}) e"
    " LEFT JOIN streams s ON s.number=e.stream LEFT JOIN types t ON t.number=e.type"
)
_OF_KIND = "events e NOT INDEXED WHERE e.position>?1 AND e.position<=?2 AND e.stream=?3 AND e.type=?4"
_MAKE_CATEGORY = f"INSERT OR IGNORE INTO categories (name) SELECT {_CATEGORY} FROM streams s WHERE s.number=?"
_MAKE_ENTRIES_OF_KIND = (
    "INSERT OR IGNORE INTO category_events SELECT c.number, e.position FROM (SELECT * FROM streams WHERE number=?3) s"
    f" CROSS JOIN categories c ON c.name={_CATEGORY} CROSS JOIN {_OF_KIND}",
    f"INSERT OR IGNORE INTO type_events SELECT e.type, e.position FROM {_OF_KIND}",
)
_INDEXED = "SELECT position FROM indexed"
_SET_INDEXED = "INSERT INTO indexed VALUES (0, ?) ON CONFLICT DO UPDATE SET position=excluded.position"
_REMOVE_ENTRIES = (
    "DELETE FROM type_events WHERE (type, position) IN (SELECT type, position {})",
    f"DELETE FROM category_events WHERE (category, position) IN (SELECT c.number, e.position FROM (SELECT * {{}}) e"
    f" CROSS JOIN streams s ON s.number=e.stream CROSS JOIN categories c ON c.name={_CATEGORY})",
    "DELETE FROM user_index_events WHERE (id, position) IN (SELECT u.id, e.position FROM (SELECT * {}) e"
    " CROSS JOIN user_indexes u)",
)


def indexed(connection: sqlite3.Connection) -> int:
    """Return the position up to which all events have entries; 0: none has."""
    row = connection.execute(_INDEXED).fetchone()
    return 0 if row is None else int(row[0])


def make_entries(connection: sqlite3.Connection, limit: int) -> int:
    """Make entries of up to `limit` events, within the transaction that is open; return how many events they were."""
    first = indexed(connection)
    part = "SELECT position FROM events WHERE position>? ORDER BY position LIMIT ?"
    last, count = connection.execute(f"SELECT max(position), count(*) FROM ({part})", (first, limit)).fetchone()
    if count:
        _make_entries(connection, first, last)
        connection.execute(_SET_INDEXED, (last,))
    return int(count)


def _make_entries(connection: sqlite3.Connection, before: int, last: int) -> None:
    kinds = connection.execute(_KINDS, (before, last)).fetchall()
    if len(kinds) > _FEW_KINDS:
        for statement in _MAKE_ENTRIES:
            connection.execute(statement, (before, last))
        return
    for stream, type, is_not_own in kinds:  # appends of many events: half of what it takes to look at each one's names
        if is_not_own:
            connection.execute(_MAKE_CATEGORY, (stream,))
            for statement in _MAKE_ENTRIES_OF_KIND:
                connection.execute(statement, (before, last, stream, type))


def remove_entries(connection: sqlite3.Connection, which: str, arguments: tuple[int, ...]) -> None:
    """Remove the entries of events that are about to be removed, also those of users' indexes.

    `which`: what follows SELECT, with its arguments.
    """
    for statement in _REMOVE_ENTRIES:
        connection.execute(statement.format(which), arguments)


class Search:
    """A search for selected events from a position on, that one included."""

    def __init__(self, selection: LogSelection, start: int, *, backwards: bool, floor: int = 0) -> None:
        """`floor`: nothing before this position is looked at."""
        self._selection = selection
        self._start = start
        self._backwards = backwards
        self._floor = floor

    def last_to_look_at(self, connection: sqlite3.Connection) -> int | None:
        """Return the position of the last event of the part to be searched; None: there is nothing to search."""
        if not _can_be(self._selection):
            return None
        found = connection.execute(_LAST[self._backwards], (self._start, LOOKED_AT)).fetchone()[0]
        return None if found is None else max(int(found), self._floor)

    def statement(self, columns: str, last: int) -> tuple[str, tuple[int | str, ...]]:
        """Return the statement, which ends with the limit, and its arguments but that one."""
        low, high = (last, self._start) if self._backwards else (self._start, last)
        where, arguments = "WHERE e.position BETWEEN ? AND ? AND " + _NOT_OWN, [low, high]
        more: list[int | str] = [*arguments]
        category, type = self._selection
        if category is not None:
            where += _OF_CATEGORY
            more += [category, len(category) + 1, f"{category}-"]
        if type is not None:
            where += _OF_TYPE
            more.append(type)
        names = ", ".join(f"e.{column}" for column in columns.split(", "))
        order = "DESC" if self._backwards else "ASC"
        return f"SELECT {names} {_FROM}{where} ORDER BY e.position {order} LIMIT ?", tuple(more)

    def behind(self, position: int) -> int:
        """Return where to go on behind a position."""
        return position - 1 if self._backwards else position + 1


def _can_be(selection: LogSelection) -> bool:
    # no name has a hyphen before its first one
    return selection.category is None or "-" not in selection.category


class Entries(NamedTuple):
    """Entries of one category or type within a part of the log."""

    table: str
    column: str
    key: int
    first: int
    last: int
    backwards: bool

    def statement(self, columns: str) -> tuple[str, tuple[int, ...]]:
        """Return the statement, which ends with the limit, and its arguments but that one."""
        names = ", ".join(f"e.{column}" for column in columns.split(", "))
        order = "DESC" if self.backwards else "ASC"
        where = f"WHERE i.{self.column}=? AND i.position BETWEEN ? AND ? ORDER BY i.position {order} LIMIT ?"
        statement = f"SELECT {names} FROM {self.table} i CROSS JOIN events e ON e.position=i.position {where}"
        return statement, (self.key, self.first, self.last)


def entries_of(
    selection: LogSelection, connection: sqlite3.Connection, first: int, last: int, *, backwards: bool
) -> Entries | None:
    """Return the entries of a selection; None: there are none. The selection has either a category or a type."""
    table, column, names, name = (
        ("type_events", "type", "types", selection.type)
        if selection.category is None
        else ("category_events", "category", "categories", selection.category)
    )
    row = connection.execute(f"SELECT number FROM {names} WHERE name=?", (name,)).fetchone()
    return None if row is None else Entries(table, column, int(row[0]), first, last, backwards)
