"""The threads of a database: one writes, a few read.

Owns: handing work to threads and results back to the event loop, one wake-up for many; that the loop gives way to
threads that read. Must not know: what the work is about.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeAlias, TypeVar

from esdb_lite.server.database.giving_way import GivingWay

T = TypeVar("T")

_MAX_BATCH = 1024
_MAX_BATCH_BYTES = 8 * 1024 * 1024
_LONG_BYTES = 256 * 1024
"""What takes more and is no append is run alone: what came before is answered before, and nobody waits for two."""


class WriterJob(Generic[T]):
    """One command on its way to the writer and back. Made and answered on the loop."""

    __slots__ = ("abandoned", "answer", "anywhere", "cost", "work")

    def __init__(self, work: T, cost: int, answer: Callable[[object], None] | None, *, anywhere: bool = False) -> None:
        """`answer` is called on the loop with the result, or with the exception; it must not raise."""
        self.work = work
        self.anywhere = anywhere
        """It may be done on the loop: it is quick, but for the disk."""
        self.cost = cost
        self.answer = answer
        """None: it has been answered, or nobody waits for that any more."""
        self.abandoned = False


class WriterThread(Generic[T]):
    """Takes all jobs that wait, hands them over together, and begins again.

    `run` gets the jobs in order, in the writer's thread. Whatever it raises ends the thread.
    """

    def __init__(self, run: Callable[[Sequence[WriterJob[T]]], None], finish: Callable[[], None]) -> None:
        self._run = run
        self._finish = finish
        self._jobs: deque[WriterJob[T]] = deque()
        self._changed = threading.Condition()
        self._idle = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="esdb-lite writer", daemon=True)
        self._thread.start()

    def put(self, jobs: Sequence[WriterJob[T]]) -> None:
        """Add jobs and wake the thread."""
        with self._changed:
            self._jobs.extend(jobs)
            self._idle.clear()
            self._changed.notify()

    def wait(self, seconds: float) -> bool:
        """Wait until it has nothing to do, or so long. Returns whether it has nothing to do."""
        return self._idle.wait(seconds)

    def abandon(self, job: WriterJob[T]) -> None:
        """Do not run the job, if it has not been taken yet."""
        with self._changed:
            job.abandoned = True

    def close(self) -> None:
        """Let the thread end once it has run what waits. Does not wait for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def _loop(self) -> None:
        try:
            while jobs := self._take():
                self._run(jobs)
        finally:
            self._idle.set()
            self._finish()

    def _take(self) -> list[WriterJob[T]]:
        taken: list[WriterJob[T]] = []
        room = _MAX_BATCH_BYTES
        with self._changed:
            while not taken:
                while not self._jobs:
                    if self._closing:
                        return []
                    self._idle.set()
                    self._changed.wait()
                while self._jobs and len(taken) < _MAX_BATCH and room > 0:
                    is_long = self._jobs[0].cost > _LONG_BYTES and not self._jobs[0].anywhere
                    if is_long and taken:
                        break
                    job = self._jobs.popleft()
                    if not job.abandoned:
                        taken.append(job)
                        room -= _MAX_BATCH_BYTES if is_long else job.cost
        return taken


_Task: TypeAlias = tuple[Callable[[T], object], "asyncio.Future[object]"]


class ReaderThreads(Generic[T]):
    """A few threads, each with a resource of its own (a connection), started as they are needed."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], None], *, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._make = make
        self._close = close
        self._count = count
        self._threads: list[threading.Thread] = []
        self._unanswered = 0
        self._lock = threading.Lock()
        self._undone = 0
        self._idle = threading.Event()
        self._idle.set()
        self._giving_way = GivingWay(self.wait)
        self._tasks: queue.SimpleQueue[_Task[T] | None] = queue.SimpleQueue()

    def submit(self, task: Callable[[T], object]) -> asyncio.Future[object]:
        """Run a function with a thread's resource; the future answers on the loop."""
        answer: asyncio.Future[object] = self._loop.create_future()
        self._unanswered += 1
        with self._lock:
            self._undone += 1
            self._idle.clear()
        self._tasks.put((task, answer))
        self._giving_way.begin()
        if len(self._threads) < min(self._count, self._unanswered):
            thread = threading.Thread(target=self._serve, name="esdb-lite reader", daemon=True)
            self._threads.append(thread)
            thread.start()
        return answer

    def wait(self, seconds: float) -> bool:
        """Wait until they have nothing to do, or so long. Returns whether they have nothing to do."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """Run what waits, end the threads and wait for them."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        resource: T | None = None
        try:
            while (item := self._tasks.get()) is not None:
                task, answer = item
                result: object = None
                error: Exception | None = None
                try:
                    if resource is None:
                        resource = self._make()
                    result = task(resource)
                except Exception as raised:
                    error = raised
                self._done()
                call_soon(self._loop, self._answer, answer, result, error)
                # Nothing of the last page may stay alive while this thread waits for the next one.
                del item, task, answer, result, error
        finally:
            if resource is not None:
                self._close(resource)

    def _done(self) -> None:
        with self._lock:
            self._undone -= 1
            if not self._undone:
                self._idle.set()

    def _answer(self, answer: asyncio.Future[object], result: object, error: Exception | None) -> None:
        self._unanswered -= 1
        self._giving_way.progress(more=self._unanswered > 0)
        settle(answer, result, error)


def settle(answer: asyncio.Future[object], result: object, error: Exception | None = None) -> None:
    """Answer a future, unless nobody waits for it any more."""
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


def call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    """Call on the loop from a thread; nothing happens when the loop has been closed meanwhile."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)
