"""What can be done to a database file from the command line, whether or not a server has it open.

Owns: the three functions behind the commands. Must not know: arguments and printing. No event loop is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from esdb_lite.server.database.database import ticks_now
from esdb_lite.server.database.group_commit import Committer
from esdb_lite.server.database.scavenging import Steps
from esdb_lite.server.storage.backup import backup
from esdb_lite.server.storage.errors import StorageLocked, StorageUnavailable
from esdb_lite.server.storage.files import Files, exists
from esdb_lite.server.storage.ownership import HeldByAnotherName
from esdb_lite.server.storage.sqlite_scavenger import SqliteScavenger
from esdb_lite.server.storage.verification import verify

__all__ = ["Scavenged", "backup", "scavenge", "verify"]


class Scavenged(NamedTuple):
    """What a scavenge has done."""

    removed: int
    """Events."""
    freed: int
    """Bytes."""


def scavenge(
    path: str, *, now: Callable[[], int] = ticks_now, progress: Callable[[Scavenged], None] | None = None
) -> Scavenged:
    """Remove from a file what can never be read again, and make it shorter.

    A server may be using the file: it goes on serving, its appends take turns with the steps of the scavenge. Where
    none does, the scavenge holds the file, and none can be started until it is done.
    `progress` is called after each step. Raises StorageError.
    """
    if not exists(path):
        raise StorageUnavailable(f"{path} does not exist")
    try:
        files = Files(path, holder="a scavenge")
    except HeldByAnotherName:
        raise
    except StorageLocked:
        files = Files(path, shared=True)
    try:
        steps = Steps(Committer(files.writer, now), SqliteScavenger(files.writer), now)
        while steps.step():
            if progress is not None:
                progress(Scavenged(steps.removed, steps.freed))
        return Scavenged(steps.removed, steps.freed)
    finally:
        files.close()
