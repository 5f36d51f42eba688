"""What handlers get, and what happens to what they return, emit and throw.

Sections 2.3 to 2.6 of the notes on projections.
"""

from __future__ import annotations

import pytest

from esdb_lite.testing import EmittedEvent, GivenEvent, LinkedEvent, Projection, ProjectionOutcome, deletion

THREE = [("x", "T", {"i": 0}), ("x", "T", {"i": 1}), ("x", "U", {"i": 2})]


def run(handlers: str, *events: tuple[str, ...] | GivenEvent, source: str = "fromStream('x')") -> ProjectionOutcome:
    return Projection(f"{source}.when({handlers})").run(events or THREE)  # type: ignore[arg-type]


def reason(outcome: ProjectionOutcome) -> str:
    assert outcome.fault is not None
    return outcome.fault.rpartition("\r\n")[2]


# --- states ---


def test_without_init_the_state_is_an_empty_object() -> None:
    assert run("{T(s, e) { s.seen = (s.seen || 0) + 1 }}").state == {"seen": 2}


def test_init_makes_the_first_state() -> None:
    assert run("{$init: () => ({n: 10}), T(s, e) { s.n++ }}").state == {"n": 12}


def test_what_is_returned_is_the_state_and_nothing_keeps_it() -> None:
    assert run("{$init: () => ({n: 0}), T(s, e) { return {n: s.n + 1} }, U(s, e) { s.u = true }}").state == {
        "n": 2,
        "u": True,
    }


def test_null_empties_the_state_and_is_what_comes_next() -> None:
    outcome = run("{$init: () => ({n: 0}), T(s, e) { log(s); return null }}")
    assert (outcome.state, outcome.logged) == (None, ['{"n":0}', "null"])


def test_an_empty_state_begins_anew_when_another_partition_was_in_between() -> None:
    query = "fromAll().foreachStream().when({$init: () => ({n: 0}), T(s, e) { log(s); return null }})"
    outcome = Projection(query).run([("a", "T"), ("b", "T"), ("a", "T")])
    assert outcome.logged == ['{"n":0}', '{"n":0}', '{"n":0}']


def test_a_state_is_the_live_object_until_another_partition_comes_in_between() -> None:
    query = "fromAll().foreachStream().when({$init: () => ({d: new Date(0)}), T(s, e) { log(typeof s.d.getTime) }})"
    outcome = Projection(query).run([("a", "T", {}), ("a", "T", {}), ("b", "T", {}), ("a", "T", {})])
    assert outcome.logged == ["function", "function", "function", "undefined"]


def test_without_handlers_the_state_is_the_text_of_the_data() -> None:
    assert Projection("fromStream('x')").run(THREE).state == {"i": 2}
    assert run("{$init: () => ({n: 1})}").state == {"i": 2}


def test_a_type_that_has_a_name_is_asked_for_and_any_is_not() -> None:
    assert run("{$any(s, e) { s.any = true }, U(s, e) { s.u = true }}").state == {"u": True}
    assert run("{$any(s, e) { s.n = (s.n || 0) + 1 }}").state == {"n": 3}


def test_variables_of_the_query_live_on() -> None:
    query = """let n = 0; var m = 0;
        fromStream('x').when({T(s, e) { return {n: ++n, m: ++m, k: k = (globalThis.k || 0) + 1} }})"""
    assert Projection(query).run(THREE).state == {"n": 2, "m": 2, "k": 2}


def test_each_run_begins_anew() -> None:
    projection = Projection("let n = 0; fromStream('x').when({T: () => ({n: ++n})})")
    assert projection.run(THREE) == projection.run(THREE)


def test_definitions_are_gone_when_handlers_run() -> None:
    assert run("{T: () => [typeof fromStream, typeof options, typeof emit, typeof log, typeof eval]}").state == [
        "undefined",
        "undefined",
        "function",
        "function",
        "function",
    ]


def test_created_comes_once_for_each_partition() -> None:
    query = """fromCategory('c').foreachStream().when({
        $init: () => ({log: []}),
        $created(s, e) { s.log.push('created by ' + e.eventType) },
        $any(s, e) { s.log.push('event') }
    })"""
    outcome = Projection(query).run([("c-1", "A"), ("c-2", "B"), ("c-1", "B")])
    assert outcome.states == {
        "c-1": {"log": ["created by A", "event", "event"]},
        "c-2": {"log": ["created by B", "event"]},
    }


def test_deleted_gets_no_event() -> None:
    query = """fromCategory('c').foreachStream().when({
        $init: () => ({n: 0}),
        $any(s, e) { s.n++ },
        $deleted(s, e, partition, flag) { s.gone = [e, partition, flag]; return 5 }
    })"""
    outcome = Projection(query).run([("c-1", "A"), deletion("c-1"), deletion("c-2"), deletion("d-1")])
    assert outcome.states == {
        "c-1": {"n": 1, "gone": [None, "c-1", False]},
        "c-2": {"n": 0, "gone": [None, "c-2", False]},
    }


def test_deleted_that_reads_the_event_faults() -> None:
    query = "fromCategory('c').foreachStream().when({$any(s, e) {}, $deleted(s, e) { return e.streamId }})"
    outcome = Projection(query, name="gone").run([deletion("c-1")])
    assert outcome.fault is not None
    assert outcome.fault.startswith("The gone projection failed to process a delete partition notification.\r\n")
    assert reason(outcome) == "Cannot read property 'streamId' of null"


def test_a_shared_state_goes_with_all_partitions() -> None:
    query = """fromAll().foreachStream().when({
        $init: () => ({n: 0}), $initShared: () => ({all: 0}), $any([own, shared], e) { own.n++; shared.all++ }})"""
    outcome = Projection(query).run([("a", "T"), ("b", "T"), ("a", "T")])
    assert (outcome.state, outcome.states) == ({"all": 3}, {"a": {"n": 2}, "b": {"n": 1}})


def test_a_shared_state_at_the_root() -> None:
    query = """fromStream('x').when({
        $init: () => 0, $initShared: () => 10, $any([own, shared], e) { return [own + 1, shared + 1] }})"""
    outcome = Projection(query).run(THREE)
    assert (outcome.state, outcome.result) == (13, 3)


def test_what_is_no_pair_of_states_faults() -> None:
    outcome = run("{$initShared: () => 0, $any: () => 5}")
    assert reason(outcome) == "Value cannot be null. (Parameter 'data')"


# --- partitions ---


def test_partitions_by_a_key_of_the_event() -> None:
    query = (
        "fromStream('x').partitionBy(e => e.data.k).when({$init: () => ({n: 0}), T(s, e) { s.n++; s.p = e.partition }})"
    )
    outcome = Projection(query).run([("x", "T", {"k": k}) for k in ("a", 1, 1.5, True, None, [1], "a")])
    assert outcome.states == {"a": {"n": 2, "p": "a"}, "1": {"n": 1, "p": "1"}, "1.5": {"n": 1, "p": "1.5"}}
    assert (outcome.handled, outcome.fault, outcome.state) == (4, None, None)


def test_an_empty_key_faults() -> None:
    outcome = Projection("fromStream('x').partitionBy(e => '').when({$any: s => s})").run(THREE)
    assert reason(outcome) == "Partition '' state was requested as locked but it is missing in the cache."


def test_events_that_are_no_json_are_not_seen_if_they_are_flagged_as_json() -> None:
    events = [GivenEvent("x", "T", data, is_json=json) for data, json in [(b"{oh", True), (b"{oh", False), (b"", True)]]
    assert run(
        "{$init: () => [], $any(s, e) { s.push([e.isJson, e.bodyRaw, e.body === undefined]) }}", *events
    ).state == [[False, "{oh", True]]


# --- the event ---


def test_what_an_event_shows_before_its_data_are_read_and_after() -> None:
    outcome = run(
        """{U(s, e) {
            const keys = Object.keys(e); e.data; e.metadata; return [keys, Object.keys(e).slice(keys.length)]
        }}"""
    )
    assert outcome.state == [
        [
            *("partition", "created", "bodyRaw", "metadataRaw", "streamId", "eventId", "eventType", "linkMetadataRaw"),
            *("isJson", "category", "sequenceNumber"),
        ],
        ["body", "data", "metadata"],
    ]


def test_an_event_cannot_be_changed_but_added_to() -> None:
    assert run("{U(s, e) { e.streamId = 'y'; e.mine = 1; e.body = 5; return [e.streamId, e.mine, e.body] }}").state == [
        "x",
        1,
        {"i": 2},
    ]
    assert reason(run("{U(s, e) { 'use strict'; e.streamId = 'y' }}")) != ""


@pytest.mark.parametrize("data", [17, "text", True, None])
def test_data_that_are_no_object_cannot_be_read(data: int | str | None) -> None:
    assert run("{T(s, e) { return e.bodyRaw }}", GivenEvent("x", "T", data)).fault is None
    assert reason(run("{T(s, e) { return e.body }}", GivenEvent("x", "T", data))).startswith("Unable to cast object")


def test_metadata_that_are_no_json_fault_when_they_are_read() -> None:
    broken = GivenEvent("x", "T", {}, b"broken")
    assert run("{T(s, e) { return {raw: e.metadataRaw} }}", broken).state == {"raw": "broken"}
    assert run("{T(s, e) { return e.metadata }}", broken).fault is not None


# --- what is written ---


def test_emit() -> None:
    outcome = run("{T(s, e) { emit('out', 'Made', {n: e.data.i, u: undefined}, {why: 'x', not: undefined}) }}")
    assert outcome.emitted == [EmittedEvent("out", "Made", {"n": n}, {"why": "x"}) for n in (0, 1)]
    assert outcome.emitted_to("out") == outcome.emitted
    assert outcome.emitted_to("elsewhere") == []


def test_links() -> None:
    outcome = run("{T(s, e) { linkTo('l', e, {why: 'x'}) }, U(s, e) { linkStreamTo('l', 'other'); copyTo('y', e) }}")
    assert outcome.linked == [
        LinkedEvent("l", "x", 0, {"why": "x"}),
        LinkedEvent("l", "x", 1, {"why": "x"}),
        LinkedEvent("l", "other", None),
    ]
    assert outcome.linked_to("l") == ["0@x", "1@x", "other"]


def test_an_event_can_be_emitted() -> None:
    made = run("{U(s, e) { emit('out', 'Copy', e) }}").emitted[0]
    assert isinstance(made.data, dict)
    assert made.data["data"] == made.data["body"] == {"i": 2}


CALLS = {
    "emit('x')": "invalid number of parameters",
    "emit('x', 'T', 'text')": "object expected (Parameter 'eventBody')",
    "emit('x', 'T', 5)": "object expected (Parameter 'eventBody')",
    "emit('x', 'T', null)": "Value cannot be null. (Parameter 'eventBody')",
    "emit('x', 'T', {}, 'm')": "object expected (Parameter 'metadata')",
    "emit('x', 'T', {}, null)": "object expected (Parameter 'metadata')",
    "emit('', 'T', {})": "Value cannot be null. (Parameter 'streamId')",
    "emit('x', '', {})": "Value cannot be null. (Parameter 'eventName')",
    "emit(5, 'T', {})": "string expected (Parameter 'streamId')",
    "emit('$all', 'T', {})": "$all is no stream that can be written",
    "linkTo()": "wrong number of parameters",
    "linkTo('x', {})": "Invalid link to event undefined@undefined",
    "linkTo('x', 5)": "object expected (Parameter 'event')",
    "linkTo('x', e, null)": "Value cannot be null. (Parameter 'metaData')",
    "linkStreamTo('x', 'y', {})": "The value is not an object",
    "eval('1')": "String compilation has been disabled in engine options",
    "throw new Error('oh no')": "oh no",
    "throw 'text'": "text",
    "throw {toString() { throw 1 }}": "an error that has no text",
    "undefinedThing.x": "undefinedThing is not defined",
    "null.x": "Cannot read property 'x' of null",
    "(function f() { return f() + 1 })()": "Maximum call stack size exceeded",
}


@pytest.mark.parametrize("call", CALLS)
def test_calls_that_fault(call: str) -> None:
    outcome = run(f"{{$init: () => ({{n: 0}}), T(s, e) {{ s.n++ }}, U(s, e) {{ {call} }}}}")
    assert reason(outcome) == CALLS[call]
    assert (outcome.state, outcome.handled) == ({"n": 2}, 2)


def test_a_fault_says_where() -> None:
    outcome = Projection("fromStream('x').when({U() { throw new Error('oh no') }})", name="mine").run(THREE)
    assert outcome.fault == (
        "The mine projection failed to process an event.\r\n"
        "Handler: EventStore.Projections.Core.Services.Interpreted.JintProjectionStateHandler\r\n"
        "Event Position: x: 2\r\nEvent: 2@x, of type U, handled by U\r\n\r\nMessage:\r\n\r\noh no"
    )


@pytest.mark.parametrize(
    ("query", "given", "told"),
    [
        ("fromStream('x').when({$any() { throw 1 }})", ("x", "T"), "Event: 0@x, of type T, handled by $any"),
        (
            "fromAll().partitionBy(() => { throw 1 }).when({T() {}})",
            ("x", "T"),
            "Event: 0@x, of type T, handled by partitionBy",
        ),
        (
            "fromCategory('c').foreachStream().when({$deleted() { throw 1 }})",
            deletion("c-1"),
            "Event: the deletion of c-1, handled by $deleted",
        ),
    ],
)
def test_a_fault_tells_the_event_and_the_handler(query: str, given: tuple[str, str] | GivenEvent, told: str) -> None:
    assert f"\r\n{told}\r\n\r\nMessage:" in (Projection(query).run([given]).fault or "")


def test_what_is_emitted_before_a_fault_is_not_written() -> None:
    assert run("{U(s, e) { emit('out', 'Made', {}); throw 1 }}").emitted == []


def test_emitting_where_it_is_not_allowed() -> None:
    query = "fromStream('x').when({T(s, e) { emit('out', 'Made', {}) }})"
    outcome = Projection(query, emit=False).run(THREE)
    assert outcome.fault == "'emit' is not allowed by the projection/configuration/mode"


@pytest.mark.parametrize(
    ("handlers", "text"),
    [
        ("{$init() { emit('o', 'T', {}) }, $any: s => s}", "Value cannot be null. (Parameter 'causedByTag')"),
        ("{$created(s, e) { emit('o', 'T', {}) }, $any: s => s}", None),
    ],
)
def test_emitting_at_the_beginning(handlers: str, text: str | None) -> None:
    outcome = run(handlers)
    assert outcome.fault is None if text is None else reason(outcome) == text


def test_a_handler_that_does_not_end_faults() -> None:
    outcome = run("{T(s, e) { while (true) {} }}")
    assert reason(outcome).startswith("Projection script took too long to execute (took: 00:00:0")


def test_a_handler_that_takes_all_memory_faults() -> None:
    assert run("{T(s, e) { const all = []; for (;;) all.push(new Array(100000).fill(1.5)) }}").fault is not None


def test_everything_that_is_logged_is_there() -> None:
    query = """log('read'); fromStream('x').partitionBy(e => { log('key'); return 'k' }).when({
        T(s, e) { log('handled', e.data.i, {a: [1]}, undefined) }, U(s, e) { log('last words'); throw 1 } })"""
    outcome = Projection(query).run(THREE)
    handled = [["key", "handled", str(number), '{"a":[1]}', "undefined"] for number in (0, 1)]
    assert outcome.logged == ["read", *handled[0], *handled[1], "key", "last words"]


# --- results ---


def test_without_transforms_the_result_is_the_state() -> None:
    outcome = run("{$init: () => ({n: 0}), T(s, e) { s.n++ }}")
    assert outcome.result == outcome.state == {"n": 2}


@pytest.mark.parametrize(
    ("transforms", "result"),
    [
        (".transformBy(s => ({twice: s.n * 2}))", {"twice": 4}),
        (".filterBy(s => s.n > 1)", {"n": 2}),
        (".filterBy(s => s.n > 2)", None),
        (".filterBy(s => 1)", None),
        (".filterBy(s => s.n > 1).transformBy(s => s.n)", 2),
        (".transformBy(s => null)", None),
        (".transformBy(s => 'text')", "text"),
        (".outputState().transformBy(s => s.n)", 2),
    ],
)
def test_transforms(transforms: str, result: object) -> None:
    query = f"fromStream('x').when({{$init: () => ({{n: 0}}), T(s, e) {{ s.n++ }}}}){transforms}"
    outcome = Projection(query).run(THREE)
    assert (outcome.state, outcome.result) == ({"n": 2}, result)


def test_a_fault_says_in_plain_words_what_is_wrong() -> None:
    query = "fromStream('x').when({$init: () => ({total: 0}), T(s, e) { s.total += e.data.missing }})"
    fault = Projection(query).run([("x", "T")]).fault
    assert fault is not None
    assert "\r\nReason: The state has NaN at .total\r\n\r\nMessage:\r\n\r\n.NET number values such as" in fault


def test_a_deletion_comes_after_events_that_were_seen() -> None:
    """As on a server, if the projection ran when the stream was deleted; see the test of the same on a server."""
    assert Projection(DELETIONS).run([("c-1", "A"), deletion("c-1")]).states == {"c-1": {"n": 1, "gone": True}}
    assert Projection(DELETIONS).run([deletion("c-1")]).states == {"c-1": {"n": 0, "gone": True}}


@pytest.mark.parametrize(("any", "state"), [("", {}), ("$any: s => s,", {"n": 0, "gone": True})])
def test_without_a_handler_for_events_their_body_is_the_state(any: str, state: object) -> None:
    query = f"""fromCategory('c').foreachStream().when({{
        $init: () => ({{n: 0}}), {any} $deleted(s) {{ s.gone = true }}
    }})"""
    assert Projection(query).run([("c-1", "A"), deletion("c-1")]).states == {"c-1": state}


DELETIONS = """fromCategory('c').foreachStream().when({
    $init: () => ({n: 0}), A(s) { s.n++ }, $deleted(s) { s.gone = true }
})"""
