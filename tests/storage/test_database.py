"""The asynchronous face: order, atomicity, back-pressure, cancellation, the live feed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from esdb_lite._limits import Oversized, Room
from esdb_lite.server.database import database as module
from esdb_lite.server.database.database import Database
from esdb_lite.server.database.pace import Pace
from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.append import LogState, Moment
from esdb_lite.server.engine.model import ANY, NO_STREAM, Appended, Decision, DeletedStream, WrongVersion
from esdb_lite.server.options import Durability
from esdb_lite.server.storage import TOMBSTONE
from esdb_lite.server.storage.errors import StorageClosed
from tests.storage.support import event, events, log, of_stream, opened, written


@pytest.fixture(params=["file", "memory"])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "events.db" if request.param == "file" else None) as database:
        yield database


@pytest.fixture
async def file_db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "events.db") as database:
        yield database


class Gate:
    """Holds up the writer's thread, so that what is asked for meanwhile waits in its queue."""

    def __init__(self, database: Database) -> None:
        self._closed = threading.Event()
        self._reached = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(database.execute(self._rule))

    def _rule(self, state: LogState, moment: Moment) -> Decision:
        self._reached.set()
        self._closed.wait(30)
        return Decision(Appended(-1, None), (), moment.log_end)

    async def reached(self) -> None:
        await self._loop.run_in_executor(None, self._reached.wait, 30)
        await self._loop.shutdown_default_executor()

    async def open(self) -> None:
        self._closed.set()
        await self._task


async def test_a_fresh_database(db: Database) -> None:
    assert (db.last_position, db.log_end) == (548, 733)
    epoch, scavenges = await db.read(lambda reader: reader.log_forward(0, 10))
    assert (epoch.position, epoch.stream, epoch.type) == (231, "$epoch-information", "$epoch-information")
    assert scavenges.stream == "$$$scavenges"
    assert scavenges.data == b'{"$maxAge":2592000,"$acl":{"$r":"$ops","$w":[],"$d":[],"$mr":[],"$mw":[]}}'


async def test_what_is_appended_is_read(db: Database) -> None:
    proposed = [event(b"1", metadata=b"m"), event(b"\0\xff", type="é")]
    outcome = await written(db, "stream ø", proposed)
    first, second = await of_stream(db, "stream ø")
    assert (outcome.revision, outcome.position) == (1, second.position)
    assert (first.id, first.type, first.is_json, first.data, first.metadata) == (*proposed[0][:2], True, b"1", b"m")
    assert (second.revision, second.type, second.data, second.position) == (1, "é", b"\0\xff", db.last_position)
    assert await log(db) == [first, second]


async def test_pages_in_both_directions(db: Database) -> None:
    await written(db, "s", events(10))
    await written(db, "t", events(3))

    def revisions(query: object) -> object:
        return db.read(lambda reader: [record.revision for record in query(reader)])  # type: ignore[operator]

    assert await revisions(lambda reader: reader.stream_forward("s", 4, 3)) == [4, 5, 6]
    assert await revisions(lambda reader: reader.stream_backward("s", 4, 3)) == [4, 3, 2]
    assert await revisions(lambda reader: reader.stream_backward("s", 2**63 - 1, 2)) == [9, 8]
    assert await revisions(lambda reader: reader.stream_forward("s", 10, 2)) == []
    assert await revisions(lambda reader: reader.stream_forward("none", 0, 2)) == []
    assert await revisions(lambda reader: reader.log_backward(2**64, 4)) == [2, 1, 0, 9]
    assert await revisions(lambda reader: reader.log_forward(2**64, 4)) == []
    assert sorted(await db.read(lambda reader: reader.at("s", [3, 77, -1, 2**64]))) == [3]
    await db.tombstone("t", ANY)
    assert await revisions(lambda reader: reader.stream_forward("t", 3, 2)) == [TOMBSTONE]
    assert await revisions(lambda reader: reader.stream_forward("t", TOMBSTONE + 1, 2)) == []
    assert await db.read(lambda reader: reader.at("t", [2**64])) == {}


async def test_heads(db: Database) -> None:
    await written(db, "s", events(2))
    await written(db, "$$s", [event(b'{"$maxCount":1}')])
    await written(db, "$$only", [event(b"{}")])
    await db.append("marked", ANY, [])
    await db.tombstone("gone", ANY)
    heads = await db.read(lambda reader: {name: reader.head(name) for name in ("s", "$$s", "only", "marked", "gone")})
    assert heads["s"] is not None
    assert heads["s"].metadata is not None
    assert (heads["s"].last_revision, heads["s"].metadata.data) == (1, b'{"$maxCount":1}')
    assert heads["$$s"] == (0, None)
    assert heads["only"] is not None
    assert heads["only"].last_revision == -1
    assert heads["marked"] is None
    assert heads["gone"] == (TOMBSTONE, None)


async def test_a_page_is_bounded_by_bytes(db: Database) -> None:
    await written(db, "s", events(12, bytes(60_000)))
    page = await db.read(lambda reader: reader.stream_forward("s", 0, 1000))
    assert len(page) == 5
    assert len(await of_stream(db, "s")) == 12
    await written(db, "large", events(3, bytes(1_000_000)))
    assert len(await db.read(lambda reader: reader.stream_forward("large", 0, 1000))) == 1


async def test_refusals(db: Database) -> None:
    await written(db, "s", events(1))
    assert await db.append("s", NO_STREAM, events(1)) == WrongVersion(0)
    assert isinstance(await db.delete("s", ANY), Appended)
    assert isinstance(await db.tombstone("s", ANY), Appended)
    assert await db.append("s", ANY, events(1)) == DeletedStream("s")


async def test_concurrent_appends_at_the_same_version_let_one_through(db: Database) -> None:
    outcomes = await asyncio.gather(*[db.append("s", NO_STREAM, events(1)) for _ in range(50)])
    assert sum(isinstance(outcome, Appended) for outcome in outcomes) == 1
    assert len(await of_stream(db, "s")) == 1


async def test_many_appends_share_a_commit(file_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    monkeypatch.setattr(
        file_db, "_publish", lambda jobs, *rest: (commits.append(len(jobs)), Database._publish(file_db, jobs, *rest))
    )
    await asyncio.gather(*[file_db.append(f"s{n}", ANY, events(1)) for n in range(100)])
    assert sum(commits) == 100
    assert len(commits) <= 2


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 200])
async def test_appends_of_any_size(db: Database, size: int) -> None:
    await written(db, "s", events(1))
    await written(db, "s", events(size))
    assert [record.revision for record in await of_stream(db, "s")] == list(range(size + 1))


async def test_cancelled_before_its_turn_it_is_not_written(file_db: Database) -> None:
    gate = Gate(file_db)
    await gate.reached()
    waiting = [asyncio.ensure_future(file_db.append(name, ANY, events(1))) for name in "ab"]
    await asyncio.wait(waiting, timeout=0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    await gate.open()
    assert isinstance(await waiting[1], Appended)
    assert [record.stream for record in await log(file_db)] == ["b"]


async def test_cancelled_later_it_is_written_regardless(file_db: Database) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    go_on = threading.Event()

    def slow(state: LogState, moment: Moment) -> Decision:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        return appending.append(state, moment, stream="s", expected=ANY, events=events(1))

    task = asyncio.ensure_future(file_db.execute(slow))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await written(file_db, "after", events(1))
    assert [record.stream for record in await log(file_db)] == ["s", "after"]


async def test_appends_wait_when_the_queue_is_full(file_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(3, 10_000, oversized=Oversized.OVERDRAWS)
    monkeypatch.setattr(file_db, "_queue", room)
    gate = Gate(file_db)
    await gate.reached()
    tasks = [asyncio.ensure_future(file_db.append(f"s{n}", ANY, events(1))) for n in range(10)]
    await asyncio.wait(tasks, timeout=0)
    assert room.taken == 11
    tasks[5].cancel()
    tasks[0].cancel()
    await gate.open()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, Appended) for outcome in outcomes] == [n not in (0, 5) for n in range(10)]
    assert room.taken == 0


async def test_small_appends_overtake_large_ones(db: Database) -> None:
    large = [asyncio.ensure_future(db.append("large", ANY, events(1, b"1" * 400_000))) for _ in range(40)]
    await asyncio.wait(large, timeout=0)
    await written(db, "small", events(1))
    assert sum(task.done() for task in large) <= 12
    assert [isinstance(outcome, Appended) for outcome in await asyncio.gather(*large)] == [True] * 40
    assert db.waiting == 0


async def test_large_appends_keep_their_order(db: Database) -> None:
    tasks = [asyncio.ensure_future(db.append(f"{n}", ANY, events(1, b"1" * 400_000))) for n in range(20)]
    await asyncio.gather(*tasks)
    assert [record.stream for record in await log(db)] == [f"{n}" for n in range(20)]


async def test_what_waits_for_room_hears_that_the_database_is_closed(db: Database) -> None:
    tasks = [asyncio.ensure_future(db.append("s", ANY, events(1, b"1" * 400_000))) for _ in range(20)]
    await asyncio.wait(tasks, timeout=0)
    await db.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    done = [isinstance(outcome, Appended) for outcome in outcomes]
    assert done == sorted(done, reverse=True)
    assert all(isinstance(outcome, StorageClosed) for outcome in outcomes[sum(done) :])


async def test_what_waits_is_committed_before_closing(tmp_path: Path) -> None:
    async with opened(tmp_path / "events.db") as database:
        tasks = [asyncio.ensure_future(database.append("s", ANY, events(1))) for _ in range(20)]
        await asyncio.wait(tasks, timeout=0)
    assert all([isinstance(await task, Appended) for task in tasks])
    async with opened(tmp_path / "events.db") as database:
        assert len(await of_stream(database, "s")) == 20


async def test_a_closed_database_says_so(db: Database) -> None:
    await db.close()
    await db.close()
    with pytest.raises(StorageClosed):
        await db.append("s", ANY, events(1))
    with pytest.raises(StorageClosed):
        await db.read(lambda reader: reader.log_end())


async def test_an_error_in_a_query_is_raised(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await db.read(lambda reader: 1 // 0)
    assert await db.read(lambda reader: reader.log_end()) == 733


async def test_slow_reads_go_to_threads(file_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_db, "_pace", Pace(-1.0, 3))
    threads = [await file_db.read(lambda reader: threading.current_thread()) for _ in range(8)]
    here = threading.current_thread()
    assert [thread is here for thread in threads] == [True, False, False, False] * 2


async def test_slow_commits_go_to_the_thread(file_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_db, "_commit_pace", Pace(-1.0, 3))
    threads = []
    perform = file_db._perform
    monkeypatch.setattr(
        file_db, "_perform", lambda jobs: (threads.append(threading.current_thread()), perform(jobs))[1]
    )
    for _ in range(8):
        await written(file_db, "s", events(1))
    here = threading.current_thread()
    assert [thread is here for thread in threads] == [True, False, False, False] * 2
    assert len(await of_stream(file_db, "s")) == 8


async def test_large_commits_and_rules_go_to_the_thread(file_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    perform = file_db._perform
    monkeypatch.setattr(
        file_db, "_perform", lambda jobs: (threads.append(threading.current_thread()), perform(jobs))[1]
    )
    await written(file_db, "s", events(1, bytes(module.COMMIT_HERE_BYTES)))
    await file_db.execute(appending.close_chunk)
    assert threading.current_thread() not in threads
    assert len(threads) == 2


async def test_nothing_is_committed_on_the_loop_while_the_thread_is_at_work(file_db: Database) -> None:
    gate = Gate(file_db)
    await gate.reached()
    append = asyncio.ensure_future(file_db.append("s", ANY, events(1)))
    assert await of_stream(file_db, "s") == []
    assert not append.done()
    await gate.open()
    assert isinstance(await append, Appended)


async def test_a_busy_loop_stands_still_for_a_thread_that_does_not_get_on(
    file_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood_still = asyncio.Event()

    def wait(_: float) -> bool:
        stood_still.set()
        return False

    assert file_db._writer is not None
    monkeypatch.setattr(file_db._writer, "wait", wait)
    monkeypatch.setattr(file_db._giving_way, "_computed", time.perf_counter)  # busy all the time
    gate = Gate(file_db)
    await asyncio.wait_for(stood_still.wait(), 30)
    await gate.open()
    assert not file_db._giving_way._working


async def test_a_busy_loop_stands_still_for_threads_that_read(
    file_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood_still, go_on = asyncio.Event(), threading.Event()
    way = file_db._readers._giving_way
    monkeypatch.setattr(file_db, "_pace", Pace(-1.0, 3))
    file_db._pace.took(0.0)  # the disk is slow
    monkeypatch.setattr(way, "_wait", lambda _: stood_still.set())
    monkeypatch.setattr(way, "_computed", time.perf_counter)  # busy all the time
    reading = asyncio.ensure_future(file_db.read(lambda _: go_on.wait(30)))
    await asyncio.wait_for(stood_still.wait(), 30)
    assert not file_db._readers.wait(0.0)
    go_on.set()
    assert await reading
    assert file_db._readers.wait(0.0)
    assert not way._working


async def test_appends_that_are_begun_are_answered_when_they_are_committed(db: Database) -> None:
    answers: list[object] = []
    committed = asyncio.Event()

    def answer(result: object) -> None:
        answers.append(result)
        committed.set()

    first = db.begin_append("s", ANY, events(2), 0, answer)
    second = db.begin_append("s", ANY, events(1), 0, answer)
    assert (first is None, second is None, answers) == (False, False, [])
    assert second is not None
    db.abandon(second)
    db.abandon(second)
    db.commit()
    await committed.wait()
    assert [answer.revision for answer in answers if isinstance(answer, Appended)] == [1]
    assert len(await of_stream(db, "s")) == 2
    assert db.waiting == 0
    await db.close()
    assert db.begin_append("s", ANY, events(1), 0, answer) is None


async def test_reads_in_threads_see_what_was_answered(file_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_READ", -1.0)
    for count in range(1, 20):
        await written(file_db, "s", events(1))
        reads = [file_db.read(lambda reader: reader.stream_forward("s", 0, 100)) for _ in range(8)]
        assert {len(page) for page in await asyncio.gather(*reads)} == {count}


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with opened(path, durability=Durability.RELAXED) as database:
        await written(database, "s", events(3))
        await database.append("s", ANY, [])
        before, end = await log(database, 0), database.log_end
    async with opened(path) as database:
        assert (await log(database, 0), database.log_end) == (before, end)
        assert database.last_position == before[-1].position
        assert (await written(database, "s", events(1))).position == end


class TestListening:
    async def test_every_event_comes_in_order_before_its_append_returns(self, db: Database) -> None:
        wakes: list[int] = []
        of_all = db.listen(lambda: wakes.append(1), stream=None, limit=100)
        of_s = db.listen(lambda: None, stream="s", limit=100)
        assert of_all.registered_at == db.log_end
        await written(db, "s", events(2))
        assert len(of_s.take()) == 2
        await db.append("t", ANY, [])
        await written(db, "t", events(1))
        assert [record.stream for record in of_all.take()] == ["s", "s", "t"]
        assert (of_s.take(), of_all.take(), len(wakes)) == ([], [], 1)
        of_all.close()
        of_s.close()

    async def test_the_extra_metadata_event_comes_too(self, db: Database) -> None:
        await written(db, "s", events(1))
        await db.delete("s", ANY)
        listener = db.listen(lambda: None, stream="$$s", limit=10)
        await written(db, "s", events(1))
        assert [record.data for record in listener.take()] == [b'{"$tb":1}']
        listener.close()

    async def test_too_many_events_overflow(self, db: Database) -> None:
        wakes: list[int] = []
        listener = db.listen(lambda: wakes.append(1), stream="s", limit=3)
        await written(db, "s", events(3))
        assert (listener.overflowed, len(wakes)) == (False, 1)
        await written(db, "s", events(2))
        assert (listener.overflowed, listener.take(), len(wakes)) == (True, [], 2)
        assert len(db._feed) == 0

    async def test_too_many_bytes_overflow(self, db: Database) -> None:
        listener = db.listen(lambda: None, stream="s", limit=1000)
        await written(db, "s", [event(bytes(5_000_000))])
        assert (len(listener.take()), listener.overflowed) == (1, False)
        await written(db, "s", events(5, bytes(1_000_000)))
        assert listener.overflowed

    async def test_history_and_live_events_join_without_gap(self, db: Database) -> None:
        async def append_some() -> None:
            for _ in range(30):
                await db.append("s", ANY, events(2))

        async def follow() -> list[int]:
            await asyncio.sleep(0)
            listener = db.listen(lambda: None, stream="s", limit=10_000)
            stored = [r.revision for r in await of_stream(db, "s") if r.position < listener.registered_at]
            await appending_task
            live = [record.revision for record in listener.take()]
            listener.close()
            return stored + live

        appending_task = asyncio.ensure_future(append_some())
        followers = await asyncio.gather(*[follow() for _ in range(5)])
        assert all(revisions == list(range(60)) for revisions in followers)

    async def test_closing_in_a_wake_up_is_allowed(self, db: Database) -> None:
        listeners = [db.listen(lambda n=n: listeners[n].close(), stream=None, limit=5) for n in range(3)]  # type: ignore[misc]
        await written(db, "s", events(2))
        assert len(db._feed) == 0


async def test_rules_of_others_run_in_the_same_transaction(db: Database) -> None:
    rule = partial(appending.append, stream="s", expected=NO_STREAM, events=events(1))
    assert isinstance(await db.execute(rule), Appended)


async def test_a_listener_is_emptied_a_part_at_a_time(db: Database) -> None:
    listener = db.listen(lambda: None, stream="s", limit=100)
    await written(db, "s", events(10, bytes(1000)))
    parts = []
    while part := listener.take(2500):
        parts.append([record.revision for record in part])
    assert parts == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    await written(db, "s", events(1))
    assert [record.revision for record in listener.take(2500)] == [10]
    await written(db, "s", events(2, bytes(1000)))
    assert len(listener.take()) == 2
    listener.close()
