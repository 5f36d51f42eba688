"""Events as they are appended, sent to pages that stay open."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from esdb_lite import AsyncEsdbClient, Checkpoint, NewEvent, StreamState
from esdb_lite.web import WebConsole, app
from esdb_lite.web.console import MOST_LIVE
from esdb_lite.web.pages import live
from tests.web.visiting import Visitor


async def next_message(messages: asyncio.Queue[str]) -> tuple[str, Any]:
    """The next event: its name and content."""
    text = await asyncio.wait_for(messages.get(), 20)
    name, _, rest = text.rstrip("\n").partition("\n")
    data = rest.partition("data: ")[2]
    return name.removeprefix("event: "), json.loads(data) if data else None


async def ready(messages: asyncio.Queue[str]) -> None:
    """Wait until events are followed."""
    assert await messages.get() == "200"
    assert await next_message(messages) == ("ready", {})


async def test_new_events_come_as_rows(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await client.append_events("order-1", None, NewEvent("Old", b""))
    async with visitor.listen("/live/events") as messages:
        await ready(messages)
        await client.append_events("order-1", 0, NewEvent.json("New", {"text": "</script>\n\ndata: x"}))
        name, row = await next_message(messages)
    assert name == "row"
    assert row["texts"]["type"] == "New"
    assert row["texts"]["stream"] == "order-1"
    assert "</script>" in row["texts"]["data"]
    assert row["links"]["position"] == "/event?stream=order-1&position=1"


async def test_only_what_is_chosen_comes(client: AsyncEsdbClient, visitor: Visitor) -> None:
    async with visitor.listen("/live/events?by=stream&match=prefix&text=order-") as messages:
        await ready(messages)
        await client.append_events("other-1", None, NewEvent("A", b""))
        await client.append_events("order-1", None, NewEvent("B", b""))
        assert (await next_message(messages))[1]["texts"]["stream"] == "order-1"


async def test_a_stream_goes_on_after_what_the_page_has(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await client.append_events("order-1", None, [NewEvent(f"T{n}", b"") for n in range(4)])
    async with visitor.listen("/live/events?stream=order-1&after=1") as messages:
        await ready(messages)
        types = [(await next_message(messages))[1]["texts"]["type"] for _ in range(2)]
    assert types == ["T2", "T3"]


async def test_a_page_that_comes_back_goes_on_where_it_was(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await client.append_events("order-1", None, [NewEvent(f"T{n}", b"") for n in range(3)])
    events = await client.read_stream_events("order-1")
    first, last = (live.place_of(events[n], of_stream=n == 0) for n in (0, 2))
    for seen in ("0", first):
        async with visitor.listen("/live/events?stream=order-1", last_event_id=seen) as messages:
            await ready(messages)
            assert (await next_message(messages))[1]["texts"]["type"] == "T1"
    await client.append_events("order-1", 2, NewEvent("T3", b""))
    async with visitor.listen("/live/events", last_event_id=last) as messages:
        await ready(messages)
        assert (await next_message(messages))[1]["texts"]["type"] == "T3"


async def test_a_page_is_told_that_the_database_was_begun_anew(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await client.append_events("order-1", None, [NewEvent(f"T{n}", b"") for n in range(3)])
    stranger = uuid4()
    [seen] = await client.read_stream_events("order-1", limit=1)
    for target, place in (
        ("/live/events?stream=order-1", f"1@{stranger}"),
        ("/live/events?stream=order-1", f"7@{stranger}"),
        (f"/live/events?stream=order-1&after=1@{stranger}", ""),
        ("/live/events", Checkpoint(int(seen.commit_position), int(seen.commit_position), event_id=stranger).token),
    ):
        headers = {"last_event_id": place} if place else {}
        async with visitor.listen(target, **headers) as messages:
            assert await messages.get() == "200"
            name, content = await next_message(messages)
        assert name == "fault"
        assert "is not from this database" in content["text"]
    assert (await visitor.get("/live/events?stream=order-1&after=1@x")).status == 400
    page = await visitor.get("/stream?name=order-1")
    newest = (await client.read_stream_events("order-1", backwards=True, limit=1))[0]
    assert f"after=2%40{newest.id}" in page.text


async def test_of_very_many_events_the_last_are_shown(client: AsyncEsdbClient, visitor: Visitor) -> None:
    await client.append_events("busy", StreamState.ANY, [NewEvent("T", b"")] * 1)
    async with visitor.listen("/live/events?stream=busy") as messages:
        await ready(messages)
        await client.append_events("busy", 0, [NewEvent(f"T{n}", b"") for n in range(300)])
        shown = skipped = 0
        while shown + skipped < 300:
            name, content = await next_message(messages)
            if name == "skipped":
                skipped += content["count"]
            else:
                shown += 1
                last = content["texts"]["type"]
    assert last == "T299"
    assert skipped >= 100


async def test_live_pages_end_when_the_console_stops(console: WebConsole, visitor: Visitor) -> None:
    async with visitor.listen("/live/events") as messages:
        await ready(messages)
        console.stop()
        while await asyncio.wait_for(messages.get(), 10):
            pass


async def test_there_are_only_so_many_live_pages(client: AsyncEsdbClient, console: WebConsole) -> None:
    visitor = Visitor(console)
    async with visitor.listen("/live/events") as messages:
        await ready(messages)
        console._desk._open["live pages"] = MOST_LIVE
        assert (await visitor.get("/live/events")).status == 503
        console._desk._open["live pages"] = 1
    assert console._desk._open["live pages"] == 0


async def test_a_page_whose_session_ends_is_told_no_more(
    stranger: AsyncEsdbClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 0.05)
    visitor = Visitor(app(stranger))
    await visitor.send("/login", "/login", {"login": "admin", "password": "changeit"})
    async with visitor.listen("/live/events") as messages:
        await ready(messages)
        await visitor.send("/", "/logout", {})
        while await asyncio.wait_for(messages.get(), 10):
            pass


async def test_a_wrong_filter_is_refused(visitor: Visitor) -> None:
    assert (await visitor.get("/live/events?match=regex&text=%28")).status == 400
