"""kurrentdbclient, on grpcio, in a simulated cluster: it finds the leader, is sent to it, and survives elections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from esdb_lite import SimulatedCluster

kurrentdbclient = pytest.importorskip("kurrentdbclient", reason="kurrentdbclient is not installed")
exceptions = pytest.importorskip("kurrentdbclient.exceptions")

pytestmark = pytest.mark.interop

PATIENCE = 20.0


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    """A cluster of three."""
    with SimulatedCluster() as running:
        yield running


@pytest.fixture
def connect(cluster: SimulatedCluster) -> Iterator[Callable[..., kurrentdbclient.KurrentDBClient]]:
    """Makes clients of the cluster, closed after the test."""
    clients = []

    def make(**options: str) -> kurrentdbclient.KurrentDBClient:
        seeds = ",".join(f"{node.host}:{node.port}" for node in cluster.nodes)
        query = "&".join(f"{name}={value}" for name, value in {"Tls": "false", **options}.items())
        clients.append(kurrentdbclient.KurrentDBClient(f"kurrentdb://{seeds}?{query}"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def append(client: kurrentdbclient.KurrentDBClient, stream: str) -> int:
    """Append an event."""
    event = kurrentdbclient.NewEvent(type="T", data=b"{}")
    position: int = client.append_to_stream(stream, current_version=kurrentdbclient.StreamState.ANY, events=[event])
    return position


def append_in_the_end(client: kurrentdbclient.KurrentDBClient, stream: str) -> int:
    """Append as somebody does who tries again."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return append(client, stream)
        except exceptions.KurrentDBClientError:
            if time.monotonic() > until:
                raise


def test_it_finds_the_leader(
    cluster: SimulatedCluster, connect: Callable[..., kurrentdbclient.KurrentDBClient]
) -> None:
    cluster.elect(2)
    client = connect(NodePreference="leader")
    append(client, "s")
    assert client.connection_target == f"{cluster.nodes[2].host}:{cluster.nodes[2].port}"
    assert len(client.get_stream("s")) == 1


def test_followers_and_replicas(connect: Callable[..., kurrentdbclient.KurrentDBClient]) -> None:
    append(connect(), "s")
    follower = connect(NodePreference="follower")
    assert len(follower.get_stream("s")) == 1
    with pytest.raises(exceptions.NodeIsNotLeaderError):
        append(follower, "s")


def test_elections(cluster: SimulatedCluster, connect: Callable[..., kurrentdbclient.KurrentDBClient]) -> None:
    client = connect(NodePreference="leader")
    stream = str(uuid4())
    for round_ in range(6):
        append_in_the_end(client, stream)
        cluster.elect((round_ + 1) % 3, after=0.1 * (round_ % 2))
    append_in_the_end(client, stream)
    assert len(client.get_stream(stream)) == 7
    leader = cluster.leader
    assert leader is not None
    assert client.connection_target == f"{leader.host}:{leader.port}"


def test_the_leader_is_killed(
    cluster: SimulatedCluster, connect: Callable[..., kurrentdbclient.KurrentDBClient]
) -> None:
    client = connect(NodePreference="leader")
    append(client, "s")
    cluster.kill(0)
    cluster.elect(1)
    append_in_the_end(client, "s")
    assert len(client.get_stream("s")) == 2


def test_subscriptions(cluster: SimulatedCluster, connect: Callable[..., kurrentdbclient.KurrentDBClient]) -> None:
    client, writer = connect(NodePreference="leader"), connect(NodePreference="leader")
    client.create_subscription_to_stream("g", "s")
    append(writer, "s")
    catching_up = client.subscribe_to_stream("s")
    next(catching_up)
    consumer = client.read_subscription_to_stream("g", "s")
    consumer.ack(next(consumer))
    cluster.elect(1)
    with pytest.raises(exceptions.KurrentDBClientError):
        for _ in consumer:
            pass
    append_in_the_end(writer, "s")
    assert next(catching_up).stream_position == 1
    catching_up.stop()
