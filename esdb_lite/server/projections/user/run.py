"""One projection with a query, at work: from what it reads to what it writes, batch by batch.

Owns: the order of things: read, handle in the script's thread, write with all notes in one transaction, wait for news.
Must not know: JavaScript, what a source reads, commands. Everything is called on the database's loop, but for what is
said to run in the script's thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from esdb_lite._texts import printable
from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.access import Action, Principal, allowed
from esdb_lite.server.projections import store
from esdb_lite.server.projections.definitions import Definition, Mode
from esdb_lite.server.projections.emitting import Emission, Emit, EmitRefused, Owner
from esdb_lite.server.projections.javascript.definition import QueryFault
from esdb_lite.server.projections.javascript.engine import JavaScriptMissing, Opener
from esdb_lite.server.projections.javascript.processing import (
    ROOT,
    Identity,
    ProcessingFault,
    Processor,
    Step,
    result_key,
)
from esdb_lite.server.projections.javascript.program import QueryProgram
from esdb_lite.server.projections.javascript.source_event import SourceEvent
from esdb_lite.server.projections.javascript.tags import Tag
from esdb_lite.server.projections.pace import LinkPace, ScriptPace
from esdb_lite.server.projections.running import NOWHERE, RunEvents, RunStatistics
from esdb_lite.server.projections.user.checkpoints import Checkpoints
from esdb_lite.server.projections.user.news import News
from esdb_lite.server.projections.user.place import PlaceUnreadable, ProjectionPlace, place_of
from esdb_lite.server.projections.user.results import COMPLETED, final_results
from esdb_lite.server.projections.user.sources import ReadAt, Source, SourcePart, source_of
from esdb_lite.server.projections.user.states import StateCache
from esdb_lite.server.projections.user.thread import ScriptAbandoned, ScriptThread
from esdb_lite.server.projections.user.writing import StreamEnds
from esdb_lite.server.storage import Forget, Note, PartitionState, Progress, Reader
from esdb_lite.server.storage.errors import PASSING, StorageClosed, StorageError

log = logging.getLogger("esdb_lite.server")

PAGE_EVENTS = 100
_PAGES_UNNOTED = 20
"""Pages that are handled before it is noted where the projection is, if nothing is written meanwhile."""
_BATCH_SECONDS = 0.05
"""What was made by then is written, and a stop is heard."""
_BATCH_BYTES = 1024 * 1024
_BATCH_RECORDS = 500
"""Appends wait for what is written at once: an event that makes more is written alone."""
_STATES_AT_ONCE = 500
_RECORDS_AT_ONCE = 100
_SHARE = 1.0
_LONGEST_PAUSE = 1.0
"""While others append, one that catches up pauses for so many times what it has read, handled and written before, so
that appends that have waited for a long commit go on meanwhile; for so many seconds at most."""
_ROOM_AFTER = 1.0
"""Seconds after which there may be room again on a full disk."""
_NEARLY = 99.0
"""Percent, where a little is left."""
_FAULTS = (EmitRefused, ProcessingFault, QueryFault, PlaceUnreadable, JavaScriptMissing)

Placed = Sequence[tuple[SourceEvent, str]]
"""Events with their partitions."""


class HandledBatch(NamedTuple):
    """What the script's thread has come to."""

    steps: list[Step]
    rest: Placed
    fault: ProcessingFault | None
    logged: list[str]


def _readable(reader: Reader, asker: Principal, events: Sequence[SourceEvent]) -> list[SourceEvent]:
    """Those of streams that somebody may read."""
    streams = {stream for event in events for stream in (event.stream, event.of_stream) if stream}
    hidden = {stream for stream in streams if not allowed(reader, asker, stream, Action.READ)}
    return [event for event in events if event.stream not in hidden and event.of_stream not in hidden]


class UserRun:
    """See `Run`."""

    def __init__(
        self,
        database: Database,
        definition: Definition,
        key: int,
        events: RunEvents,
        *,
        opener: Opener,
        now: Callable[[], int],
    ) -> None:
        self._database = database
        self._definition = definition
        self._key = key
        self._events = events
        self._opener = opener
        self._now = now
        self._owner = Owner(definition.id, definition.epoch, definition.version)
        self._states = StateCache()
        self._ends = StreamEnds(definition.name, self._owner, tracks=definition.track_emitted_streams)
        self._known: dict[str, int] = {}
        self._steps: list[Step] = []
        self._unnoted = 0
        self._partitions: dict[str, None] = {}
        self._pace = LinkPace(_SHARE, _LONGEST_PAUSE)
        self._clock = asyncio.get_running_loop().time
        self._script_pace = ScriptPace(lambda: database.appends)
        self._ends_some_time = definition.mode is not Mode.CONTINUOUS
        self._catching_up = True
        self._idle = False
        self._completed = False
        self._handled_events = 0
        self._stopping = False
        self._ended_whole = False
        """All that it has come to is written, or still here to be written: a checkpoint passes nothing over."""
        self._asked_to_stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread: ScriptThread | None = None
        self._news: News | None = None
        self._at_work: _AtWork | None = None

    # --- see `Run` ---

    async def start(self) -> None:
        """See `Run`."""
        self._task = asyncio.create_task(self._work())

    async def stop(self, *, checkpoint: bool) -> None:
        """See `Run`."""
        self._stopping = True
        self._asked_to_stop.set()
        if self._news is not None:
            self._news.wake()
        if self._task is None:
            return
        await asyncio.wait({self._task}, timeout=ScriptThread.patience)
        if not self._task.done() and self._thread is not None:
            self._thread.abandon()
            await asyncio.wait({self._task})
        if checkpoint and self._at_work is not None and self._ended_whole and not self._ends_some_time:
            with suppress(StorageError, EmitRefused):
                await self._write_checkpoint(self._at_work)

    async def state(self, partition: str) -> str | None:
        """See `Run`."""
        kept = await self._kept(partition)
        return None if kept is None else kept.state

    async def result(self, partition: str) -> str | None:
        """See `Run`."""
        options = self._definition.source.get("options")
        defined = options if isinstance(options, dict) else {}
        kept = await self._kept(result_key(bool(defined.get("isBiState")), partition))
        if kept is None:
            return None
        return kept.result if defined.get("definesStateTransform") else kept.state

    @property
    def statistics(self) -> RunStatistics:
        """See `Run`."""
        if self._completed:
            return RunStatistics(COMPLETED, COMPLETED, 100.0, self._handled_events)
        at_work = self._at_work
        if at_work is None:
            return RunStatistics(NOWHERE, NOWHERE, -1.0 if self._task is None else 0.0)
        handled, events = at_work.written
        return RunStatistics(
            str(handled),
            str(at_work.place.checkpoint),
            self._progress(at_work),
            events,
            max(1, len(self._states)),
        )

    def _progress(self, at_work: _AtWork) -> float:
        """Percent: 100 where everything that is written by now has been handled."""
        if self._idle and self._news is not None and self._news.is_quiet:
            return 100.0
        return at_work.progress(self._database.log_end) if self._catching_up else _NEARLY

    # --- at work ---

    async def _work(self) -> None:
        self._thread = thread = ScriptThread(self._definition.name)
        try:
            self._at_work = at_work = await self._begin(thread)
            self._news = News(self._database, at_work.source.streams)
            self._pace.hand_out(self._clock())
            while not self._stopping:
                await self._go_on(at_work, self._news)
            self._ended_whole = True
        except _FAULTS as fault:
            self._events.faulted(str(fault))
        except (StorageClosed, ScriptAbandoned):
            pass
        except StorageError as error:
            if not (self._stopping and isinstance(error, PASSING)):
                self._events.faulted(f"The database failed: {error}")
        except Exception as error:
            log.exception("projection %r has met a bug", self._definition.name)
            self._events.faulted(f"The server failed: {error!r}")
        finally:
            if self._news is not None:
                self._news.close()
            with suppress(ScriptAbandoned):
                if self._at_work is not None:
                    await thread.run(self._at_work.program.close)
            await thread.close()

    async def _begin(self, thread: ScriptThread) -> _AtWork:
        if self._ends_some_time:
            # It has no checkpoints: it begins anew.
            await self._execute([], [Forget(self._key)])
        note = await self._database.read(lambda reader: reader.projection_position(self._key))
        query, opener = self._definition.query, self._opener
        program = await thread.run(lambda: QueryProgram.load(query, opener))
        if self._definition.on_behalf_of is not None and (
            program.definition.result_stream is not None or program.definition.result_pattern is not None
        ):
            raise QueryFault("Only projections of operators can name the streams of their results")
        source = source_of(program.definition)
        place = place_of("" if note is None else note.position, source.beginning)
        if self._ends.tracking_stream is not None:
            tracked = store.stream(self._database, self._ends.tracking_stream)
            self._ends.learn_tracked([event.data.decode("utf-8", "replace") async for event in tracked])
        return _AtWork(thread, program, source, place, self._definition, self._owner, self._states)

    async def _go_on(self, at_work: _AtWork, news: News) -> None:
        page = await self._read(at_work)
        await self._handle(at_work, page)
        if not page.at_end:
            await self._pause()
            return
        if self._steps or self._unnoted:
            await self._note(at_work)
        self._catching_up = False
        if self._ends_some_time:
            await self._complete(at_work)
        elif not self._stopping:
            self._idle = True
            await news.wait()
            self._pace.hand_out(self._clock())
            self._idle = self._stopping

    async def _pause(self) -> None:
        """Let others go on, where they append."""
        self._pace.ask(self._clock(), self._database.appends)
        left = self._pace.left(self._clock())
        await (self._sleep(left) if left > 0 else asyncio.sleep(0))
        self._pace.hand_out(self._clock())

    async def _read(self, at_work: _AtWork) -> SourcePart:
        at = ReadAt(self._now(), self._catching_up)
        after = at_work.place.read
        page = await self._database.read(lambda reader: at_work.source.read(reader, after, PAGE_EVENTS, at))
        asker = self._definition.on_behalf_of
        if asker is None:
            return page
        return await self._database.read(lambda reader: page._replace(events=_readable(reader, asker, page.events)))

    async def _handle(self, at_work: _AtWork, page: SourcePart) -> None:
        """Have a page handled; what comes of it is written in between, or soon."""
        events = [event for event in page.events if at_work.processor.takes(event)]
        placed: Placed = await at_work.thread.run(lambda: at_work.partitioned(events)) if events else ()
        await self._load_states(at_work, placed)
        while placed and not self._stopping:
            batch = await at_work.thread.run(lambda rest=placed: at_work.handled(rest, self))  # type: ignore[misc]
            placed = batch.rest
            self._take(at_work, batch.steps)
            for line in batch.logged:
                log.info("projection %r: %s", self._definition.name, printable(line))
            if batch.fault is not None or any(step.records for step in batch.steps):
                await self._note(at_work)
            at_work.written = at_work.place.handled, self._handled_events
            if batch.fault is not None:
                raise batch.fault
            if at_work.checkpoints.is_due and not self._ends_some_time:
                await self._write_checkpoint(at_work)
            if placed:
                await self._pause()
        if not placed and page.read_to != at_work.place.read:
            at_work.place = at_work.place.with_read(page.read_to)
            self._unnoted += 1
            if self._unnoted >= _PAGES_UNNOTED:
                await self._note(at_work)

    def _take(self, at_work: _AtWork, steps: list[Step]) -> None:
        if not steps:
            return
        self._steps += steps
        self._handled_events += len(steps)
        at_work.place = at_work.place.at(steps[-1].tag)
        at_work.checkpoints.handled(step.partition for step in steps)
        if self._ends_some_time:
            self._partitions.update(dict.fromkeys(step.partition for step in steps))

    @property
    def is_stopping(self) -> bool:
        """Whether to come to an end with the event that is being handled."""
        return self._stopping

    def let_others(self) -> None:
        """Pause between two events, where others append. In the script's thread."""
        pause = self._script_pace.left(time.monotonic())
        if pause:
            time.sleep(pause)

    # --- what it holds ---

    async def _kept(self, key: str) -> PartitionState | None:
        return self._states.get(key) or (await self._stored([key])).get(key)

    async def _load_states(self, at_work: _AtWork, placed: Placed) -> None:
        keys = [key for _, partition in placed for key in at_work.processor.keys(partition)]
        missing = self._states.use(keys)
        for some in _parts(missing, _STATES_AT_ONCE):
            stored = await self._stored(some)
            self._states.load(stored)
            at_work.checkpoints.begin_partitions(key for key in some if key not in stored and key != ROOT)

    async def _stored(self, keys: Sequence[str]) -> dict[str, PartitionState]:
        return await self._database.read(lambda reader: reader.projection_states(self._key, keys))

    # --- what it writes ---

    async def _note(self, at_work: _AtWork, more: Sequence[Emission] = (), *, checkpoint: bool = False) -> None:
        """Write all that has come of the events handled so far, and where the projection is by that."""
        await self._learn_ends(self._steps)
        emissions = self._ends.emissions(self._steps)
        note = Progress(self._key, at_work.place.note(), dict(self._states.changed), checkpoint)
        self._steps = []
        self._unnoted = 0
        await self._execute([*emissions, *more], [note])
        self._states.noted()

    async def _learn_ends(self, steps: Sequence[Step]) -> None:
        unknown, now = self._ends.unknown(steps), self._now()
        if unknown:
            self._ends.learn(await self._database.read(lambda reader: self._ends.look(reader, unknown, now)))

    async def _execute(self, emissions: Sequence[Emission], notes: Sequence[Note]) -> None:
        """Write, again and again while the disk is full, or another program writes; not when it is to stop."""
        emit = Emit(self._owner, emissions, self._known, notes)
        while True:
            try:
                await self._database.execute(emit, cost=emit.cost)
            except PASSING:
                if self._stopping:
                    raise
            else:
                return emit.accept()
            await self._sleep(_ROOM_AFTER)

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless it is to stop."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._asked_to_stop.wait(), seconds)

    async def _write_checkpoint(self, at_work: _AtWork) -> None:
        """Write a checkpoint: in parts, so that appends get their turn, and last what makes it one."""
        checkpoints, tag = at_work.checkpoints, at_work.place.handled
        await self._note(at_work)
        for some in _parts(checkpoints.touched, _RECORDS_AT_ONCE):
            await self._note(at_work, checkpoints.of_partitions(await self._stored(some), tag))
        for some in _parts(checkpoints.new, _RECORDS_AT_ONCE):
            await self._note(at_work, checkpoints.listed(some))
        at_work.place = at_work.place.at_checkpoint()
        await self._note(at_work, checkpoints.of_all(self._states.get(ROOT), tag), checkpoint=True)
        checkpoints.written()

    async def _complete(self, at_work: _AtWork) -> None:
        """Write the results, all at once, unless a run before this one has done so."""
        is_transient = self._definition.mode is Mode.TRANSIENT
        definition = at_work.program.definition
        if definition.output:
            states = {partition: await self._kept(partition) for partition in self._partitions}
            final = final_results(definition, self._definition.name, states, self._owner, is_transient=is_transient)
            steps = [Step(at_work.place.handled, ROOT, final)]
            await self._learn_ends(steps)
            self._steps = [] if self._ends.is_complete(final[-1].stream) else steps
            await self._note(at_work)
        self._completed = self._stopping = True
        self._events.completed()


def _parts(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


class _AtWork:
    """What there is of a projection while it works. `partitioned` and `handled` run in the script's thread."""

    def __init__(
        self,
        thread: ScriptThread,
        program: QueryProgram,
        source: Source,
        place: ProjectionPlace,
        definition: Definition,
        owner: Owner,
        states: StateCache,
    ) -> None:
        self.thread = thread
        self.program = program
        self.source = source
        self.place = place
        self.written: tuple[Tag, int] = (place.handled, 0)
        """The last event of which everything is committed that it made the projection write, and how many there were:
        what is told. What is handled may still be on its way to the disk."""
        identity = Identity(
            definition.name,
            owner.stamp,
            emit_enabled=definition.emit_enabled,
            writes_results=definition.mode is Mode.CONTINUOUS and definition.engine_version == 1,
        )
        self.processor = Processor(program, identity, place.handled, states)
        self.checkpoints = Checkpoints(definition.name, owner, is_partitioned=program.definition.is_partitioned)

    def progress(self, log_end: int) -> float:
        """Percent of the log; what is known of streams says nothing of it."""
        position = self.place.read.position
        return 0.0 if position is None or not log_end else min(_NEARLY, 100.0 * max(position, 0) / log_end)

    def partitioned(self, events: Sequence[SourceEvent]) -> Placed:
        """Find the partitions of events; those that are to be skipped are left out. Raises ProcessingFault."""
        partitions = [(event, self.processor.partition_of(event)) for event in events]
        return [(event, partition) for event, partition in partitions if partition is not None]

    def handled(self, placed: Placed, run: UserRun) -> HandledBatch:
        """Handle events until there is enough to be written, or the run is to stop."""
        steps: list[Step] = []
        room, records, deadline = _BATCH_BYTES, _BATCH_RECORDS, time.monotonic() + _BATCH_SECONDS
        for event, partition in placed:
            is_full = room < 0 or records <= 0 or time.monotonic() > deadline
            if steps and event.tag != steps[-1].tag and (is_full or run.is_stopping):
                break
            try:
                step = self.processor.process(event, partition)
            except ProcessingFault as fault:
                return HandledBatch(steps, (), fault, self.processor.take_logged())
            steps.append(step)
            run.let_others()
            room -= sum([len(record.data) for record in step.records])
            records -= len(step.records)
        return HandledBatch(steps, placed[len(steps) :], None, self.processor.take_logged())
