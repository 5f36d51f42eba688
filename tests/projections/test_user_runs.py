"""JavaScript projections at work in a database: what they write, where they go on, and whom they leave in peace."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.projections.definitions import Definition, Mode
from esdb_lite.server.projections.manager import CommandRefused, ProjectionManager
from esdb_lite.server.projections.running import EngineMissing
from esdb_lite.server.projections.user.engine import UserEngine
from tests.healing.waiting import until
from tests.projections.test_handlers import DELETIONS

COUNT = "fromStream('x').when({$init: () => ({n: 0}), T(s, e) { s.n++ }})"
EMIT = "fromStream('x').when({$init: () => ({n: 0}), T(s, e) { s.n++; emit('out', 'Made', {n: s.n}) }}).outputState()"


class Place:
    """A database with projections."""

    def __init__(self, path: Path | None = None, *, standard: bool = False) -> None:
        self._path = path
        self._standard = standard

    async def open(self) -> Place:
        self.database = await Database.open(self._path)
        engine = UserEngine(self.database, now=ticks_now)
        self.manager = ProjectionManager(self.database, now=ticks_now, engine=engine, starts_standard=self._standard)
        await self.manager.start()
        return self

    async def close(self) -> None:
        await self.manager.stop()
        await self.database.close()

    async def append(self, stream: str, *types: str, data: bytes = b"{}", metadata: bytes = b"") -> None:
        events = [ProposedEvent(new_id(), type, True, data, metadata) for type in types]
        await self.database.append(stream, ANY, events)

    async def create(self, name: str, query: str, mode: Mode = Mode.CONTINUOUS, **more: object) -> None:
        await self.manager.create(Definition(name, query, mode=mode, **{"emit_enabled": True, **more}))  # type: ignore[arg-type]

    def status(self, name: str) -> str:
        return self.manager.statistics(name)[0].status

    def reason(self, name: str) -> str:
        return self.manager.statistics(name)[0].state_reason.rpartition("\r\n")[2]

    async def handled(self, name: str, count: int) -> None:
        """Wait until it has handled so many events since its start."""
        await until(lambda: self.manager.statistics(name)[0].run.events_processed >= count)

    async def caught_up(self, name: str) -> None:
        """Wait until it has handled all that is written, or has faulted."""
        await until(lambda: self.status(name) != "Running" or self.manager.statistics(name)[0].run.progress == 100)

    async def faulted(self, name: str) -> None:
        await until(lambda: "Faulted" in self.status(name))

    async def state(self, name: str, partition: str = "") -> object:
        text = await self.manager.state(name, partition)
        return json.loads(text) if text else None

    async def data(self, stream: str) -> list[str]:
        records = await self.database.read(lambda reader: reader.stream_forward(stream, 0, 10_000))
        return [f"{record.type} {record.data.decode()}" for record in records]

    async def length(self, stream: str) -> int:
        head = await self.database.read(lambda reader: reader.head(stream))
        return 0 if head is None else head.last_revision + 1

    async def written(self, stream: str, count: int) -> list[str]:
        """Wait until a stream has so many records."""

        def length() -> int:
            return len(self.database._files.loop_reader(lambda reader: reader.stream_forward(stream, 0, 10_000)))

        await until(lambda: length() >= count)
        return await self.data(stream)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    opened = await Place().open()
    yield opened
    await opened.close()


async def test_it_catches_up_and_goes_on(place: Place) -> None:
    await place.append("x", "T", "U", "T")
    await place.create("p", EMIT)
    await place.handled("p", 2)
    await place.append("x", "T")
    await place.handled("p", 3)
    assert await place.written("out", 3) == ['Made {"n":1}', 'Made {"n":2}', 'Made {"n":3}']
    assert await place.state("p") == {"n": 3}
    assert await place.data("$$out") == ['$metadata {"$acl":{}}']
    assert await place.written("$projections-p-result", 3) == ['Result {"n":1}', 'Result {"n":2}', 'Result {"n":3}']


@pytest.mark.parametrize("again", ["reset", "update"])
async def test_one_that_was_aborted_and_gets_ready_anew_counts_as_stopped(place: Place, again: str) -> None:
    await place.create("p", COUNT)
    await place.manager.disable("p", checkpoint=False)
    with pytest.raises(CommandRefused):
        await place.manager.delete("p")
    if again == "reset":
        await place.manager.reset("p")
    else:
        await place.manager.update("p", EMIT, emit_enabled=True)
    assert place.status("p") == "Stopped"
    await place.manager.delete("p")


async def test_one_that_was_aborted_and_updated_goes_on_from_its_checkpoint(place: Place) -> None:
    await place.append("x", "T", "T")
    await place.create("p", EMIT)
    await place.handled("p", 2)
    await place.manager.disable("p", checkpoint=False)
    await place.manager.update("p", EMIT.replace("s.n++", "s.n += 10"), emit_enabled=True)
    await place.append("x", "T")
    await place.manager.enable("p")
    await place.handled("p", 3)  # from the beginning: there is no checkpoint
    assert await place.state("p") == {"n": 30}


async def test_its_progress_is_100_only_where_everything_has_been_handled(place: Place) -> None:
    await place.create("p", COUNT)
    for n in range(1, 30):
        await place.append("x", "T")
        await place.caught_up("p")
        assert await place.state("p") == {"n": n}


async def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    place = await Place(tmp_path / "db").open()
    await place.append("x", "T", "T")
    await place.create("p", EMIT)
    await place.written("out", 2)
    await place.close()
    place = await Place(tmp_path / "db").open()
    await place.append("x", "T")
    await place.handled("p", 1)
    assert await place.written("out", 3) == ['Made {"n":1}', 'Made {"n":2}', 'Made {"n":3}']
    assert await place.state("p") == {"n": 3}
    await place.close()


async def test_what_was_stopped_without_a_checkpoint_writes_nothing_twice(place: Place) -> None:
    await place.append("x", "T", "T")
    await place.create("p", EMIT)
    await place.written("out", 2)
    await place.manager.disable("p", checkpoint=False)
    assert place.status("p") == "Aborted/Stopped"
    await place.append("x", "T")
    await place.manager.enable("p")
    await place.handled("p", 3)  # from the beginning: there is no checkpoint
    assert await place.written("out", 3) == ['Made {"n":1}', 'Made {"n":2}', 'Made {"n":3}']
    assert len(await place.data("$projections-p-result")) == 3


async def test_a_checkpoint_is_where_it_goes_on(place: Place) -> None:
    await place.append("x", "T", "T")
    await place.create("p", EMIT)
    await place.handled("p", 2)
    await place.manager.disable("p", checkpoint=True)
    assert await place.data("$projections-p-checkpoint") == ['$ProjectionCheckpoint [{"n":2}]']
    await place.append("x", "T")
    await place.manager.enable("p")
    await place.handled("p", 1)
    assert await place.written("out", 3) == ['Made {"n":1}', 'Made {"n":2}', 'Made {"n":3}']


async def test_a_reset_begins_anew(place: Place) -> None:
    await place.append("x", "T", "T")
    await place.create("p", EMIT)
    await place.written("out", 2)
    await place.manager.reset("p")
    await place.handled("p", 2)
    assert await place.written("out", 4) == ['Made {"n":1}', 'Made {"n":2}'] * 2
    assert (await place.data("$$out"))[-1] == '$metadata {"$tb":2,"$acl":{}}'


async def test_a_handler_that_fails_can_be_repaired(place: Place) -> None:
    query = (
        "fromStream('x').when({$init: () => ({n: 0}), T(s, e) { s.n++; emit('out', 'Made', s) }, U(s, e) { s.gone.n }})"
    )
    await place.append("x", "T", "U", "T")
    await place.create("p", query)
    await place.faulted("p")
    assert place.reason("p") == "Cannot read property 'n' of undefined"
    assert (await place.state("p"), await place.data("out")) == ({"n": 1}, ['Made {"n":1}'])
    repaired = query.replace("s.gone.n", "emit('new', 'Late', {})").replace("s.n++;", "s.n++; emit('new', 'Also', {});")
    await place.manager.update("p", repaired, emit_enabled=True)
    await place.handled("p", 3)
    # What was written is left alone; what is new is written for all events.
    assert await place.written("out", 2) == ['Made {"n":1}', 'Made {"n":2}']
    assert await place.written("new", 3) == ["Also {}", "Late {}", "Also {}"]


async def test_the_state_stays_when_the_query_changes(place: Place) -> None:
    await place.append("x", "T")
    await place.append("y", "T", "T")
    await place.create("p", COUNT)
    await place.handled("p", 1)
    await place.manager.update("p", COUNT.replace("'x'", "'y'").replace("s.n++", "s.n += 10"), emit_enabled=False)
    await place.handled("p", 2)
    assert await place.state("p") == {"n": 21}


async def test_streams_cannot_become_the_log_without_a_reset(place: Place) -> None:
    await place.append("x", "T")
    await place.create("p", COUNT)
    await place.handled("p", 1)
    query = COUNT.replace("fromStream('x')", "fromAll()")
    await place.manager.update("p", query, emit_enabled=False)
    await place.faulted("p")
    assert place.reason("p") == "Conversion from Stream to EventTypeIndex position tag is not supported"
    await place.manager.reset("p")
    await place.handled("p", 1)
    assert await place.state("p") == {"n": 1}


@pytest.mark.parametrize(
    ("handler", "reason", "appends"),
    [
        ("while (true) {}", "Projection script took too long to execute (took: ", 20),
        ("(function f() { return f() + 1 })()", "Maximum call stack size exceeded", 1),
        ("let all = []; for (;;) all.push(new Array(100000).fill(1.5))", "", 1),
    ],
)
async def test_who_breaks_the_limits_hurts_nobody_else(place: Place, handler: str, reason: str, appends: int) -> None:
    await place.append("x", "T")
    await place.create("good", COUNT)
    await place.create("bad", f"fromStream('x').when({{T(s, e) {{ {handler} }}}})")
    while "Faulted" not in place.status("bad"):
        await place.append("x", "T")
    appended = await place.length("x")
    await place.handled("good", appended)
    assert (await place.state("good"), place.status("good")) == ({"n": appended}, "Running")
    assert place.reason("bad").startswith(reason)
    assert appended >= appends


async def test_it_stops_while_a_handler_computes(place: Place) -> None:
    await place.append("x", *["T"] * 100)
    await place.create(
        "p", "fromStream('x').when({T(s, e) { const end = Date.now() + 20; while (Date.now() < end); }})"
    )
    await place.handled("p", 1)
    await asyncio.wait_for(place.manager.disable("p", checkpoint=True), 2.0)
    assert place.manager.statistics("p")[0].run.events_processed < 100


async def test_a_stream_that_others_write_faults_it(place: Place) -> None:
    await place.append("out", "Theirs")
    await place.append("x", "T")
    await place.create("p", EMIT)
    await place.faulted("p")
    assert place.reason("p") == "The 'out' stream managed by projection 6 has been written to from the outside."
    assert await place.data("out") == ["Theirs {}"]


async def test_tracked_streams_go_with_the_projection(place: Place) -> None:
    await place.append("x", "T")
    await place.create("p", EMIT, track_emitted_streams=True)
    await place.written("out", 1)
    result = await place.written("$projections-p-result", 1)
    assert await place.data("$projections-p-emittedstreams") == ["$StreamTracked out"]
    await place.manager.disable("p", checkpoint=True)
    await place.manager.delete("p", checkpoints=True, emitted_streams=True)
    assert (await place.data("$$out"))[-1] == '$metadata {"$tb":9223372036854775807}'
    assert await place.data("$projections-p-result") == result  # it is not tracked


async def test_partitions_and_their_results(tmp_path: Path) -> None:
    place = await Place(tmp_path / "db", standard=True).open()
    for stream in ("c-1", "c-2", "c-1"):
        await place.append(stream, "T")
    await place.create("p", COUNT.replace("fromStream('x')", "fromCategory('c').foreachStream()") + ".outputState()")
    await place.handled("p", 3)
    assert await place.written("$projections-p-c-1-result", 2) == ['Result {"n":1}', 'Result {"n":2}']
    links = ["$> 0@$projections-p-c-1-result", "$> 0@$projections-p-c-2-result", "$> 1@$projections-p-c-1-result"]
    assert await place.written("$projections-p-result", 3) == links
    await place.manager.disable("p", checkpoint=True)
    assert await place.data("$projections-p-partitions") == ["$partition c-1", "$partition c-2"]
    assert await place.data("$projections-p-c-1-checkpoint") == ['$Checkpoint [{"n":2}]']
    await place.close()
    place = await Place(tmp_path / "db").open()
    assert [await place.state("p", partition) for partition in ("c-1", "c-2", "c-3", "")] == [
        {"n": 2},
        {"n": 1},
        None,
        None,
    ]
    await place.close()


@pytest.mark.parametrize("of", ["fromStream('x')", "fromAll().foreachStream()"])
async def test_a_shared_state_is_there_after_a_restart(tmp_path: Path, of: str) -> None:
    query = f"""{of}.when({{$init: () => ({{n: 0}}), $initShared: () => ({{all: 0}}),
        $any([own, shared], e) {{ own.n++; shared.all++ }}}}).outputState()"""
    place = await Place(tmp_path / "db").open()
    await place.append("x", "T", "T")
    await place.create("p", query)
    await place.handled("p", 2)
    await place.close()
    place = await Place(tmp_path / "db").open()
    await place.append("x", "T")
    await place.handled("p", 1)
    assert await place.state("p") == {"all": 3}
    partition = "x" if "foreach" in of else ""
    assert json.loads(await place.manager.result("p", partition) or "") == {"n": 3}
    stream = "$projections-p-x-result" if partition else "$projections-p-result"
    assert (await place.written(stream, 3))[-1] == 'Result {"n":3}'
    await place.close()


async def test_for_the_second_engine_no_results_are_written(tmp_path: Path) -> None:
    for count in (1, 2):
        place = await Place(tmp_path / "db").open()
        await place.append("x", "T")
        if count == 1:
            await place.create("p", EMIT, engine_version=2)
        await place.written("out", count)
        await place.caught_up("p")
        assert await place.state("p") == {"n": count}
        assert await place.length("$projections-p-result") == 0
        await place.close()


async def test_what_a_query_logs_is_in_the_log_of_the_server(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "esdb_lite.server")
    await place.append("x", "T")
    await place.create("p", "log('read'); fromStream('x').when({T(s, e) { log('handled ' + e.eventType) }})")
    await place.handled("p", 1)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("projection 'p': ")]
    assert lines == ["projection 'p': read", "projection 'p': handled T"]


async def test_a_bug_of_ours_faults_the_one_projection(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("oh no")

    await place.append("x", "T")
    monkeypatch.setattr("esdb_lite.server.projections.user.run.source_of", fail)
    await place.create("p", COUNT)
    await place.faulted("p")
    assert place.reason("p") == "The server failed: RuntimeError('oh no')"
    assert "oh no" in caplog.text


async def test_many_partitions_and_a_checkpoint_on_the_way(place: Place) -> None:
    query = "fromAll().partitionBy(e => e.data.k).when({$init: () => ({n: 0}), T(s, e) { s.n++ }})"
    for start in range(0, 6000, 1000):
        events = [ProposedEvent(new_id(), "T", True, b'{"k":%d}' % (n % 3000)) for n in range(start, start + 1000)]
        await place.database.append("x", ANY, events)
    await place.create("p", query)
    await place.handled("p", 6000)
    states = [await place.state("p", str(key)) for key in (0, 1500, 2999, 3000)]
    assert states == [{"n": 2}, {"n": 2}, {"n": 2}, None]
    assert len(await place.data("$projections-p-partitions")) == 3000


async def test_a_transient_one_ends_with_its_results(place: Place) -> None:
    await place.append("x", "T", "T")
    await place.create("t", COUNT + ".outputState()", Mode.TRANSIENT)
    await until(lambda: place.status("t") == "Completed/Stopped/Writing results")
    assert await place.state("t") == {"n": 2}
    assert await place.data("$projections-t-result") == ['Result {"n":2}', "$Eof "]
    await place.append("x", "T")
    assert await place.state("t") == {"n": 2}


async def test_a_one_time_one_runs_again_when_it_is_told(place: Place) -> None:
    await place.append("x", "T", "T")
    await place.create("", COUNT, Mode.ONE_TIME)
    (name,) = (found.name for found in place.manager.statistics(mode=Mode.ONE_TIME))
    await until(lambda: place.status(name) == "Completed/Stopped/Writing results")
    await place.append("x", "T")
    await place.manager.reset(name)
    await until(lambda: place.status(name) == "Completed/Stopped/Writing results")
    assert await place.state(name) == {"n": 3}


async def test_without_an_engine_it_says_what_to_install(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_quickjs", None)
    with pytest.raises(EngineMissing, match=r"pip install quickjs-ng"):
        await place.create("p", COUNT)


async def test_a_query_that_is_wrong_faults_when_it_is_created(place: Place) -> None:
    await place.create("p", "this is broken")
    assert (place.status("p"), place.reason("p")) == ("Faulted", "expecting ';' (<query>:1:6)")
    await place.append("x", "T")
    await place.manager.update("p", COUNT, emit_enabled=False)
    await place.handled("p", 1)


async def test_texts_of_strangers_stay_on_their_line_in_the_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Names, what handlers log and what they throw: whatever it is, and however long."""
    caplog.set_level("INFO", "esdb_lite.server")
    name = "p\n2026-01-01 CRITICAL \x1b]0;"
    await place.append("x", "T")
    query = "fromStream('x').when({T(s, e) { log('a\\n\\x1b[31m'); throw 'b\\n\\x1b[31m'.repeat(100000) }})"
    await place.create(name, query)
    await until(lambda: place.status(name).startswith("Faulted"))
    lines = [record.getMessage() for record in caplog.records if "CRITICAL" in record.getMessage()]
    assert len(lines) == 2
    assert all(line.isprintable() and len(line) < 20_000 for line in lines)
    assert len(place.reason(name)) < 5000


async def test_what_is_written_at_once_is_cut_by_the_number_of_records(place: Place) -> None:
    """Appends wait for what is written at once."""
    await place.append("x", *["T"] * 40)
    portions: list[int] = []
    listener = place.database.listen(lambda: portions.append(len(listener.take())), stream="out", limit=100_000)
    await place.create("p", "fromStream('x').when({T(s, e) { for (let i = 0; i < 100; i++) emit('out', 'E', {i}) }})")
    await place.handled("p", 40)
    listener.close()
    assert sum(portions) == 4000
    assert max(portions) <= 600
    assert all(portion % 100 == 0 for portion in portions), "what an event makes is written together"


async def test_while_others_append_it_pauses_between_what_it_writes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esdb_lite.server.projections.user.run._SHARE", 100_000.0)
    monkeypatch.setattr("esdb_lite.server.projections.user.run._LONGEST_PAUSE", 60.0)
    await place.append("x", *["T"] * 40)
    appending = asyncio.create_task(_append_on(place))
    await until(lambda: place.database.appends > 10)
    await place.create("p", "fromStream('x').when({T(s, e) { for (let i = 0; i < 600; i++) emit('out', 'E', {i}) }})")
    await place.written("out", 600)
    after = place.database.appends
    await until(lambda: place.database.appends > after + 1000)
    assert await place.length("out") == 600
    await asyncio.wait_for(place.manager.disable("p", checkpoint=True), 2.0)
    appending.cancel()


async def _append_on(place: Place) -> None:
    while True:
        await place.append("y", "U")
        await asyncio.sleep(0)


async def test_events_of_a_deleted_stream_are_seen_by_those_that_ran_before() -> None:
    place = await Place(standard=True).open()
    await place.create("before", DELETIONS)
    await place.append("c-1", "A")
    await place.handled("before", 1)
    await place.database.delete("c-1", ANY)
    await place.handled("before", 2)
    await place.create("after", DELETIONS)
    await place.handled("after", 1)
    assert await place.state("before", "c-1") == {"n": 1, "gone": True}
    assert await place.state("after", "c-1") == {"n": 0, "gone": True}
    await place.close()


async def test_a_system_projection_says_which_settings_it_takes(place: Place) -> None:
    await place.manager.update("$by_category", "fromAll()", emit_enabled=True)
    first, _, told = place.manager.statistics("$by_category")[0].state_reason.partition("\r\n")
    assert first == "Exception has been thrown by the target of an invocation."
    assert told.startswith("Its query must be `first` or `last`, and on the next line")
    await place.manager.enable("$by_category")
    assert "Faulted" in place.status("$by_category")
    await place.manager.update("$by_category", "", emit_enabled=True)
    assert place.status("$by_category") == "Running"
