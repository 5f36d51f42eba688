"""A system projection at work: pages of the log in, links out, each page with its position in one transaction.

Owns: where it is, and when it writes a checkpoint. Must not know: which links are written, commands.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from esdb_lite._log_positions import log_position
from esdb_lite.server.database.database import Database
from esdb_lite.server.projections.definitions import CHECKPOINT_METADATA, Definition, checkpoint_stream
from esdb_lite.server.projections.emitting import Emission, Emit, EmitRefused, Owner
from esdb_lite.server.projections.pages import LogPages, Page
from esdb_lite.server.projections.running import RunEvents, RunStatistics
from esdb_lite.server.projections.system import NOTHING_SEEN, SystemIndex, position_members
from esdb_lite.server.storage import Progress
from esdb_lite.server.storage.errors import PASSING, StorageClosed, StorageError

T = TypeVar("T")

CHECKPOINT_EVENTS = 4000
"""So many handled events, or so many bytes of the log, lie between checkpoints."""
CHECKPOINT_BYTES = 10_000_000
_ROOM_AFTER = 1.0
"""Seconds after which there may be room again on a full disk."""
_NOT_ALLOWED = "'emit' is not allowed by the projection/configuration/mode"


class SystemRun:
    """One system projection. See `Run`."""

    def __init__(self, database: Database, pages: LogPages, definition: Definition, events: RunEvents) -> None:
        """Raises QueryDoesNotFit."""
        self._owner = Owner(definition.id, definition.epoch, definition.version)
        self._index = SystemIndex(definition.name, definition.query, self._owner)
        self._database = database
        self._pages = pages
        self._definition = definition
        self._events = events
        self._known: dict[str, int] = {}
        self._next = 0
        """Everything before has been looked at."""
        self._noted = 0
        """The same, as a restart would find it."""
        self._arrived_since = 0
        self._written = NOTHING_SEEN, 0
        """The last event whose links are committed, and how many there were: what is told. What is handled may still
        be on its way to the disk."""
        self._checkpoint = NOTHING_SEEN
        self._events_at_checkpoint = 0
        self._next_at_checkpoint = 0
        self._awaited: asyncio.Task[Page] | None = None
        self._waiting: asyncio.Future[Any] | None = None
        """The same or something else, to be cancelled by whoever stops this run alone."""
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    # --- see `Run` ---

    async def start(self) -> None:
        """See `Run`."""
        await self._load()
        # What is appended from now on is seen as it arrives.
        self._arrived_since = self._database.log_end
        self._task = asyncio.create_task(self._work())

    async def stop(self, *, checkpoint: bool) -> None:
        """See `Run`."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})
            with suppress(StorageError, EmitRefused):
                await self._write([], checkpoint=checkpoint)

    async def state(self, partition: str) -> str | None:
        """See `Run`: they hold nothing."""
        return None

    async def result(self, partition: str) -> str | None:
        """See `Run`."""
        return None

    @property
    def statistics(self) -> RunStatistics:
        """See `Run`."""
        end, (handled, events) = self._database.log_end, self._written
        if self._task is None:
            progress = -1.0
        elif self._awaited is not None and self._pages.is_at_end(self._awaited):
            progress = 100.0
        else:
            progress = min(99.9, 100 * self._next / end)
        return RunStatistics(_text(handled), _text(self._checkpoint), progress, events)

    # --- at work ---

    async def _load(self) -> None:
        stored = await self._database.read(lambda reader: reader.projection_position(self._definition.id))
        if stored is not None and stored.position:
            self._next, self._index.handled, self._checkpoint = json.loads(stored.position)
            self._written = self._index.handled, 0
            self._noted = self._next_at_checkpoint = self._next

    async def _work(self) -> None:
        try:
            await self._patiently(lambda: self._write(self._index.mark()))
            while (page := await self._page()) is not None:
                await self._patiently(partial(self._handle, page))
        except EmitRefused as refused:
            self._events.faulted(str(refused))
        except StorageClosed:
            pass
        except StorageError as error:
            self._events.faulted(f"The database failed: {error}")

    async def _patiently(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write, again and again while the disk is full, or another program writes; not when it is to stop."""
        while not self._stopping:
            try:
                await write()
            except PASSING:
                await self._wait_for(self._loop.create_task(asyncio.sleep(_ROOM_AFTER)))
            else:
                return

    async def _page(self) -> Page | None:
        """The next page; None when it is to stop."""
        if self._stopping:
            return None
        page = self._pages.page(self._next)
        if page.done():
            return page.result()
        self._awaited = page
        return await self._wait_for(asyncio.shield(page))

    async def _wait_for(self, future: asyncio.Future[T]) -> T | None:
        """Wait; None when it is to stop meanwhile."""
        self._waiting = future
        try:
            return await future
        except asyncio.CancelledError:
            if self._stopping:
                return None
            raise
        finally:
            self._awaited = self._waiting = None

    async def _handle(self, page: Page) -> None:
        index = self._index
        before = self._next, index.handled, index.events
        emissions = index.handle(page.since(self._arrived_since))
        self._next = page.next
        try:
            if emissions and not self._definition.emit_enabled:
                raise EmitRefused(self._reason(before[1]))
            if self._is_due or emissions:
                await self._write(emissions, checkpoint=self._is_due)
        except (EmitRefused, StorageError):
            # What could not be written is still to come.
            self._next, index.handled, index.events = before
            raise
        self._written = index.handled, index.events

    @property
    def _is_due(self) -> bool:
        events = self._index.events - self._events_at_checkpoint
        return events >= CHECKPOINT_EVENTS or self._next - self._next_at_checkpoint >= CHECKPOINT_BYTES

    async def _write(self, emissions: Sequence[Emission], *, checkpoint: bool = False) -> None:
        """Write links, and how far it is by them, or none of it."""
        index = self._index
        if checkpoint:
            mark = [] if self._stopping else index.mark()
            emissions = [*emissions, *mark, self._checkpoint_record()]
        elif not emissions and self._next == self._noted:
            return
        last = index.handled if checkpoint else self._checkpoint
        note = Progress(self._definition.id, json.dumps([self._next, index.handled, last]))
        emit = Emit(self._owner, emissions, self._known, [note])
        await self._database.execute(emit, cost=emit.cost)
        emit.accept()
        self._pages.skip(emit.written)
        self._noted = self._next
        if checkpoint:
            self._checkpoint = last
            self._events_at_checkpoint, self._next_at_checkpoint = index.events, self._next

    def _checkpoint_record(self) -> Emission:
        metadata = f'{{"$v":"{self._owner.stamp}",{position_members(self._index.handled)}}}'.encode()
        stream = checkpoint_stream(self._definition.name)
        return Emission(stream, "$ProjectionCheckpoint", True, b"[]", metadata, CHECKPOINT_METADATA, stamped=False)

    def _reason(self, handled: int) -> str:
        return (
            f"The {self._definition.name} projection failed to process an event.\r\n"
            f"Handler: {self._definition.handler_class}\r\nEvent Position: {_text(handled)}\r\n\r\n"
            f"Message:\r\n\r\n{_NOT_ALLOWED}"
        )


def _text(position: int) -> str:
    return log_position(max(position, 0), position)
