"""One running group: the pure machine of `engine.groups.group`, connected to the database.

Owns: carrying out the machine's effects, one after the other, and feeding it pages, live events and ticks.
Must not know: calls, protobuf, other groups. A task exists only while there is something to do on storage.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from esdb_lite.groups import NackAction
from esdb_lite.server.database.database import Database
from esdb_lite.server.database.feed import Listener
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.engine.groups import queries
from esdb_lite.server.engine.groups.config import GroupConfig
from esdb_lite.server.engine.groups.consumers import GroupConsumer
from esdb_lite.server.engine.groups.effects import (
    Drop,
    Effect,
    NoteUnfinished,
    Park,
    ReadPage,
    ReadParked,
    TruncateParked,
    Wake,
    WriteCheckpoint,
)
from esdb_lite.server.engine.groups.group import Group
from esdb_lite.server.engine.groups.messages import Message
from esdb_lite.server.engine.groups.parking import (
    CHECKPOINT_TYPE,
    LINK_TYPE,
    checkpoint_data,
    checkpoint_stream,
    parked_data,
    parked_metadata,
)
from esdb_lite.server.engine.groups.queries import GroupSource, Unreadable
from esdb_lite.server.engine.groups.statistics import GroupInfo
from esdb_lite.server.engine.links import LINKS_AT_ONCE
from esdb_lite.server.engine.model import ANY, Appended, ProposedEvent
from esdb_lite.server.groups.parked_stream import ParkedStream
from esdb_lite.server.storage import Reader, Record

log = logging.getLogger("esdb_lite.server")

LIVE_EVENTS_KEPT = 4096
"""So many live events may wait for a turn of the loop; with more the group reads from storage again."""
SETTLE_SECONDS = 0.5
_PARKED_TOGETHER = 500


class GroupDropped(Exception):
    """The group has sent the consumer away."""


class GroupSeat:
    """A consumer's place in a group. Used by one call."""

    def __init__(self, group: GroupRunner, consumer: GroupConsumer) -> None:
        self.consumer = consumer
        self._group = group
        self._ready = asyncio.Event()

    def wake(self) -> None:
        """There is something to take."""
        self._ready.set()

    async def take(self) -> list[tuple[Message, int]]:
        """Wait for events and return them with their retry counts. Raises GroupDropped."""
        while True:
            if self.consumer.dropped:
                raise GroupDropped
            taken = self._group.take(self.consumer)
            if taken:
                return taken
            self._ready.clear()
            await self._ready.wait()

    def ack(self, ids: Iterable[bytes]) -> None:
        """Events are done."""
        self._group.ack(ids)

    def nack(self, ids: Iterable[bytes], action: NackAction | None, reason: str) -> None:
        """Events could not be handled."""
        self._group.nack(ids, action, reason)

    def leave(self) -> None:
        """Give back what was not acknowledged. Idempotent."""
        self._group.leave(self.consumer)


@dataclass(frozen=True)
class _Load:
    """Find out where to begin."""


@dataclass(frozen=True)
class _Resolve:
    """Look up the targets of links among live events."""

    records: Sequence[Record]


@dataclass(frozen=True)
class _ParkedReplay:
    """Replay parked events; after the parking that was asked for before."""

    stop_at: int | None


@dataclass(frozen=True, eq=False)
class _ParkedTruncation:
    """Truncate parked events; after the parking and replaying that was asked for before."""

    stop_at: int | None
    done: asyncio.Future[None]


class ParkedEventsBusy(Exception):
    """Parked events are being replayed."""


_Job: TypeAlias = Effect | _Load | _Resolve | _ParkedReplay | _ParkedTruncation


class GroupRunner:
    """A group at work. Everything is called on the loop of the database."""

    def __init__(self, database: Database, config: GroupConfig, *, ticks: Callable[[], int]) -> None:
        """Nothing happens before `start`. `ticks`: the time in 100 ns since 1970. Raises UnusableFilter."""
        self.config = config
        self._database = database
        self._ticks = ticks
        self._loop = asyncio.get_running_loop()
        self._group = Group(config.settings, in_log=config.in_log)
        self._source = GroupSource(config)
        self._parked = ParkedStream(database, config.stream, config.group)
        self._members: dict[GroupConsumer, GroupSeat] = {}
        self._listener: Listener | None = None
        self._drain_is_due = False
        self._resolving = False
        self._stopped = False
        self._looked = asyncio.Event()
        self._jobs: deque[_Job] = deque()
        self._task: asyncio.Task[None] | None = None

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Collect live events from now on, and begin to read."""
        self._listen()
        self._add_job(_Load())

    async def placed(self) -> None:
        """Wait until the group has found out where it begins, or failed to."""
        await self._looked.wait()

    async def settled(self) -> None:
        """Wait until the group has read what it can hold, or for a moment if that takes long."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=SETTLE_SECONDS)

    async def stop(self) -> None:
        """Send away all consumers and those who come too late, finish what is being written, and be gone."""
        self._group.fault()
        self._carry_out()
        self._stopped = True
        self._unlisten()
        lasting = (Park, WriteCheckpoint, TruncateParked, NoteUnfinished, _ParkedTruncation)
        self._jobs = deque(job for job in self._jobs if isinstance(job, lasting))
        if self._task is not None:
            await asyncio.wait({self._task})

    def limit(self, most_held: int) -> None:
        """Hold about so many bytes of events at most."""
        self._group.limit(most_held)

    def tick(self) -> None:
        """A second has passed."""
        if not self._group.ready and not self._jobs:
            self._add_job(_Load())
        self._group.tick(now=self._loop.time())
        self._carry_out()

    # --- consumers --------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether another consumer is one too many."""
        return self._group.is_full

    def join(self, buffer_size: int, *, connection_name: str, username: str) -> GroupSeat:
        """Let a consumer in. It gets nothing before it asks."""
        consumer = GroupConsumer(buffer_size, connection_name=connection_name, username=username)
        member = self._members[consumer] = GroupSeat(self, consumer)
        try:
            self._group.join(consumer, now=self._loop.time())
            self._carry_out()
        except BaseException:
            self.leave(consumer)
            raise
        return member

    def leave(self, consumer: GroupConsumer) -> None:
        """A consumer has gone. Idempotent."""
        if self._members.pop(consumer, None) is not None:
            self._group.leave(consumer, now=self._loop.time())
            self._carry_out()

    def take(self, consumer: GroupConsumer) -> list[tuple[Message, int]]:
        """Return what to send to a consumer, with retry counts."""
        taken = self._group.take(consumer, now=self._loop.time())
        self._carry_out()
        return taken

    def ack(self, ids: Iterable[bytes]) -> None:
        """Events are done."""
        self._group.ack(ids, now=self._loop.time())
        self._carry_out()

    def nack(self, ids: Iterable[bytes], action: NackAction | None, reason: str) -> None:
        """Events could not be handled."""
        self._group.nack(ids, action, reason, now=self._loop.time())
        self._carry_out()

    def replay(self, stop_at: int | None) -> None:
        """Deliver parked events again, those with numbers below `stop_at`."""
        self._add_job(_ParkedReplay(stop_at))

    async def truncate(self, stop_at: int | None) -> None:
        """Make parked events with numbers below `stop_at` disappear. Raises ParkedEventsBusy; StorageError."""
        if self._group.is_replaying:
            raise ParkedEventsBusy
        done: asyncio.Future[None] = self._loop.create_future()
        self._add_job(_ParkedTruncation(stop_at, done))
        if self._stopped:
            raise ParkedEventsBusy
        await done

    def info(self) -> GroupInfo:
        """Return the figures; rates are since the previous call."""
        self._drain()
        return self._group.info(now=self._loop.time())

    # --- live events ------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        stream = None if self.config.in_log else self.config.stream
        self._listener = self._database.listen(self._wake, stream=stream, limit=LIVE_EVENTS_KEPT)

    def _unlisten(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _wake(self) -> None:
        if not self._drain_is_due:
            self._drain_is_due = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_is_due = False
        if self._listener is None or not self._group.ready or self._resolving:
            return
        if self._listener.overflowed:
            self._listen()
            self._group.live_lost(now=self._loop.time())
            self._carry_out()
            return
        records = self._listener.take()
        if records and self._source.needs_reader(records):
            self._resolving = True
            self._add_job(_Resolve(records))
        elif records:
            try:
                self._live(self._source.live(records, None, self._ticks()))
            except Unreadable as error:
                self._give_up(error)

    def _live(self, events: queries.LiveEvents) -> None:
        self._group.live(events.messages, last=events.last, skipped=events.skipped, now=self._loop.time())
        self._carry_out()

    # --- storage ----------------------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        for effect in self._group.effects():
            if isinstance(effect, Wake | Drop):
                member = self._members.get(effect.consumer)
                if member is not None:
                    member.wake()
            else:
                self._add_job(effect)

    def _add_job(self, job: _Job) -> None:
        if self._stopped:
            return
        self._jobs.append(job)
        if self._task is None:
            self._task = self._loop.create_task(self._work(), name=f"persistent subscription {self.config.key}")

    async def _work(self) -> None:
        try:
            while self._jobs:
                job = self._jobs.popleft()
                try:
                    await self._do(job)
                except Exception:
                    log.exception("persistent subscription %r: %s failed", self.config.key, type(job).__name__)
                    self._failed(job)
                await asyncio.sleep(0)
        finally:
            self._task = None

    async def _do(self, job: _Job) -> None:
        if isinstance(job, ReadPage):
            await self._read_page(job)
        elif isinstance(job, WriteCheckpoint):
            await self._write_checkpoint(job)
        elif isinstance(job, Park):
            await self._park(job)
        elif isinstance(job, _Resolve):
            await self._resolve(job)
        elif isinstance(job, _Load):
            try:
                await self._load()
            finally:
                self._looked.set()
        elif isinstance(job, _ParkedReplay):
            self._group.replay(stop_at=job.stop_at, now=self._loop.time())
        elif isinstance(job, _ParkedTruncation):
            await self._truncate(job)
        elif isinstance(job, ReadParked):
            await self._read_parked(job)
        elif isinstance(job, TruncateParked):
            await self._truncate_parked(job)
        elif isinstance(job, NoteUnfinished):
            await self._parked.note(job.unfinished_from)
        self._carry_out()

    def _failed(self, job: _Job) -> None:
        """Storage could not do it: what can wait is tried again later, the rest is undone."""
        if isinstance(job, ReadPage):
            self._group.page_failed()
        elif isinstance(job, WriteCheckpoint):
            self._group.checkpoint_failed()
        elif isinstance(job, ReadParked):
            self._group.replay_failed()
        elif isinstance(job, NoteUnfinished):
            self._group.replay_not_noted()
        elif isinstance(job, _ParkedTruncation) and not job.done.done():
            job.done.set_exception(ParkedEventsBusy())
        elif isinstance(job, Park):
            self._group.parking_failed(job.messages, now=self._loop.time())
        elif isinstance(job, _Resolve):
            self._resolving = False
            self._group.live_lost(now=self._loop.time())
        self._carry_out()

    async def _load(self) -> None:
        config, ticks = self.config, self._ticks()
        found = await self._database.read(lambda reader: queries.load(reader, config, ticks))
        if self._stopped:
            return
        if found.broken is not None:
            log.error(
                "persistent subscription %r: event %d of its checkpoints cannot be used; it begins as configured",
                config.key,
                found.broken.revision,
            )
        self._group.loaded(
            checkpoint=found.checkpoint,
            end=found.end,
            parked_from=await self._parked_again(found),
            parked_next=found.parked_next,
            now=self._loop.time(),
        )
        self._drain()

    async def _parked_again(self, found: queries.Loaded) -> int:
        """What was replayed and is not done is parked again; return the number of the first parked event."""
        if found.replayed_from is None or found.replayed_from >= found.parked_from:
            return found.parked_from
        await self._parked.begin_with(found.replayed_from, None)
        return found.replayed_from

    async def _read_page(self, effect: ReadPage) -> None:
        source, ticks = self._source, self._ticks()
        try:
            page = await self._database.read(lambda reader: source.page(reader, effect.first, effect.limit, ticks))
        except Unreadable as error:
            self._give_up(error)
            return
        now = self._loop.time()
        self._group.page(page.messages, last=page.last, at_end=page.at_end, skipped=page.skipped, now=now)

    def _give_up(self, error: Unreadable) -> None:
        """Send away all consumers, now and from now on: until the group is updated, or the server started again."""
        log.warning("persistent subscription %r has stopped: %s", self.config.key, error)
        self._group.fault()
        self._unlisten()
        self._carry_out()

    async def _resolve(self, job: _Resolve) -> None:
        source, ticks = self._source, self._ticks()
        try:
            for start in range(0, len(job.records), LINKS_AT_ONCE):
                some = job.records[start : start + LINKS_AT_ONCE]
                self._live(await self._database.read(partial(_live_events, source, some, ticks)))
        except Unreadable as error:
            self._give_up(error)
            return
        finally:
            self._resolving = False
        self._drain()

    async def _write_checkpoint(self, effect: WriteCheckpoint) -> None:
        if any(isinstance(job, WriteCheckpoint) for job in self._jobs):
            return
        data = checkpoint_data(effect.position, in_log=self.config.in_log)
        await self._append(
            checkpoint_stream(self.config.stream, self.config.group), [_event(CHECKPOINT_TYPE, data, is_json=True)]
        )
        self._group.checkpoint_written(effect.position)

    async def _park(self, effect: Park) -> None:
        reasons = self._to_park(effect)
        ticks, now = self._ticks(), self._loop.time
        events = [
            _event(LINK_TYPE, parked_data(message), parked_metadata(message, reason, ticks))
            for message, reason in reasons
        ]
        messages = [message for message, _ in reasons]
        try:
            revision = await self._append(self._parked.name, events)
        except Exception:
            log.exception("persistent subscription %r: %d events could not be parked", self.config.key, len(messages))
            self._group.parking_failed(messages, now=now())
        else:
            self._group.parked(messages, next_number=revision + 1, now=now())

    def _to_park(self, effect: Park) -> list[tuple[Message, str]]:
        """All that waits to be parked, as far as it may be written together."""
        reasons: list[tuple[Message, str]] = []
        following: _Job | None = effect
        while isinstance(following, Park):
            reason = following.reason
            reasons.extend((message, reason) for message in following.messages)
            following = self._jobs[0] if self._jobs and len(reasons) < _PARKED_TOGETHER else None
            if isinstance(following, Park):
                self._jobs.popleft()
        return reasons

    async def _read_parked(self, effect: ReadParked) -> None:
        config, ticks = self.config, self._ticks()
        messages = await self._database.read(
            lambda reader: queries.parked_page(reader, config, effect.first, effect.limit, ticks)
        )
        self._group.parked_page(messages, now=self._loop.time())

    async def _truncate(self, job: _ParkedTruncation) -> None:
        truncation = self._group.truncation(job.stop_at)
        if truncation is not None:
            await self._truncate_parked(truncation)
            self._group.truncated(truncation.before)
        if not job.done.done():
            job.done.set_result(None)

    async def _truncate_parked(self, effect: TruncateParked) -> None:
        await self._parked.begin_with(effect.before, effect.unfinished_from)

    async def forget(self) -> None:
        """Forget what was replayed and is not done: the group is deleted. Raises StorageError."""
        await self._parked.note(None)

    async def _append(self, stream: str, events: Sequence[ProposedEvent]) -> int:
        outcome = await self._database.append(stream, ANY, events)
        if not isinstance(outcome, Appended):
            raise RuntimeError(f"{stream} does not take events: {outcome}")
        return outcome.revision


def _live_events(source: GroupSource, records: Sequence[Record], ticks: int, reader: Reader) -> queries.LiveEvents:
    return source.live(records, reader, ticks)


def _event(type_: str, data: bytes, metadata: bytes = b"", *, is_json: bool = False) -> ProposedEvent:
    return ProposedEvent(new_id(), type_, is_json, data, metadata)
