"""The database as the services see it: appends, reads and the live feed, on one event loop.

Owns: the order of things between the loop, the thread that writes and the threads that read; back-pressure;
opening and closing. Must not know: the wire, the rules (the engine has them), SQLite (storage has it).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias, TypeVar, cast

from esdb_lite._limits import Oversized, Room
from esdb_lite.server.database.feed import CommitFeed, Listener
from esdb_lite.server.database.giving_way import GivingWay
from esdb_lite.server.database.group_commit import Committed, Committer, new_id
from esdb_lite.server.database.loop_share import FEW, PAGE, LoopShare
from esdb_lite.server.database.pace import Pace
from esdb_lite.server.database.scavenging import Scavenge, Steps, clear_stream
from esdb_lite.server.database.threads import ReaderThreads, WriterJob, WriterThread, call_soon, settle
from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine import fresh, imports
from esdb_lite.server.engine.append import Rule
from esdb_lite.server.engine.model import Outcome, ProposedEvent, RecordsOutcome
from esdb_lite.server.engine.records.decision import append_records
from esdb_lite.server.engine.records.requests import AtomicAppend
from esdb_lite.server.options import Durability
from esdb_lite.server.storage import Reader
from esdb_lite.server.storage.errors import StorageClosed, StorageError, StorageLocked
from esdb_lite.server.storage.files import Files
from esdb_lite.server.storage.sqlite_reader import SqliteReader
from esdb_lite.server.storage.sqlite_scavenger import SqliteScavenger

T = TypeVar("T")
Work: TypeAlias = "Rule | WriterTask"
Pending: TypeAlias = "WriterJob[Work]"
"""An append that has begun."""

READERS = 3
SLOW_READ = 0.02
"""Seconds: when a read on the loop takes longer, the next READS_ELSEWHERE of them go to threads. Not too little:
a read that had to share the interpreter with the writer for some milliseconds does not mean a slow disk."""
READS_ELSEWHERE = 20
SLOW_COMMIT = 0.0015
"""Seconds: when a commit on the loop takes longer, the next COMMITS_ELSEWHERE of them go to the writer's thread."""
COMMITS_ELSEWHERE = 50
COMMIT_HERE_BYTES = 256 * 1024
"""Commits of more go there in any case."""
QUEUED_BYTES = 32 * 1024 * 1024
"""Commands that have not been done wait, beyond this, before they are queued."""
QUEUED_COMMANDS = 8192
LARGE = 64 * 1024
"""Bytes of a command that others may overtake: it waits beside large ones."""
LARGE_QUEUED_BYTES = 2 * 1024 * 1024
"""Of large commands: some ten milliseconds of the writer, for which all others wait."""
_COMMAND_BYTES = 256
INDEX_BEHIND = 1000
"""Events of the log that are entered in the indexes of categories and types together: reads search what is not."""
INDEX_STEP = 4 * INDEX_BEHIND
"""The most at once: some ten milliseconds."""


def ticks_now() -> int:
    """The time in 100-ns ticks since 1970-01-01 UTC."""
    return time.time_ns() // 100


class Database:
    """Events in a file, or in memory. Made by `open`; everything is called on the loop that opened it."""

    def __init__(self, files: Files, committer: Committer, last_position: int, now: Callable[[], int]) -> None:
        self.last_position = last_position
        """The position of the last event that has been published; 0 when there is none."""
        self.log_end = committer.log_end
        """The position that follows everything published."""
        self.appends = 0
        """How many appends have been asked for."""
        self.written = 0
        """How many events have been published."""
        self.turns = LoopShare()
        """Of those who read and send."""
        self._loop = asyncio.get_running_loop()
        self._files = files
        self._committer = committer
        self._feed = CommitFeed()
        self._now = now
        self._closed = False
        self._scavenge: tuple[Scavenge, asyncio.Task[None]] | None = None
        self._gathered: list[WriterJob[Work]] = []
        self._handing_over = False
        self._last_at_writer: WriterJob[Work] | None = None
        self._unindexed = 0
        """Events that may have to be entered in the indexes."""
        self._indexing = False
        self._pace = Pace(SLOW_READ, READS_ELSEWHERE, always=files.in_memory)
        self._commit_pace = Pace(SLOW_COMMIT, COMMITS_ELSEWHERE, always=files.in_memory)
        self._queue = Room(QUEUED_COMMANDS, QUEUED_BYTES, oversized=Oversized.OVERDRAWS)
        self._large = Room(QUEUED_COMMANDS, LARGE_QUEUED_BYTES, oversized=Oversized.OVERDRAWS)
        self._writer = None if files.in_memory else WriterThread(self._run, self._finish)
        self._giving_way = GivingWay(lambda seconds: self._writer and self._writer.wait(seconds))
        self._readers = ReaderThreads(files.reader, SqliteReader.close, count=READERS)
        self._finished: asyncio.Future[object] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        durability: Durability = Durability.FULL,
        now: Callable[[], int] = ticks_now,
    ) -> Database:
        """Open a file, making it if there is none (None: in memory). Raises StorageError."""
        files = Files(None if path is None else os.fspath(path), durability)
        try:
            committer = Committer(files.writer, now, files.confirm, files.check)
            if committer.log_end == 0:
                committer.begin(fresh.contents(now(), new_id))
            committer.recall()
            last_position = files.loop_reader(lambda reader: reader.last_position())
            unindexed = files.loop_reader(lambda reader: cast(SqliteReader, reader).unindexed(INDEX_BEHIND))
        except BaseException:
            files.close()
            raise
        database = cls(files, committer, last_position, now)
        database._enter_in_indexes(unindexed)
        return database

    async def append(self, stream: str, expected: int, events: Sequence[ProposedEvent]) -> Outcome:
        """Append events atomically; answers when they are committed and published to listeners.

        Cancelled while it waits for its turn, it is not written; later, it is written regardless.
        Raises StorageError.
        """
        self.appends += 1
        rule = partial(appending.append, stream=stream, expected=expected, events=events)
        return cast(Outcome, await self._command(rule, _cost(events), anywhere=True))

    def begin_append(
        self, stream: str, expected: int, events: Sequence[ProposedEvent], held: int, answer: Callable[[object], None]
    ) -> Pending | None:
        """Begin the same without waiting: `answer` is called with the outcome or the exception, and must not raise.

        `held`: bytes that the events take.
        `commit` has to be called after one or many of these. None where it cannot begin at once: then `append` is to
        be used. Can be given up by `abandon`.
        """
        rule = partial(appending.append, stream=stream, expected=expected, events=events)
        return self._begin(rule, _COMMAND_BYTES + held, answer)

    def begin_records(self, append: AtomicAppend, answer: Callable[[object], None]) -> Pending | None:
        """Begin what `append_records` does, in the same way."""
        return self._begin(partial(append_records, append=append), _cost_of_records(append), answer)

    def _begin(self, rule: Rule, cost: int, answer: Callable[[object], None]) -> Pending | None:
        if self._closed or not self._room(cost).enter_at_once(cost):
            return None
        self.appends += 1
        job: Pending = WriterJob(rule, cost, answer, anywhere=True)
        self._gathered.append(job)
        return job

    def commit(self) -> None:
        """Commit what was begun by `begin_append` and `begin_records`: now, or with all else that is asked for in this
        turn of the loop where that saves waiting for the disk.
        """
        if self._writer is None:
            self._hand_over()
        else:
            self._hand_over_soon()

    def abandon(self, job: Pending) -> None:
        """Give up what has begun: it is not answered, and not written unless the writer has taken it already."""
        if job.answer is None:
            return
        self._leave(job)
        if self._writer is None:
            job.abandoned = True
        else:
            self._writer.abandon(job)

    def _leave(self, job: WriterJob[Work]) -> None:
        job.answer = None
        self._room(job.cost).leave(job.cost)

    def _room(self, cost: int) -> Room:
        return self._large if cost > LARGE else self._queue

    async def append_records(self, append: AtomicAppend) -> RecordsOutcome:
        """Append records to their streams, all or none; the rest is as for `append`. Raises StorageError."""
        self.appends += 1
        rule = partial(append_records, append=append)
        return cast(RecordsOutcome, await self._command(rule, _cost_of_records(append), anywhere=True))

    async def import_events(self, append: AtomicAppend) -> RecordsOutcome:
        """Append the events that are not there; the rest is as for `append_records`. Raises StorageError."""
        self.appends += 1
        rule = partial(imports.import_events, append=append)
        return cast(RecordsOutcome, await self._command(rule, _cost_of_records(append), anywhere=True))

    async def delete(self, stream: str, expected: int) -> Outcome:
        """Soft-delete a stream. Raises StorageError."""
        return await self.execute(partial(appending.delete, stream=stream, expected=expected))

    async def tombstone(self, stream: str, expected: int) -> Outcome:
        """Delete a stream for ever. Raises StorageError."""
        return await self.execute(partial(appending.tombstone, stream=stream, expected=expected))

    async def execute(self, rule: Rule, *, cost: int = 0) -> Outcome:
        """Run a rule in the transaction that writes what it decides; `cost` = bytes that it holds.

        Raises StorageError.
        """
        return cast(Outcome, await self._command(rule, _COMMAND_BYTES + cost))

    async def read(self, query: Callable[[Reader], T]) -> T:
        """Run a function on one consistent state; others get their turn before. Raises StorageError.

        The function must not wait for anything, and should be done within a page or so.
        """
        if self._pace.quick:
            # Rather than in a thread: SQLite gives up the interpreter lock with every row, and a thread that has to
            # win it back from a busy loop 32 times takes some hundred milliseconds for a page, this one some 0.2.
            await asyncio.sleep(0)
            await self.turns.enter(PAGE)
            self._check_open()
            return self._read_here(query, PAGE)
        self._check_open()
        self._pace.went_elsewhere()
        return cast(T, await self._readers.submit(lambda reader: reader.snapshot(query)))

    def read_at_once(self, query: Callable[[Reader], T]) -> T | None:
        """Do the same for a few events now; None, and nothing is read, where others come first or the disk is slow.

        Raises StorageError.
        """
        if self._closed or not self._pace.quick or not self.turns.enter_at_once(FEW):
            return None
        return self._read_here(query, FEW)

    def _read_here(self, query: Callable[[Reader], T], units: int) -> T:
        began = time.perf_counter()
        try:
            return self._files.loop_reader(query)
        finally:
            taken = time.perf_counter() - began
            self._pace.took(taken)
            self.turns.charge(taken, units)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageClosed("the database is closed")

    async def count(self) -> int:
        """Return how many events there are. Raises StorageError."""
        return await self.read(lambda reader: cast(SqliteReader, reader).count())

    async def last_revisions(self, prefix: str) -> dict[str, int]:
        """Return the streams whose names begin so, in order of creation, and their last events. Raises StorageError."""
        return await self.read(lambda reader: cast(SqliteReader, reader).last_revisions(prefix))

    async def start_scavenge(self) -> Scavenge:
        """Start a scavenge, or return the one that is running. The log goes on at the next chunk.

        Wait for its end with `scavenge_ended`; stop it with its `stop`. Raises StorageError.
        """
        self._check_open()
        if self._scavenge is None or self._scavenge[1].done():
            steps = Steps(self._committer, SqliteScavenger(self._files.writer), self._now)
            scavenge = Scavenge(steps)
            self._scavenge = (scavenge, self._loop.create_task(self._run_scavenge(scavenge)))
        return self._scavenge[0]

    async def clear_stream(self, stream: str) -> None:
        """Remove what of one stream can never be read again, as a scavenge does. Raises StorageError."""
        storage = SqliteScavenger(self._files.writer)
        await self._command(WriterTask(lambda: clear_stream(self._committer, storage, stream, self._now())))

    async def scavenge_ended(self) -> None:
        """Wait until no scavenge is running. Raises StorageError when that is what it ended with."""
        if self._scavenge is not None:
            await asyncio.shield(self._scavenge[1])

    @property
    def scavenge(self) -> Scavenge | None:
        """The scavenge that is running."""
        return None if self._scavenge is None or self._scavenge[1].done() else self._scavenge[0]

    async def _run_scavenge(self, scavenge: Scavenge) -> None:
        await self.execute(appending.close_chunk)

        async def execute(step: Callable[[], bool]) -> bool:
            return cast(bool, await self._command(WriterTask(step)))

        await scavenge.run(execute)

    @property
    def waiting(self) -> int:
        """How many commands have not been answered yet."""
        return self._queue.taken + self._large.taken

    def listen(self, wake: Callable[[], None], *, stream: str | None, limit: int) -> Listener:
        """Register a listener at once: every event committed from now on, of the stream (None: of all), is put into
        its queue of at most `limit`, in log order. `wake` is called on the loop when the queue is no longer empty,
        or has overflowed. Events at `registered_at` or later come here, those before are in storage."""
        return self._feed.listen(wake, stream=stream, limit=limit, registered_at=self.log_end)

    async def close(self) -> None:
        """Commit what waits, and give the file up. Idempotent."""
        if self._closed:
            await asyncio.shield(self._finished)
            return
        await self._stop_scavenge()
        self._closed = True
        self._hand_over()
        if self._writer is None:
            self._finish()
        else:
            self._writer.close()
        await asyncio.shield(self._finished)
        if self._writer is not None:
            self._writer.join()

    async def _stop_scavenge(self) -> None:
        if self._scavenge is not None:
            self._scavenge[0].stop()
            with suppress(StorageError):
                await asyncio.shield(self._scavenge[1])

    async def _command(self, work: Work, cost: int = _COMMAND_BYTES, *, anywhere: bool = False) -> object:
        self._check_open()
        room = self._room(cost)
        if not room.enter_at_once(cost):
            await room.enter(cost)
            if self._closed:
                room.leave(cost)
                self._check_open()
        answer: asyncio.Future[object] = self._loop.create_future()
        job = WriterJob(work, cost, partial(_settle, answer), anywhere=anywhere)
        self._gathered.append(job)
        self._hand_over_soon()
        try:
            return await answer
        except asyncio.CancelledError:
            self.abandon(job)
            raise

    def _hand_over_soon(self) -> None:
        """All that is asked for in this turn of the loop is committed together."""
        if not self._handing_over:
            self._handing_over = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = False
        jobs, self._gathered = self._gathered, []
        if self._writer is not None and not self._commits_here(jobs):
            if jobs:
                self._commit_pace.went_elsewhere()
                self._put(self._writer, jobs)
                self._giving_way.begin()
            return
        waiting = [job for job in jobs if not job.abandoned]
        if waiting:
            self._files.writer.wait_for_others(patiently=False)
            began = time.perf_counter()
            performed = self._perform(waiting)
            self._commit_pace.took(time.perf_counter() - began)
            if self._writer is not None and all(isinstance(result, StorageLocked) for result in performed[1]):
                self._put(self._writer, waiting)  # nothing is written; the thread can wait, the loop cannot
                return
            self._publish(waiting, *performed)

    def _put(self, writer: WriterThread[Work], jobs: Sequence[WriterJob[Work]]) -> None:
        self._last_at_writer = jobs[-1]
        writer.put(jobs)

    def _commits_here(self, jobs: Sequence[WriterJob[Work]]) -> bool:
        """Whether to commit on the loop: where the disk is quick, handing over to a thread and back takes longer."""
        # Not while something is with the writer's thread, or has come back from there and not been published.
        if self._last_at_writer is not None or not self._commit_pace.quick:
            return False
        return all(job.anywhere for job in jobs) and sum([job.cost for job in jobs]) <= COMMIT_HERE_BYTES

    def _run(self, jobs: Sequence[WriterJob[Work]]) -> None:
        """In the writer's thread."""
        self._files.writer.wait_for_others(patiently=True)
        call_soon(self._loop, self._publish_from_thread, jobs, *self._perform(jobs))

    def _publish_from_thread(
        self, jobs: Sequence[WriterJob[Work]], batch: Committed, results: Sequence[object]
    ) -> None:
        if jobs[-1] is self._last_at_writer:
            self._last_at_writer = None
        self._giving_way.progress(more=self._last_at_writer is not None)
        self._publish(jobs, batch, results)

    def _perform(self, jobs: Sequence[WriterJob[Work]]) -> tuple[Committed, Sequence[object]]:
        """Commit all rules together, then do the chores one by one; the results are in the order of the jobs."""
        batch = self._committer.commit([job.work for job in jobs if not isinstance(job.work, WriterTask)])
        results = iter(batch.results)
        return batch, [job.work.result() if isinstance(job.work, WriterTask) else next(results) for job in jobs]

    def _publish(self, jobs: Sequence[WriterJob[Work]], batch: Committed, results: Sequence[object]) -> None:
        if batch.records:
            self.last_position = batch.records[-1].position
            self.written += len(batch.records)
            self._feed.publish(batch.records)
            self._enter_in_indexes(len(batch.records))
        self.log_end = batch.log_end
        for job, result in zip(jobs, results, strict=True):
            answer = job.answer
            if answer is not None:
                self._leave(job)
                answer(result)

    def _enter_in_indexes(self, written: int) -> None:
        """Have the writer enter what has been written in the indexes, once that is worth it."""
        self._unindexed += written
        if self._unindexed < INDEX_BEHIND or self._indexing or self._closed:
            return
        if self._queue.enter_at_once(_COMMAND_BYTES):  # else after the next commit
            self._indexing = True
            task = WriterTask(lambda: self._files.writer.index(INDEX_STEP))
            self._gathered.append(WriterJob(task, _COMMAND_BYTES, self._entered_in_indexes))
            self._hand_over_soon()

    def _entered_in_indexes(self, result: object) -> None:
        self._indexing = False
        # Where it failed, others say so: it is tried again when more has been written.
        self._unindexed = INDEX_BEHIND if result == INDEX_STEP else 0
        self._enter_in_indexes(0)

    def _finish(self) -> None:
        """In the writer's thread, after its last commit; in memory, on the loop."""
        self._readers.close()
        self._files.close()
        call_soon(self._loop, settle, self._finished, None)


def _settle(answer: asyncio.Future[object], result: object) -> None:
    if isinstance(result, Exception):
        settle(answer, None, result)
    else:
        settle(answer, result)


def _cost(events: Sequence[ProposedEvent]) -> int:
    """Bytes that an append holds."""
    cost = _COMMAND_BYTES * (len(events) + 1)
    for _, _, _, data, metadata, _ in events:
        cost += len(data) + len(metadata)
    return cost


def _cost_of_records(append: AtomicAppend) -> int:
    return _cost([event for _, event in append.writes])


class WriterTask:
    """Something else than a rule that the writer is to do, in a transaction of its own if in any."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do

    def result(self) -> object:
        """What it returned, or the exception that it raised."""
        try:
            return self._do()
        except Exception as error:
            return error


__all__ = ["Database", "ticks_now"]
