"""Whether the write-ahead log of a database in use was cut off: what was confirmed may be gone.

Owns: remembering how long it was after a commit. Must not know: what is in it.
"""

from __future__ import annotations

import os
import sqlite3
import sys

_HEADER, _FRAME_HEADER = 32, 24


class LogLength:
    """Watches the log for the connection that writes."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        """`path`: of the database. Nothing is seen where there is no log, or where an open one could not be removed."""
        self._connection = connection
        self._known = 0
        self._is_cut_off = False
        # To close it takes no lock of SQLite's away, as it would with the database or with `-shm`.
        self._descriptor = -1
        if sys.platform != "win32" and os.path.exists(path + "-wal"):
            self._descriptor = os.open(path + "-wal", os.O_RDONLY | os.O_CLOEXEC)

    def note(self) -> None:
        """A commit has been made."""
        self._known = self._length

    def is_cut_off(self) -> bool:
        """Whether it has become shorter than what it holds: from then on, always."""
        if self._length < self._known and not self._is_cut_off:
            self._is_cut_off = self._lacks_frames()
        return self._is_cut_off

    def close(self) -> None:
        """Watch no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def _length(self) -> int:
        return os.fstat(self._descriptor).st_size if self._descriptor >= 0 else 0

    def _lacks_frames(self) -> bool:
        """Another process may have emptied it, and a reset one is made shorter: then SQLite knows of fewer frames."""
        try:
            (size,) = self._connection.execute("PRAGMA page_size").fetchone()
            _, frames, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            return True  # it cannot read what it knows of
        needed: int = _HEADER + frames * (_FRAME_HEADER + size)
        return frames > 0 and self._length < needed
