"""Searching the log for the events of a category or a type, in SQL.

Owns: the statements, and how much of the log one of them looks at. Must not know: what the events are for.

Nothing is stored for it: names are compared once for each event of the part that is looked at, which takes about a
tenth of the time that reading the events would take, and appends nothing.
"""

from __future__ import annotations

import sqlite3

from esdb_lite.server.storage import LogSelection

LOOKED_AT = 10_000
"""Events of the log that one statement looks at: some ten milliseconds."""

_LAST = {
    False: "SELECT max(position) FROM (SELECT position FROM events WHERE position>=? ORDER BY position LIMIT ?)",
    True: "SELECT min(position) FROM (SELECT position FROM events WHERE position<=? ORDER BY position DESC LIMIT ?)",
}
_FROM = "FROM events e CROSS JOIN streams s ON s.number=e.stream CROSS JOIN types t ON t.number=e.type "
_NOT_OWN = "substr(s.name,1,1)<>'$' AND substr(t.name,1,1)<>'$'"
_OF_CATEGORY = " AND (s.name=? OR substr(s.name,1,?)=?)"
_OF_TYPE = " AND t.name=?"


class Search:
    """A search for selected events from a position on, that one included."""

    def __init__(self, selection: LogSelection, start: int, *, backwards: bool) -> None:
        self._selection = selection
        self._start = start
        self._backwards = backwards

    def last_to_look_at(self, connection: sqlite3.Connection) -> int | None:
        """Return the position of the last event of the part to be searched; None: there is nothing to search."""
        category = self._selection.category
        if category is not None and "-" in category:
            return None  # no name has a hyphen before its first one
        found = connection.execute(_LAST[self._backwards], (self._start, LOOKED_AT)).fetchone()[0]
        return None if found is None else int(found)

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
