"""One projection under management: its definition, what it was told, and the run that is at work for it.

Owns: starting and stopping the run, and what became of it. Must not know: other projections, how definitions are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from esdb_lite._texts import printable
from esdb_lite.server.projections.definitions import Definition, Mode
from esdb_lite.server.projections.running import NOWHERE, Run, RunEvents, RunStatistics
from esdb_lite.server.projections.status import Condition, Halt, Work

log = logging.getLogger("esdb_lite.server")

RunMaker = Callable[[Definition, int, RunEvents], Run]
"""Makes a run of a definition, with its id in notes beside the log."""


@dataclass(frozen=True)
class ProjectionStatistics:
    """What is said of a projection."""

    name: str
    mode: Mode
    status: str
    state_reason: str
    version: int
    """-1: nothing has ever run."""
    epoch: int
    run: RunStatistics


class ManagedProjection:
    """A projection. Everything is called on one event loop, by one command at a time."""

    def __init__(self, definition: Definition, key: int) -> None:
        self.definition = definition
        self.key = key
        """Its id in notes beside the log."""
        self.condition = Condition(Halt.NONE if definition.enabled else Halt.WITH_CHECKPOINT)
        self.reason = ""
        """Why it does not go on."""
        self._run: Run | None = None
        self._started = False

    @property
    def is_transient(self) -> bool:
        """Whether nobody writes it down."""
        return self.definition.mode is Mode.TRANSIENT

    @property
    def may_be_deleted(self) -> bool:
        """Whether the server lets go of it."""
        return not self.definition.is_system and self.condition.may_be_deleted(transient=self.is_transient)

    # --- its run ---

    def prepare(self, make: RunMaker) -> None:
        """Replace the run by one of the present definition, which is not started. Raises what `make` does."""
        run: Run | None = None

        def faulted(reason: str) -> None:
            if self._run is run:
                self.fault(Work.FAILED, reason)

        def completed() -> None:
            if self._run is run:
                self.condition = replace(self.condition, work=Work.DONE)

        self._run = run = make(self.definition, self.key, RunEvents(faulted, completed))

    async def start(self) -> None:
        """Let the run begin."""
        self.condition, self.reason = Condition(), ""
        if self._run is not None:
            self._started = True
            await self._run.start()

    async def stop(self, *, checkpoint: bool) -> None:
        """End the run, if it was started. It can still be asked. `checkpoint`: where it has not come to an end."""
        started, self._started = self._started, False
        if self._run is not None and started:
            await self._run.stop(checkpoint=checkpoint and self.condition.work is Work.GOING_ON)

    def halt(self, halt: Halt) -> None:
        """Take note of how it was stopped."""
        self.condition = replace(self.condition, halt=halt)

    def fault(self, work: Work, reason: str) -> None:
        """Take note that it cannot go on."""
        updated = work is Work.UNREADABLE and self._run is not None
        self.condition, self.reason = replace(self.condition, work=work, updated=updated), reason
        log.error("projection %r has faulted: %s", self.definition.name, printable(" ".join(reason.split())))

    # --- what is said of it ---

    async def state(self, partition: str) -> str | None:
        """What it holds, as text."""
        return None if self._run is None else await self._run.state(partition)

    async def result(self, partition: str) -> str | None:
        """What it has put out, as text."""
        return None if self._run is None else await self._run.result(partition)

    @property
    def statistics(self) -> ProjectionStatistics:
        """What is said of it."""
        definition, unreadable = self.definition, self.condition.work is Work.UNREADABLE
        nothing = RunStatistics("" if unreadable else NOWHERE, "" if unreadable else NOWHERE, partitions_cached=0)
        return ProjectionStatistics(
            definition.name,
            definition.mode,
            self.condition.text,
            self.reason,
            -1 if unreadable else definition.version,
            -1 if unreadable else definition.epoch,
            nothing if self._run is None or unreadable else self._run.statistics,
        )
