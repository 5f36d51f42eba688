"""A database that was begun anew, or restored, under a subscription or a checkpoint: said, and not slept through."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    Checkpoint,
    CheckpointMismatch,
    FileCheckpoint,
    Filter,
    InvalidArgument,
    NewEvent,
    Reconnected,
    RecordedEvent,
    StreamMetadata,
    StreamPosition,
    WrongArgumentType,
)
from esdb_lite.positions import LARGEST
from tests.healing.conftest import Links


def events(count: int, type: str = "T") -> list[NewEvent]:
    return [NewEvent(type, b"") for _ in range(count)]


async def subscribed(client: AsyncEsdbClient, to: str, **options: Any) -> Any:
    if to == "stream":
        return await client.subscribe_stream_events("s", **options)
    chosen = Filter.by_stream_name(prefixes=["s"], checkpoint_interval=1) if to == "filtered" else None
    return await client.subscribe_all_events(filter=chosen, **options)


@pytest.mark.parametrize("to", ["stream", "all", "filtered"])
@pytest.mark.parametrize("after", [0, 5, 60], ids=lambda count: f"then {count} events")
async def test_a_subscription_ends_when_its_database_is_begun_anew(links: Links, to: str, after: int) -> None:
    """Whether the new log is shorter, or has grown past the place already."""
    with links.server() as server:
        async with links.client(server.uri) as client:
            await client.append_events("s", None, events(20))
            subscription = await subscribed(client, to)
            while (await subscription.__anext__()).stream_position != 19:
                pass
            server.restart()
            if after:
                await client.append_events("s", None, events(after))
            with pytest.raises(CheckpointMismatch, match="is not from this database"):
                await asyncio.wait_for(subscription.__anext__(), 10)


@pytest.mark.parametrize("to", ["stream", "all"])
async def test_a_subscription_that_begins_at_the_end_knows_where_that_was(links: Links, to: str) -> None:
    with links.server() as server:
        async with links.client(server.uri) as client:
            await client.append_events("s", None, events(20))
            subscription = await subscribed(client, to, from_end=True)
            server.restart()
            with pytest.raises(CheckpointMismatch):
                await asyncio.wait_for(subscription.__anext__(), 10)


@pytest.mark.parametrize("to", ["stream", "all", "filtered"])
async def test_a_subscription_goes_on_in_the_same_database(links: Links, tmp_path: Path, to: str) -> None:
    with links.server(tmp_path / "events.db") as server:
        async with links.client(server.uri) as client:
            await client.append_events("s", None, events(20))
            subscription = await subscribed(client, to)
            while (await subscription.__anext__()).stream_position != 19:
                pass
            server.restart()
            await client.append_events("s", 19, events(1))
            assert (await asyncio.wait_for(subscription.__anext__(), 10)).stream_position == 20


async def test_what_cannot_be_seen_any_more_is_no_other_database(links: Links, tmp_path: Path) -> None:
    """The last event was truncated, then the stream deleted: its numbers go on."""
    with links.server(tmp_path / "events.db") as server:
        async with links.client(server.uri) as client:
            await client.append_events("s", None, events(3))
            subscription = await client.subscribe_stream_events("s")
            while (await subscription.__anext__()).stream_position != 2:
                pass
            await client.set_stream_metadata("s", StreamMetadata(truncate_before=3))
            server.restart()
            await client.append_events("s", 2, events(1))
            assert (await asyncio.wait_for(subscription.__anext__(), 10)).stream_position == 3
            await client.delete_stream("s")
            server.restart()
            await client.append_events("s", -2, events(1))
            assert (await asyncio.wait_for(subscription.__anext__(), 10)).stream_position == 4


async def test_no_leader_is_needed_to_go_on_elsewhere(links: Links) -> None:
    """Followers serve reads while there is none; only what is missing there is asked of a leader."""
    async with links.cluster() as cluster:
        uri = f"{cluster.uri}&nodePreference=follower"
        async with links.client(uri) as client:
            await client.append_events("s", None, events(3))
            subscription = await client.subscribe_stream_events("s", include_control=True)
            while getattr(await subscription.__anext__(), "stream_position", None) != 2:
                pass
            await cluster.kill_async(0)
            for node in cluster.nodes[1:]:
                node.faults.drop_connections()
            while not isinstance(await asyncio.wait_for(subscription.__anext__(), 10), Reconnected):
                pass
            await subscription.close()


async def handled(client: AsyncEsdbClient, checkpoint: Any, **options: Any) -> list[int]:
    """Consume what there is, and return its positions in the stream."""
    seen: list[int] = []

    async def handle(event: RecordedEvent) -> None:
        seen.append(event.stream_position)
        if event.stream_position == await client.get_stream_position("s"):
            consumer.stop()

    consumer = client.consumer(handle, checkpoint=checkpoint, **options)
    await asyncio.wait_for(consumer.run(), 10)
    return seen


@pytest.mark.parametrize("options", [{}, {"stream_name": "s"}], ids=["all", "stream"])
@pytest.mark.parametrize("count", [0, 3, 40])
async def test_a_checkpoint_from_another_database(
    links: Links, tmp_path: Path, options: dict[str, str], count: int
) -> None:
    checkpoint = FileCheckpoint(tmp_path / "checkpoint")
    async with links.server() as server, links.client(server.uri) as client:
        await client.append_events("s", None, events(20))
        assert await handled(client, checkpoint, **options) == list(range(20))
    async with links.server() as server, links.client(server.uri) as client:
        if count:
            await client.append_events("s", None, events(count))
        with pytest.raises(CheckpointMismatch, match="is not from this database"):
            await handled(client, checkpoint, **options)


@pytest.mark.parametrize("options", [{}, {"stream_name": "s"}], ids=["all", "stream"])
async def test_who_waits_for_a_consumer_that_was_at_another_database(
    links: Links, tmp_path: Path, options: dict[str, str]
) -> None:
    """Its position there is behind what is written here, and does not mean that it has handled that."""
    checkpoint = FileCheckpoint(tmp_path / "checkpoint")

    async def nothing(event: RecordedEvent) -> None:
        raise AssertionError("it does not begin")

    async with links.server() as server, links.client(server.uri) as client:
        await client.append_events("s", None, events(20))
        await handled(client, checkpoint, **options)
    async with links.server() as server, links.client(server.uri) as client:
        result = await client.append_events("s", None, events(3))
        consumer = client.consumer(nothing, checkpoint=checkpoint, **options)  # type: ignore[call-overload]
        with pytest.raises(CheckpointMismatch):
            await asyncio.wait_for(consumer.run(), 10)
        with pytest.raises(CheckpointMismatch):
            await consumer.wait_for(result, timeout=10)


@pytest.mark.parametrize("options", [{}, {"stream_name": "s"}], ids=["all", "stream"])
async def test_a_bare_position_beyond_the_end(links: Links, options: dict[str, str]) -> None:
    """Also of a store that keeps nothing but numbers."""
    stored = 1000 if options else Checkpoint(10**6, 10**6)
    async with links.server() as server, links.client(server.uri) as client:
        await client.append_events("s", None, events(20))
        with pytest.raises(CheckpointMismatch):
            await handled(client, (lambda: stored, lambda position: None), **options)


async def fill(client: AsyncEsdbClient) -> None:
    """The same in any database: the same places are beginnings of events then, which have other ids."""
    await client.append_events("s", None, events(3))
    await client.append_events("other", None, events(5))


OF_S = Filter.by_stream_name(prefixes=["s"], window=1, checkpoint_interval=1)


async def test_a_checkpoint_of_a_server_knows_the_event_before_it(links: Links, tmp_path: Path) -> None:
    """That of a consumer with a filter, which it has passed on to where an event of the new database begins."""
    checkpoint = FileCheckpoint(tmp_path / "checkpoint")

    async def run() -> Checkpoint:
        consumer = client.consumer(handle, checkpoint=checkpoint, filter=OF_S)
        await asyncio.wait_for(consumer.run(until_caught_up=True), 10)
        assert isinstance(consumer.progress.stored, Checkpoint)
        return consumer.progress.stored

    async def handle(event: RecordedEvent) -> None:
        seen.append(event)

    seen: list[RecordedEvent] = []
    async with links.server() as server, links.client(server.uri) as client:
        await fill(client)
        stored = await run()
        last = seen[-1].checkpoint
        assert last is not None
        assert stored.commit_position > last.commit_position
        assert (stored.event_id, stored.event_position) == (seen[-1].id, last.commit_position)
        await client.append_events("other", 4, events(5))
        again = await run()  # nothing has come meanwhile that it would have seen
        assert again.commit_position > stored.commit_position
        assert (again.event_id, again.event_position) == (stored.event_id, stored.event_position)
        await client.append_events("s", 2, events(1))
        await run()
        assert [event.stream_position for event in seen] == [0, 1, 2, 3]
    async with links.server() as server, links.client(server.uri) as client:
        await fill(client)
        await client.append_events("other", 4, events(5))
        await client.append_events("s", 2, events(1))
        await client.append_events("other", 9, events(5))
        with pytest.raises(CheckpointMismatch, match="another event is there"):
            await run()
        subscription = await client.subscribe_all_events(filter=OF_S, include_control=True)
        item = await first_behind(subscription)
        token = Checkpoint.from_token(item.token)
        assert (token.token, token.event_position) == (item.token, item.event_position)
        subscription = await client.subscribe_all_events(token, filter=OF_S)
        await subscription.close()
    async with links.server() as server, links.client(server.uri) as client:
        await fill(client)
        await client.append_events("other", 4, events(25))
        with pytest.raises(CheckpointMismatch, match="another event is there"):
            await client.subscribe_all_events(token, filter=OF_S)


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_subscription_that_has_passed_its_last_event_knows_it(links: Links, resumed: bool) -> None:
    """Also where it was resumed from a checkpoint, and has seen no event itself."""
    with links.server() as server:
        async with links.client(server.uri) as client:
            await fill(client)
            subscription = await client.subscribe_all_events(filter=OF_S, include_control=True)
            place = await first_behind(subscription)
            if resumed:
                await client.append_events("other", 4, events(1))
                subscription = await client.subscribe_all_events(place, filter=OF_S, include_control=True)
                await first_behind(subscription)
            server.restart()
            await fill(client)
            await client.append_events("other", 4, events(1))
            with pytest.raises(CheckpointMismatch, match="another event is there"):
                await asyncio.wait_for(to_the_end(subscription), 10)


async def to_the_end(subscription: Any) -> None:
    async for _ in subscription:
        pass


async def first_behind(subscription: Any) -> Checkpoint:
    """The first place that is behind the last event."""
    while True:
        item = await asyncio.wait_for(subscription.__anext__(), 10)
        if isinstance(item, Checkpoint) and item.event_position is not None:
            return item


async def test_a_token_resumes_after_its_event(links: Links) -> None:
    async with links.server() as server, links.client(server.uri) as client:
        await client.append_events("s", None, events(5))
        found = [event async for event in client.read_all_events()]
        place = found[2].checkpoint
        assert place is not None
        again = Checkpoint.from_token(place.token)
        assert (again, again.event_id) == (place, found[2].id)
        subscription = await client.subscribe_all_events(again)
        assert (await subscription.__anext__()).stream_position == 3
        other = Checkpoint(place.commit_position, place.prepare_position, event_id=uuid4())
        with pytest.raises(CheckpointMismatch, match="another event is there"):
            await client.subscribe_all_events(other)
        with pytest.raises(CheckpointMismatch, match="another event is there"):
            await client.subscribe_stream_events("s", StreamPosition(2, uuid4()))


def test_tokens() -> None:
    id = UUID("0123456789abcdef0123456789abcdef")
    assert Checkpoint(17, 0).token == "C:17/P:0"
    assert Checkpoint(17, 17, event_id=id).token == "C:17/P:17@01234567-89ab-cdef-0123-456789abcdef"
    long = Checkpoint(LARGEST, LARGEST, event_id=id, event_position=LARGEST)
    assert len(long.token) == 100  # tables have room for that
    again = Checkpoint.from_token(long.token)
    assert (again, again.event_id, again.event_position) == (long, id, LARGEST)
    for wrong in (
        "17",
        "C:17/P:17@",
        "C:-1/P:0",
        "C:17",
        f"C:{2**63}/P:0",
        "C:17/P:17@0123",
        f"C:1/P:1@{id}:",
        f"C:1/P:1@{id}:{2**63}",
    ):
        with pytest.raises(InvalidArgument, match="token"):
            Checkpoint.from_token(wrong)
    with pytest.raises(WrongArgumentType):
        Checkpoint.from_token(17)  # type: ignore[arg-type]
