"""A simulated cluster: who answers what while leaders come and go, over real connections."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from esdb_lite_protos.event_store.client.gossip import ClusterInfo

from esdb_lite import AppendTooLarge, InvalidArgument, SimulatedCluster
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._wire.append import ANY, encode_append_options, encode_append_proposed
from esdb_lite._wire.framing import frame
from tests.faults.support import (
    FORWARDING,
    GOSSIP,
    GROUPS,
    NOT_LEADER,
    NOT_READY,
    OK,
    OPERATIONS,
    REQUIRED,
    STREAMS,
    Batches,
    append,
    confirmed,
    consume,
    create_group,
    event,
    events_in,
    read,
    silent,
    subscribe,
    until_events,
)
from tests.healing.waiting import until
from tests.serving.raw import Answer, RawClient, connected
from tests.support import PATIENCE


class Shown(NamedTuple):
    """A member as gossip shows it."""

    state: str
    alive: bool


class Cluster:
    """A cluster, and a connection to each of its nodes."""

    def __init__(self, simulated: SimulatedCluster, stack: AsyncExitStack) -> None:
        self.simulated = simulated
        self._stack = stack
        self.clients: list[RawClient] = []

    async def connect(self, n: int) -> RawClient:
        """A new connection to a node."""
        return await self._stack.enter_async_context(connected(self.simulated.nodes[n].port))

    async def gossip(self, n: int) -> list[Shown]:
        """What a node says of all, in the order of `nodes`."""
        answer = await (await self.connect(n)).call(GOSSIP, b"")
        members = ClusterInfo().parse(answer.messages[0]).members
        shown = {member.http_end_point.port: Shown(str(member.state.name), member.is_alive) for member in members}
        return [shown[node.port] for node in self.simulated.nodes]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A cluster of three in memory, on the loop of the test."""
    async with SimulatedCluster(forwarding_timeout=0.1, compatibility="24.10") as simulated, AsyncExitStack() as stack:
        cluster = Cluster(simulated, stack)
        cluster.clients = [await cluster.connect(n) for n in range(3)]
        yield cluster


LEADER, FOLLOWER = Shown("Leader", True), Shown("Follower", True)


def leader_in(answer: Answer) -> int:
    """The port of the leader that a refusal names."""
    assert answer.status == NOT_LEADER
    return int({**answer.headers, **answer.trailers}["leader-endpoint-port"])


async def test_settled(cluster: Cluster) -> None:
    simulated = cluster.simulated
    ports = [node.port for node in simulated.nodes]
    assert simulated.uri == f"esdb://{','.join(f'127.0.0.1:{port}' for port in ports)}?tls=false"
    assert simulated.nodes[2].uri == f"esdb://127.0.0.1:{ports[2]}?tls=false"
    assert simulated.leader is simulated.nodes[0]
    assert [(node.role, node.alive) for node in simulated.nodes] == [("Leader", True), *[("Follower", True)] * 2]
    for n, client in enumerate(cluster.clients):
        assert await cluster.gossip(n) == [LEADER, FOLLOWER, FOLLOWER]
        assert (await append(client)).status == OK
    assert [events_in(await read(client)) for client in cluster.clients] == [3, 3, 3]


async def test_what_a_follower_refuses_before_it_asks_for_the_leader(cluster: Cluster) -> None:
    node = ConnectionPool("127.0.0.1", cluster.simulated.nodes[1].port)
    try:
        async with ClientCall(node, f"{STREAMS}/Append", deadline=Deadline(PATIENCE), metadata=REQUIRED) as call:
            requests = [encode_append_options("s", ANY), encode_append_proposed(event(2**20 + 1))]
            await call.send(frame(requests), end=True)
            with pytest.raises(AppendTooLarge):
                await call.receive()
    finally:
        await node.close()
    replay = await cluster.clients[1].call(f"{GROUPS}/ReplayParked", b"")
    assert replay.status == NOT_READY


# --- elections ---


async def test_another_leader_at_once(cluster: Cluster) -> None:
    simulated, (old, new, other) = cluster.simulated, cluster.clients
    await simulated.elect_async(1)
    assert simulated.leader is simulated.nodes[1]
    for n in range(3):
        assert await cluster.gossip(n) == [FOLLOWER, LEADER, FOLLOWER]
    port = simulated.nodes[1].port
    for follower in (old, other):
        assert leader_in(await append(follower, more=REQUIRED)) == port
        assert leader_in(await read(follower, more=REQUIRED)) == port
        assert (await append(follower)).status == OK
    assert (await append(new, more=REQUIRED)).status == OK
    await simulated.elect_async(simulated.nodes[1])
    assert simulated.leader is simulated.nodes[1]


async def test_what_is_open_on_the_old_leader(cluster: Cluster) -> None:
    """Catch-up subscriptions stay, also those that wanted the leader; consumers are dropped; batches go on."""
    old = cluster.clients[0]
    await append(old)
    await create_group(old)
    subscriptions = [subscribe(old), subscribe(old, more=REQUIRED), subscribe(old, from_end=True, more=REQUIRED)]
    consumer = consume(old)
    for call in (*subscriptions, consumer):
        await confirmed(old, call)
    plain, bound = Batches(old), Batches(old, more=REQUIRED)
    assert await plain.append("t") is None
    assert await bound.append("t") is None

    await cluster.simulated.elect_async(1)
    dropped = await old.ended(consumer)
    assert dropped.status == ("1", "Subscription group g on stream s was dropped.")
    assert dropped.trailers["exception"] == "persistent-subscription-dropped"
    assert await plain.append("t") is None
    assert not bound.ending.ended
    bound.send("t")
    assert leader_in(await old.ended(bound.call)) == cluster.simulated.nodes[1].port
    await append(cluster.clients[1])
    for call, count in zip(subscriptions, (2, 2, 1), strict=True):
        await until_events(old, call, count)


async def test_consumers_go_on_at_the_new_leader(cluster: Cluster) -> None:
    old, new, _ = cluster.clients
    await create_group(old)
    await append(old)
    await until_events(old, consume(old), 1)
    assert leader_in(await new.ended(consume(new))) == cluster.simulated.nodes[0].port
    await cluster.simulated.elect_async(1)
    await until_events(new, consume(new), 1)
    assert leader_in(await old.ended(consume(old))) == cluster.simulated.nodes[1].port


async def test_a_time_without_leader(cluster: Cluster) -> None:
    simulated, (old, new, other) = cluster.simulated, cluster.clients
    batches = Batches(old)
    await simulated.elect_async(1, after=30.0)
    assert simulated.leader is None
    for n in range(3):
        assert await cluster.gossip(n) == [Shown("ResigningLeader", True), Shown("PreLeader", True), FOLLOWER]
    for client in (old, new):
        assert (await append(client, more=REQUIRED)).status == NOT_READY
        assert (await append(client)).status == NOT_READY
        assert (await read(client, more=REQUIRED)).status == OK
        assert (await client.ended(consume(client))).status == NOT_READY
    assert await batches.append() == (0, "Server Is Not Ready", "Empty")
    assert (await append(other)).status == FORWARDING
    assert await Batches(other).append() == (4, "Timeout", "Timeout")
    assert leader_in(await append(other, more=REQUIRED)) == simulated.nodes[0].port
    assert (await read(other)).status == OK

    await simulated.elect_async(2)
    assert [node.role for node in simulated.nodes] == ["Follower", "Follower", "Leader"]
    assert (await append(other, more=REQUIRED)).status == OK
    assert await batches.append() is None
    await simulated.elect_async(0, after=0.05)
    await until(lambda: simulated.leader is simulated.nodes[0])
    assert (await append(old, more=REQUIRED)).status == OK


# --- ends ---


async def test_the_leader_is_killed(cluster: Cluster) -> None:
    simulated, (old, survivor, _) = cluster.simulated, cluster.clients
    await append(old)
    call = subscribe(old)
    await confirmed(old, call)
    kept = subscribe(survivor)
    await confirmed(survivor, kept)
    port = simulated.nodes[0].port
    await simulated.kill_async(0)
    await simulated.kill_async(0)
    await old.until_closed()
    assert not old.goodbye
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)

    assert simulated.leader is None
    assert await cluster.gossip(1) == [Shown("Leader", False), FOLLOWER, FOLLOWER]
    assert leader_in(await append(survivor, more=REQUIRED)) == port
    assert leader_in(await survivor.ended(consume(survivor))) == port
    assert (await append(survivor)).status == FORWARDING
    assert (await read(survivor)).status == OK

    await simulated.elect_async(2)
    assert await cluster.gossip(1) == [Shown("Unknown", False), FOLLOWER, LEADER]
    assert (await append(survivor)).status == OK
    await until_events(survivor, kept, 2)
    with pytest.raises(InvalidArgument, match="must be a node that runs"):
        await simulated.elect_async(0)


async def test_a_node_comes_back(cluster: Cluster) -> None:
    simulated = cluster.simulated
    before = await instances(cluster)
    port = simulated.nodes[1].port
    await simulated.kill_async(1)
    assert await cluster.gossip(0) == [LEADER, Shown("Follower", False), FOLLOWER]
    await append(cluster.clients[0])
    await simulated.start_async(1)
    assert simulated.nodes[1].port == port
    assert await cluster.gossip(1) == [LEADER, FOLLOWER, FOLLOWER]
    assert events_in(await read(await cluster.connect(1))) == 1
    after = await instances(cluster)
    assert [one == another for one, another in zip(before, after, strict=True)] == [True, False, True]
    with pytest.raises(InvalidArgument, match="does not run"):
        await simulated.start_async(1)


async def instances(cluster: Cluster) -> list[object]:
    """The instance ids of all nodes."""
    answer = await (await cluster.connect(0)).call(GOSSIP, b"")
    members = ClusterInfo().parse(answer.messages[0]).members
    ids = {member.http_end_point.port: member.instance_id for member in members}
    return [ids[node.port] for node in cluster.simulated.nodes]


async def test_a_leader_that_comes_back_before_there_is_another_one(cluster: Cluster) -> None:
    simulated = cluster.simulated
    await simulated.kill_async(0)
    await simulated.start_async(0)
    assert await cluster.gossip(1) == [Shown("Unknown", True), FOLLOWER, FOLLOWER]
    returned = await cluster.connect(0)
    for client in (returned, cluster.clients[1]):
        assert (await append(client)).status == NOT_READY
        assert (await read(client)).status == OK
        assert (await read(client, more=REQUIRED)).status == NOT_READY
    await simulated.elect_async(0)
    assert (await append(returned, more=REQUIRED)).status == OK


@pytest.mark.parametrize("end", ["kill_async", "freeze_async", "shut_down_async"])
async def test_elections_by_themselves(end: str) -> None:
    async with SimulatedCluster(election_after=0.1) as simulated:
        await getattr(simulated, end)(0)
        assert simulated.leader is None
        await until(lambda: simulated.leader is simulated.nodes[1])
        async with connected(simulated.nodes[1].port) as client:
            assert (await append(client, more=REQUIRED)).status == OK


async def test_no_election_without_a_majority() -> None:
    async with SimulatedCluster(election_after=0.02) as simulated:
        await simulated.kill_async(1)
        await simulated.kill_async(0)
        with pytest.raises(AssertionError, match="has not come true"):
            await until(lambda: simulated.leader is not None, patience=0.1)
        await simulated.start_async(1)
        await until(lambda: simulated.leader is not None)


# --- standing still ---


async def test_a_frozen_leader(cluster: Cluster) -> None:
    simulated, (frozen, new, _) = cluster.simulated, cluster.clients
    call = subscribe(frozen)
    await confirmed(frozen, call)
    await simulated.freeze_async(0)
    await simulated.freeze_async(0)
    assert await cluster.gossip(1) == [Shown("Leader", False), FOLLOWER, FOLLOWER]
    late = await cluster.connect(0)
    waiting = asyncio.ensure_future(append(late, more=REQUIRED))
    await simulated.elect_async(1)
    assert (await append(new)).status == OK
    assert await silent(frozen)
    assert not waiting.done()

    await simulated.thaw_async(0, after=30.0)
    assert await cluster.gossip(1) == [LEADER, LEADER, FOLLOWER]
    assert simulated.leader is simulated.nodes[1]
    assert (await waiting).status == NOT_READY
    await until_events(frozen, call, 1)
    assert (await read(frozen, more=REQUIRED)).status == OK

    await simulated.freeze_async(0)
    await simulated.thaw_async(0)
    assert await cluster.gossip(1) == [FOLLOWER, LEADER, FOLLOWER]
    assert leader_in(await append(frozen, more=REQUIRED)) == simulated.nodes[1].port


async def test_a_leader_that_nobody_has_missed_goes_on_leading() -> None:
    async with SimulatedCluster(election_after=20.0) as simulated:
        await simulated.freeze_async(0)
        await simulated.thaw_async(0)
        assert simulated.leader is simulated.nodes[0]
        async with connected(simulated.nodes[0].port) as client:
            assert (await append(client, more=REQUIRED)).status == OK


# --- leaving in order ---


async def test_a_leader_shuts_down(cluster: Cluster) -> None:
    simulated, (leaving, survivor, _) = cluster.simulated, cluster.clients
    await append(leaving)
    await create_group(leaving)
    consumer, call = consume(leaving), subscribe(leaving)
    await confirmed(leaving, consumer)
    await confirmed(leaving, call)
    await simulated.shut_down_async(0, reset_after=60.0)
    while not leaving.goodbye:
        await leaving.more()
    assert leaving.goodbye_code == 0
    assert leaving.answers[consumer].status == ("1", "Subscription group g on stream s was dropped.")
    assert await cluster.gossip(1) == [Shown("ShuttingDown", True), FOLLOWER, FOLLOWER]
    with pytest.raises(ConnectionRefusedError):
        await cluster.connect(0)
    assert (await append(survivor)).status == FORWARDING
    await simulated.kill_async(0)  # instead of waiting for the reset
    await leaving.until_closed()
    assert not leaving.answers[call].ended
    assert leaving.raw == b""
    assert await cluster.gossip(1) == [Shown("Unknown", False), FOLLOWER, FOLLOWER]
    await simulated.start_async(0)
    await simulated.elect_async(0)
    assert (await append(await cluster.connect(0), more=REQUIRED)).status == OK


async def test_calls_after_goodbye_are_not_answered(cluster: Cluster) -> None:
    leaving = cluster.clients[1]
    await cluster.simulated.shut_down_async(1, reset_after=0.2)
    call = leaving.open(GOSSIP, end=True)
    await leaving.until_closed()
    assert not leaving.answers[call].headers


async def test_a_client_shuts_a_node_down(cluster: Cluster) -> None:
    answer = await cluster.clients[2].call(f"{OPERATIONS}/Shutdown", b"")
    assert answer.status == OK
    await until(lambda: cluster.simulated.nodes[2].role == "ShuttingDown")
    await cluster.simulated.kill_async(2)


async def test_a_client_lets_a_leader_resign(cluster: Cluster) -> None:
    for node in (1, 0):  # a follower cannot
        assert (await cluster.clients[node].call(f"{OPERATIONS}/ResignNode", b"")).status == OK
    await until(lambda: cluster.simulated.leader is cluster.simulated.nodes[1])
    assert (await append(cluster.clients[1], more=REQUIRED)).status == OK


async def test_a_reset_hits_only_the_node_that_left(cluster: Cluster) -> None:
    simulated = cluster.simulated
    await simulated.shut_down_async(1, reset_after=0.1)
    await simulated.kill_async(1)
    await simulated.start_async(1)
    client = await cluster.connect(1)
    closed = asyncio.ensure_future(client.until_closed())
    done, _ = await asyncio.wait({closed}, timeout=0.2)
    assert not done
    closed.cancel()
    await asyncio.wait({closed})
    assert (await append(client)).status == OK


# --- replicas, TLS, files ---


async def test_read_only_replicas() -> None:
    async with SimulatedCluster(read_only_replicas=2) as simulated:
        assert [node.role for node in simulated.nodes] == ["Leader", *["Follower"] * 2, *["ReadOnlyReplica"] * 2]
        assert simulated.uri.count(":") == 4
        with pytest.raises(InvalidArgument, match="read-only replica"):
            await simulated.elect_async(3)
        async with connected(simulated.nodes[4].port) as client:
            assert (await append(client)).status == OK
            assert leader_in(await append(client, more=REQUIRED)) == simulated.nodes[0].port
        await simulated.kill_async(4)
        await simulated.start_async(4)
        assert simulated.nodes[4].role == "ReadOnlyReplica"


async def test_tls(tmp_path: Path) -> None:
    pytest.importorskip("trustme", reason="trustme is not installed")
    async with SimulatedCluster(dev_certificate=tmp_path / "certificates") as simulated:
        assert simulated.uri.endswith(f"?tlsCaFile={tmp_path}/certificates/ca.pem")
        context = ssl.create_default_context(cafile=str(tmp_path / "certificates" / "ca.pem"))
        await simulated.freeze_async(1)
        opening = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", simulated.nodes[1].port, ssl=context))
        done, _ = await asyncio.wait({opening}, timeout=0.2)
        assert not done
        await simulated.thaw_async(1)
        _, writer = await opening
        writer.close()
        await writer.wait_closed()


async def test_a_file_keeps_what_was_written(tmp_path: Path) -> None:
    for count in (1, 2):
        async with (
            SimulatedCluster(tmp_path / "events.db") as simulated,
            connected(simulated.nodes[2].port) as client,
        ):
            await append(client)
            assert events_in(await read(client)) == count


# --- without a loop ---


def test_on_a_thread() -> None:
    with SimulatedCluster(nodes=3) as simulated:
        assert any(thread.name == "esdb-lite cluster" for thread in threading.enumerate())
        simulated.elect(1)
        simulated.kill(1)
        simulated.start(1)
        simulated.freeze(0)
        simulated.thaw(0)
        simulated.elect(0, after=0.01)
        simulated.shut_down(2, reset_after=0.01)
        simulated.nodes[0].faults.refuse_appends()
        with pytest.raises(InvalidArgument):
            simulated.start(0)
        with pytest.raises(RuntimeError, match="running"):
            simulated.start()
    simulated.stop()
    with pytest.raises(RuntimeError, match="not been started"):
        simulated.elect(0)
    with simulated:
        assert simulated.leader is simulated.nodes[0]


async def test_a_loop_is_not_waited_for_by_itself() -> None:
    async with SimulatedCluster() as simulated:
        with pytest.raises(RuntimeError, match="_async"):
            simulated.elect(1)
        await asyncio.get_running_loop().run_in_executor(None, simulated.elect, 1)
        assert simulated.leader is simulated.nodes[1]
        with pytest.raises(RuntimeError, match="running"):
            await simulated.start_async()


@pytest.mark.parametrize("end", ["kill_async", "freeze_async", "shut_down_async"])
async def test_it_stops_whatever_has_happened(end: str) -> None:
    async with SimulatedCluster(election_after=0.02) as simulated, connected(simulated.nodes[0].port) as client:
        await confirmed(client, subscribe(client))
        await getattr(simulated, end)(0)
        await simulated.elect_async(1, after=10.0)


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"nodes": 0}, "nodes"),
        ({"nodes": "3"}, "nodes"),
        ({"read_only_replicas": -1}, "read_only_replicas"),
        ({"election_after": -1.0}, "election_after"),
        ({"forwarding_timeout": float("inf")}, "forwarding_timeout"),
        ({"durability": "some"}, "durability"),
    ],
)
def test_wrong_arguments(wrong: dict[str, object], argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        SimulatedCluster(**wrong)  # type: ignore[arg-type]
    assert caught.value.argument == argument


async def test_wrong_nodes(cluster: Cluster) -> None:
    for wrong in (3, -1, True, "0"):
        with pytest.raises(InvalidArgument, match=r"^n: "):
            await cluster.simulated.kill_async(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"^after: "):
        await cluster.simulated.elect_async(1, after=-1)
