"""A cluster whose nodes come, go and take turns: discovery, failover, and what stays open."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from esdb_lite import (
    CaughtUp,
    DiscoveryFailed,
    EsdbClientException,
    NewEvent,
    NotLeader,
    Reconnected,
    RecordedEvent,
    RetryPolicy,
    ServiceUnavailable,
    SimulatedCluster,
    SimulatedNode,
    StreamState,
)
from tests.contract.faces import drain, take
from tests.healing.conftest import Connect, discovering


def new(count: int, start: int = 0) -> list[NewEvent]:
    return [NewEvent("T", b"%d" % number) for number in range(start, start + count)]


def numbers(events: list[RecordedEvent]) -> list[int]:
    return [int(event.data) for event in events]


def address(node: SimulatedNode) -> str:
    return f"{node.host}:{node.port}"


async def until_resumed(subscription: object) -> Reconnected:
    """The next note that a subscription was resumed; events before it are of no interest."""
    while True:
        item = await asyncio.wait_for(subscription.__anext__(), 20)  # type: ignore[attr-defined]
        if isinstance(item, Reconnected):
            return item


# --- finding a node -------------------------------------------------------------------------------------------------


async def test_the_leader_is_found_from_any_seed(connect: Connect, cluster: SimulatedCluster) -> None:
    await cluster.elect_async(2)
    for seed in cluster.nodes:
        client = await connect(discovering(seed.uri))
        position = await client.get_stream_position("s")
        await client.append_events("s", position, new(1, 0 if position is None else position + 1))
    assert numbers(await drain(client.read_stream_events("s"))) == [0, 1, 2]


async def test_seeds_that_are_gone_or_frozen_are_no_hindrance(connect: Connect, cluster: SimulatedCluster) -> None:
    await cluster.elect_async(2)
    await cluster.kill_async(0)
    await cluster.freeze_async(1)
    client = await connect(cluster.uri)
    await client.append_events("s", None, new(1))
    assert numbers(await drain(client.read_all_events())) == [0]


async def test_a_name_stands_for_all_its_addresses(connect: Connect, cluster: SimulatedCluster) -> None:
    client = await connect(discovering(cluster.nodes[0].uri, "kurrentdb").replace("127.0.0.1", "localhost"))
    await client.append_events("s", None, new(1))
    assert numbers(await drain(client.read_all_events())) == [0]


async def test_nobody_there(connect: Connect, cluster: SimulatedCluster) -> None:
    uri = cluster.uri
    await cluster.stop_async()
    client = await connect(f"{uri}&maxDiscoverAttempts=2&discoveryInterval=1")
    with pytest.raises(DiscoveryFailed, match=r"after 2 attempts: .*cannot connect"):
        await client.get_commit_position()


async def test_nobody_who_leads(connect: Connect, cluster: SimulatedCluster) -> None:
    await cluster.kill_async(0)
    client = await connect(f"{cluster.uri}&maxDiscoverAttempts=2&discoveryInterval=1", retry=RetryPolicy(attempts=1))
    with pytest.raises(DiscoveryFailed, match="Follower"):
        await client.append_events("s", None, new(1))


@pytest.mark.parametrize("preference", ["follower", "random", "readonlyreplica", "leader"])
async def test_reads_go_to_the_preferred_node_and_writes_to_the_leader(connect: Connect, preference: str) -> None:
    async with SimulatedCluster(read_only_replicas=1) as cluster:
        client = await connect(f"{cluster.uri}&nodePreference={preference}")
        await client.append_events("s", None, new(3))
        await client.create_subscription("g", "s")
        async with await client.read_subscription("g", "s") as consumer:
            await consumer.ack(await take(consumer, 3))
        assert numbers(await drain(client.read_stream_events("s"))) == [0, 1, 2]
        async with await client.subscribe_all_events(from_end=True, include_control=True) as subscription:
            await client.append_events("s", 2, new(1, 3))
            items = await take(subscription, 2)
            assert numbers([item for item in items if isinstance(item, RecordedEvent)]) == [3]
            served = [node for node in cluster.nodes if _drops(node)]
            resumed = await until_resumed(subscription)
        roles = {address(node): node.role for node in served}
        expected = {"follower": "Follower", "readonlyreplica": "ReadOnlyReplica", "leader": "Leader"}
        if preference in expected:
            assert roles[resumed.from_] == expected[preference]


def _drops(node: SimulatedNode) -> bool:
    node.faults.drop_connections()
    return True


async def test_with_tls_and_users(connect: Connect, tmp_path: Path) -> None:
    async with SimulatedCluster(dev_certificate=tmp_path / "certificates") as cluster:
        client = await connect(cluster.uri, credentials=("admin", "changeit"))
        await client.append_events("s", None, new(1))
        await cluster.elect_async(1)
        await client.append_events("s", 0, new(1, 1))
        assert numbers(await drain(client.read_stream_events("s"))) == [0, 1]


# --- a new leader ---------------------------------------------------------------------------------------------------


async def test_appends_follow_the_leader(connect: Connect, cluster: SimulatedCluster) -> None:
    client = await connect(cluster.uri)
    for number, leader in enumerate((1, 2, 0, 1)):
        await client.append_events("s", StreamState.ANY, new(1, 2 * number))
        await cluster.elect_async(leader, after=0.1)
        await client.append_events("s", 2 * number, new(1, 2 * number + 1))
    assert numbers(await drain(client.read_stream_events("s"))) == list(range(8))


async def test_appends_under_way_when_the_leader_dies(connect: Connect, cluster: SimulatedCluster) -> None:
    client = await connect(cluster.uri)
    await client.append_events("s0", None, new(1))
    with cluster.nodes[0].faults.lose_answers(times=None):
        appending = asyncio.gather(
            *(client.append_events(f"s{number}", StreamState.ANY, new(2, number)) for number in range(1, 30))
        )
        watching = await connect(cluster.nodes[1].uri)
        async with await watching.subscribe_stream_events("s29") as subscription:
            await take(subscription, 2)
    await cluster.kill_async(0)
    await cluster.elect_async(1)
    results = await appending
    assert {result.stream_position for result in results} == {1}
    assert len(await drain(client.read_all_events())) == 59


async def test_a_leader_that_shuts_down_is_left_at_once(connect: Connect, cluster: SimulatedCluster) -> None:
    client = await connect(cluster.uri)
    async with await client.subscribe_all_events(include_control=True, from_end=True) as subscription:
        await client.append_events("s", None, new(1))
        assert numbers([await anext(_events(subscription))]) == [0]
        leaving = asyncio.ensure_future(cluster.shut_down_async(0, reset_after=30.0))
        resumed = until_resumed(subscription)
        try:
            appending = asyncio.ensure_future(client.append_events("s", 0, new(1, 1)))
            await asyncio.sleep(0)
            await cluster.elect_async(2)
            await asyncio.wait_for(appending, 15)
            note = await resumed
            assert note.to == address(cluster.nodes[2])
            assert numbers([await anext(_events(subscription))]) == [1]
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)


async def _events(subscription: object) -> object:
    while True:
        item = await asyncio.wait_for(subscription.__anext__(), 20)  # type: ignore[attr-defined]
        if isinstance(item, RecordedEvent):
            yield item


async def test_a_subscription_moves_to_the_new_leader(connect: Connect, cluster: SimulatedCluster) -> None:
    """It would stay open where it is, without a word."""
    client = await connect(cluster.uri)
    async with await client.subscribe_stream_events("s", include_control=True) as subscription:
        await client.append_events("s", None, new(2))
        items = await take(subscription, 3)
        await cluster.elect_async(1)
        moved = await until_resumed(subscription)
        await client.append_events("s", 1, new(2, 2))
        items += await take(subscription, 3)
    assert (moved.from_, moved.to) == (address(cluster.nodes[0]), address(cluster.nodes[1]))
    assert "leads the cluster now" in moved.reason
    assert numbers([item for item in items if isinstance(item, RecordedEvent)]) == [0, 1, 2, 3]
    assert sum(isinstance(item, CaughtUp) for item in items) == 2


async def test_a_frozen_leader_is_left_when_another_one_leads(connect: Connect, cluster: SimulatedCluster) -> None:
    """Long before its silence is noticed, which takes 20 seconds."""
    client = await connect(cluster.uri)
    async with await client.subscribe_all_events() as subscription:
        await client.append_events("s", None, new(1))
        await cluster.freeze_async(0)
        appending = asyncio.ensure_future(client.append_events("s", 0, new(1, 1)))
        reading = asyncio.ensure_future(client.get_stream_position("s"))
        await asyncio.sleep(0)
        await cluster.elect_async(1)
        assert (await asyncio.wait_for(appending, 15)).stream_position == 1
        assert await asyncio.wait_for(reading, 15) in (0, 1)
        assert numbers(await take(subscription, 2)) == [0, 1]
        await cluster.thaw_async(0)


async def test_consumers_move_to_the_new_leader(connect: Connect, cluster: SimulatedCluster) -> None:
    client = await connect(cluster.uri)
    await client.append_events("s", None, new(3))
    await client.create_subscription("g", "s")
    async with await client.read_subscription("g", "s") as consumer:
        await consumer.ack(await take(consumer, 3))
        await cluster.elect_async(1, after=0.1)
        await client.append_events("s", 2, new(1, 3))
        while (event := (await take(consumer, 1))[0]).stream_position != 3:
            await consumer.ack(event)
        assert consumer.last_drop is not None
        await cluster.kill_async(1)
        await cluster.elect_async(2)
        await client.append_events("s", 3, new(1, 4))
        while (event := (await take(consumer, 1))[0]).stream_position != 4:
            await consumer.ack(event)


async def test_a_read_is_finished_by_another_node(connect: Connect, cluster: SimulatedCluster) -> None:
    client = await connect(cluster.uri)
    await client.append_events("s", None, new(500))
    cluster.nodes[0].faults.drop_after(100)
    read = client.read_stream_events("s")
    events = await take(read, 50)
    await cluster.elect_async(1)
    events += await drain(read)
    assert numbers(events) == list(range(500))


# --- without discovery ----------------------------------------------------------------------------------------------


async def test_one_node_that_was_named_is_kept_to(connect: Connect, cluster: SimulatedCluster) -> None:
    """A follower passes on what it is told; only for groups its word about the leader is followed."""
    follower = cluster.nodes[1]
    client = await connect(follower.uri)
    await client.append_events("s", None, new(1))
    await client.create_subscription("g", "s")
    assert numbers(await drain(client.read_stream_events("s"))) == [0]


async def test_refusals_without_another_try(connect: Connect, cluster: SimulatedCluster) -> None:
    client = await connect(cluster.nodes[1].uri, retry=RetryPolicy(attempts=1))
    with pytest.raises(NotLeader) as refused:
        await client.create_subscription("g", "s")
    assert (refused.value.host, refused.value.port) == (cluster.nodes[0].host, cluster.nodes[0].port)


async def test_a_leader_that_is_named_and_dead(connect: Connect, cluster: SimulatedCluster) -> None:
    await cluster.kill_async(0)
    client = await connect(cluster.nodes[1].uri, retry=RetryPolicy(budget=0.5))
    await client.get_commit_position()
    with pytest.raises((NotLeader, ServiceUnavailable)):
        await client.create_subscription("g", "s")
    await cluster.elect_async(2)
    await client.create_subscription("g", "s")


# --- the rest -------------------------------------------------------------------------------------------------------


async def test_elections_are_on_the_log_without_payloads(
    connect: Connect, cluster: SimulatedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    client = await connect(cluster.uri)
    with caplog.at_level(logging.DEBUG, "esdb_lite"):
        await client.append_events("s", None, NewEvent("T", b"a secret", b"another secret"))
        await cluster.elect_async(1)
        await client.append_events("s", 0, NewEvent("T", b"a secret"))
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert f"talking to {address(cluster.nodes[1])}" in text
    assert "secret" not in text


async def test_closing_a_client_that_searches(connect: Connect, cluster: SimulatedCluster) -> None:
    client = await connect(cluster.uri)
    await client.append_events("s", None, new(1))
    await cluster.kill_async(0)
    appending = asyncio.ensure_future(client.append_events("s", 0, new(1, 1)))
    subscribing = asyncio.ensure_future(client.subscribe_all_events())
    done, _ = await asyncio.wait({appending, subscribing}, timeout=0.2)
    assert not done
    await client.close()
    for failed in await asyncio.gather(appending, subscribing, return_exceptions=True):
        assert isinstance(failed, EsdbClientException)
