"""All projections of a server: which there are, which run, and the commands about them.

Owns: what each command does to definition and run, one after the other (section 4.6 of the notes on projections).
Must not know: calls, who may ask for what, how projections compute.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.access import Principal
from esdb_lite.server.engine.model import ANY
from esdb_lite.server.projections import store
from esdb_lite.server.projections.definitions import (
    TRANSIENT_ID,
    Definition,
    Mode,
    checkpoint_stream,
    emitted_streams_stream,
)
from esdb_lite.server.projections.managed import ManagedProjection, ProjectionStatistics
from esdb_lite.server.projections.pages import LogPages
from esdb_lite.server.projections.running import EngineMissing, QueryEngine, QueryRefused, Run, RunEvents
from esdb_lite.server.projections.status import Halt, Work
from esdb_lite.server.projections.system import QueryDoesNotFit
from esdb_lite.server.projections.system_run import SystemRun
from esdb_lite.server.storage.errors import StorageClosed, StorageError

FORGOTTEN_AFTER = 300.0
"""Seconds after which a transient projection is gone that nobody has asked about."""
MOST_TRANSIENT = 64
"""Transient projections: everybody who has logged in may start some, and each has a thread and memory of its own."""
_NO_ENGINE = "This server runs the system projections only."
_DOES_NOT_FIT = "Exception has been thrown by the target of an invocation."


class ProjectionMissing(Exception):
    """There is no projection of that name."""


class ProjectionConflict(Exception):
    """There is one of that name."""


class TooManyProjections(Exception):
    """There are as many transient ones as there may be."""


class CommandRefused(Exception):
    """The projection is not in a state for this, or not of a kind."""


class SubsystemStopped(Exception):
    """Projections do not run here now."""


class ProjectionManager:
    """Everything is called on the loop of the database."""

    def __init__(
        self, database: Database, *, now: Callable[[], int], engine: QueryEngine | None, starts_standard: bool
    ) -> None:
        """`now`: ticks. `engine`: what runs queries of users, None: nothing does. `starts_standard`: whether `start`
        enables the system projections.
        """
        self._database = database
        self._engine = engine
        self._starts_standard = starts_standard
        self._now = now
        self._pages = LogPages(database, now)
        self._projections: dict[str, ManagedProjection] = {}
        self._commands = asyncio.Lock()
        self._running = False
        self._last_transient = TRANSIENT_ID
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life ---

    async def begin(self) -> None:
        """Give a database that has never had them the system projections, stopped. Raises StorageError."""
        await store.begin(self._database)

    async def start(self) -> None:
        """Start all that is enabled. Nothing happens when it runs. Raises StorageError."""
        async with self._commands:
            if self._running:
                return
            self._running = True
            self._pages = LogPages(self._database, self._now)
            for definition in (await store.begin(self._database)).values():
                await self._adopt(definition)

    async def _adopt(self, definition: Definition) -> None:
        if definition.deleting:
            await store.remove(self._database, definition)
            return
        if definition.is_system and self._starts_standard and not definition.enabled:
            definition = await store.save(self._database, replace(definition, enabled=True))
        projection = self._add(definition, definition.id)
        if await self._prepare(projection) and definition.enabled:
            await projection.start()

    async def stop(self) -> None:
        """Stop all. Nothing is lost: each goes on where it was. Idempotent."""
        async with self._commands:
            self._running = False
            projections, self._projections = [*self._projections.values()], {}
            for projection in projections:
                await projection.stop(checkpoint=False)
                if projection.is_transient:
                    await self._forget(projection)
            await self._pages.close()
            for expiry in self._expiries.values():
                expiry.cancel()
            self._expiries.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def restart(self) -> None:
        """Stop all, and start again what is enabled; transient ones are gone. Raises StorageError, SubsystemStopped."""
        self._check_running()
        await self.stop()
        await self.start()

    def _check_running(self) -> None:
        if not self._running:
            raise SubsystemStopped

    # --- what there is ---

    def statistics(self, name: str | None = None, mode: Mode | None = None) -> list[ProjectionStatistics]:
        """What is said of one, of those of a mode, or of all. Raises ProjectionMissing, SubsystemStopped."""
        self._check_running()
        chosen = [self._find(name)] if name is not None else list(self._projections.values())
        for projection in chosen:
            self._asked(projection)
        return [each.statistics for each in chosen if mode is None or each.definition.mode is mode]

    def definition(self, name: str) -> Definition:
        """Return the definition of a projection. Raises ProjectionMissing, SubsystemStopped."""
        self._check_running()
        return self._find(name).definition

    async def state(self, name: str, partition: str) -> str | None:
        """What a projection holds, as text. Raises ProjectionMissing, SubsystemStopped, StorageError."""
        self._check_running()
        return await self._asked(self._find(name)).state(partition)

    async def result(self, name: str, partition: str) -> str | None:
        """What a projection has put out, as text. Raises ProjectionMissing, SubsystemStopped, StorageError."""
        self._check_running()
        return await self._asked(self._find(name)).result(partition)

    def _find(self, name: str) -> ManagedProjection:
        projection = self._projections.get(name)
        if projection is None:
            raise ProjectionMissing(name)
        return projection

    def _add(self, definition: Definition, key: int) -> ManagedProjection:
        projection = self._projections[definition.name] = ManagedProjection(definition, key)
        return projection

    # --- commands ---

    async def create(self, definition: Definition) -> None:
        """Create a projection, and start it; a wrong query makes one that has faulted.

        One-time projections get a name.
        Raises ProjectionConflict, CommandRefused, TooManyProjections, EngineMissing, SubsystemStopped.
        """
        async with self._commands:
            self._check_running()
            if definition.mode is Mode.ONE_TIME:
                definition = replace(definition, name=str(uuid.uuid4()))
            self._check_name(definition)
            if definition.mode is Mode.TRANSIENT:
                self._check_room()
            source, reason = await self._source_of(definition)
            definition = replace(definition, source=source)
            projection = await self._created(definition)
            if reason:
                projection.fault(Work.UNREADABLE, reason)
            elif await self._prepare(projection):
                await projection.start()
            self._asked(projection)

    def _check_name(self, definition: Definition) -> None:
        if not definition.name.strip():
            raise CommandRefused(definition.name)
        there = self._projections.get(definition.name)
        if there is not None:
            raise CommandRefused(definition.name) if there.is_transient else ProjectionConflict(definition.name)

    def _check_room(self) -> None:
        if sum(projection.is_transient for projection in self._projections.values()) >= MOST_TRANSIENT:
            raise TooManyProjections

    async def _created(self, definition: Definition) -> ManagedProjection:
        if definition.mode is Mode.TRANSIENT:
            self._last_transient -= 1
            # Of the same key before the last end of the server, if that was sudden.
            await store.forget(self._database, self._last_transient)
            return self._add(definition, self._last_transient)
        definition = await store.create(self._database, definition)
        return self._add(definition, definition.id)

    async def update(self, name: str, query: str, *, emit_enabled: bool, on_behalf_of: Principal | None = None) -> None:
        """Replace a query: what runs goes on with it where it was, what was completed runs again."""
        async with self._commands:
            projection = self._command(name)
            was_done = projection.condition.work is Work.DONE
            await projection.stop(checkpoint=True)
            changed = replace(projection.definition, query=query, emit_enabled=emit_enabled, on_behalf_of=on_behalf_of)
            source, reason = await self._source_of(changed)
            await self._save(projection, replace(changed, source=source), reset=was_done)
            if reason:
                projection.fault(Work.UNREADABLE, reason)
                return
            if projection.condition.work is Work.FAILED or projection.condition.halt is Halt.ABORTED:
                await self._go_back(projection)
            await self._begin_again(projection)

    async def enable(self, name: str) -> None:
        """Let a projection go on. Nothing happens when it runs."""
        async with self._commands:
            projection = self._command(name)
            condition = projection.condition
            if condition.runs:
                return
            if condition.work is Work.GOING_ON and condition.halt is Halt.WITH_CHECKPOINT:
                await self._save(projection, replace(projection.definition, enabled=True))
            else:
                await projection.stop(checkpoint=False)
                again = condition.work is Work.DONE
                await self._save(projection, replace(projection.definition, enabled=True), reset=again)
                if not again:
                    await self._go_back(projection)
            projection.halt(Halt.NONE)
            if condition.work is not Work.UNREADABLE:
                await self._begin_again(projection)

    async def disable(self, name: str, *, checkpoint: bool) -> None:
        """Stop a projection: with a checkpoint, or as it stands."""
        async with self._commands:
            projection = self._command(name)
            await projection.stop(checkpoint=checkpoint)
            await self._save(projection, replace(projection.definition, enabled=False))
            if checkpoint or projection.condition.halt is Halt.NONE:
                projection.halt(Halt.WITH_CHECKPOINT if checkpoint else Halt.ABORTED)

    async def reset(self, name: str) -> None:
        """Let a projection start over; a stopped one when it is enabled."""
        async with self._commands:
            projection = self._command(name)
            await projection.stop(checkpoint=False)
            await self._save(projection, projection.definition, reset=True)
            if projection.condition.work is not Work.UNREADABLE:
                await self._begin_again(projection)

    async def delete(self, name: str, *, checkpoints: bool = False, emitted_streams: bool = False) -> None:
        """Remove a projection that does not run, and what it has written as far as that is asked for."""
        async with self._commands:
            projection = self._command(name)
            if not projection.may_be_deleted:
                raise CommandRefused(name)
            await projection.stop(checkpoint=False)
            if emitted_streams:
                await self._delete_emitted(name)
            if checkpoints:
                await self._database.delete(checkpoint_stream(name), ANY)
            await self._remove(projection)

    def _command(self, name: str) -> ManagedProjection:
        self._check_running()
        return self._find(name)

    # --- steps of commands ---

    async def _source_of(self, definition: Definition) -> tuple[Mapping[str, object], str]:
        """What is written down of a query's source, and why it cannot be run (empty: it can). Raises EngineMissing."""
        if definition.is_system:
            return definition.source, ""
        if self._engine is None:
            raise EngineMissing(_NO_ENGINE)
        try:
            return await self._engine.source_of(definition.query), ""
        except QueryRefused as refused:
            return {}, str(refused)

    async def _save(self, projection: ManagedProjection, definition: Definition, *, reset: bool = False) -> None:
        """Replace the definition: of a transient projection in memory only."""
        if projection.is_transient:
            version = projection.definition.version + 1
            epoch = version if reset else definition.epoch
            projection.definition = replace(definition, version=version, epoch=epoch)
            if reset:
                await self._forget(projection)
        else:
            projection.definition = await store.save(self._database, definition, reset=reset)

    async def _begin_again(self, projection: ManagedProjection) -> None:
        """Go on with a new run of the present definition; a stopped projection only gets ready for it.

        One that was aborted counts as stopped from then on.
        """
        halt = projection.condition.halt if projection.condition.halt is Halt.NONE else Halt.WITH_CHECKPOINT
        projection.condition = replace(projection.condition, halt=halt, work=Work.GOING_ON)
        if await self._prepare(projection):
            projection.reason = ""
            if halt is Halt.NONE:
                await projection.start()

    async def _prepare(self, projection: ManagedProjection) -> bool:
        """Give a projection a run; False: its query cannot be run."""
        reason = ""
        if not projection.definition.is_system and self._engine is None:
            reason = _NO_ENGINE
        try:
            if not reason:
                projection.prepare(self._make_run)
        except QueryDoesNotFit as error:
            reason = f"{_DOES_NOT_FIT}\r\n{error}"
        except QueryRefused as refused:
            reason = str(refused)
        if reason:
            projection.fault(Work.UNREADABLE, reason)
        return not reason

    def _make_run(self, definition: Definition, key: int, events: RunEvents) -> Run:
        if definition.is_system:
            return SystemRun(self._database, self._pages, definition, events)
        assert self._engine is not None
        return self._engine.run(definition, key, events)

    async def _go_back(self, projection: ManagedProjection) -> None:
        """What one of a user held when it was aborted or faulted is not written down: go on from the checkpoint."""
        if self._engine is not None and not projection.definition.is_system:
            await self._engine.go_back(projection.key)

    async def _remove(self, projection: ManagedProjection) -> None:
        name = projection.definition.name
        if projection.is_transient:
            await self._forget(projection)
        else:
            await store.remove(self._database, projection.definition)
        self._projections.pop(name, None)
        expiry = self._expiries.pop(name, None)
        if expiry is not None:
            expiry.cancel()

    async def _forget(self, projection: ManagedProjection) -> None:
        with suppress(StorageClosed):
            await store.forget(self._database, projection.key)

    async def _delete_emitted(self, name: str) -> None:
        """Delete the streams that were tracked, and the list of them."""
        tracking = emitted_streams_stream(name)
        async for event in store.stream(self._database, tracking):
            await self._database.delete(event.data.decode("utf-8", "replace"), ANY)
        await self._database.delete(tracking, ANY)

    # --- transient projections ---

    def _asked(self, projection: ManagedProjection) -> ManagedProjection:
        """Somebody cares about it: a transient one stays for some minutes more."""
        if projection.is_transient:
            name = projection.definition.name
            expiry = self._expiries.get(name)
            if expiry is not None:
                expiry.cancel()
            loop = asyncio.get_running_loop()
            self._expiries[name] = loop.call_later(FORGOTTEN_AFTER, self._expire, projection)
        return projection

    def _expire(self, projection: ManagedProjection) -> None:
        task = asyncio.ensure_future(self._expired(projection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expired(self, projection: ManagedProjection) -> None:
        async with self._commands:
            if self._projections.get(projection.definition.name) is projection:
                with suppress(StorageError):
                    await projection.stop(checkpoint=False)
                    await self._remove(projection)
