"""The pages, asked for without a browser, of a server without users."""

from __future__ import annotations

import asyncio
import html
import re
from contextlib import ExitStack
from typing import Literal
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount

from esdb_lite import (
    AsyncEsdbClient,
    EmbeddedServer,
    NackAction,
    NewEvent,
    RetryPolicy,
    SimulatedCluster,
    StreamState,
    SubscriptionSettings,
)
from esdb_lite.web import WebConsole, app
from esdb_lite.web.console import MOST_DOWNLOADS, MOST_LARGE
from esdb_lite.web.guard import HEADERS
from esdb_lite.web.pages import events, overview
from esdb_lite.web.visit import Visit
from tests.web.visiting import Answer, Visitor

EVIL = "</script><script>document.title='run'</script><img src=x onerror=alert(1)>\"'"

PAGES = [
    "/", "/streams", "/streams?kind=categories", "/streams?kind=types", "/all", "/all?system=1", "/live", "/groups",
    "/projections", "/projection?name=%24by_category", "/query", "/users", "/login", "/stream?name=missing",
]  # fmt: skip


async def fill(client: AsyncEsdbClient, stream: str, count: int) -> None:
    """Append numbered events."""
    await client.append_events(stream, None, [NewEvent.json("Counted", {"number": n}) for n in range(count)])


def numbers(answer: Answer) -> list[int]:
    """The numbers in the events on a page, from top to bottom."""
    return [int(part.partition("}")[0]) for part in answer.seen.split('{"number": ')[1:]]


def link(answer: Answer, words: str) -> str:
    """The address behind a link's words; empty if there is no such link."""
    found = re.search(rf'href="([^"]*)"[^<>]*>{re.escape(words)}</a>', answer.text)
    return html.unescape(found[1]) if found else ""


@pytest.mark.parametrize("page", PAGES)
async def test_every_page_is_whole_and_guarded(visitor: Visitor, page: str) -> None:
    answer = await visitor.get(page)
    assert answer.status == (404 if "missing" in page else 200)
    assert answer.text.rstrip().endswith("</html>")
    assert answer.headers["cache-control"] == "no-store"
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "style=" not in answer.text
    assert "onclick" not in answer.text


async def test_downloads_have_an_end(visitor: Visitor, console: WebConsole, client: AsyncEsdbClient) -> None:
    await client.append_events("some", None, NewEvent("Some", b"x"))
    with ExitStack() as downloads:
        for _ in range(MOST_DOWNLOADS):
            downloads.enter_context(console._desk.download())
        assert (await visitor.get("/event/data?stream=some&position=0")).status == 503
    for _ in range(MOST_DOWNLOADS + 1):
        assert (await visitor.get("/event/data?stream=some&position=1")).status == 404
        assert (await visitor.get("/event/data?stream=some&position=0")).body == b"x"


async def test_pages_of_large_events_are_bounded_until_they_are_taken(
    visitor: Visitor, console: WebConsole, client: AsyncEsdbClient
) -> None:
    await client.append_events("some", None, [NewEvent.json("Large", list(range(25_000))), NewEvent.json("Small", [])])
    large, small = "/event?stream=some&position=0", "/event?stream=some&position=1"
    with ExitStack() as pages:
        for _ in range(MOST_LARGE):
            pages.enter_context(console._desk.large_page())
        assert (await visitor.get(large)).status == 503
        assert (await visitor.get(small)).status == 200
    for _ in range(MOST_LARGE + 1):
        answer = await visitor.get(large)
        assert answer.status == 200
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.text.rstrip().endswith("</html>")


async def test_a_few_pages_are_made_at_a_time(client: AsyncEsdbClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's other clients share its loop."""
    now = most = 0

    async def page(visit: Visit) -> Response:
        nonlocal now, most
        now += 1
        most = max(now, most)
        for _ in range(5):
            await asyncio.sleep(0)
        now -= 1
        return Response("made")

    monkeypatch.setattr(overview, "overview", page)
    monkeypatch.setattr(events, "find", page)
    visitor = Visitor(app(client))
    for target, bound in (("/", 4), ("/find", 2)):
        most = 0
        answers = await asyncio.gather(*(visitor.get(target) for _ in range(20)))
        assert {answer.text for answer in answers} == {"made"}
        assert most == bound


async def test_lone_surrogates_in_what_is_stored(visitor: Visitor, client: AsyncEsdbClient) -> None:
    lone = b'{"$correlationId":"\\ud800","$causationId":"\\udfff","\\ud801":"\\ud802"}'
    await client.append_events("odd", None, NewEvent("Odd", lone, metadata=lone, content_type="application/json"))
    page = await visitor.get("/event?stream=odd&position=0")
    assert page.status == 200
    for address in page.links:
        assert (await visitor.get(address)).status in (200, 400, 404), address
    for address in ("/all", "/stream?name=odd", "/related?correlation=%ED%A0%80"):
        assert (await visitor.get(address)).status == 200


async def test_files(visitor: Visitor) -> None:
    page = await visitor.get("/")
    for name in ("console.css", "console.js", "icon.svg"):
        place = page.text.partition(f'="/static/{name}')[2].partition('"')[0]
        answer = await visitor.get(f"/static/{name}{place}")
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await visitor.get("/static/base.html")).status == 404
    assert (await visitor.get("/static/..%2f__init__.py")).status == 404


async def test_the_overview_shows_the_server_and_its_charts(server: EmbeddedServer, visitor: Visitor) -> None:
    await visitor.get("/")
    answer = await visitor.get("/")
    assert f"26.1.0 at {server.address}" in answer.seen
    assert "Leader alive" in answer.seen
    for title in (
        "Writes per second",
        "Log growth",
        "Connections 1",
        "Memory",
        "Processor",
        "Waiting commands",
        "Disk",
    ):
        assert title in answer.seen
    assert "<polyline" in answer.text


async def test_names_are_listed(client: AsyncEsdbClient, visitor: Visitor) -> None:
    for number in (1, 2, 10):
        await fill(client, f"order-{number}", 1)
    await client.append_events("note", None, NewEvent("Noted", b""))
    assert "note order-1 order-2 order-10" in (await visitor.get("/streams")).seen
    assert "order-1 order-10" in (await visitor.get("/streams?prefix=order-1")).seen
    assert "note order" in (await visitor.get("/streams?kind=categories")).seen
    assert "Counted Noted" in (await visitor.get("/streams?kind=types")).seen
    assert "Nothing begins with nowhere" in (await visitor.get("/streams?prefix=nowhere")).seen
    types = await visitor.get("/streams?kind=types")
    assert numbers(await visitor.get(link(types, "Counted"))) == [0, 0, 0]


async def test_pages_of_a_stream_lead_to_all_of_its_events(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await fill(client, "a/b?c=d&e f", 50)
    seen = []
    page = await visitor.get("/stream?name=a%2Fb%3Fc%3Dd%26e+f&rows=20")
    seen.append(numbers(page))
    while place := link(page, "Older"):
        page = await visitor.get(place)
        seen.append(numbers(page))
    assert seen == [[*range(49, 29, -1)], [*range(29, 9, -1)], [*range(9, -1, -1)]]
    page = await visitor.get(link(page, "Newer"))
    assert numbers(page) == [*range(29, 9, -1)]
    page = await visitor.get(link(page, "Oldest"))
    assert numbers(page) == [*range(19, -1, -1)]
    page = await visitor.get(link(page, "Newer").replace("rows=20", "rows=40"))
    assert numbers(page) == [*range(49, 19, -1)]
    assert link(page, "Newer") == ""


async def test_pages_of_all_events(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await fill(client, "numbers", 30)
    await client.append_events("letters", None, [NewEvent.json("Spelled", {"letter": "a"})] * 5)
    choice = "by=type&match=prefix&text=Counted&rows=10"
    page = await visitor.get(f"/all?{choice}")
    assert numbers(page) == [*range(29, 19, -1)]
    page = await visitor.get(link(page, "Older"))
    assert numbers(page) == [*range(19, 9, -1)]
    page = await visitor.get(link(page, "Newer"))
    assert numbers(page) == [*range(29, 19, -1)]
    assert link(page, "Newer") == ""
    page = await visitor.get(link(page, "Oldest"))
    assert numbers(page) == [*range(9, -1, -1)]
    assert "Spelled" in (await visitor.get("/all")).seen
    assert "numbers" not in (await visitor.get("/all?by=stream&match=regex&text=%5El")).seen
    assert "$metadata" not in (await visitor.get("/all")).seen


async def test_pages_of_large_events_have_fewer(
    client: AsyncEsdbClient, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esdb_lite.web.paging.MOST_BYTES", 20_000)
    await client.append_events("large", None, [NewEvent(f"Large{n}", b"x" * 7000) for n in range(6)])
    page = await visitor.get("/stream?name=large")
    assert re.findall(r"Large\d", page.seen) == ["Large5", "Large4", "Large3"]
    page = await visitor.get(link(page, "Older"))
    assert re.findall(r"Large\d", page.seen) == ["Large2", "Large1", "Large0"]


async def test_an_event(client: AsyncEsdbClient, visitor: Visitor) -> None:
    cause, effect = uuid4(), uuid4()
    correlation = str(uuid4())
    events = [
        NewEvent.json("Began", {"n": 1}, {"$correlationId": correlation}, id=cause),
        NewEvent.json("Went", {"n": 2}, {"$correlationId": correlation, "$causationId": str(cause)}, id=effect),
    ]
    await client.append_events("trip-1", None, events)
    answer = await visitor.get("/event?stream=trip-1&position=1")
    for text in ("Went", str(effect), "application/json", correlation, str(cause), '"n" : 2'):
        assert text in answer.seen
    first = await visitor.follow(await visitor.get(link(answer, str(cause))))
    assert "Began 0" in first.seen
    await client.wait_for_projection("$by_correlation_id", timeout=20)
    related = await visitor.get(link(answer, correlation))
    assert "Began trip-1" in related.seen
    assert "└ Went trip-1" in related.seen
    assert "were looked at" not in related.seen


async def test_related_events_without_an_index() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        ids = [uuid4() for _ in range(3)]
        for n, each in enumerate(ids):
            metadata = {"$correlationId": "c", **({"$causationId": str(ids[n - 1])} if n else {})}
            await client.append_events(f"s-{n}", None, NewEvent.json(f"Step{n}", {}, metadata, id=each))
            await client.append_events("other", StreamState.ANY, NewEvent("Other", b""))
        visitor = Visitor(app(client))
        answer = await visitor.get("/related?correlation=c")
        assert answer.seen.index("Step0") < answer.seen.index("└ Step1") < answer.seen.index("└ Step2")
        assert "Other" not in answer.seen
        assert "were looked at" in answer.seen


async def test_links_show_what_they_point_to(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await fill(client, "order-1", 2)
    await client.wait_for_projection("$by_category", timeout=20)
    page = await visitor.get("/stream?name=%24ce-order")
    assert numbers(page) == [1, 0]
    assert "1@order-1" in page.seen
    answer = await visitor.get("/event?stream=%24ce-order&position=1")
    assert "A link to 1@order-1" in answer.seen
    assert '"number" : 1' in answer.seen
    await client.delete_stream("order-1")
    assert "which is gone" in (await visitor.get("/event?stream=%24ce-order&position=1")).seen


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ("order-1", "/stream?name=order-1"),
        ("1@order-1", "/event?stream=order-1&position=1"),
        ("ord", "/streams?prefix=ord"),
        ("", "/streams"),
        ("99999999999999999999@order-1", "/streams?prefix=99999999999999999999%40order-1"),
    ],
)
async def test_what_is_typed_at_the_top(client: AsyncEsdbClient, visitor: Visitor, wanted: str, place: str) -> None:
    await fill(client, "order-1", 2)
    assert (await visitor.get(f"/go?q={wanted}")).place == place


async def test_an_event_is_found_by_its_id(client: AsyncEsdbClient, visitor: Visitor) -> None:
    wanted = uuid4()
    await client.append_events("a", None, NewEvent("Wanted", b"", id=wanted))
    await fill(client, "b", 1000)
    found = await visitor.follow(await visitor.get(f"/go?q={wanted}"))
    assert found.place == "/event?stream=a&position=0"
    missing = await visitor.get(f"/find?id={uuid4()}")
    assert missing.status == 404
    assert "there are no others" in missing.seen


async def test_data_are_saved_and_never_shown_by_the_browser(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await client.append_events("page", None, NewEvent("Html", b"<script>alert(1)</script>", b"\x00"))
    answer = await visitor.get("/event/data?stream=page&position=0")
    assert answer.body == b"<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await visitor.get("/event/data?stream=page&position=0&part=metadata")).body == b"\x00"


async def test_nothing_that_is_stored_becomes_markup(client: AsyncEsdbClient, visitor: Visitor) -> None:
    event = NewEvent.json(EVIL, {EVIL: EVIL}, {"$correlationId": EVIL, "$causationId": EVIL})
    await client.append_events(EVIL, None, [event, NewEvent("Text", EVIL.encode(), EVIL.encode())])
    await client.set_stream_metadata(EVIL, {"$acl": {"$r": EVIL}, EVIL: EVIL})
    await client.create_subscription(EVIL, EVIL)
    page = await visitor.get("/go?q=" + "%3C%2Fscript%3E")
    pages = [page.place, "/streams", "/streams?kind=types", "/all", "/groups"]
    pages += [place for place in (await visitor.get("/streams")).links if place.startswith("/stream?")]
    stream = (await visitor.get("/streams")).links
    name = next(place for place in stream if place.startswith("/stream?name=%3C"))
    pages += [place for place in (await visitor.get(name)).links if place.startswith("/event?")]
    pages += [place for place in (await visitor.get("/groups")).links if place.startswith("/group?")]
    pages += [f"{page}&text=%3Cscript%3E" for page in ("/all?by=type", "/live?by=type")]
    assert len(pages) >= 10
    for place in pages:
        answer = await visitor.get(place)
        assert answer.status == 200, place
        assert "<script>" not in answer.text.replace('<script src="', ""), place
        assert "<img src=x" not in answer.text, place


async def park(client: AsyncEsdbClient, count: int) -> None:
    """Have the group `g` on `work` park events."""
    await fill(client, "work", count)
    await client.create_subscription("g", "work", settings=SubscriptionSettings(min_checkpoint_count=1))
    async with await client.read_subscription("g", "work") as subscription:
        async for event in subscription:
            await subscription.nack(event, NackAction.PARK, f"because of <{event.stream_position}>")
            if event.stream_position == count - 1:
                break


async def test_parked_events_are_shown_and_replayed(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await park(client, 3)
    page = "/group?stream=work&name=g"
    answer = await visitor.get(page)
    assert "because of <1>" in answer.seen
    assert "3" in (await visitor.get("/groups")).seen
    form = {"stream": "work", "name": "g"}
    done = await visitor.send(page, "/group/replay", {**form, "up_to": "1"})
    assert done.place == page
    async with await client.read_subscription("g", "work") as subscription:
        async for event in subscription:
            await subscription.ack(event)
            if event.stream_position == 1:
                break
    answer = await visitor.get(page)
    assert "because of <2>" in answer.seen
    assert "because of <1>" not in answer.seen
    refused = await visitor.send(page, "/group/truncate", form)
    assert refused.status == 400
    assert (await visitor.send(page, "/group/truncate", {**form, "sure": "1"})).status == 303
    assert "There are none." in (await visitor.get(page)).seen


async def test_projections_are_steered(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await fill(client, "order-1", 3)
    query = "fromStream('order-1').when({$init: () => ({sum: 0}), Counted(s, e) { s.sum += e.data.number }})"
    page = (await visitor.send("/projections", "/projection/create", {"name": "sums", "query": query})).place
    assert page == "/projection?name=sums"
    await client.wait_for_projection("sums", timeout=20)
    answer = await visitor.get(page)
    assert '"sum" : 3' in answer.seen
    assert "fromStream(&#39;order-1&#39;)" in answer.text
    for action, status in (("disable", "stopped"), ("enable", "running")):
        await visitor.send(page, "/projection/change", {"name": "sums", "action": action})
        assert (await client.get_projection("sums")).status.value == status
    changed = query.replace("e.data.number", "10")
    await visitor.send(page, "/projection/change", {"name": "sums", "action": "update", "query": changed})
    await visitor.send(page, "/projection/change", {"name": "sums", "action": "reset", "sure": "1"})
    await client.wait_for_projection("sums", timeout=20)
    assert await client.get_projection_state("sums") == {"sum": 30}
    await visitor.send(page, "/projection/change", {"name": "sums", "action": "disable"})
    assert (await visitor.send(page, "/projection/change", {"name": "sums", "action": "delete"})).status == 400
    done = await visitor.send(page, "/projection/change", {"name": "sums", "action": "delete", "sure": "1"})
    assert done.place == "/projections"
    assert (await visitor.get(page)).status == 404


async def test_a_query_is_run(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await fill(client, "order-1", 3)
    query = "fromAll().when({$init: () => ({n: 0}), Counted(s, e) { s.n++ }})"
    assert '"n" : 3' in (await visitor.send("/query", "/query", {"query": query})).seen
    wrong = await visitor.send("/query", "/query", {"query": "this is no <b>query</b>"})
    assert wrong.status == 200
    assert 'role="alert"' in wrong.text
    assert "<b>" not in wrong.text


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("/stream", 400),
        ("/stream?name=a&from=x", 400),
        ("/event?stream=a", 400),
        ("/event?stream=a&position=5", 404),
        ("/all?match=regex&text=%28", 400),
        ("/all?from=3&direction=newer", 400),
        ("/group?stream=a&name=b", 404),
        ("/projection?name=missing", 404),
        ("/find?id=x", 400),
        ("/nowhere", 404),
    ],
)
async def test_what_is_wrong_is_said(visitor: Visitor, page: str, status: int) -> None:
    assert (await visitor.get(page)).status == status


async def test_a_tombstone(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await fill(client, "gone", 1)
    await client.tombstone_stream("gone")
    answer = await visitor.get("/stream?name=gone")
    assert answer.status == 410
    assert "deleted for ever" in answer.seen


async def test_a_server_that_is_not_there(server: EmbeddedServer) -> None:
    async with AsyncEsdbClient(server.uri, retry=RetryPolicy(attempts=1)) as client:
        visitor = Visitor(app(client))
        assert (await visitor.get("/")).status == 200
        await server.stop_async()
        answer = await visitor.get("/groups")
    assert answer.status == 503
    assert "The server cannot be reached." in answer.seen


async def test_names_that_take_too_long_to_find(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esdb_lite.web.visit.PATIENCE", 1e-9)
    answer = await visitor.get("/streams")
    assert answer.status == 200
    assert "takes too long" in answer.seen


async def test_the_nodes_of_a_cluster() -> None:
    async with SimulatedCluster() as cluster, AsyncEsdbClient(cluster.uri) as client:
        answer = await Visitor(app(client)).get("/")
        assert answer.seen.count("Follower alive") == 2
        assert answer.seen.count("Leader alive") == 1


@pytest.mark.parametrize("version", ["24.10", "25.1"])
async def test_older_servers(version: Literal["24.10", "25.1"]) -> None:
    async with EmbeddedServer(compatibility=version) as server, AsyncEsdbClient(server.uri) as client:
        await fill(client, "order-1", 2)
        visitor = Visitor(app(client, allow_changes=True))
        for page in ("/", "/streams", "/stream?name=order-1", "/all", "/groups", "/users"):
            assert (await visitor.get(page)).status == 200, page
        assert (await visitor.get("/projections")).status == 501


# --- what may be changed ---


async def test_a_console_that_only_shows(client: AsyncEsdbClient) -> None:
    await park(client, 1)
    visitor = Visitor(app(client))
    page = "/group?stream=work&name=g"
    assert "read-only" in (await visitor.get(page)).text
    assert "<button" not in (await visitor.get(page)).text.partition("<main")[2].replace(
        '<button class="plain" data-', ""
    )
    token = (await visitor.get("/login")).token
    answer = await visitor.post("/group/replay", {"token": token, "stream": "work", "name": "g"})
    assert answer.status == 403
    assert "read-only" in answer.seen
    assert (await visitor.get("/query")).status == 403
    assert (await client.get_subscription_info("g", "work")).parked == 1


@pytest.mark.parametrize("forged", ["", "0" * 64, "other"])
async def test_forms_of_other_sites_do_nothing(client: AsyncEsdbClient, console: WebConsole, forged: str) -> None:
    await park(client, 1)
    visitor, other = Visitor(console), Visitor(console)
    form = {"stream": "work", "name": "g"}
    token = (await visitor.get("/group?stream=work&name=g")).token
    stolen = (await other.get("/group?stream=work&name=g")).token if forged == "other" else forged
    assert (await visitor.post("/group/replay", {"token": stolen, **form})).status == 403
    crossing = await visitor.post("/group/replay", {"token": token, **form}, sec_fetch_site="cross-site")
    assert crossing.status == 403
    visitor.cookies.clear()
    assert (await visitor.post("/group/replay", {"token": token, **form})).status == 403
    assert (await client.get_subscription_info("g", "work")).parked == 1


async def test_changes_are_not_made_by_links(visitor: Visitor) -> None:
    for page in ("/group/replay", "/group/truncate", "/projection/change", "/users/create", "/logout"):
        assert (await visitor.get(page)).status == 405


async def test_large_forms_are_refused(visitor: Visitor) -> None:
    await visitor.get("/query")
    assert (await visitor.post("/query", {"query": "x" * 600_000})).status == 400


# --- by which name, and where ---


async def test_names_that_strangers_point_at_this_machine(client: AsyncEsdbClient) -> None:
    answer = await Visitor(app(client), host="evil.example:2113").get("/")
    assert answer.status == 421
    assert "--allowed-host" in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
    assert (await Visitor(app(client, hosts=["mine.org"]), host="mine.org").get("/")).status == 200


async def test_mounted_in_an_application(client: AsyncEsdbClient, console: WebConsole) -> None:
    await fill(client, "order-1", 2)
    visitor = Visitor(Starlette(routes=[Mount("/ops/console", console)]))
    page = await visitor.get("/ops/console/stream?name=order-1")
    assert numbers(page) == [1, 0]
    for place in page.links:
        assert place.startswith("/ops/console/")
        assert (await visitor.get(place)).status in (200, 404)
    assert 'href="/ops/console/static/console.css' in page.text
    done = await visitor.send("/ops/console/query", "/ops/console/query", {"query": "fromAll().when({})"})
    assert done.status == 200


async def test_a_name_that_is_too_long(visitor: Visitor) -> None:
    answer = await visitor.get(f"/stream?name={'L' * 60_000}")
    assert answer.status == 400
    assert "This cannot be asked." in answer.seen
    assert "names have at most 4096 bytes" in answer.seen
    assert "stream_identifier" not in answer.text
