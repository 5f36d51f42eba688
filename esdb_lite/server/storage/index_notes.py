"""Notes beside the log: the events of the indexes that users define, and up to where each index has been filled.

Owns: their two tables. Must not know: transactions, how an index comes by its values.
"""

from __future__ import annotations

import sqlite3

from esdb_lite.server.storage import ForgetIndex, IndexNote, IndexProgress

_COME = """
INSERT INTO user_indexes VALUES (?, ?) ON CONFLICT DO UPDATE SET position=max(position, excluded.position)
"""
_ENTER = "INSERT OR IGNORE INTO user_index_events VALUES (?, ?, ?)"
_FORGET = (
    "DELETE FROM user_index_events WHERE id=:id AND position IN"
    " (SELECT position FROM user_index_events WHERE id=:id ORDER BY position LIMIT 10000)",
    "DELETE FROM user_indexes WHERE id=:id AND NOT EXISTS (SELECT 1 FROM user_index_events WHERE id=:id)",
)
_POSITION = "SELECT position FROM user_indexes WHERE id=?"


def save(connection: sqlite3.Connection, note: IndexNote) -> None:
    """Write a note, within the transaction that is open."""
    if isinstance(note, ForgetIndex):
        for statement in _FORGET:
            connection.execute(statement, {"id": note.id})
        return
    connection.execute(_COME, (note.id, note.position))
    connection.executemany(_ENTER, [(note.id, *entry) for entry in note.entries])


def position(connection: sqlite3.Connection, id: int) -> int | None:
    """Up to where an index has been filled."""
    row = connection.execute(_POSITION, (id,)).fetchone()
    return None if row is None else int(row[0])


def statement(columns: str, *, by_value: bool, backwards: bool) -> str:
    """Return the statement that finds events of an index: its id, the value if any, first, last and limit are asked."""
    names = ", ".join(f"e.{column}" for column in columns.split(", "))
    order = "DESC" if backwards else "ASC"
    which = "i.id=? AND i.value=?" if by_value else "i.id=?"
    return (
        f"SELECT {names} FROM user_index_events i CROSS JOIN events e ON e.position=i.position"
        f" WHERE {which} AND i.position BETWEEN ? AND ? ORDER BY i.position {order} LIMIT ?"
    )


__all__ = ["ForgetIndex", "IndexProgress", "position", "save", "statement"]
