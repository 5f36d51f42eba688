"""What projections write: numbers, metadata of streams that begin, and streams that are not theirs alone."""

from __future__ import annotations

from functools import partial

import pytest

from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.projections.emitting import Emission, Emit, EmitRefused, Owner
from esdb_lite.server.storage import Progress
from tests.engine.naive import NaiveState

OWNER = Owner(3, -1, 1)
SYSTEM_ACL = b'{"$acl":{"$r":"$all","$mr":"$all"}}'


def link(stream: str = "$ce-a", data: bytes = b"0@a-1", owner: Owner = OWNER) -> Emission:
    return Emission(stream, "$>", False, data, b'{"$v":"%s","$c":5,"$p":5}' % owner.stamp.encode())


class Writer:
    """A projection that writes into a list of records."""

    def __init__(self, state: NaiveState, owner: Owner = OWNER) -> None:
        self.state = state
        self.owner = owner
        self.known: dict[str, int] = {}

    def write(self, *emissions: Emission) -> None:
        emit = Emit(self.owner, emissions, self.known)
        self.state.run(emit)
        emit.accept()

    def restarted(self) -> Writer:
        return Writer(self.state, self.owner)

    def reset(self) -> Writer:
        return Writer(self.state, Owner(self.owner.id, 2, 2))


@pytest.fixture
def state() -> NaiveState:
    return NaiveState()


def written(state: NaiveState, stream: str) -> list[tuple[int, bytes]]:
    return [(record.revision, record.data) for record in state.of(stream)]


def user_appends(state: NaiveState, stream: str, metadata: bytes = b"") -> None:
    event = ProposedEvent(b"u" * 16, "T", True, b"{}", metadata)
    state.run(partial(appending.append, stream=stream, expected=ANY, events=[event]))


def test_a_stream_begins_with_its_metadata(state: NaiveState) -> None:
    Writer(state).write(link(data=b"0@a-1"), link("own", b"x"), link(data=b"1@a-1"))
    assert [record.stream for record in state.records] == ["$$$ce-a", "$ce-a", "$$own", "own", "$ce-a"]
    assert written(state, "$$$ce-a") == [(0, SYSTEM_ACL)]
    assert written(state, "$$own") == [(0, b'{"$acl":{}}')]
    assert written(state, "$ce-a") == [(0, b"0@a-1"), (1, b"1@a-1")]


def test_it_goes_on_where_it_was(state: NaiveState) -> None:
    writer = Writer(state)
    writer.write(link())
    writer.write(link())
    writer.restarted().write(link())
    assert [number for number, _ in written(state, "$ce-a")] == [0, 1, 2]
    assert len(written(state, "$$$ce-a")) == 1


def test_after_a_reset_the_old_records_go(state: NaiveState) -> None:
    writer = Writer(state)
    writer.write(link(), link())
    again = writer.reset()
    again.write(link(owner=again.owner), link(owner=again.owner))
    assert written(state, "$$$ce-a")[1:] == [(1, b'{"$tb":2,' + SYSTEM_ACL[1:])]
    assert [number for number, _ in written(state, "$ce-a")] == [0, 1, 2, 3]


def test_a_deletion_while_it_runs_hides_what_was_before(state: NaiveState) -> None:
    writer = Writer(state)
    writer.write(link(), link())
    state.run(partial(appending.delete, stream="$ce-a", expected=ANY))
    writer.write(link(), link())
    assert state.metadata("$ce-a").truncate_before == 2
    assert [number for number, _ in written(state, "$ce-a")] == [0, 1, 2, 3]


def test_after_a_deletion_while_it_was_stopped_the_stream_begins_anew(state: NaiveState) -> None:
    writer = Writer(state)
    writer.write(link(), link())
    state.run(partial(appending.delete, stream="$ce-a", expected=ANY))
    writer.restarted().write(link())
    assert written(state, "$$$ce-a")[-1] == (2, b'{"$tb":2,' + SYSTEM_ACL[1:])


@pytest.mark.parametrize("metadata", [b"", b"{}", b'{"$v":"x"}'])
def test_a_stream_that_somebody_else_has_written_to(state: NaiveState, metadata: bytes) -> None:
    user_appends(state, "$ce-a", metadata)
    before = list(state.records)
    with pytest.raises(EmitRefused, match="managed by projection 3 has been written to from the outside"):
        Writer(state).write(link("other"), link())
    assert state.records == before


def test_somebody_else_writes_while_it_runs(state: NaiveState) -> None:
    writer = Writer(state)
    writer.write(link())
    user_appends(state, "$ce-a")
    with pytest.raises(EmitRefused, match="outside"):
        writer.write(link())


def test_two_projections_with_one_stream(state: NaiveState) -> None:
    Writer(state).write(link("shared"))
    with pytest.raises(EmitRefused, match=r"Last event projection: '3'\.  Emitting projection: '6'"):
        Writer(state, Owner(6, -1, 0)).write(link("shared"))


def test_a_tombstone(state: NaiveState) -> None:
    state.run(partial(appending.tombstone, stream="gone", expected=ANY))
    with pytest.raises(EmitRefused, match="Stream : gone is deleted"):
        Writer(state).write(link("gone"))


def test_what_is_written_for_the_server_has_no_stamp(state: NaiveState) -> None:
    plain = Emission("$projections-$all", "T", False, b"x", stream_metadata=b"", stamped=False)
    Writer(state).write(plain)
    Writer(state).write(plain)
    assert [number for number, _ in written(state, "$projections-$all")] == [0, 1]
    assert written(state, "$$$projections-$all") == []


def test_what_was_not_committed_is_not_known(state: NaiveState) -> None:
    known: dict[str, int] = {}
    Emit(OWNER, [link()], known)(state, appending.Moment(733, 0, lambda: b"i" * 16))
    assert known == {}


def test_notes_go_with_it(state: NaiveState) -> None:
    note = Progress(3, "5")
    decision = Emit(OWNER, [link()], {}, [note])(state, appending.Moment(733, 0, lambda: b"i" * 16))
    assert decision.notes == [note]
