"""Expected versions, idempotency, deletes and what undoes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.model import (
    ANY,
    EXISTS,
    NO_STREAM,
    Appended,
    DeletedStream,
    Outcome,
    ProposedEvent,
    WrongVersion,
    event_size,
)
from esdb_lite.server.storage import TOMBSTONE
from tests.engine.naive import NaiveState


def event(name: str, data: bytes = b"{}", *, is_json: bool = True) -> ProposedEvent:
    return ProposedEvent(name.encode().ljust(16, b"."), "Type", is_json, data)


class Database(NaiveState):
    def append(self, stream: str, expected: int, events: str | Sequence[ProposedEvent]) -> Outcome:
        """A text stands for one event for each of its letters."""
        proposed = [event(name) for name in events] if isinstance(events, str) else events
        return self.run(partial(appending.append, stream=stream, expected=expected, events=proposed))

    def delete(self, stream: str, expected: int = ANY) -> Outcome:
        return self.run(partial(appending.delete, stream=stream, expected=expected))

    def tombstone(self, stream: str, expected: int = ANY) -> Outcome:
        return self.run(partial(appending.tombstone, stream=stream, expected=expected))

    def documents(self, stream: str) -> list[bytes]:
        return [record.data for record in self.of("$$" + stream)]

    def names(self, stream: str) -> str:
        return "".join(record.id.decode()[0] for record in self.of(stream))


@pytest.fixture
def db() -> Database:
    return Database()


def test_positions_are_the_offsets_of_a_real_server(db: Database) -> None:
    length = 88 + 2 + 5 + 2
    assert db.append("s", NO_STREAM, "ab") == Appended(1, 733 + length)
    assert [record.position for record in db.records] == [733, 733 + length]
    assert db.log_end == 733 + 2 * length


@pytest.mark.parametrize("expected", [ANY, NO_STREAM])
def test_a_new_stream_begins_at_zero(db: Database, expected: int) -> None:
    assert db.append("s", expected, "a") == Appended(0, 733)


@pytest.mark.parametrize("expected", [EXISTS, 0, 7])
def test_a_new_stream_is_not_what_was_expected(db: Database, expected: int) -> None:
    assert db.append("s", expected, "a") == WrongVersion(-1)
    assert not db.records


def test_metadata_alone_makes_a_stream_exist(db: Database) -> None:
    db.append("$$s", NO_STREAM, "m")
    assert isinstance(db.append("s", EXISTS, "a"), Appended)


def test_the_exact_version_writes_without_looking_at_ids(db: Database) -> None:
    db.append("s", NO_STREAM, "a")
    assert db.append("s", 0, "aa") == Appended(2, db.records[-1].position)
    assert db.names("s") == "aaa"
    assert db.append("s", 3, "b") == WrongVersion(2)


@pytest.mark.parametrize(
    ("expected", "events", "revision"),
    [(ANY, "abc", 2), (ANY, "a", 0), (ANY, "ba", 0), (ANY, "aa", 0), (EXISTS, "b", 1),
     (NO_STREAM, "abc", 2), (NO_STREAM, "a", 0), (0, "bc", 2), (0, "b", 1), (1, "c", 2)],
)  # fmt: skip
def test_what_is_there_already_is_not_written_again(db: Database, expected: int, events: str, revision: int) -> None:
    db.append("s", NO_STREAM, "abc")
    assert db.append("s", expected, events) == Appended(revision, db.records[revision].position, idempotent=True)
    assert db.names("s") == "abc"


@pytest.mark.parametrize(
    ("expected", "events"),
    [(ANY, "ax"), (ANY, "cx"), (EXISTS, "abcx"), (NO_STREAM, "x"), (NO_STREAM, "ax"), (NO_STREAM, "abcd"),
     (0, "c"), (0, "bx"), (1, "cd"), (NO_STREAM, ""), (0, ""), (3, "a"), (NO_STREAM, "b")],
)  # fmt: skip
def test_half_known_and_outdated_appends_are_refused(db: Database, expected: int, events: str) -> None:
    db.append("s", NO_STREAM, "abc")
    assert db.append("s", expected, events) == WrongVersion(2)
    assert db.names("s") == "abc"


def test_an_unknown_id_first_means_writing_even_if_others_are_known(db: Database) -> None:
    db.append("s", NO_STREAM, "ab")
    db.append("s", ANY, "xa")
    assert db.names("s") == "abxa"


def test_ids_of_another_stream_do_not_count(db: Database) -> None:
    db.append("s", NO_STREAM, "a")
    assert db.append("t", ANY, "a") == Appended(0, db.records[-1].position)
    assert db.append("t", ANY, "a") == Appended(1, db.records[-1].position)


def test_an_empty_append_takes_a_position_only(db: Database) -> None:
    assert db.append("s", ANY, "") == Appended(-1, 733)
    assert db.log_end == 733 + 88 + 2 + 1
    assert db.append("s", EXISTS, "") == WrongVersion(-1)
    assert not db.records


class TestSoftDelete:
    @pytest.fixture(autouse=True)
    def _stream(self, db: Database) -> None:
        db.append("s", NO_STREAM, "abc")

    def test_replaces_the_metadata(self, db: Database) -> None:
        db.append("$$s", ANY, [event("m", b'{"$maxCount":2}')])
        assert db.delete("s", 2) == Appended(1, db.records[-1].position)
        assert db.documents("s")[-1] == b'{"$tb":9223372036854775807}'

    @pytest.mark.parametrize("expected", [NO_STREAM, 0, 1, 3])
    def test_at_another_version_is_refused(self, db: Database, expected: int) -> None:
        assert db.delete("s", expected) == WrongVersion(2)

    def test_can_be_repeated(self, db: Database) -> None:
        db.delete("s")
        for expected in (ANY, NO_STREAM, 2):
            assert isinstance(db.delete("s", expected), Appended)
        assert db.delete("s", EXISTS) == DeletedStream("s")
        assert db.delete("s", 1) == WrongVersion(2)

    @pytest.mark.parametrize("expected", [ANY, NO_STREAM, 2])
    def test_is_undone_by_writing(self, db: Database, expected: int) -> None:
        db.delete("s")
        assert db.append("s", expected, "de") == Appended(4, db.records[-2].position)
        assert db.documents("s") == [b'{"$tb":9223372036854775807}', b'{"$tb":3}']

    def test_makes_the_stream_not_exist(self, db: Database) -> None:
        db.delete("s")
        assert db.append("s", EXISTS, "d") == DeletedStream("s")
        assert db.append("s", 1, "d") == WrongVersion(2)

    @pytest.mark.parametrize("expected", [ANY, NO_STREAM])
    def test_is_not_undone_by_what_was_there(self, db: Database, expected: int) -> None:
        db.delete("s")
        assert db.append("s", expected, "abc") == Appended(2, None, idempotent=True)
        assert db.metadata("s").soft_deleted

    def test_is_undone_by_an_empty_append(self, db: Database) -> None:
        db.delete("s")
        assert db.append("s", NO_STREAM, "") == WrongVersion(2)
        marker = db.log_end
        assert db.append("s", ANY, "") == Appended(2, marker)
        assert db.documents("s")[-1] == b'{"$tb":3}'

    def test_is_undone_by_metadata(self, db: Database) -> None:
        db.delete("s")
        assert db.append("$$s", ANY, [event("m", b'{"$tb": 1, "a": 2}')]) == Appended(1, db.records[-2].position)
        assert db.documents("s")[1:] == [b'{"$tb": 1, "a": 2}', b'{"$tb":3,"a":2}']

    def test_is_undone_by_metadata_that_is_no_object(self, db: Database) -> None:
        db.delete("s")
        db.append("$$s", ANY, [event("m", b"[]")])
        assert db.documents("s")[1:] == [b"[]"]

    def test_is_undone_by_an_empty_append_to_the_metadata(self, db: Database) -> None:
        db.delete("s")
        db.append("$$s", ANY, [])
        assert db.documents("s")[1:] == [b'{"$tb":3}']

    def test_needs_metadata_that_can_be_written(self, db: Database) -> None:
        db.tombstone("$$s")
        assert db.delete("s") == DeletedStream("$$s")


@pytest.mark.parametrize("expected", [ANY, NO_STREAM, EXISTS, 0])
def test_deleting_what_never_was(db: Database, expected: int) -> None:
    assert db.delete("s", expected) == WrongVersion(-1)


@pytest.mark.parametrize("expected", [ANY, NO_STREAM, EXISTS])
def test_deleting_what_has_metadata_only(db: Database, expected: int) -> None:
    db.append("$$s", ANY, "m")
    assert isinstance(db.delete("s", expected), Appended)


class TestTombstone:
    @pytest.mark.parametrize("expected", [ANY, NO_STREAM])
    def test_of_what_never_was(self, db: Database, expected: int) -> None:
        assert db.tombstone("s", expected) == Appended(TOMBSTONE, 733)
        assert db.records[0][2:6] == (TOMBSTONE, b"generated0000002", "$streamDeleted", False)

    @pytest.mark.parametrize("expected", [EXISTS, 0])
    def test_expecting_what_never_was(self, db: Database, expected: int) -> None:
        assert db.tombstone("s", expected) == WrongVersion(-1)

    def test_is_for_ever(self, db: Database) -> None:
        db.append("s", ANY, "a")
        db.tombstone("s")
        for expected in (ANY, NO_STREAM, EXISTS, 0):
            assert db.append("s", expected, "a") == DeletedStream("s")
            assert db.delete("s", expected) == DeletedStream("s")
            assert db.tombstone("s", expected) == DeletedStream("s")

    def test_closes_metadata_that_was_never_written(self, db: Database) -> None:
        db.tombstone("s")
        assert db.append("$$s", ANY, "m") == DeletedStream("$$s")

    def test_leaves_metadata_open_until_the_next_start(self, db: Database) -> None:
        db.append("$$s", ANY, "m")
        db.tombstone("s")
        assert db.append("$$s", 0, "n") == Appended(1, db.records[-1].position)
        assert db.append("$$s", ANY, "n") == Appended(1, None, idempotent=True)
        db.start = db.log_end
        assert db.append("$$s", ANY, "o") == DeletedStream("$$s")


@pytest.mark.parametrize(
    ("document", "readable"),
    [(b'{"$tb":1}', False), (b'{"$tb":0}', True), (b'{"$maxCount":2}', False), (b'{"$maxCount":3}', True)],
)
def test_a_repeated_event_that_cannot_be_read_has_no_position(db: Database, document: bytes, readable: bool) -> None:
    db.append("s", ANY, "abc")
    db.append("$$s", ANY, [event("m", document)])
    assert db.append("s", ANY, "a") == Appended(0, 733 if readable else None, idempotent=True)


def test_a_repeated_event_that_has_expired_has_no_position(db: Database) -> None:
    db.append("s", ANY, "a")
    db.append("$$s", ANY, [event("m", b'{"$maxAge":1}')])
    assert db.append("s", ANY, "a") == Appended(0, 733, idempotent=True)
    db.now += 10_000_000
    assert db.append("s", ANY, "a") == Appended(0, None, idempotent=True)


def test_only_the_newest_metadata_has_a_position(db: Database) -> None:
    db.append("$$s", ANY, "ab")
    assert db.append("$$s", ANY, "a") == Appended(0, None, idempotent=True)
    assert db.append("$$s", ANY, "b") == Appended(1, db.records[1].position, idempotent=True)


def test_a_record_that_does_not_fit_goes_to_the_next_chunk() -> None:
    db = Database(268_435_456 - 50)
    assert db.append("s", ANY, "a") == Appended(0, 268_435_456)


def test_size_counts_types_as_utf_16() -> None:
    assert event_size("é\U0001f600", 5) == 5 + 6
    assert event_size("ab", 5) == 5 + 4
