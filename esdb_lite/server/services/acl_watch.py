"""Watching whether a subscriber may still read what they have subscribed to.

Owns: noticing changes of the access lists that matter. Must not know: what the access lists mean, what is sent.
"""

from __future__ import annotations

from collections.abc import Callable

from esdb_lite.server.database.feed import Listener
from esdb_lite.server.engine.access import Action, Principal, governing_streams
from esdb_lite.server.services.context import Context


class AclWatch:
    """Asks again whenever an access list changes. Nothing is watched for those whom no access list keeps out."""

    def __init__(self, context: Context, principal: Principal, stream: str) -> None:
        self.wake: Callable[[], None] | None = None
        """Called when there is something to check."""
        self._context = context
        self._principal = principal
        self._stream = stream
        self._changed = False
        self._listeners: list[Listener] = []
        if not principal.is_admin:
            self._listeners = [self._watch(governing) for governing in governing_streams(stream)]

    def _watch(self, stream: str) -> Listener:
        def changed() -> None:
            listener.take()
            self._changed = True
            if self.wake is not None:
                self.wake()

        listener = self._context.database.listen(changed, stream=stream, limit=1024)
        return listener

    @property
    def watches(self) -> bool:
        """Whether there are access lists that may keep the subscriber out."""
        return bool(self._listeners)

    async def check(self) -> None:
        """Refuse a subscriber who lost the right to read, if anything changed. Raises RpcError, StorageError."""
        while self._changed:
            self._changed = False
            await self._context.require(self._principal, self._stream, Action.READ)

    def close(self) -> None:
        """Stop watching. Idempotent."""
        for listener in self._listeners:
            listener.close()
