"""Whether a database file still has everything that was confirmed.

Owns: asking before anything is changed, and the texts. Must not know: how the log and the notes are laid out.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from esdb_lite.server.storage.confirm_notes import LastRun
from esdb_lite.server.storage.errors import StorageCorrupted, reporting
from esdb_lite.server.storage.schema import connect_reader, recognise
from esdb_lite.server.storage.sqlite_reader import log_end
from esdb_lite.server.storage.write_ahead import committed_count, committed_pages, lost_commits

_IDENTITY = "SELECT id FROM events ORDER BY position LIMIT 1"
_PATIENCE = 3
WAY_OUT = "`esdb-lite backup --salvage` copies what can still be read"


def is_new(path: str) -> bool:
    """Whether there is nothing in the file yet."""
    return not os.path.exists(path) or os.path.getsize(path) == 0


def identity(connection: sqlite3.Connection) -> bytes | None:
    """The id of the first event, which no two databases share and which is never removed; None: there is none."""
    row = connection.execute(_IDENTITY).fetchone()
    return row[0] if row is not None and isinstance(row[0], bytes) and len(row[0]) == 16 else None


def refuse_losses(path: str, left: LastRun) -> None:
    """Refuse a file that lacks what was confirmed; `left` is what its last holder has noted.

    To be called before anybody writes to it: that would remove the traces. Raises StorageError.
    """
    if is_new(path):
        return
    with closing(connect_reader(path)) as connection, reporting(path):
        found = losses(connection, path, left)
    if found:
        raise StorageCorrupted(f"{found[0]} ({WAY_OUT})")


def losses(connection: sqlite3.Connection, path: str, left: LastRun) -> list[str]:
    """Return what is missing in a file, as `connection` sees it; `left` must have been read before."""
    found = [_missing(connection, path, left), None if left.relaxed else _unseen(connection, path)]
    return [text for text in found if text is not None]


def refuse_foreign_log(path: str, left: LastRun) -> None:
    """Refuse a file beside a write-ahead log that is not its own, as far as that can be seen: SQLite would mix the two.

    To be called before anybody writes to it, by whom alone may write. Raises StorageError.
    """
    if is_new(path) or not os.path.exists(os.path.realpath(path) + "-wal"):
        return
    with closing(connect_reader(path)) as connection, reporting(path):
        # More than once: a scavenge that another process has begun beside the last server may still be writing.
        found: list[str] = []
        while len(found) < _PATIENCE and (reason := _foreign(connection, path, left)):
            found.append(reason)
    if len(found) == _PATIENCE:
        way_out = f"if it was put back from a backup, remove {path}-wal and {path}-lock"
        raise StorageCorrupted(f"{path} is damaged: {path}-wal {found[0]}; {way_out}")


def _foreign(connection: sqlite3.Connection, path: str, left: LastRun) -> str | None:
    count, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    with open(os.path.realpath(path) + "-wal", "rb") as log:
        logged = committed_count(log, size)
    if not logged:
        return None
    # The first page says how many there are, and is in the log whenever a commit has changed that.
    if logged != count or lacks_pages(connection, path):
        return "builds on pages that it does not have"
    if not left.relaxed and left.notes and not _is_noted(connection, path, left):
        return "is of another database"
    return None


def _is_noted(connection: sqlite3.Connection, path: str, left: LastRun) -> bool:
    database = identity(connection) if recognise(connection, path) else None
    return database is None or any(of == database for of, _ in left.notes)


def lacks_pages(connection: sqlite3.Connection, path: str) -> bool:
    """Whether pages of the database are behind the end of its file, and not in the write-ahead log either.

    It is looked at more than once: somebody else may make the file shorter at the same time.
    """
    return all(_lacks_pages(connection, os.path.realpath(path)) for _ in range(_PATIENCE))


def _lacks_pages(connection: sqlite3.Connection, path: str) -> bool:
    count, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    behind = range(os.path.getsize(path) // size + 1, count + 1)
    if not behind:
        return False  # the log may be long
    try:
        with open(path + "-wal", "rb") as log:
            logged = committed_pages(log, size)
    except FileNotFoundError:
        logged = {}
    return any(number not in logged for number in behind)


def _unseen(connection: sqlite3.Connection, path: str) -> str | None:
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return lost_commits(os.path.realpath(path))


def _missing(connection: sqlite3.Connection, path: str, left: LastRun) -> str | None:
    known = recognise(connection, path)
    database = identity(connection) if known else None
    if database is None:
        end, noted = 0, max((end for _, end in left.notes), default=0)
    else:
        end, noted = log_end(connection), left.confirmed(database)
    if noted <= end:
        return None
    return (
        f"{path} is damaged: appends up to position {noted} were confirmed, and it ends at {end}; "
        f"if it was put back from a backup, remove {path}-lock"
    )
