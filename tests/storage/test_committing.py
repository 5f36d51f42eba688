"""SQLite, its caches and group commit give the answers that a list of records gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.database.group_commit import Committer
from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.append import LogState, Moment, Rule
from esdb_lite.server.engine.model import ANY, NO_STREAM, Appended, Decision, ProposedEvent, RecordsAppended
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


def test_versions_are_known_again_after_reopening_but_recent_ids_are_not(tmp_path: Path) -> None:
    path = str(tmp_path / "events.db")
    with committer(path) as (ours, _):
        ours.commit([append("s", NO_STREAM, "a", "b")])
        end = ours.commit([append("s", ANY)]).log_end
    with committer(path, start=end) as (ours, _):
        assert ours.log_end == end
        assert ours.commit([append("s", NO_STREAM, "a", "b")]).results == [
            Appended(1, 733 + 88 + 2 + 2 + 2, idempotent=True)
        ]
        assert ours.commit([append("s", ANY, "a", "b")]).results == [Appended(3, end + 94)]


def test_more_streams_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.server.database.group_commit._STREAMS_KEPT", 4)
    with committer() as (ours, _):
        for revision in range(3):
            for number in range(10):
                assert ours.commit([append(f"s{number}", revision - 1, "x")]).results[0].revision == revision
        assert len(ours._lasts) <= 5


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
