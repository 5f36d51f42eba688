"""Tests of projections without a server: the forms of events, what an outcome shows, where events come from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from uuid import UUID

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClient, InvalidArgument, NewEvent, RecordedEvent
from esdb_lite.testing import (
    EmittedEvent,
    GivenEvent,
    LinkedEvent,
    Projection,
    ProjectionOutcome,
    from_async_server,
    from_file,
    from_server,
)

SEEN = Projection("""
fromAll().when({
    $init: () => [], $any(s, e) { s.push([e.streamId, e.sequenceNumber, e.eventType, e.data, e.metadata]) },
})
""")
ID = UUID("11111111-2222-4333-8444-555555555555")
TOTAL = """
fromCategory('order').foreachStream().when({
    $init: () => ({total: 0}),
    Placed(s, e) { s.total += e.data.amount; emit('totals', 'Changed', {total: s.total}); linkTo('placed', e) },
})
"""


def described(value: object) -> str:
    """The name of a test with this argument: the same in every run, whatever id a new event has."""
    return "NewEvent" if isinstance(value, NewEvent) else str(value)


def recorded(stream: str, number: int, link: RecordedEvent | None = None, data: bytes = b"{}") -> RecordedEvent:
    return RecordedEvent("T", data, b"", stream, number, 100 * number, id=ID, link=link)


@pytest.mark.parametrize(
    ("event", "seen"),
    [
        (("a", "T"), ["a", 0, "T", {}, None]),
        (("a", "T", {"n": 1}), ["a", 0, "T", {"n": 1}, None]),
        (("a", "T", {"n": 1}, {"m": 2}), ["a", 0, "T", {"n": 1}, {"m": 2}]),
        (("a", "T", b'{"n": 1}', b'{"m": 2}'), ["a", 0, "T", {"n": 1}, {"m": 2}]),
        ({"stream": "a", "type": "T", "data": {"n": 1}, "metadata": {"m": 2}}, ["a", 0, "T", {"n": 1}, {"m": 2}]),
        ({"type": "T"}, ["s", 0, "T", {}, None]),
        (GivenEvent("a", "T", [1]), ["a", 0, "T", [1], None]),
        (GivenEvent("a", "T", b"bytes", is_json=False), ["a", 0, "T", None, None]),
        (NewEvent.json("T", {"n": 1}), ["s", 0, "T", {"n": 1}, None]),
        (recorded("a", 7), ["a", 7, "T", {}, None]),
    ],
    ids=described,
)
def test_the_forms_of_events(event: object, seen: object) -> None:
    assert SEEN.run([event], stream="s").state == [seen]  # type: ignore[list-item]


def test_numbers_go_on_in_each_stream() -> None:
    outcome = SEEN.run([("a", "T"), ("b", "T"), ("a", "T"), recorded("b", 9), ("b", "T")])
    assert isinstance(outcome.state, list)
    assert [seen[:2] for seen in outcome.state] == [["a", 0], ["b", 0], ["a", 1], ["b", 9], ["b", 10]]


def test_the_stream_of_a_query_with_one_is_where_events_go() -> None:
    projection = Projection("fromStream('x').when({$init: () => 0, $any: (s, e) => s + 1})")
    assert projection.run([NewEvent("T", b"{}"), {"type": "T"}, ("y", "T")]).state == 2


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (NewEvent("T", b"{}"), "stream: must name the stream of NewEvent"),
        ({"type": "T"}, "stream: must name the stream of {'type': 'T'}"),
        ({"stream": "a"}, "must name its type"),
        ({"stream": "a", "type": "T", "body": 1}, "events: must have no other members than stream, type, data"),
        ("T", "events: must be an event, or"),
        (("a",), "must be an event, or"),
        ({"stream": "a", "type": "T", "id": "x"}, "must have a UUID as its id"),
        ({"stream": "a", "type": "T", "id": 5}, "must have a UUID as its id"),
        ({"stream": "a", "type": "T", "is_json": "no"}, "must say with true or false whether it is_json"),
        (("a", "T", float("nan")), "events: must hold JSON values, or bytes"),
        (("a", "T", {"x": {1, 2}}), "events: must hold JSON values, or bytes"),
    ],
    ids=described,
)
def test_what_is_no_event(event: object, text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        SEEN.run([event])  # type: ignore[list-item]
    assert text in str(refused.value)


def test_wrong_arguments() -> None:
    for make in (
        lambda: Projection(5),  # type: ignore[arg-type]
        lambda: Projection("", name=None),  # type: ignore[arg-type]
        lambda: Projection("", emit=1),  # type: ignore[arg-type]
        lambda: Projection("", category_separator="--"),
        lambda: SEEN.run(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidArgument):
            make()


@pytest.mark.parametrize(
    ("source", "streams"),
    [
        ("fromStream('a-1')", ["a-1", "a-1"]),
        ("fromStreams('b', 'a-1')", ["a-1", "b", "a-1"]),
        ("fromCategory('a')", ["a-1", "a-2-x", "a-1"]),
        ("fromStream('$ce-a')", ["a-1", "a-2-x", "a-1"]),
        ("fromStream('$et-U')", ["b"]),
        ("fromAll()", ["a-1", "a-2-x", "b", "a-1"]),
    ],
)
def test_sources(source: str, streams: list[str]) -> None:
    projection = Projection(f"{source}.when({{$init: () => [], $any(s, e) {{ s.push(e.streamId) }}}})")
    given = [("a-1", "T"), ("a-2-x", "T"), ("b", "U"), ("$system", "T"), ("a-1", "T")]
    assert projection.run(given).state == streams


def test_what_links_tell() -> None:
    query = """{source}.when({
        $init: () => [], $any(s, e) { s.push([e.streamId, e.category, e.linkMetadata && e.linkMetadata.$o]) }
    })"""
    by_category = Projection(query.replace("{source}", "fromCategory('a')")).run([("a-1", "T")])
    assert by_category.state == [["a-1", "a", "a-1"]]
    link = RecordedEvent("$>", b"0@a-1", b'{"$o":"mine"}', "my-links", 4, 500)
    by_link = Projection(query.replace("{source}", "fromStream('my-links')")).run([recorded("a-1", 0, link)])
    assert by_link.state == [["a-1", None, "mine"]]


def test_an_outcome() -> None:
    outcome = Projection(TOTAL).run([("order-1", "Placed", {"amount": 5}), ("order-2", "Placed", {"amount": 7})])
    assert outcome == ProjectionOutcome(
        states={"order-1": {"total": 5}, "order-2": {"total": 7}},
        results={"order-1": {"total": 5}, "order-2": {"total": 7}},
        emitted=[EmittedEvent("totals", "Changed", {"total": 5}), EmittedEvent("totals", "Changed", {"total": 7})],
        linked=[LinkedEvent("placed", "order-1", 0), LinkedEvent("placed", "order-2", 0)],
        handled=2,
    )


def test_an_outcome_shows_what_there_is_and_a_fault_first() -> None:
    assert repr(Projection("fromStream('x').when({T: () => 1})").run([("x", "T")])) == (
        "ProjectionOutcome(state=1, result=1, handled=1)"
    )
    faulted = Projection("fromStream('x').when({T() { throw 'no' }})").run([("x", "T")])
    assert repr(faulted).startswith("ProjectionOutcome(fault='The projection projection failed to process an event.")
    assert repr(Projection("oh no").run([])).startswith('ProjectionOutcome(fault="expecting')


def test_events_of_a_file(tmp_path: Path) -> None:
    lines = [{"stream": "order-1", "type": "Placed", "data": {"amount": n}} for n in (1, 2)]
    path = tmp_path / "events.jsonl"
    path.write_text("\n\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    assert from_file(path) == [GivenEvent("order-1", "Placed", {"amount": n}) for n in (1, 2)]
    assert Projection(TOTAL).run_file(path).states == {"order-1": {"total": 3}}


@pytest.mark.parametrize("line", ["{oh", "[]", "{}", '{"type":"T"}'])
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"stream":"a","type":"T"}\n' + line, encoding="utf-8")
    with pytest.raises(InvalidArgument, match="line 2 is not one"):
        from_file(path)


def test_files_are_utf_8_with_a_mark_or_without(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('\ufeff{"stream":"é","type":"T"}', encoding="utf-8")
    assert from_file(path) == [GivenEvent("é", "T")]
    path.write_bytes(b'{"stream":"\xe9","type":"T"}')
    with pytest.raises(InvalidArgument, match="path: must hold UTF-8"):
        from_file(path)


def test_a_query_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "total.js"
    path.write_text(TOTAL, encoding="utf-8")
    assert Projection.from_file(path).run([("order-1", "Placed", {"amount": 5})]).states == {"order-1": {"total": 5}}


def test_events_of_a_server() -> None:
    with EmbeddedServer() as server, EsdbClient(server.uri) as client:
        events = [NewEvent.json("Placed", {"amount": n}) for n in (1, 2, 3)]
        client.append_events("order-1", None, events)
        client.append_events("all-orders", None, NewEvent("$>", b"1@order-1", content_type="application/octet-stream"))
        given = from_server(client, stream="order-1")
        assert [event.id for event in given] == [event.id for event in events]
        assert Projection(TOTAL).run(given).states == {"order-1": {"total": 6}}
        assert len(from_server(client, stream="order-1", limit=2)) == 2
        assert Projection(TOTAL).run(from_server(client, stream="all-orders")).linked_to("placed") == ["1@order-1"]


async def test_events_of_a_server_with_an_asynchronous_client() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("order-1", None, NewEvent.json("Placed", {"amount": 5}))
        given = await from_async_server(client, stream="order-1")
        assert Projection(TOTAL).run(given).states == {"order-1": {"total": 5}}


def test_without_an_engine_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_quickjs", None)
    with pytest.raises(ImportError, match=r"pip install quickjs-ng"):
        Projection("fromAll()").run([])
