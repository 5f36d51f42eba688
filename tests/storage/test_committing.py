"""SQLite, its caches and group commit give the answers that a list of records gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.database.group_commit import Committer
from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.append import Draft, LogState, Moment, Rule
from esdb_lite.server.engine.model import (
    ANY,
    NO_STREAM,
    Appended,
    Decision,
    ProposedEvent,
    RecordsAppended,
    WrongVersion,
)
from esdb_lite.server.engine.records.decision import append_records
from esdb_lite.server.engine.records.requests import AtomicAppend
from esdb_lite.server.storage import Record
from esdb_lite.server.storage.errors import StorageCorrupted, StorageFull
from esdb_lite.server.storage.files import Files
from tests.engine.naive import NaiveState
from tests.engine.programs import STREAMS, rules


@contextmanager
def committer(path: str | None = None, start: int = 733) -> Iterator[tuple[Committer, Files]]:
    files = Files(path)
    try:
        files.writer.set_floor(start)
        files.writer.connection.execute("COMMIT")
        yield Committer(files.writer, lambda: 10), files
    finally:
        files.close()


def stored(files: Files) -> list[Record]:
    return files.loop_reader(lambda reader: reader.log_forward(0, 10_000))


def comparable(records: list[Record]) -> list[tuple[object, ...]]:
    """Ids that were generated differ."""
    return [(r[:3] + r[4:6] + r[7:] + ((r.id if r.metadata else None),)) for r in records]


BATCHES = st.lists(st.lists(rules, max_size=8), max_size=6)


@given(BATCHES)
def test_the_same_answers_and_records_as_a_list(batches: list[list[Rule]]) -> None:
    compare(batches)


@given(BATCHES)
def test_the_same_with_little_memory(batches: list[list[Rule]]) -> None:
    """Names are looked up together and written in pieces, and soon forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("esdb_lite.server.database.group_commit._WORTH_IT", 1)
        for name, value in {"_AT_ONCE": 2, "_ABSENT_KEPT": 2, "_NAMES_ROOM": 300}.items():
            patch.setattr(f"esdb_lite.server.storage.sqlite_writer.{name}", value)
        compare(batches)


def compare(batches: list[list[Rule]]) -> None:
    naive = NaiveState()
    with committer() as (ours, files):
        for batch in batches:
            naive.now = 0
            expected = [naive.run(rule) for rule in batch]
            assert ours.commit(batch).results == expected
            assert ours.log_end == naive.log_end == files.writer.log_end()
        assert comparable(stored(files)) == comparable(naive.records)
        for stream in STREAMS:
            of_stream = sorted(naive.of(stream), key=lambda record: record.revision)
            page = files.loop_reader(lambda reader, stream=stream: reader.stream_forward(stream, 0, 1000))
            assert comparable(page) == comparable(of_stream)


def append(stream: str, expected: int, *names: str, type: str = "T", data: bytes = b"{}") -> Rule:
    events = [ProposedEvent(name.encode().ljust(16), type, True, data) for name in names]
    return partial(appending.append, stream=stream, expected=expected, events=events)


def broken(state: LogState, moment: Moment) -> Decision:
    raise ZeroDivisionError


def unwritable(state: LogState, moment: Moment) -> Decision:
    """A record that the database refuses: the position is taken."""
    decision = append("u", ANY, "u")(state, moment)
    return decision._replace(records=[decision.records[0]._replace(position=733)])


@pytest.mark.parametrize("failing", [broken, append("\udc80", ANY, "x"), unwritable])
def test_a_command_that_fails_harms_no_other(failing: Rule) -> None:
    with committer() as (ours, files):
        first = ours.commit([append("s", NO_STREAM, "a")])
        batch = ours.commit([append("s", 0, "b"), failing, append("s", 1, "c")])
        assert isinstance(batch.results[1], Exception)
        assert [type(result) for result in (*first.results, batch.results[0], batch.results[2])] == [Appended] * 3
        assert [record.id[:1] for record in stored(files)] == [b"a", b"b", b"c"]


def test_what_was_rolled_back_is_not_remembered() -> None:
    with committer() as (ours, files):
        end = ours.log_end
        files.writer.connection.execute("PRAGMA max_page_count=20")
        failed = ours.commit([append("s", NO_STREAM, "a", data=bytes(200_000)), append("t", ANY, "b")])
        assert [type(result) for result in failed.results] == [StorageFull, StorageFull]
        assert (failed.records, ours.log_end) == ((), end)
        assert not stored(files)
        # Any of these would be answered as a repetition if the ids or revisions were still known.
        again = ours.commit([append("t", ANY, "b"), append("s", NO_STREAM, "a")])
        assert again.results == [Appended(0, end), Appended(0, end + 88 + 2 + 2 + 2)]


def test_the_recent_ids_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.server.database.group_commit._RECENT_BYTES", 5 * 82)
    with committer() as (ours, _):
        for number in range(8):
            ours.commit([append("s", ANY, f"{number}")])
        remembered = [number for number in range(8) if ours.recent(f"{number}".encode().ljust(16)) is not None]
        assert remembered == [3, 4, 5, 6, 7]


@given(st.lists(st.tuples(st.sampled_from("st"), st.integers(0, 400), st.integers(1, 150)), max_size=6), st.booleans())
def test_many_events_are_found_by_their_ids(appends: list[tuple[str, int, int]], together: bool) -> None:
    """Wherever the same ids were written before, in part or twice in one append: the first to write one keeps it."""
    expected: dict[str, tuple[str, int]] = {}
    lengths = dict.fromkeys("st", 0)
    with committer() as (ours, _):
        commands = []
        for stream, first, count in appends:
            names = [str(number % 300) for number in range(first, first + count)]
            rule = partial(_forced, stream=stream, first=lengths[stream], names=names)
            for name in names:
                expected.setdefault(name, (stream, lengths[stream]))
                lengths[stream] += 1
            commands.append(rule)
        for batch in [commands] if together else [[command] for command in commands]:
            ours.commit(batch)
        assert known(ours, map(str, range(300))) == expected


def _forced(state: LogState, moment: Moment, *, stream: str, first: int, names: list[str]) -> Decision:
    """Write events whatever is there."""
    draft = Draft(moment)
    draft.add_all(stream, first, [ProposedEvent(name.encode().ljust(16), "A", True, b"") for name in names])
    return draft.decide(Appended(first, 0))


def test_versions_and_recent_ids_are_known_again_after_reopening(tmp_path: Path) -> None:
    path = str(tmp_path / "events.db")
    with committer(path) as (ours, _):
        ours.commit([append("s", NO_STREAM, "a", "b")])
        end = ours.commit([append("s", ANY)]).log_end
    with committer(path, start=end) as (ours, _):
        ours.recall()
        assert ours.log_end == end
        again = Appended(1, 733 + 88 + 2 + 2 + 2, idempotent=True)
        assert ours.commit([append("s", NO_STREAM, "a", "b")]).results == [again]
        assert ours.commit([append("s", ANY, "a", "b")]).results == [again]


def known(ours: Committer, names: Iterable[str]) -> dict[str, tuple[str, int]]:
    found = {name: ours.recent(name.encode().ljust(16)) for name in names}
    return {name: place for name, place in found.items() if place is not None}


def test_the_ids_are_known_as_if_nothing_had_been_reopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to write an id keeps it, and the oldest ones are forgotten."""
    monkeypatch.setattr("esdb_lite.server.database.group_commit._RECENT_BYTES", 5 * 82)
    monkeypatch.setattr("esdb_lite.server.database.group_commit._RECALLED_AT_ONCE", 2)
    path = str(tmp_path / "events.db")
    with committer(path) as (ours, _):
        for stream, expected, name in [*(("s", ANY, name) for name in "abcdefg"), ("t", ANY, "h"), ("u", -1, "h")]:
            end = ours.commit([append(stream, expected, name)]).log_end
        before = known(ours, "abcdefgh")
        assert before == {"d": ("s", 3), "e": ("s", 4), "f": ("s", 5), "g": ("s", 6), "h": ("t", 0)}
    with committer(path, start=end) as (ours, _):
        ours.recall()
        assert known(ours, "abcdefgh") == before
        ours.commit([append("u", ANY, name) for name in "ijk"])
        assert list(known(ours, "efghijk")) == list("hijk")  # of a run, all are forgotten together


def test_long_events_are_not_read_for_their_ids_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.server.database.group_commit._RECALLED_BYTES", 40_000)
    monkeypatch.setattr("esdb_lite.server.database.group_commit._RECALLED_AT_ONCE", 2)
    path = str(tmp_path / "events.db")
    with committer(path) as (ours, _):
        for number in range(30):
            end = ours.commit([append("s", ANY, f"{number}", data=bytes(100_000))]).log_end
    with committer(path, start=end) as (ours, _):
        ours.recall()
        names = [str(number) for number in range(30)]
        assert list(known(ours, names)) == names[-10:]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET stream=99 WHERE revision=1",
        "UPDATE streams SET name=CAST(x'ff' AS TEXT) WHERE name='s'",
    ],
)
def test_what_is_damaged_keeps_nobody_from_opening(tmp_path: Path, damage: str) -> None:
    path = str(tmp_path / "events.db")
    with committer(path) as (ours, files):
        ours.commit([append("s", ANY, "a", "b")])
        end = ours.commit([append("t", ANY, "c")]).log_end
        files.writer.connection.execute(damage)
    with committer(path, start=end) as (ours, _):
        ours.recall()
        assert isinstance(ours.commit([append("t", ANY, "d")]).results[0], Appended)


def test_what_was_committed_is_remembered_after_a_failure() -> None:
    """Where any end will do, nothing else keeps the repeat from being written."""
    with committer() as (ours, files):
        first = ours.commit([append("s", ANY, "a")]).results[0]
        files.writer.connection.execute("PRAGMA max_page_count=20")
        failed = ours.commit([append("s", ANY, "a", "b", data=bytes(200_000)), append("t", ANY, "c", data=bytes(9000))])
        assert all(isinstance(result, (StorageFull, WrongVersion)) for result in failed.results)
        assert isinstance(ours.commit([append("u", ANY, "d", data=bytes(200_000))]).results[0], StorageFull)
        assert ours.commit([append("s", ANY, "a")]).results == [first._replace(idempotent=True)]


def test_more_streams_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.server.database.group_commit._STREAMS_KEPT", 4)
    with committer() as (ours, _):
        for revision in range(3):
            for number in range(10):
                assert ours.commit([append(f"s{number}", revision - 1, "x")]).results[0].revision == revision
        assert len(ours._streams) <= 5


def test_many_new_streams_at_a_time_take_few_statements() -> None:
    with committer() as (ours, files):
        for first in (0, 500):
            said: list[str] = []
            files.writer.connection.set_trace_callback(said.append)
            event = ProposedEvent(bytes(16), "T", True, b"{}")
            names = [f"s-{number}" for number in range(first, first + 600)]
            append = AtomicAppend(dict.fromkeys(names, ANY), [(name, event) for name in names])
            results = ours.commit([partial(append_records, append=append)]).results
            files.writer.connection.set_trace_callback(None)
            assert isinstance(results[0], RecordsAppended)
            assert list(results[0].revisions) == names
            assert len(said) < 40
        streams = [record.stream for record in stored(files)]
        assert streams == [f"s-{number}" for number in (*range(600), *range(500, 1100))]
        assert stored(files)[600].revision == 1


def test_an_error_of_the_disk_is_a_storage_error() -> None:
    with committer() as (ours, files):
        files.writer.connection.execute("DROP TABLE events")
        assert isinstance(ours.commit([append("s", ANY, "a")]).results[0], StorageCorrupted)
