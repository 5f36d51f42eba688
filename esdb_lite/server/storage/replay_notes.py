"""Notes beside the log: parked events that are being delivered again, of which the log says that they are gone.

Owns: their table. Must not know: transactions, groups.
"""

from __future__ import annotations

import sqlite3

from esdb_lite.server.storage import ReplayNote

_NOTE = "INSERT INTO replays VALUES (?, ?) ON CONFLICT DO UPDATE SET first=excluded.first"
_FORGET = "DELETE FROM replays WHERE stream=?"
_FIRST = "SELECT first FROM replays WHERE stream=?"


def save(connection: sqlite3.Connection, note: ReplayNote) -> None:
    """Write a note, within the transaction that is open."""
    if note.first is None:
        connection.execute(_FORGET, (note.stream,))
    else:
        connection.execute(_NOTE, (note.stream, note.first))


def first(connection: sqlite3.Connection, stream: str) -> int | None:
    """From which number on there are such events in a stream."""
    row = connection.execute(_FIRST, (stream,)).fetchone()
    return None if row is None else int(row[0])


__all__ = ["ReplayNote", "first", "save"]
