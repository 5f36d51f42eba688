"""Removing events from SQLite and making the file shorter.

Owns: the statements of a scavenge. Must not know: which events can go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from esdb_lite.server.storage import replay_notes
from esdb_lite.server.storage.errors import DRIVER_ERRORS, translated
from esdb_lite.server.storage.selections import remove_entries
from esdb_lite.server.storage.sqlite_reader import log_end
from esdb_lite.server.storage.sqlite_writer import SqliteWriter

_STREAMS = "SELECT number, name FROM streams WHERE number>=? ORDER BY number LIMIT ?"
_NUMBER = "SELECT number FROM streams WHERE name=?"
_BELOW = "FROM events WHERE stream=? AND revision<? ORDER BY revision LIMIT ?"
_REMOVE_BELOW = f"DELETE FROM events WHERE position IN (SELECT position {_BELOW})"
_AT = "FROM events WHERE position=?"
_AGES = """
SELECT revision, position, created FROM events WHERE stream=? AND revision>=? AND revision<? ORDER BY revision LIMIT ?
"""


class SqliteScavenger:
    """Works on the writer's connection, between its transactions; another process may be writing the same file."""

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer
        self._connection = writer.connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is removed within goes at its end, or none of it. Raises StorageError."""
        with self._writer.transaction():
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def streams(self, first: int, limit: int) -> list[tuple[int, str]]:
        """Numbers and names of the streams from this number on."""
        return self._connection.execute(_STREAMS, (first, limit)).fetchall()

    def number(self, stream: str) -> int | None:
        """Return the number of a stream; None: it has none."""
        row = self._connection.execute(_NUMBER, (stream,)).fetchone()
        return None if row is None else int(row[0])

    def replayed_from(self, stream: str) -> int | None:
        """From which number on parked events are being delivered again, as noted; None: nothing is noted."""
        return replay_notes.first(self._connection, stream)

    def remove_below(self, stream: int, revision: int, limit: int) -> int:
        """Remove up to `limit` events with lower revisions, and return how many."""
        which = (stream, revision, limit)
        remove_entries(self._connection, _BELOW, which)
        return self._removed(stream, self._connection.execute(_REMOVE_BELOW, which).rowcount)

    def remove_expired(self, stream: int, first: int, end: int, since: int, limit: int) -> tuple[int, int, int]:
        """Remove what was created before `since` among the next `limit` events before `end`.

        Returns: how many were removed, how many looked at, and where to go on.
        """
        rows = self._connection.execute(_AGES, (stream, first, end, limit)).fetchall()
        expired = [(position,) for _, position, created in rows if created < since]
        for position in expired:
            remove_entries(self._connection, _AT, position)
        self._connection.executemany("DELETE FROM events WHERE position=?", expired)
        self._removed(stream, len(expired))
        return len(expired), len(rows), rows[-1][0] + 1 if rows else end

    def _removed(self, stream: int, count: int) -> int:
        if count > 0:
            self._connection.execute("UPDATE streams SET scavenged=1 WHERE number=?", (stream,))
        return count

    def keep_end(self) -> None:
        """The log never goes back behind where it ends now, even if its last event is removed."""
        self._writer.set_floor(log_end(self._connection))

    def shorten(self, pages: int) -> int:
        """Give back up to so many unused pages, and return by how many bytes the file will be shorter."""
        try:
            before = self._pragma("page_count")
            # Not `execute`, which takes one step: that would be one page.
            self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")
            after = self._pragma("page_count")
            if before == after:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            return (before - after) * self._pragma("page_size")
        except DRIVER_ERRORS as error:
            raise translated(error, self._writer.path) from error

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
