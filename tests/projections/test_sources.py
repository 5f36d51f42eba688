"""Which events projections see, and as what (section 4.1 of the notes on projections)."""

from __future__ import annotations

import pytest

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.projections.javascript.program import QueryProgram
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs
from esdb_lite.server.projections.javascript.source_event import SourceEvent, correlation_id_of, created_text
from esdb_lite.server.projections.javascript.tags import Tag
from esdb_lite.server.projections.user.sources import ReadAt, Source, source_of

ANY_EVENT = ".when({$any: s => s})"
DELETED = '{"$tb":9223372036854775807}'


class Log:
    """A database to which events are appended, and that projections read."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def append(
        self, stream: str, type: str = "T", data: str = "{}", metadata: str = "", *, is_json: bool = True
    ) -> None:
        event = ProposedEvent(new_id(), type, is_json, data.encode(), metadata.encode())
        await self.database.append(stream, ANY, [event])

    async def link(self, stream: str, to: str, metadata: str = "", *, is_json: bool = False) -> None:
        await self.append(stream, "$>", to, metadata, is_json=is_json)

    async def events(
        self, query: str, *, catching_up: bool = False, after: Tag | None = None, limit: int = 100
    ) -> list[SourceEvent]:
        source = source_for(query)
        place = source.beginning if after is None else after
        found: list[SourceEvent] = []
        at = ReadAt(0, catching_up)
        while True:
            part = await self.database.read(lambda reader, place=place: source.read(reader, place, limit, at))  # type: ignore[misc]
            found += part.events
            if part.at_end:
                return found
            assert part.read_to != place
            place = part.read_to

    async def seen(self, query: str, *, catching_up: bool = False, limit: int = 100) -> list[str]:
        """Type, number and stream of what is seen, or that it is a deletion."""
        return [shown(event) for event in await self.events(query, catching_up=catching_up, limit=limit)]


def source_for(query: str) -> Source:
    program = QueryProgram.load(query, open_quickjs)
    program.close()
    return source_of(program.definition)


def shown(event: SourceEvent) -> str:
    if event.deletes:
        return f"deleted {event.of_stream}"
    return f"{event.type} {event.number}@{event.stream}"


@pytest.fixture
async def log() -> Log:
    database = await Database.open(None)
    log = Log(database)
    yield log  # type: ignore[misc]
    await database.close()


# --- streams ---


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_streams_are_read_in_the_order_of_the_log(log: Log, limit: int) -> None:
    for stream in "abacbca":
        await log.append(stream)
    seen = await log.seen(f"fromStreams('a', 'b', 'none'){ANY_EVENT}", limit=limit)
    assert seen == ["T 0@a", "T 0@b", "T 1@a", "T 1@b", "T 2@a"]


async def test_places_in_streams(log: Log) -> None:
    for stream in "aba":
        await log.append(stream)
    events = await log.events(f"fromStreams('a', 'b'){ANY_EVENT}")
    tags = [Tag({"a": 0, "b": -1}), Tag({"a": 0, "b": 0}), Tag({"a": 1, "b": 0})]
    assert [event.tag for event in events] == tags
    assert [shown(event) for event in await log.events(f"fromStreams('a', 'b'){ANY_EVENT}", after=tags[0])] == [
        "T 0@b",
        "T 1@a",
    ]


async def test_only_types_with_a_handler_are_handed_over(log: Log) -> None:
    for type in "TUTV":
        await log.append("a", type)
    assert await log.seen("fromStream('a').when({T(s) {}, V(s) {}})") == ["T 0@a", "T 2@a", "V 3@a"]


async def test_what_is_gone_is_not_seen(log: Log) -> None:
    for _ in range(3):
        await log.append("a")
    await log.append("$$a", "$metadata", '{"$tb":2}')
    assert await log.seen(f"fromStream('a'){ANY_EVENT}") == ["T 2@a"]
    await log.database.delete("a", ANY)
    assert await log.seen(f"fromStream('a'){ANY_EVENT}") == []
    await log.append("a")
    assert await log.seen(f"fromStream('a'){ANY_EVENT}") == ["T 3@a"]
    await log.database.tombstone("a", ANY)
    assert await log.seen(f"fromStream('a'){ANY_EVENT}") == []


@pytest.mark.parametrize("data", ["", " ", "{broken", "1 2", "NaN", "01", "\ufeff{}", "[" * 65 + "]" * 65])
async def test_what_is_flagged_as_json_and_is_none_is_not_seen(log: Log, data: str) -> None:
    await log.append("a", data=data)
    await log.append("a", data=data, is_json=False)
    assert await log.seen(f"fromStream('a'){ANY_EVENT}") == ["T 1@a"]


async def test_links_are_resolved_once(log: Log) -> None:
    await log.append("a", data='{"n":1}', metadata='{"$correlationId":"c"}')
    await log.link("b", "0@a", '{"why":"b"}')
    await log.link("c", "0@b")
    (event,) = await log.events(f"fromStream('b'){ANY_EVENT}")
    assert (event.stream, event.number, event.type, event.data) == ("a", 0, "T", '{"n":1}')
    assert (event.link_metadata, event.correlation_id, event.tag) == ('{"why":"b"}', "c", Tag({"b": 0}))
    assert await log.seen(f"fromStream('c'){ANY_EVENT}") == ["$> 0@b"]


@pytest.mark.parametrize(
    ("link", "seen", "catching_up"),
    [
        ("0@a", ["T 0@a"], ["T 0@a"]),
        ("9@a", ["None -1@None"], ["None -1@None"]),
        ("-1@", ["None -1@None"], ["None -1@None"]),
        ("0@none", [], ["None -1@none"]),
        ("0@gone", [], ["None -1@gone"]),
        ("9223372036854775807@a", ["None -1@a"], ["None -1@a"]),
        ("nonsense", ["$> 0@links"], ["$> 0@links"]),
    ],
)
async def test_links_to_what_is_not_there(log: Log, link: str, seen: list[str], catching_up: list[str]) -> None:
    await log.append("a")
    await log.append("gone")
    await log.database.delete("gone", ANY)
    await log.link("links", link)
    several = f"fromStreams('links', 'other'){ANY_EVENT}"
    assert await log.seen(several) == await log.seen(f"fromStream('links'){ANY_EVENT}", catching_up=True) == seen
    assert await log.seen(several, catching_up=True) == catching_up
    assert await log.seen("fromStream('links').when({T(s) {}})") == (["T 0@a"] if link == "0@a" else [])


async def test_a_link_to_what_is_no_json_is_not_seen(log: Log) -> None:
    await log.append("a", data="{oh")
    await log.link("links", "0@a")
    assert await log.seen(f"fromStream('links'){ANY_EVENT}") == []


# --- categories ---


async def test_a_category_is_what_links_there_lead_to(log: Log) -> None:
    await log.append("c-1")
    await log.link("$ce-c", "0@c-1", '{"$o":"c-1"}')
    await log.link("$ce-c", "0@c-1", '{"$o":"c-links"}')
    await log.append("$ce-c")
    await log.link("$ce-c", "nonsense")
    events = await log.events(f"fromCategory('c'){ANY_EVENT}")
    assert [(shown(event), event.category, event.of_stream) for event in events] == [
        ("T 0@c-1", "c", "c-1"),
        ("T 0@c-1", "c", "c-links"),
    ]


async def test_soft_deletions_in_a_category(log: Log) -> None:
    await log.append("c-1")
    await log.link("$ce-c", "0@c-1", '{"$o":"c-1"}')
    await log.database.delete("c-1", ANY)
    await log.link("$ce-c", "0@$$c-1", '{"$o":"c-1","$deleted":-1}')
    await log.link("$ce-c", "9223372036854775807@c-2", '{"$o":"c-2","$deleted":-1}')
    query = "fromCategory('c').foreachStream().when({$any: s => s, $deleted(s) {}})"
    assert await log.seen(query) == ["deleted c-1", "None -1@c-2"]
    assert await log.seen(f"fromCategory('c').foreachStream(){ANY_EVENT}") == ["None -1@c-2"]


# --- the log ---


async def test_the_log_of_users(log: Log) -> None:
    await log.append("a")
    await log.append("$system")
    await log.append("$$a", "$metadata", '{"x":1}')
    await log.append("$$$system", "$metadata")
    await log.link("links", "0@a")
    await log.database.tombstone("b", ANY)
    seen = ["T 0@a", "$metadata 0@$$a", "$streamDeleted 9223372036854775807@b"]
    assert await log.seen(f"fromAll(){ANY_EVENT}") == seen
    assert await log.seen(f"fromAll(){ANY_EVENT}", limit=1) == seen
    with_links = f"options({{$includeLinks: true}}); fromAll(){ANY_EVENT}"
    assert await log.seen(with_links) == [*seen[:2], "T 0@a", seen[2]]
    assert await log.seen(with_links, catching_up=True) == [*seen[:2], "$> 0@links", seen[2]]


async def test_metadata_count_for_the_stream(log: Log) -> None:
    await log.append("$$a", "$metadata", '{"x":1}')
    (event,) = await log.events(f"fromAll().foreachStream(){ANY_EVENT}")
    assert event.of_stream == "a"
    assert event.tag.position is not None


async def test_deletions_in_the_log(log: Log) -> None:
    await log.append("a")
    await log.database.delete("a", ANY)
    await log.database.tombstone("b", ANY)
    query = "fromAll().foreachStream().when({T(s) {}, $deleted(s) {}})"
    assert await log.seen(query, catching_up=True) == ["T 0@a", "deleted a", "deleted b"]


async def test_types_come_by_the_log_where_there_are_no_indexes(log: Log) -> None:
    for type in "TUT":
        await log.append("a", type)
    events = await log.events("fromAll().when({T(s) {}})", catching_up=True)
    assert [shown(event) for event in events] == ["T 0@a", "T 2@a"]
    assert [event.tag.numbers for event in events] == [{"T": -1}, {"T": -1}]


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_types_come_by_their_indexes_but_for_the_last(log: Log, limit: int) -> None:
    for number, type in enumerate("TUVT"):
        await log.append("a", type)
        await log.link(f"$et-{type}", f"{number}@a")
    events = await log.events("fromAll().when({T(s) {}, U(s) {}})", catching_up=True, limit=limit)
    assert [shown(event) for event in events] == ["T 0@a", "U 1@a", "T 3@a"]
    numbers = [event.tag.numbers for event in events]
    assert numbers == [{"T": 0, "U": -1}, {"T": 0, "U": 0}, {"T": 0, "U": 0}]


# --- texts ---


def test_times() -> None:
    assert created_text(0) == "1970-01-01T00:00:00.0000000"
    assert created_text(17_959_986_863_666_919) == "2026-11-30T00:31:26.3666919"


@pytest.mark.parametrize(
    ("metadata", "id"),
    [
        (None, None),
        ("", None),
        ("no json, $correlationId", None),
        ('["$correlationId"]', None),
        ('{"$correlationId":"c"}', "c"),
        ('{"$correlationId":""}', None),
        ('{"$correlationId":null}', None),
        ('{"$correlationId":17}', "17"),
        ('{"$correlationId":true}', "True"),
        ('{"$correlationId":{"a":1}}', '{"a":1}'),
        ('{"$correlationId":"a","$correlationId":"b"}', "a"),
    ],
)
def test_correlation_ids(metadata: str | None, id: str | None) -> None:
    assert correlation_id_of(metadata) == id
