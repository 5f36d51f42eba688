"""Asking the nodes of a cluster who is there."""

from __future__ import annotations

import asyncio
import gc

import pytest

from esdb_lite import NewEvent, SimulatedCluster
from esdb_lite._convert.gossip import GossipMember, GossipState
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite.client.topology.cluster import Cluster
from esdb_lite.client.topology.need import Need
from esdb_lite.client.topology.nodes import Nodes
from esdb_lite.connection_strings import parse_uri
from esdb_lite.errors import ServiceUnavailable
from esdb_lite.settings import Address
from tests.healing.conftest import Connect


async def nobody(*_: object) -> tuple[()]:
    """Say who is asking: nobody in particular."""
    return ()


async def test_answers_that_come_together_with_the_first_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at them any more, failures among them; asyncio must not have to complain of that."""
    others = ",".join(f"c{number}:3" for number in range(9))
    settings = parse_uri(f"esdb://a:1,b:2,{others}?tls=false")
    nodes = Nodes(settings, None)
    cluster = Cluster(nodes, settings, nobody)
    answers = asyncio.Event()

    async def ask(node: ConnectionPool, *_: object) -> tuple[GossipMember, ...]:
        await answers.wait()
        if node.host == "b":
            return (
                GossipMember(Address("b", 2), GossipState.Leader, True),
                GossipMember(Address("c", 3), GossipState.Follower, True),
            )
        raise ServiceUnavailable(f"{node.host} is not there")

    monkeypatch.setattr(cluster, "_ask", ask)
    asyncio.get_running_loop().call_soon(answers.set)
    assert (await cluster.node(Need.LEADER, Deadline(None))).host == "b"
    await cluster.close()
    await nodes.close()
    gc.collect()  # what nobody has looked at is told when it goes


async def test_a_leader_that_was_never_met_is_not_taken_for_one_that_wants_tls(
    connect: Connect, cluster: SimulatedCluster
) -> None:
    """It resets the first connections to it; that others of the cluster do without TLS is known."""
    client = await connect(f"{cluster.nodes[0].uri}&dnsDiscover=true")
    await client.append_events("s", None, NewEvent("T", b""))
    with cluster.nodes[2].faults.refuse_connections():
        await cluster.kill_async(0)
        await cluster.elect_async(2)
        append = asyncio.ensure_future(client.append_events("s", 0, NewEvent("T", b"")))
        done, _ = await asyncio.wait({append}, timeout=0.5)
        assert not done
    assert (await append).stream_position == 1
