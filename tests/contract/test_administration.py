"""What a server is and how it does, running it, and what there is on it."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from uuid import uuid4

import pytest
from esdb_lite_protos.tags import PATH_DIRECTORY_LIST

from esdb_lite import (
    AsyncEsdbClient,
    ClusterNode,
    DefaultAccess,
    EmbeddedServer,
    GrpcError,
    InvalidArgument,
    NewEvent,
    NodeRole,
    ScanProgress,
    ScavengeState,
    StreamAcl,
    WrongArgumentType,
)
from tests.contract.faces import take

REAL = "ESDB_URI" in os.environ


async def test_what_the_server_is(client: Any, uri: str) -> None:
    info = await client.server_info()
    assert info.version[0].isdigit()
    assert info.has("event_store.client.streams.Streams/Read")
    assert not info.has("event_store.client.streams.Streams/Write")
    assert info.address in uri


async def test_gossip(client: Any) -> None:
    (node,) = await client.read_gossip()
    assert isinstance(node, ClusterNode)
    assert node.is_leader
    assert node.role is NodeRole.LEADER
    assert node.instance_id is not None
    assert (await client.read_gossip())[0].instance_id == node.instance_id


async def test_a_ping_takes_time(client: Any) -> None:
    assert 0 < await client.ping() < 20


async def test_statistics(client: Any) -> None:
    statistics = await client.read_statistics()
    assert int(statistics["proc-id"]) > 0
    feed = await client.subscribe_statistics(0.01)
    assert [set(each) >= {"proc-id", "proc-mem"} for each in await take(feed, 3)] == [True] * 3
    await feed.close()
    assert list(await feed.next_batch()) == []


async def test_statistics_that_nobody_waits_for_any_longer(uri: str) -> None:
    async with AsyncEsdbClient(uri) as client:
        feed = await client.subscribe_statistics(3600)
        await take(feed, 1)
        waiting = asyncio.ensure_future(feed.next_batch())
        await asyncio.sleep(0)
        await feed.close()
        assert list(await asyncio.wait_for(waiting, 20)) == []


async def test_a_scavenge(client: Any) -> None:
    started = await client.start_scavenge(thread_count=2)
    assert started.state is ScavengeState.STARTED
    again = await client.start_scavenge()
    assert again.state in (ScavengeState.IN_PROGRESS, ScavengeState.STARTED)
    with pytest.raises(GrpcError) as caught:
        await client.stop_scavenge(str(uuid4()))
    assert caught.value.code.name == "NOT_FOUND"


async def test_what_an_operator_asks_for(client: Any) -> None:
    await client.merge_indexes()
    await client.set_node_priority(3)
    await client.resign_leader()
    assert (await client.read_gossip())[0].role is not None


@pytest.mark.skipif(REAL, reason="others use the server")
async def test_shutting_down() -> None:
    server = EmbeddedServer()
    async with server, AsyncEsdbClient(server.uri) as client:
        await client.shutdown_server()
        await asyncio.wait_for(server.wait_stopped(), 20)


async def test_default_access(client: Any) -> None:
    before = await client.get_default_access()
    access = DefaultAccess(StreamAcl(read=("$all", "team"), delete=()), StreamAcl(read="$ops"))
    await client.set_default_access(access)
    assert await client.get_default_access() == access
    await client.set_default_access(before)
    assert await client.get_default_access() == before


async def test_names(client: Any) -> None:
    """Streams that can be read, of a category of this test alone."""
    kind = f"k{uuid4().hex}"
    for stream in (f"{kind}-b", f"{kind}-a", kind, f"{kind}x-1", f"{kind}-gone", f"{kind}-never"):
        await client.append_events(stream, None, [NewEvent(f"{kind}-{stream[-1]}", b"") for _ in range(2)])
    await client.delete_stream(f"{kind}-gone")
    await client.tombstone_stream(f"{kind}-never")
    left = [kind, f"{kind}-a", f"{kind}-b", f"{kind}x-1"]
    assert [name for name in await client.list_streams(kind) if name[-4:] not in ("gone", "ever")] == left
    assert await client.list_categories(kind) == [kind, f"{kind}x"]
    assert await client.list_categories(f"{kind}-") == []
    assert set(await client.list_event_types(f"{kind}-")) >= {f"{kind}-a", f"{kind}-b", f"{kind}-1"}
    assert len(await client.list_streams(kind, limit=2)) == 2
    assert await client.list_streams(f"{kind}y") == await client.list_streams(kind, limit=0) == []


async def test_names_of_the_servers_own(client: Any, stream: str) -> None:
    await client.append_events(stream, None, NewEvent("T", b""))
    everything = await client.list_streams()
    assert stream in everything
    assert not [name for name in everything if name.startswith("$")]
    assert not [name for name in await client.list_event_types() if name.startswith("$")]
    own = await client.list_streams("$")
    assert own
    assert all(name.startswith("$") for name in own)


@pytest.mark.skipif(REAL, reason="what is there is known")
async def test_lists_of_an_embedded_server(client: Any) -> None:
    """More than a page, with many to be left out in between."""
    streams = [f"{kind}-{number}" for kind in ("a", "b", "b!", "c") for number in range(300)]
    for stream in (*streams, "b", "!"):
        await client.append_events(stream, None, NewEvent("T", b""))
    await client.delete_stream("a-7")
    assert await client.list_streams() == sorted({*streams, "b", "!"} - {"a-7"})
    assert await client.list_categories() == ["!", "a", "b", "b!", "c"]
    assert await client.list_event_types() == ["T"]
    assert await client.list_streams("b-", limit=2) == ["b-0", "b-1"]


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda client: client.list_streams(limit=-1), "limit"),
        (lambda client: client.list_streams(3), "prefix"),
        (lambda client: client.list_event_types(progress=3), "progress"),
        (lambda client: client.subscribe_statistics(0), "interval"),
        (lambda client: client.start_scavenge(thread_count=0), "thread_count"),
        (lambda client: client.stop_scavenge(""), "scavenge_id"),
        (lambda client: client.set_node_priority("x"), "priority"),
        (lambda client: client.set_default_access({}), "access"),
    ],
)
async def test_wrong_arguments(client: Any, call: Any, argument: str) -> None:
    with pytest.raises((InvalidArgument, WrongArgumentType)) as caught:
        await call(client)
    assert caught.value.argument == argument


@pytest.mark.skipif(REAL, reason="it plays a real server")
@pytest.mark.parametrize("projections", ["none", "system"])
async def test_lists_of_a_real_server(projections: Any) -> None:
    """It has no call for them: names come from the links of a projection, or from all events."""
    told: list[ScanProgress] = []
    async with EmbeddedServer(
        run_projections=projections, start_standard_projections=projections == "system"
    ) as server:
        assert server._node is not None
        server._node._server._routes = {
            path: route for path, route in server._node._server._routes.items() if path != PATH_DIRECTORY_LIST
        }
        async with AsyncEsdbClient(server.uri) as client:
            for number in range(4):
                events = [NewEvent(f"T{number}", b"{}") for _ in range(600)]
                await client.append_events(f"s-{number}", None, events)
            last = await client.append_events("other", None, NewEvent("Other", b"{}"))
            if projections == "system":
                await client.wait_for_projection("$streams", last, timeout=20)
            assert await client.list_streams(progress=told.append) == ["other", *(f"s-{n}" for n in range(4))]
            assert await client.list_streams("s-", limit=1) == ["s-0"]
            assert await client.list_categories() == ["other", "s"]
            assert bool(told) == (projections == "none")
            assert await client.list_event_types("T", progress=told.append) == [f"T{n}" for n in range(4)]
            assert "$metadata" in await client.list_event_types("$")
    assert told[-1].events == 2000
    assert 0 < told[0].percent < told[-1].percent <= 100
