"""What is written for events: results when their text has changed, links to them, and the metadata of it all."""

from __future__ import annotations

import pytest

from esdb_lite.server.projections.javascript.processing import Identity, Outgoing, ProcessingFault, Processor
from esdb_lite.server.projections.javascript.program import QueryProgram
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs
from esdb_lite.server.projections.javascript.source_event import SourceEvent
from esdb_lite.server.projections.javascript.tags import Tag, tag_of
from esdb_lite.server.storage import PartitionState


class Running:
    """A projection that is given events by their numbers."""

    def __init__(self, query: str, states: dict[str, PartitionState] | None = None) -> None:
        self.program = QueryProgram.load(query, open_quickjs)
        self.states = {} if states is None else states
        self.processor = Processor(self.program, Identity("p", "9:-1:0:4"), Tag({"x": -1}), self.states)

    def give(self, number: int, type: str = "T", data: str = "{}", stream: str = "x", **more: str) -> list[Outgoing]:
        event = SourceEvent(
            Tag({"x": number}), stream, number, type, f"id-{number}", data=data, of_stream=stream,
            correlation_id=more.get("correlation_id"),
        )  # fmt: skip
        partition = self.processor.partition_of(event)
        assert partition is not None
        return self.processor.process(event, partition).records


def result(stream: str, data: str, number: int) -> Outgoing:
    return Outgoing(
        stream, "Result", True, data, f'{{"$v":"9:-1:0:4","$s":{{"x":{number}}},"$causedBy":"id-{number}"}}'
    )


COUNT = "{$init: () => ({n: 0}), T(s, e) { s.n++ }, Same(s, e) {}, None(s, e) { return null }}"


def test_results_are_written_when_their_text_has_changed() -> None:
    running = Running(f"fromStream('x').when({COUNT}).outputState()")
    stream = "$projections-p-result"
    assert running.give(0) == [result(stream, '{"n":1}', 0)]
    assert running.give(1, "Same") == []
    assert running.give(2) == [result(stream, '{"n":2}', 2)]
    assert [record.type for record in running.give(3, "None")] == ["ResultRemoved"]
    assert running.give(4, "None") == []


def test_no_result_is_written_for_one_that_never_was() -> None:
    running = Running(f"fromStream('x').when({COUNT}).filterBy(s => s.n > 1)")
    assert [len(running.give(number)) for number in range(3)] == [0, 1, 1]


def test_output_to_alone_writes_nothing() -> None:
    assert Running(f"fromStream('x').when({COUNT}).outputTo('r')").give(0) == []


def test_results_of_partitions_are_linked_to() -> None:
    running = Running(f"fromAll().foreachStream().when({COUNT}).outputState()")
    own, link = running.give(0, stream="a")
    assert own == result("$projections-p-a-result", '{"n":1}', 0)
    assert link == Outgoing("$projections-p-result", "$>", False, "", own.metadata, "$projections-p-a-result")


def test_a_state_comes_back_as_its_text() -> None:
    states: dict[str, PartitionState] = {}
    Running(f"fromStream('x').when({COUNT})", states).give(0)
    assert states == {"": PartitionState('{"n":1}', "")}
    Running(f"fromStream('x').when({COUNT})", states).give(1)
    assert states == {"": PartitionState('{"n":2}', "")}


def test_what_is_kept_of_a_result_with_transforms() -> None:
    running = Running(f"fromStream('x').when({COUNT}).transformBy(s => s.n * 2)")
    running.give(0)
    assert running.states == {"": PartitionState('{"n":1}', "2")}
    assert running.processor.result_of("") == "2"


@pytest.mark.parametrize(
    "query",
    [
        "fromAll().when({T() { emit('s'.repeat(4097), 'M', {}) }})",
        "fromAll().when({T() { emit('s', 'M'.repeat(4097), {}) }})",
        "fromAll().when({T() { linkTo('s'.repeat(4097), {sequenceNumber: 0, streamId: 'x'}) }})",
        "fromAll().partitionBy(e => 'p'.repeat(4097)).when({T() {}})",
    ],
)
def test_names_have_a_length(query: str) -> None:
    with pytest.raises(ProcessingFault, match="has a name of more than 4096 bytes"):
        Running(query).give(0)
    assert Running(query.replace("4097", "4096")).give(0) is not None


def test_what_is_logged_for_an_event_is_bounded() -> None:
    running = Running("fromAll().when({T() { for (let i = 0; i < 1000; i++) log('x'.repeat(3000)) }})")
    running.give(0)
    logged = running.processor.take_logged()
    assert len(logged) == 101
    assert {len(line) for line in logged[:100]} == {2000}
    assert logged[100] == "(and 900 more lines)"


def test_metadata() -> None:
    running = Running(
        """fromStream('x').when({T(s, e) {
            emit('o', 'M', {}, {a: 1, $causedBy: 'mine', b: 'é\\u2028'}); emit('o', 'M', {}, {$correlationId: 'mine'})
        }})"""
    )
    first, second = running.give(4, correlation_id="c")
    begin, caused = '{"$v":"9:-1:0:4","$s":{"x":4}', ',"$causedBy":"id-4"'
    assert first.metadata == f'{begin},"a":1,"b":"é\\u2028"{caused},"$correlationId":"c"}}'
    assert second.metadata == f'{begin},"$correlationId":"mine"{caused}}}'


def test_after_a_fault_everything_is_as_it_was() -> None:
    running = Running("fromStream('x').when({$init: () => ({n: 0}), T(s, e) { s.n++; if (s.n > 1) throw 1 }})")
    running.give(0)
    with pytest.raises(ProcessingFault):
        running.give(1)
    assert (running.states, running.processor.tag) == ({"": PartitionState('{"n":1}', "")}, Tag({"x": 0}))


@pytest.mark.parametrize(
    ("tag", "text", "metadata"),
    [
        (Tag({"a": 4}), "a: 4", '"$s":{"a":4}'),
        (Tag({"a": 4, "b": -1}), "a: 4; b: -1; ", '"$s":{"a":4,"b":-1}'),
        (Tag(position=811), "C:811/P:811", '"$c":811,"$p":811'),
        (Tag(position=-1), "C:0/P:-1", '"$c":0,"$p":-1'),
        (Tag({"T": 0}, 811), "C:811/P:811; T: 0; ", '"$c":811,"$p":811,"$s":{"T":0}'),
        (Tag({'"é"': 0}), '"é": 0', '"$s":{"\\"é\\"":0}'),
    ],
)
def test_places(tag: Tag, text: str, metadata: str) -> None:
    assert (str(tag), tag.metadata) == (text, metadata)
    assert tag_of(f"{{{metadata}}}".encode()) == tag


@pytest.mark.parametrize(
    ("tag", "other", "reached"),
    [
        (Tag({"a": 1}), Tag({"a": 1}), True),
        (Tag({"a": 2}), Tag({"a": 1}), False),
        (Tag({"a": 1, "b": 2}), Tag({"a": 1, "b": 1}), False),
        (Tag({"a": 1}), Tag({"b": 1}), False),
        (Tag(position=5), Tag(position=6), True),
        (Tag(position=5), Tag({"a": 9}), False),
    ],
)
def test_whether_a_place_has_been_reached(tag: Tag, other: Tag, reached: bool) -> None:
    assert tag.reached_by(other) is reached


@pytest.mark.parametrize("metadata", [b"", b"[]", b"{}", b"{oh", b'{"$s":5}'])
def test_metadata_that_tell_no_place(metadata: bytes) -> None:
    assert tag_of(metadata) is None
