"""What the system projections write is there for everything else: reads, groups, access, files, clusters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from esdb_lite import (
    AccessDenied,
    AsyncEsdbClient,
    EmbeddedServer,
    EsdbClient,
    NewEvent,
    ProjectionFailed,
    ProjectionStatus,
    SimulatedCluster,
    StreamNotFound,
    SubscriptionSettings,
)
from esdb_lite.server.database.maintenance import backup, scavenge, verify
from tests.contract.faces import take
from tests.support import ServeProcess

RUNNING: dict[str, Any] = {"run_projections": "system", "start_standard_projections": True}


def event() -> NewEvent:
    return NewEvent("OrderPlaced", b"{}")


@pytest.fixture
async def client() -> AsyncIterator[AsyncEsdbClient]:
    async with EmbeddedServer(**RUNNING) as server, AsyncEsdbClient(server.uri) as connected:
        yield connected


async def append(client: AsyncEsdbClient, stream: str, *events: NewEvent) -> None:
    """Append, and wait until all five have seen it."""
    appended = await client.append_events(stream, -2, list(events) or [event()])
    await caught_up(client, appended.commit_position)


async def caught_up(client: AsyncEsdbClient, position: int | None = None) -> None:
    for info in await client.list_projections():
        await client.wait_for_projection(info.name, position, timeout=20)


async def read(client: AsyncEsdbClient, stream: str, *, resolve_links: bool = False) -> list[tuple[str, int]]:
    events = client.read_stream_events(stream, resolve_links=resolve_links)
    return [(event.stream_name, event.stream_position) async for event in events]


async def links(client: AsyncEsdbClient, stream: str) -> list[str]:
    return [event.data.decode() async for event in client.read_stream_events(stream)]


async def test_subscriptions(client: AsyncEsdbClient) -> None:
    async with await client.subscribe_stream_events("$ce-order", resolve_links=True) as subscription:
        for stream in ("order-1", "order-2", "order-1"):
            await client.append_events(stream, -2, event())
        found = await take(subscription, 3)
    assert [(event.stream_name, event.stream_position) for event in found] == [
        ("order-1", 0), ("order-2", 0), ("order-1", 1),
    ]  # fmt: skip
    assert [event.link.stream_position for event in found] == [0, 1, 2]


async def test_groups(client: AsyncEsdbClient) -> None:
    await client.create_subscription("readers", "$et-OrderPlaced", settings=SubscriptionSettings(resolve_links=True))
    for number in range(3):
        await client.append_events(f"order-{number}", -2, event())
    async with await client.read_subscription("readers", "$et-OrderPlaced") as subscription:
        found = await take(subscription, 3)
        for each in found:
            await subscription.ack(each)
    assert sorted(each.stream_name for each in found) == ["order-0", "order-1", "order-2"]


async def test_what_was_deleted_does_not_resolve(client: AsyncEsdbClient) -> None:
    await append(client, "order-1")
    await append(client, "order-2")
    await client.delete_stream("order-1")
    await caught_up(client)
    assert await links(client, "$ce-order") == ["0@order-1", "0@order-2", "0@$$order-1"]
    assert (await read(client, "$ce-order", resolve_links=True))[1] == ("order-2", 0)


async def test_everybody_may_read_what_is_indexed(tmp_path: Path) -> None:
    pytest.importorskip("trustme", reason="trustme is not installed")
    async with (
        EmbeddedServer(dev_certificate=tmp_path, **RUNNING) as server,
        AsyncEsdbClient(server.uri, credentials=("admin", "changeit")) as admin,
    ):
        await admin.create_user("user", "pw")
        await append(admin, "order-1")
        await append(admin, "secret-1")
        await admin.set_stream_metadata("secret-1", {"$acl": {"$r": "admin"}})
        async with AsyncEsdbClient(server.uri, credentials=("user", "pw")) as user:
            assert await read(user, "$ce-order", resolve_links=True) == [("order-1", 0)]
            assert await links(user, "$ce-secret") == ["0@secret-1"]
            assert await links(user, "$streams")
            for stream in ("$projections-$all", "$projections-$by_category", "secret-1"):
                with pytest.raises(AccessDenied):
                    await read(user, stream)
            with pytest.raises(AccessDenied):
                await user.append_events("$ce-order", -2, event())
            with pytest.raises(AccessDenied):
                await user.disable_projection("$by_category")
            assert (await user.get_projection("$by_category")).is_running


async def test_scavenges(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with EmbeddedServer(path, **RUNNING) as server, AsyncEsdbClient(server.uri) as client:
        for _ in range(3):
            await append(client, "order-1")
        await client.reset_projection("$by_category")
        await caught_up(client)
    removed = scavenge(str(path)).removed
    assert removed >= 3
    assert verify(str(path)) == []
    async with EmbeddedServer(path, **RUNNING) as server, AsyncEsdbClient(server.uri) as client:
        await append(client, "order-1")
        await caught_up(client)
        assert await links(client, "$ce-order") == [f"{number}@order-1" for number in range(4)]
        assert [number for _, number in await read(client, "$ce-order")] == [3, 4, 5, 6]


async def test_backups_go_on_where_they_were_made(tmp_path: Path) -> None:
    path, copy = tmp_path / "events.db", tmp_path / "copy.db"
    async with EmbeddedServer(path, **RUNNING) as server, AsyncEsdbClient(server.uri) as client:
        await append(client, "order-1")
        backup(str(path), str(copy))
        await append(client, "order-1")
    async with EmbeddedServer(copy, **RUNNING) as server, AsyncEsdbClient(server.uri) as client:
        await append(client, "order-2")
        assert await links(client, "$ce-order") == ["0@order-1", "0@order-2"]


async def test_a_server_that_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with EmbeddedServer(path, **RUNNING) as server, AsyncEsdbClient(server.uri) as client:
        await append(client, "order-1")
        await client.disable_projection("$streams")
    async with EmbeddedServer(path) as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("order-2", -2, event())
    async with EmbeddedServer(path, run_projections="system") as server, AsyncEsdbClient(server.uri) as client:
        assert (await client.get_projection("$streams")).status is ProjectionStatus.STOPPED
        await client.wait_for_projection("$by_category", timeout=20)
        assert await links(client, "$ce-order") == ["0@order-1", "0@order-2"]
        assert await links(client, "$streams") == ["0@order-1"]


async def test_the_leader_runs_them() -> None:
    async with SimulatedCluster(**RUNNING) as cluster, AsyncEsdbClient(cluster.uri) as client:
        await append(client, "order-1")
        await cluster.elect_async(1)
        await append(client, "order-2")
        await cluster.kill_async(1)
        await cluster.elect_async(2)
        await append(client, "order-3")
        assert await links(client, "$ce-order") == ["0@order-1", "0@order-2", "0@order-3"]
        async with AsyncEsdbClient(cluster.nodes[0].uri) as follower:
            with pytest.raises(ProjectionFailed):
                await follower.restart_projections()


async def test_a_stream_that_somebody_else_writes_to(client: AsyncEsdbClient) -> None:
    await client.append_events("$ce-order", -2, event())
    await client.append_events("order-1", -2, event())
    with pytest.raises(ProjectionFailed, match="written to from the outside"):
        await client.wait_for_projection("$by_category", timeout=20)
    info = await client.get_projection("$by_category")
    assert (info.status_text, info.fault is not None) == ("Faulted (Enabled)", True)
    await client.wait_for_projection("$by_event_type", timeout=20)
    await client.delete_stream("$ce-order")
    await client.enable_projection("$by_category")
    await client.wait_for_projection("$by_category", timeout=20)
    assert await links(client, "$ce-order") == ["0@order-1"]


async def test_not_started_they_write_nothing() -> None:
    async with EmbeddedServer(run_projections="system") as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("order-1", -2, event())
        with pytest.raises(StreamNotFound):
            await read(client, "$ce-order")


def test_serve_logs_a_fault_once(serve: Callable[..., ServeProcess]) -> None:
    process = serve("--run-projections", "system", "--start-standard-projections")
    with EsdbClient(process.uri) as client:
        client.update_projection("$by_category", "nonsense")
        for _ in range(3):
            with pytest.raises(ProjectionFailed):
                client.wait_for_projection("$by_category", timeout=20)
    log = process.stop().err
    assert log.count("projection '$by_category' has faulted") == 1
