"""The news that there is more to be read.

Owns: the listeners of one projection. Must not know: what is read then; what the listeners hold is thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.feed import Listener

_HELD = 64


class News:
    """Says when something has been written: to one of some streams, or at all (None). Used on the database's loop."""

    def __init__(self, database: Database, streams: Sequence[str] | None) -> None:
        self._database = database
        self._arrived = asyncio.Event()
        self._listeners = [self._listen(stream) for stream in ([None] if streams is None else streams)]

    def _listen(self, stream: str | None) -> Listener:
        return self._database.listen(self._arrived.set, stream=stream, limit=_HELD)

    async def wait(self) -> None:
        """Wait until something has been written since the last call, or `wake` is called."""
        await self._arrived.wait()
        self._arrived.clear()
        self._listeners = [self._emptied(listener) for listener in self._listeners]

    def _emptied(self, listener: Listener) -> Listener:
        if listener.overflowed:
            return self._listen(listener.stream)
        listener.take()
        return listener

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has been written since `wait` returned."""
        return not self._arrived.is_set()

    def wake(self) -> None:
        """Let whoever waits go on."""
        self._arrived.set()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        for listener in self._listeners:
            listener.close()
