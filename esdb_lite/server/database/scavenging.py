"""Scavenge: removing what can never be read again, and giving the space back, a little at a time.

Owns: the order and the size of the steps. Must not know: which thread runs them, the wire.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable

from esdb_lite.server.database.group_commit import Committer
from esdb_lite.server.engine.retention import Retention, retention
from esdb_lite.server.storage.sqlite_scavenger import SqliteScavenger

_STREAMS = 100
_QUICK, _SLOW = 0.005, 0.02
_SMALLEST, _LARGEST = 8, 4096


class Steps:
    """One scavenge as a row of short steps, each a transaction of its own; runs where the writer runs."""

    def __init__(self, committer: Committer, storage: SqliteScavenger, now: Callable[[], int]) -> None:
        self.removed = 0
        """Events removed so far."""
        self.freed = 0
        """Bytes by which the file has become shorter."""
        self._committer = committer
        self._storage = storage
        self._now = now
        self._stream = 0
        self._revision = 0
        self._looked_through = False
        self._size = 256

    def step(self) -> bool:
        """Do a little; False when nothing is left to do. Raises StorageError."""
        began = time.perf_counter()
        more = self._shorten() if self._looked_through else self._look()
        taken = time.perf_counter() - began
        if taken > _SLOW:
            self._size = max(_SMALLEST, self._size // 2)
        elif taken < _QUICK:
            self._size = min(_LARGEST, self._size * 2)
        return more

    def _look(self) -> bool:
        """Go on through the streams, until some events have been removed or some streams been found without."""
        # Another process may be writing: what was known of the streams may be out of date by now.
        self._committer.forget_streams()
        with self._storage.transaction():
            self._storage.keep_end()
            streams = self._storage.streams(self._stream, _STREAMS)
            self._looked_through = not streams
            room = self._size
            for number, name in streams:
                room -= self._clear(number, name, room)
                if room <= 0:
                    break
                self._stream, self._revision = number + 1, 0
        return True

    def _clear(self, number: int, name: str, room: int) -> int:
        """Remove events of one stream and return how many have been looked at."""
        first, since, end = _kept(self._committer, self._storage, name, self._now())
        removed = self._storage.remove_below(number, first, room)
        looked_at = removed
        if since is not None and removed < room:
            self._revision = max(self._revision, first)
            expired, looked_at, self._revision = self._storage.remove_expired(number, self._revision, end, since, room)
            removed += expired
        self.removed += removed
        return looked_at

    def _shorten(self) -> bool:
        freed = self._storage.shorten(self._size)
        self.freed += freed
        return freed > 0


def _kept(committer: Committer, storage: SqliteScavenger, stream: str, now: int) -> Retention:
    """What of a stream stays: also parked events that are being delivered again, although they cannot be read."""
    limits = retention(committer, stream, now)
    replayed_from = storage.replayed_from(stream)
    return limits if replayed_from is None else limits._replace(first=min(limits.first, replayed_from), since=None)


def clear_stream(committer: Committer, storage: SqliteScavenger, stream: str, now: int) -> int:
    """Remove what of one stream can never be read again; return how many events. Raises StorageError."""
    committer.forget_streams()
    with storage.transaction():
        storage.keep_end()
        number = storage.number(stream)
        first, _, _ = _kept(committer, storage, stream, now)
        return 0 if number is None else storage.remove_below(number, first, _LARGEST)


class Scavenge:
    """A scavenge that runs beside everything else."""

    def __init__(self, steps: Steps) -> None:
        self.id = str(uuid.uuid4())
        self.stopped = False
        """Ended by `stop` before it was done."""
        self._steps = steps

    @property
    def removed(self) -> int:
        """Events removed so far."""
        return self._steps.removed

    @property
    def freed(self) -> int:
        """Bytes by which the file has become shorter so far."""
        return self._steps.freed

    def stop(self) -> None:
        """End it after the present step. What has been removed stays removed."""
        self.stopped = True

    async def run(self, execute: Callable[[Callable[[], bool]], Awaitable[bool]]) -> None:
        """Run step after step, each by `execute`. Raises StorageError."""
        while not self.stopped and await execute(self._steps.step):
            pass
