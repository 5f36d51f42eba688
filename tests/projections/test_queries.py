"""What queries define, and why those fault that define nothing (sections 2.1 and 2.2 of the notes on projections)."""

from __future__ import annotations

import pytest

from esdb_lite.server.projections.javascript.definition import QueryDefinition, QueryFault
from esdb_lite.server.projections.javascript.program import HandlerFault, QueryProgram, StateIs
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs
from esdb_lite.server.projections.javascript.source_event import SourceEvent
from esdb_lite.server.projections.javascript.tags import Tag


def defined(query: str) -> QueryDefinition:
    program = QueryProgram.load(query, open_quickjs)
    program.close()
    return program.definition


NONE = "None of streams and categories are included"
ON = ".when({$any: (s, e) => s})"

NO_FOREACH = "foreachStream projections are not supported on stream based sources"
NO_DELETED = "Cannot handle deletes in bi-state projections"
TOO_SOON = "Event reordering requires processing lag at least of 50ms"

FAULTS = {
    "": NONE,
    "   ": NONE,
    "1 + 1": NONE,
    "return 1": NONE,
    f"fromStreams([]){ON}": NONE,
    "fromStream()": "stream",
    "fromStream(5)": "stream",
    "fromStream('')": "stream",
    "fromStreams([5])": "streams",
    "fromStreams(5)": "streams",
    "fromCategory(5)": "category",
    "fromStream('a').partitionBy(5)": "partitionBy",
    "fromAll().fromAll()": "Property 'fromAll' of object is not a function",
    "fromAll().when({}).when({})": "Property 'when' of object is not a function",
    "fromStream('x').foreachStream()": "Property 'foreachStream' of object is not a function",
    "fromStreams(['x']).foreachStream()": "Property 'foreachStream' of object is not a function",
    "fromCategory().when({})": "Property 'when' of object is not a function",
    "fromAll().transformBy(s => s)": "Property 'transformBy' of object is not a function",
    "fromAll().outputTo('x')": "Property 'outputTo' of object is not a function",
    "fromAll().when({}).partitionBy(e => 1)": "Property 'partitionBy' of object is not a function",
    "fromAll().foreachStream().partitionBy(e => 1)": "Property 'partitionBy' of object is not a function",
    "fromAll().outputState().outputState()": "Property 'outputState' of object is not a function",
    "fromStreamMatching('x')": "fromStreamMatching is not defined",
    "fromStream('x'); fromAll()": "Both FromAll and specific categories/streams cannot be set",
    "fromAll().when({T(s) {}, $any(s) {}})": "Both AllEvents and specific event filters cannot be set",
    f"fromCategory(['a', 'b']).foreachStream(){ON}": NO_FOREACH,
    "fromAll().when({$deleted() {}})": "Deleted stream notifications are only supported with foreachStream()",
    "fromAll().foreachStream().when({$initShared() {}, $deleted() {}})": NO_DELETED,
    "fromAll().when({}).transformBy(5)": "expected function",
    "fromAll().when({}).filterBy()": "expected function",
    "fromAll().when({}).outputTo()": "invalid number of parameters",
    "fromAll().when({}).outputTo(5)": "expected string value (Parameter 'resultStream')",
    "throw new Error('x')": "x",
    "throw 'x'": "x",
    "options({nothing: 1}); fromAll()": "Unrecognized option: nothing",
    "options({producesResults: true}); fromAll()": "Unrecognized option: producesResults",
    "options({$includeLinks: 'yes'}); fromAll()": "Invalid value",
    "options({reorderEvents: true}); fromAll()": "Event reordering cannot be used with fromAll()",
    "options({reorderEvents: true, processingLag: 100}); fromStream('a')": (
        "Event reordering is only available in fromStreams([]) projections"
    ),
    "options({reorderEvents: true}); fromStreams('a', 'b')": TOO_SOON,
    "eval('fromAll()')": "String compilation has been disabled in engine options",
    "new Function('return 1')": "String compilation has been disabled in engine options",
    "(async () => {}).constructor('return 1')": "String compilation has been disabled in engine options",
    "function f() { return f() + 1 }; f(); fromAll()": "Maximum call stack size exceeded",
}


@pytest.mark.parametrize("query", FAULTS)
def test_a_query_that_defines_nothing_says_why(query: str) -> None:
    with pytest.raises(QueryFault) as fault:
        defined(query)
    assert str(fault.value) == FAULTS[query]


@pytest.mark.parametrize(
    ("query", "place"), [("this is broken", "1:6"), ("fromStream(", "1:12"), ("\nlet let = 1", "2:5")]
)
def test_a_syntax_error_says_where(query: str, place: str) -> None:
    with pytest.raises(QueryFault, match=rf"\(<query>:{place}\)$"):
        defined(query)


def test_a_query_that_does_not_end_is_stopped() -> None:
    with pytest.raises(
        QueryFault, match=r"^Projection script took too long to compile \(took: 00:00:0\d\.\d{7}, allowed: "
    ):
        defined("while (true) {}")


@pytest.mark.parametrize(
    "query",
    [
        "fromAll()",
        "fromStream('x')",
        "fromStream('x').when()",
        "fromStream('x').when({})",
        "fromStream('x').when({T: 5})",
        "fromCategory('').when({$any: s => s})",
        "options('x'); fromStream('x')",
        "options({}); fromStream('x')",
        "fromStream('x').when({T: async (s, e) => ({a: 1})})",
        "fromStream('x').outputState().transformBy(s => s).filterBy(s => true).outputTo('y')",
        "// a comment at the end\nfromAll() // like this",
        "return fromAll()",
    ],
)
def test_queries_that_look_wrong_run(query: str) -> None:
    assert set(defined(query).events) <= {"T"}


@pytest.mark.parametrize(
    ("query", "streams"),
    [
        ("fromStream('a'); fromStream('b')", ("a", "b")),
        ("fromStreams('a', 'b', 'a')", ("a", "b")),
        ("fromStreams(['b', 'a'])", ("b", "a")),
        ("fromCategory('c')", ("$ce-c",)),
        ("fromCategory('c', 'd')", ("$ce-c", "$ce-d")),
        ("fromCategory(['c'])", ("$ce-c",)),
        ("fromCategories(['c', 'd'])", ("$ce-c", "$ce-d")),
        ("fromAll()", ()),
    ],
)
def test_sources(query: str, streams: tuple[str, ...]) -> None:
    assert defined(query).source_streams == streams


def test_only_one_category_is_told_to_handlers() -> None:
    assert defined("fromCategory('c')").category == "c"
    assert defined("fromCategory(['c'])").category is None


def test_the_names_of_options_are_taken_in_any_case() -> None:
    definition = defined("options({RESULTSTREAMNAME: 'r', $IncludeLinks: true}); fromAll().when({$any(s) {}})")
    assert (definition.result_stream, definition.include_links) == ("r", True)


def test_where_results_go() -> None:
    definition = defined("fromAll().foreachStream().when({}).outputTo('all', 'of-{0}')")
    assert [definition.result_stream_of("p", partition) for partition in ("", "x")] == ["all", "of-x"]
    definition = defined("fromAll().foreachStream().when({}).outputState()")
    assert [definition.result_stream_of("p", partition) for partition in ("", "x")] == [
        "$projections-p-result",
        "$projections-p-x-result",
    ]


def test_types_are_the_names_of_handlers() -> None:
    definition = defined("fromAll().when({$init() {}, $any(s) {}, A(s) {}, B(s) {}, C: 5})")
    assert definition.events == ("A", "B")


def test_on_event_and_on_any_define_too() -> None:
    assert defined("fromAll(); on_event('A', s => s)").events == ("A",)
    assert defined("fromAll(); on_any(s => s)").events == ()


def test_the_document_leaves_out_what_is_not_set() -> None:
    assert defined("fromStream('a').when({T(s) {}})").document() == {
        "categories": [],
        "events": ["T"],
        "streams": ["a"],
        "options": {"definesFold": True},
    }
    document = defined("fromAll().foreachStream().when({$any(s) {}}).transformBy(s => s)").document()
    assert document["allEvents"] is document["allStreams"] is document["byStreams"] is True


SPOILED = "the query has changed what JavaScript's own objects do"


@pytest.mark.parametrize(
    "spoiling",
    [
        "Object.prototype.toJSON = () => 'x'",
        "Array.prototype.toJSON = () => 7",
        "String.prototype.toJSON = () => [1]",
        "JSON.stringify = () => '[]'",
        "JSON.stringify = () => '[' .repeat(100000)",
        "JSON.stringify = () => '{\"definition\": {}}'",
        "JSON.stringify = () => '{\"fault\": [1]}'",
        "JSON.stringify = () => { throw 1 }",
        "Array.prototype[Symbol.iterator] = () => 1",
        "Array.prototype.push = () => 1; Array.prototype.map = () => 2",
        "Object.keys = () => { throw 1 }; Object.entries = () => [[1, 2, 3]]",
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_queries_that_change_what_javascript_is_made_of_harm_themselves_only(spoiling: str, late: bool) -> None:
    """They work, or fault; nothing else is raised."""
    handler = f"{{$init: () => ({{}}), T(s, e) {{ {spoiling if late else ''}; emit('x', 'X', {{a: [1]}}); return s }}}}"
    text = f"{'' if late else spoiling}; fromAll().partitionBy(e => e.streamId).when({handler}).outputState()"
    event = SourceEvent(Tag({"x": 0}), "x", 0, "T", "id", data="{}", of_stream="x")
    try:
        program = QueryProgram.load(text, open_quickjs)
        for _ in range(2):
            partition = program.partition(event)
            program.handle(event, str(partition), StateIs.NEW, "")
    except (QueryFault, HandlerFault):
        pass
