"""Bytes that somebody has stored stop neither the server nor a group nor a reader, whatever they are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    EmbeddedServer,
    InvalidRequest,
    NewEvent,
    RecordedEvent,
    StreamState,
    SubscriptionSettings,
)
from esdb_lite.filters import Filter
from esdb_lite.groups import ConsumerStrategy
from tests.support import own_time

CONFIG = "$persistentSubscriptionConfig"
NESTED = b"[" * 100_000
SETTINGS = SubscriptionSettings(min_checkpoint_count=1, max_checkpoint_count=1)


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[AsyncEsdbClient]:
    """A server on a file, and a client that may do everything."""
    async with EmbeddedServer(path) as server, AsyncEsdbClient(server.uri) as client:
        yield client


async def add(client: AsyncEsdbClient, stream: str, *events: NewEvent) -> None:
    await client.append_events(stream, StreamState.ANY, events)


def event(data: bytes = b"{}", *, type: str = "T", metadata: bytes = b"", json: bool = True) -> NewEvent:
    content_type = "application/json" if json else "application/octet-stream"
    return NewEvent(type, data, metadata=metadata, content_type=content_type)


async def consumed(client: AsyncEsdbClient, group: str, stream: str | None, count: int) -> list[RecordedEvent]:
    """What a consumer of a group gets, acknowledged."""
    found: list[RecordedEvent] = []
    async with await client.read_subscription(group, stream) as consumer:
        async for delivered in consumer:
            found.append(delivered)
            await consumer.ack(delivered)
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize(
    "document",
    [
        NESTED,
        b'{"entries":' + NESTED,
        b'{"entries":[{"stream":"s","group":"g","messageTimeout":' + b"9" * 5000 + b"}]}",
        b'{"entries":[{"stream":"s","group":"\\ud800"}]}',
        b'{"entries":[{"stream":"s","group":"h","historyBufferSize":1e400}]}',
    ],
    ids=range(5),
)
async def test_a_server_starts_whatever_its_list_of_groups_is(
    tmp_path: Path, document: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path / "events.db") as client:
        await client.create_subscription("g", "s")
        await add(client, CONFIG, event(document, type="$PersistentConfig"))
    async with served(tmp_path / "events.db") as client:
        await add(client, "s", event())
        await client.create_subscription("new", "s")
        assert len(await consumed(client, "new", "s", 1)) == 1
    assert any("list of groups" in record.message for record in caplog.records if record.levelno == logging.ERROR)


async def test_nested_correlations_hold_up_nobody(tmp_path: Path) -> None:
    def nested() -> NewEvent:
        return event(metadata=b'{"$correlationId":' + NESTED)

    settings = SubscriptionSettings(strategy=ConsumerStrategy.PINNED_BY_CORRELATION)
    async with served(tmp_path / "events.db") as client:
        await add(client, "s", event(), nested(), event())
        await client.create_subscription("g", "s", settings=settings)
        assert [found.stream_position for found in await consumed(client, "g", "s", 3)] == [0, 1, 2]
        await add(client, "s", nested(), event())
        assert [found.stream_position for found in await consumed(client, "g", "s", 2)] == [3, 4]
    async with served(tmp_path / "events.db") as client:
        await client.create_subscription("again", "s", settings=settings)
        assert len(await consumed(client, "again", "s", 5)) == 5


@pytest.mark.parametrize("number", [b"9" * 5000, b"0" * 5000 + b"1", b"-" + b"9" * 19, b"9" * 19, b"", b"\xff"])
async def test_links_with_strange_numbers_are_shown(tmp_path: Path, number: bytes) -> None:
    async with served(tmp_path / "events.db") as client:
        await add(client, "src", event(), event())
        await add(
            client, "links", event(number + b"@src", type="$>", json=False), event(b"1@src", type="$>", json=False)
        )
        found = [item async for item in client.read_stream_events("links", resolve_links=True)]
        assert [item.link is not None for item in found][-1:] == [True]
        every = [item async for item in client.read_all_events(resolve_links=True, filter_exclude=())]
        assert len(every) >= 3
        await client.create_subscription("g", "links", settings=SubscriptionSettings(resolve_links=True))
        assert (await consumed(client, "g", "links", len(found)))[-1].link is not None


async def test_metadata_that_only_a_lenient_reader_takes_is_read_in_no_time(tmp_path: Path) -> None:
    slow = b"{'a':[" + b"1," * 400_000 + b"1]}"
    async with served(tmp_path / "events.db") as client:
        for number in range(20):
            await add(client, f"s{number}", event())
            await add(client, f"$$s{number}", event(slow, type="$metadata"))
        links = [event(f"0@s{number}".encode(), type="$>", json=False) for number in range(20)]
        await add(client, "links", *links)
        began = time.process_time()
        assert len([item async for item in client.read_stream_events("links", resolve_links=True)]) == 20
        assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "content", [NESTED, b'"C:9999999999999999999/P:1"', b"9" * 5000, b'"999"', b"{}"], ids=range(5)
)
async def test_a_checkpoint_that_is_none_is_told_of(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path / "events.db") as client:
        await add(client, "s", event(), event())
        await client.create_subscription("g", "s", settings=SETTINGS)
        await consumed(client, "g", "s", 2)
        await add(client, "$persistentsubscription-s::g-checkpoint", event(content, type="$SubscriptionCheckpoint"))
    async with served(tmp_path / "events.db") as client:
        assert len(await consumed(client, "g", "s", 2)) == 2
    assert any("checkpoints" in record.message and "'s::g'" in record.message for record in caplog.records)


async def test_names_do_not_write_lines_into_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    group = "x\n2026-01-01 CRITICAL root: pwned \x1b]0;"
    async with served(tmp_path / "events.db") as client:
        await add(client, "s", event())
        await client.create_subscription(group, "s")
        await add(client, f"$persistentsubscription-s::{group}-checkpoint", event(b"x"))
    async with served(tmp_path / "events.db") as client:
        await consumed(client, group, "s", 1)
    own = [record.getMessage() for record in caplog.records if record.name.startswith("esdb_lite")]
    assert any("pwned" in line for line in own)
    assert not any("\n" in line or "\x1b" in line for line in own)


# --- regular expressions ---

EVIL = "^(a+)+$"
VICTIM = "a" * 40 + "!"
REFERENCE = r"(?<=order-)\d$"
"""Nothing but `re` can match it, and that only within limits."""


async def within(seconds: float, client: AsyncEsdbClient) -> None:
    """Another client's append and read are answered in time."""
    began = own_time()
    await add(client, "other", event())
    assert own_time() - began < seconds


async def test_an_evil_expression_holds_up_nobody(tmp_path: Path) -> None:
    async with served(tmp_path / "events.db") as client:
        await add(client, VICTIM, event())
        by_name = Filter.by_stream_name(regex=EVIL)
        assert [item async for item in client.read_all_events(filter=by_name)] == []
        async with await client.subscribe_all_events(filter=by_name) as subscription:
            await add(client, VICTIM, event())
            await within(2, client)
            await add(client, "aaa", event())
            async for found in subscription:
                assert found.stream_name == "aaa"
                break
        await within(2, client)


async def test_an_evil_expression_in_a_group_holds_up_neither_start_nor_stop(tmp_path: Path) -> None:
    for _ in range(2):
        async with served(tmp_path / "events.db") as client:
            await add(client, VICTIM, event())
            if not _:
                await client.create_subscription("evil", filter=Filter.by_stream_name(regex=EVIL))
            await add(client, "aaa", event())
            assert (await consumed(client, "evil", None, 1))[0].stream_name == "aaa"
            await within(2, client)


class Told(logging.Handler):
    """Waits for a line in the log."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.happened = asyncio.Event()
        self._part = part

    def emit(self, record: logging.LogRecord) -> None:
        if self._part in record.getMessage():
            self.happened.set()


@pytest.fixture
def told() -> Iterator[Told]:
    handler = Told("'$all::slow' has stopped")
    logging.getLogger("esdb_lite.server").addHandler(handler)
    yield handler
    logging.getLogger("esdb_lite.server").removeHandler(handler)


async def test_an_expression_that_takes_too_long_is_named(tmp_path: Path, told: Told) -> None:
    slow = Filter.by_stream_name(regex=REFERENCE)
    async with served(tmp_path / "events.db") as client:
        await client.create_subscription("slow", filter=slow)
        async with await client.subscribe_all_events(filter=slow) as subscription:
            await add(client, "order-1" * 500 + "!", event())
            with pytest.raises(InvalidRequest, match=r"takes too long.*order"):
                async for _ in subscription:
                    pass
        with pytest.raises(InvalidRequest, match=r"takes too long.*order"):
            _ = [item async for item in client.read_all_events(filter=slow)]
        await within(2, client)
        await asyncio.wait_for(told.happened.wait(), 10)
    async with served(tmp_path / "events.db") as client:
        await within(2, client)


async def test_a_stored_expression_that_cannot_be_used_leaves_out_its_group(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = rb'{"context":"streamid","type":"regex","data":"(a+)+\\1$"}'
    document = b'{"entries":[{"stream":"$all","group":"bad","filter":' + bad + b'},{"stream":"s","group":"good"}]}'
    async with served(tmp_path / "events.db") as client:
        await add(client, "s", event())
        await add(client, CONFIG, event(document, type="$PersistentConfig"))
    async with served(tmp_path / "events.db") as client:
        assert [group.group_name for group in await client.list_subscriptions()] == ["good"]
        assert len(await consumed(client, "good", "s", 1)) == 1
    assert any("'$all::bad' is left out" in record.getMessage() for record in caplog.records)
