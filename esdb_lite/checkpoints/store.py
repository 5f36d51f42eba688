"""What a checkpoint store is, and what those of the package have in common.

Owns: `CheckpointStore`, and refusing what belongs to somebody else. Must not know: files, databases.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from esdb_lite.checkpoints.positions import from_text
from esdb_lite.consumers import ConsumerPosition
from esdb_lite.errors import CheckpointConflict, CheckpointCorrupt, CheckpointMismatch


class StoreBusy(Exception):
    """A transaction cannot begin, because others are in the middle of theirs: it may a little later."""


class CheckpointStore(Protocol):
    """Keeps a consumer's position. Any object with these two methods is one.

    In `AsyncEsdbClient` all methods may be coroutine functions; others run on the event loop's thread, which waits.
    A store may have more methods, which are called if they are there:
    `rollback()` when a handler failed or was cancelled; the store then stands for a transaction that the handler takes
    part in, and `save()` is called after every batch, to commit it;
    `begin()` before a handler is called;
    `forget()` when a consumer is to begin anew (`consumer.rebuild()`): it commits, too;
    `bind(source)` before `load()`, with a text that differs for each stream and filter;
    and `release()` when the consumer has ended.
    """

    def load(self) -> ConsumerPosition | Awaitable[ConsumerPosition | None] | None:
        """Return the position that was saved last; None: there is none."""

    def save(self, position: ConsumerPosition) -> object:
        """Keep a position: an int for a stream, a `Checkpoint` for all events."""


class BoundStore:
    """A store that knows which consumer it works for."""

    def __init__(self, label: str, checkpoint: str) -> None:
        """`label` names the checkpoint in messages, `checkpoint` on exceptions."""
        self._label = label
        self._checkpoint = checkpoint
        self._source = ""
        self._bound = False

    def bind(self, source: str) -> None:
        """Say what is consumed. Raises CheckpointConflict where a consumer uses this object already."""
        if self._bound:
            raise CheckpointConflict(f"{self._label} is being used by another consumer").of(self._checkpoint)
        self._bound = True
        self._source = source

    def release(self) -> None:
        """Say that the consumer has ended."""
        self._bound = False

    def _position(self, source: str, text: str) -> ConsumerPosition:
        """Return the position that was stored for a source. Raises CheckpointMismatch, CheckpointCorrupt."""
        self._check_source(source)
        try:
            return from_text(text)
        except ValueError as error:
            raise self._corrupt(str(error)) from error

    def _check_source(self, source: str) -> None:
        """Refuse what was stored for another source; one that is empty was stored without a consumer."""
        if source and self._source and source != self._source:
            raise CheckpointMismatch(
                f"{self._label} belongs to a consumer of {source}, not of {self._source}; "
                "use another one, or delete it to start over"
            ).of(self._checkpoint)

    def _corrupt(self, why: str) -> CheckpointCorrupt:
        return CheckpointCorrupt(f"{self._label} cannot be understood: {why}").of(self._checkpoint)

    def _conflict(self, why: str) -> CheckpointConflict:
        return CheckpointConflict(
            f"{self._label} is being used by another consumer: {why} since it was stored last"
        ).of(self._checkpoint)
