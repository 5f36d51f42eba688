"""Reads and subscriptions by index, and indexes that users define."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    CaughtUp,
    EmbeddedServer,
    FileCheckpoint,
    IndexExists,
    IndexField,
    IndexFieldType,
    IndexInfo,
    IndexNotFound,
    IndexQuery,
    IndexState,
    InvalidArgument,
    InvalidRequest,
    NewEvent,
    NotSupported,
    StreamState,
    WrongArgumentType,
)
from esdb_lite.server.indexes.functions import IndexFunctions
from esdb_lite.server.storage import Record
from tests.contract.faces import drain, take


@pytest.fixture
def category() -> str:
    """A category that nobody else writes to."""
    return f"c{uuid4().hex}"


@pytest.fixture
def name() -> str:
    """A name for an index."""
    return f"i{uuid4().hex}"


async def fill(client: Any, category: str, *, streams: int = 2, events: int = 3) -> list[int]:
    """Write to streams of a category in turn; return the commit positions."""
    return [
        int(
            await client.append_events(
                f"{category}-{stream}", StreamState.ANY, NewEvent.json(f"T{stream}", {"n": number, "s": stream})
            )
        )
        for number in range(events)
        for stream in range(streams)
    ]


def positions(events: list[Any]) -> list[int]:
    return [event.commit_position for event in events]


async def test_a_category_both_ways(client: Any, category: str) -> None:
    written = await fill(client, category)
    index = IndexQuery.category(category)
    assert positions(await drain(client.read_index_events(index))) == written
    assert positions(await drain(client.read_index_events(index, backwards=True))) == written[::-1]
    assert positions(await drain(client.read_index_events(index, written[2]))) == written[2:]
    assert positions(await drain(client.read_index_events(index, written[2], True, 2))) == [written[2], written[1]]
    assert positions(await drain(client.read_index_events(index, written[2] + 1, limit=2))) == written[3:5]
    assert await drain(client.read_index_events(IndexQuery.category("never" + category))) == []


async def test_a_type(client: Any, category: str) -> None:
    kind = f"Paid{category}"
    await client.append_events(f"{category}-1", None, [NewEvent(kind, b"1"), NewEvent("Other", b"2")])
    await client.append_events(f"{category}-2", None, NewEvent(kind, b"3"))
    events = await drain(client.read_index_events(IndexQuery.type(kind)))
    assert [(event.stream_name, event.data) for event in events] == [(f"{category}-1", b"1"), (f"{category}-2", b"3")]


async def test_a_subscription_catches_up_and_goes_on(client: Any, category: str) -> None:
    written = await fill(client, category)
    subscribed = await client.subscribe_index_events(
        IndexQuery.category(category), written[0], include_control=True, timeout=20
    )
    async with subscribed:
        assert positions(await take(subscribed, 5)) == written[1:]
        (caught_up,) = await take(subscribed, 1)
        assert isinstance(caught_up, CaughtUp)
        more = await fill(client, category, events=1)
        assert positions(await take(subscribed, 2)) == more


async def test_a_subscription_from_the_end(client: Any, category: str) -> None:
    await fill(client, category)
    async with await client.subscribe_index_events(IndexQuery.category(category), from_end=True) as subscribed:
        more = await fill(client, category, events=1)
        assert positions(await take(subscribed, 2)) == more


async def test_a_consumer_goes_on_where_it_was(client: Any, category: str, tmp_path: Path) -> None:
    written = await fill(client, category)
    seen: list[int] = []

    async def consume() -> None:
        enough = len(seen) + 6

        def handle(event: Any) -> None:
            seen.append(event.commit_position)
            if len(seen) == enough:
                consumer.stop()

        async def handle_async(event: Any) -> None:
            handle(event)

        threaded = not hasattr(client, "_core")
        make = client._inner.consumer if threaded else client.consumer
        checkpoint = FileCheckpoint(tmp_path / "checkpoint")
        consumer = make(
            handle if threaded else handle_async, checkpoint=checkpoint, index=IndexQuery.category(category)
        )
        await asyncio.wait_for(asyncio.to_thread(consumer.run) if threaded else consumer.run(), 20)

    await consume()
    more = await fill(client, category)
    await consume()
    assert seen == [*written, *more]


async def test_what_does_not_go_with_an_index(client: Any, tmp_path: Path) -> None:
    checkpoint = FileCheckpoint(tmp_path / "checkpoint")

    async def handle(event: Any) -> None: ...

    make = getattr(client, "_inner", client).consumer
    for more in ({"stream_name": "s"}, {"filter_include": ["T"]}, {"resolve_links": True}):
        with pytest.raises(InvalidArgument):
            make(handle, checkpoint=checkpoint, index="$idx-all", **more)


@pytest.mark.parametrize("index", ["$idx-", "$idx-ce", "$idx-user-never-was", "$idx-all-x"])
async def test_no_such_index(client: Any, index: str) -> None:
    with pytest.raises(IndexNotFound) as caught:
        await drain(client.read_index_events(index))
    assert caught.value.index_name == index
    with pytest.raises(IndexNotFound):
        await take(await client.subscribe_index_events(index), 1)


def test_names_are_built_safely() -> None:
    assert IndexQuery.category("order").name == "$idx-ce-order"
    assert IndexQuery.type("Order: Paid").name == "$idx-et-Order: Paid"
    assert IndexQuery.user("orders", "a:b").name == "$idx-user-orders:a:b"
    assert IndexQuery.user("orders", 7).name == "$idx-user-orders:7"
    assert IndexQuery.user("orders", 7.0).name == "$idx-user-orders:7"
    assert IndexQuery.user("orders", -math.inf).name == "$idx-user-orders:-Infinity"
    assert IndexQuery.user("orders", country="D;E").name == "$idx-user-orders:D;E"
    assert IndexQuery.user("orders", a='"\\', b=1.5).name == '$idx-user-orders:a="\\"\\\\";b=1.5'
    with pytest.raises(InvalidArgument):
        IndexQuery.user("orders", 1, country="DE")
    for wrong in (lambda: IndexQuery.category("a-b"), lambda: IndexQuery.type(""), lambda: IndexQuery.user("a:b")):
        with pytest.raises(InvalidArgument):
            wrong()
    for mistyped in (lambda: IndexQuery.category(1), lambda: IndexQuery.user("a", True)):  # type: ignore[arg-type]
        with pytest.raises(WrongArgumentType):
            mistyped()


async def test_what_cannot_be_an_index_is_refused_before_anything_is_sent(client: Any) -> None:
    with pytest.raises(InvalidArgument, match="index"):
        await drain(client.read_index_events("order"))
    with pytest.raises(WrongArgumentType):
        await drain(client.read_index_events(7))
    with pytest.raises(InvalidArgument, match="name"):
        await client.create_index("Bad Name", filter="rec => true")
    with pytest.raises(InvalidArgument, match="filter"):
        await client.create_index("name")
    with pytest.raises(WrongArgumentType, match="fields"):
        await client.create_index("name", fields=["country"])


class TestDefined:
    async def test_there_are_none_at_first(self, client: Any) -> None:
        assert await client.list_indexes() == []

    async def test_from_creation_to_deletion(self, client: Any, name: str, category: str) -> None:
        pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
        written = await fill(client, category)
        text = f"rec => rec.position.stream.startsWith('{category}-')"
        field = IndexField("s", "rec => rec.value.s", IndexFieldType.INT_32)
        await client.create_index(name, filter=text, fields=field)
        await client.create_index(name, filter=text, fields=[field])  # the same again
        with pytest.raises(IndexExists):
            await client.create_index(name, filter="rec => true")
        info = IndexInfo(name, text, (field,), IndexState.STARTED)
        assert await client.get_index(name) == info
        assert info in await client.list_indexes()
        assert positions(await drain(client.read_index_events(IndexQuery.user(name)))) == written
        assert positions(await drain(client.read_index_events(IndexQuery.user(name, 1)))) == written[1::2]
        assert await drain(client.read_index_events(IndexQuery.user(name, 9))) == []
        await client.stop_index(name)
        assert (await client.get_index(name)).state is IndexState.STOPPED
        with pytest.raises(IndexNotFound):
            await drain(client.read_index_events(IndexQuery.user(name)))
        more = await fill(client, category, events=1)
        await client.start_index(name)
        assert positions(await drain(client.read_index_events(IndexQuery.user(name)))) == [*written, *more]
        await client.delete_index(name)
        await client.delete_index(name)
        with pytest.raises(IndexNotFound) as caught:
            await client.get_index(name)
        assert caught.value.index_name == name

    async def test_a_subscription_ends_when_its_index_is_stopped(self, client: Any, name: str, category: str) -> None:
        pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
        await client.create_index(name, filter=f"rec => rec.position.stream.startsWith('{category}-')")
        async with await client.subscribe_index_events(IndexQuery.user(name), timeout=20) as subscribed:
            written = await fill(client, category, events=1)
            assert positions(await take(subscribed, 2)) == written
            await client.stop_index(name)
            with pytest.raises(IndexNotFound):
                await take(subscribed, 1)
        await client.delete_index(name)

    async def test_what_is_no_function(self, client: Any, name: str) -> None:
        pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
        with pytest.raises(InvalidRequest, match="exactly one argument"):
            await client.create_index(name, filter="nonsense")

    async def test_commands_for_what_is_not_there(self, client: Any, name: str) -> None:
        for call in (client.start_index, client.stop_index, client.delete_index, client.get_index):
            with pytest.raises(IndexNotFound):
                await call(name)


class TestOlderServers:
    @pytest.fixture
    def version(self) -> str:
        return "24.10"

    async def test_they_are_not_asked(self, client: Any) -> None:
        """They would take the name for a prefix, and answer with nothing."""
        with pytest.raises(NotSupported, match=r"25\.1"):
            await drain(client.read_index_events("$idx-all"))
        with pytest.raises(NotSupported, match=r"25\.1"):
            await client.subscribe_index_events("$idx-all")
        with pytest.raises(NotSupported, match=r"26\.0"):
            await client.list_indexes()
        with pytest.raises(NotSupported, match=r"26\.1"):
            await client.truncate_parked_events("g", "s")


async def test_what_was_evaluated_is_not_evaluated_again(tmp_path: Path, name: str) -> None:
    async with EmbeddedServer(tmp_path / "db") as server, AsyncEsdbClient(server.uri) as client:
        await client.create_index(name, fields=IndexField("s", "rec => rec.value.s", IndexFieldType.DOUBLE))
        written = await fill(client, "stored")
        assert positions(await drain(client.read_index_events(IndexQuery.user(name, 1)))) == written[1::2]

    def evaluate(functions: IndexFunctions, records: Sequence[Record]) -> list[str | None]:
        evaluated.extend(record.position for record in records)
        return real(functions, records)

    evaluated: list[int] = []
    real = IndexFunctions.evaluate_some
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IndexFunctions, "evaluate_some", evaluate)
        async with EmbeddedServer(tmp_path / "db") as server, AsyncEsdbClient(server.uri) as client:
            assert positions(await drain(client.read_index_events(IndexQuery.user(name)))) == written
            assert evaluated == []
            await client.stop_index(name)
            more = await fill(client, "stored", events=1)
            await client.start_index(name)
            assert positions(await drain(client.read_index_events(IndexQuery.user(name, 1.0), backwards=True))) == [
                *(more[1], *written[::-2])
            ]
            assert evaluated == more


async def test_an_index_that_is_defined_again_begins_anew(client: Any, category: str, name: str) -> None:
    await client.create_index(name, filter=f"rec => rec.position.stream.startsWith('{category}')")
    written = await fill(client, category)
    assert positions(await drain(client.read_index_events(IndexQuery.user(name)))) == written
    await client.delete_index(name)
    await client.create_index(name, filter=f"rec => rec.position.stream === '{category}-1'")
    assert positions(await drain(client.read_index_events(IndexQuery.user(name)))) == written[1::2]


async def test_a_deleted_index_leaves_nothing_in_the_file(tmp_path: Path, name: str) -> None:
    async with EmbeddedServer(tmp_path / "db") as server, AsyncEsdbClient(server.uri) as client:
        await client.create_index(name, filter="rec => true")
        await fill(client, "gone")
        assert len(await drain(client.read_index_events(IndexQuery.user(name)))) == 6
        await client.delete_index(name)
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        for table in ("user_indexes", "user_index_events"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


async def test_values_that_no_text_can_be(client: Any, category: str, name: str) -> None:
    await client.create_index(name, fields=IndexField("half", "rec => rec.value.n === 1 ? '\\ud83d' : 'a\\u0000b'"))
    written = await fill(client, category, streams=1)
    found = positions(await drain(client.read_index_events(IndexQuery.user(name))))
    assert found[-3:] == written
    same = positions(await drain(client.read_index_events(IndexQuery.user(name, "a\0b"))))
    assert same[-2:] == [written[0], written[2]]
