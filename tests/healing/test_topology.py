"""Clusters that answer slowly, wrongly, or with too much; nodes that come back; and who may be told what."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trustme
from esdb_lite_protos.event_store.client.gossip import ClusterInfo, EndPoint, MemberInfo, MemberInfoVNodeState

from esdb_lite import (
    AsyncEsdbClient,
    DiscoveryFailed,
    NewEvent,
    NotLeader,
    RetryPolicy,
    ServiceUnavailable,
    SimulatedCluster,
    StreamState,
)
from esdb_lite._rpc.deadline import Deadline
from esdb_lite.client.topology import cluster as clusters
from esdb_lite.client.topology.cluster import MOST_ASKED, MOST_MEMBERS, Cluster, shown
from esdb_lite.client.topology.need import Need
from esdb_lite.client.topology.nodes import Nodes
from esdb_lite.connection_strings import parse_uri
from esdb_lite.settings import NodePreference
from tests.healing.conftest import Connect
from tests.healing.waiting import until
from tests.rpc.fake import FakeCall, FakeServer, fake_server
from tests.support import own_time

State = MemberInfoVNodeState
E = NewEvent("T", b"{}")


def info(*members: tuple[str, int, State]) -> bytes:
    return bytes(
        ClusterInfo(
            members=[
                MemberInfo(state=state, is_alive=True, http_end_point=EndPoint(host, port))
                for host, port, state in members
            ]
        )
    )


# --- a frozen leader ------------------------------------------------------------------------------------------------


async def test_a_leader_that_has_been_frozen_for_a_while_is_left_within_two_seconds_of_the_election(
    connect: Connect, cluster: SimulatedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "esdb_lite.cluster")
    client = await connect(cluster.uri)
    async with await client.subscribe_all_events():
        await client.append_events("s", None, E)
        await cluster.freeze_async(0)
        appending = asyncio.ensure_future(client.append_events("s", StreamState.ANY, NewEvent("T", b"{}")))
        await until(lambda: "does not say who leads" in caplog.text)  # and goes on not to
        await cluster.elect_async(1)
        before = own_time()
        await asyncio.wait_for(appending, 20)
        assert own_time() - before < 2.0
        await cluster.thaw_async(0)


@asynccontextmanager
async def nodes(number: int, handler: Callable[[int, FakeCall], object]) -> AsyncIterator[list[FakeServer]]:
    async with AsyncExitStack() as stack:
        made: list[FakeServer] = []
        for at in range(number):

            async def serve(call: FakeCall, at: int = at) -> None:
                await handler(at, call)  # type: ignore[misc]

            made.append(await stack.enter_async_context(fake_server(serve)))
        yield made


async def test_a_silent_node_does_not_hold_up_a_search() -> None:
    """Of two seeds one never answers; the other knows of no leader at first, as in an election."""
    asked = 0

    async def serve(at: int, call: FakeCall) -> None:
        nonlocal asked
        await call.read()
        if at:
            await asyncio.shield(call.reset_by_client)
        elif call.headers[":path"].endswith("Gossip/Read"):
            asked += 1
            state = State.Unknown if asked < 3 else State.Leader
            call.answer(info(("127.0.0.1", both[0].port, state), ("127.0.0.1", both[1].port, State.Follower)))
        else:
            call.fail(9, "", [("exception", "stream-deleted"), ("stream-name", "s")])

    async with nodes(2, serve) as both:
        seeds = ",".join(f"127.0.0.1:{server.port}" for server in both)
        loop = asyncio.get_running_loop()
        before = loop.time()
        async with AsyncEsdbClient(f"esdb://{seeds}?tls=false&gossipTimeout=60") as client:
            await client.connect()
        assert loop.time() - before < 20  # not the minute for which the silent one is waited for


# --- a preferred node -----------------------------------------------------------------------------------------------


async def nobody(*_: object) -> tuple[()]:
    """Say who is asking: nobody in particular."""
    return ()


@asynccontextmanager
async def topology(uri: str) -> AsyncIterator[tuple[Cluster, Nodes]]:
    settings = parse_uri(uri)
    nodes = Nodes(settings, None)
    made = Cluster(nodes, settings, nobody)
    yield made, nodes
    await made.close()
    await nodes.close()


async def test_a_preferred_node_that_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "RECONSIDER", 0.01)
    monkeypatch.setattr(clusters, "DOUBT", 0.0)
    async with SimulatedCluster() as cluster, topology(f"{cluster.uri}&nodePreference=follower") as (made, _):
        leader, *followers = (node.port for node in cluster.nodes)

        async def port() -> int:
            return (await made.node(Need.PREFERRED, Deadline(10))).port

        first = await made.node(Need.PREFERRED, Deadline(10))
        assert first.port in followers
        for dead in (1, 2):
            await cluster.kill_async(dead)
        made.failed(first, ServiceUnavailable("gone"))
        assert await port() == leader  # it has to do
        await cluster.start_async(2)
        seen = [await port()]
        while seen[-1] == leader and len(seen) < 1000:
            await asyncio.sleep(0.005)
            seen.append(await port())
        assert seen[-1] == followers[1]


async def test_who_has_what_is_preferred_does_not_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "RECONSIDER", 0.0)
    for preference in NodePreference:
        async with (
            SimulatedCluster() as cluster,
            topology(f"{cluster.uri}&nodePreference={preference.value}") as (made, _),
        ):
            replica = preference is NodePreference.READ_ONLY_REPLICA  # of which there is none
            for _ in range(3):
                await made.node(Need.PREFERRED, Deadline(10))
            assert bool(made._better) is replica


# --- more than anybody needs ----------------------------------------------------------------------------------------


async def test_of_very_many_members_some_are_believed_and_all_are_forgotten() -> None:
    async def serve(call: FakeCall) -> None:
        await call.read()
        many = [("127.0.0.1", 1 + (at + 3000 * len(server.calls)) % 60_000, State.Unknown) for at in range(3000)]
        call.answer(info(*many))

    async with fake_server(serve) as server:
        uri = f"esdb://127.0.0.1:{server.port}?tls=false&discoveryInterval=0&maxDiscoverAttempts=2&gossipTimeout=1"
        async with topology(f"{uri}&dnsDiscover=true") as (made, nodes):
            with pytest.raises(DiscoveryFailed) as caught:
                await made.node(Need.LEADER, Deadline(20))
            assert len(str(caught.value)) < 3000
            assert len(made._members) == MOST_MEMBERS
            await until(lambda: len(nodes._nodes) <= MOST_ASKED + MOST_MEMBERS)


async def test_a_node_that_names_ever_new_leaders() -> None:
    async def serve(call: FakeCall) -> None:
        await call.read()
        port = 1 + len(server.calls)
        call.fail(
            5,
            "",
            [("exception", "not-leader"), ("leader-endpoint-host", "127.0.0.1"), ("leader-endpoint-port", str(port))],
        )

    async with fake_server(serve) as server:
        policy = RetryPolicy(attempts=2, first_pause=0.001, longest_pause=0.001)
        async with AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=policy) as client:
            for _ in range(50):
                with pytest.raises((NotLeader, ServiceUnavailable)):
                    await client.tombstone_stream("s", timeout=1)
            assert client._core._nodes is not None
            assert len(client._core._nodes._nodes) <= 5


def test_reasons_are_shortened() -> None:
    assert shown(["a", "b"]) == "a; b"
    many = shown([f"{at} {'x' * 1000}" for at in range(3000)])
    assert len(many) < 2000
    assert many.endswith("and 2995 more")


@pytest.mark.parametrize("port", ["0", "99999", "-5", "9" * 5000])
async def test_a_leader_at_a_place_that_is_none(port: str) -> None:
    async def serve(call: FakeCall) -> None:
        await call.read()
        trailers = [("exception", "not-leader"), ("leader-endpoint-host", "a\0b"), ("leader-endpoint-port", port)]
        call.fail(5, "", trailers)

    async with fake_server(serve) as server:
        policy = RetryPolicy(attempts=2, first_pause=0.001)
        async with AsyncEsdbClient(f"127.0.0.1:{server.port}", retry=policy) as client:
            with pytest.raises(NotLeader):
                await client.tombstone_stream("s", timeout=2)


# --- who may be told who is calling ---------------------------------------------------------------------------------


LOGIN = ("admin", "changeit")


async def told(uri: str, leader: FakeServer, **arguments: object) -> list[str | None]:
    """The credentials that a leader gets which only another node has named."""
    async with AsyncEsdbClient(uri, credentials=LOGIN, **arguments) as client:  # type: ignore[arg-type]
        await client.tombstone_stream("s", timeout=10)
    return [call.headers.get("authorization") for call in leader.calls if call.method == "Tombstone"]


async def leads(call: FakeCall) -> None:
    await call.read()
    call.answer(b"")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_credentials_go_to_hosts_of_the_connection_string(host: str, caplog: pytest.LogCaptureFixture) -> None:
    async with fake_server(leads) as leader:

        async def follows(call: FakeCall) -> None:
            await call.read()
            place = [("leader-endpoint-host", "127.0.0.1"), ("leader-endpoint-port", str(leader.port))]
            call.fail(5, "", [("exception", "not-leader"), *place])

        async with fake_server(follows) as follower:
            uri = f"esdb://{host}:{follower.port}?tls=false"
            (seen,) = await told(uri, leader, send_credentials_insecurely=True)
    assert (seen is not None) is (host == "127.0.0.1")
    assert ("credentials are not sent to" in caplog.text) is (host == "localhost")


@pytest.mark.parametrize("verified", [True, False])
async def test_a_certificate_that_is_verified_vouches_for_others(verified: bool) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    async with fake_server(leads, tls=context) as leader:

        async def follows(call: FakeCall) -> None:
            await call.read()
            place = [("leader-endpoint-host", "127.0.0.1"), ("leader-endpoint-port", str(leader.port))]
            call.fail(5, "", [("exception", "not-leader"), *place])

        async with fake_server(follows, tls=context) as follower:
            more = {"root_certificates": authority.cert_pem.bytes()} if verified else {}
            uri = f"esdb://localhost:{follower.port}?tlsVerifyCert={'true' if verified else 'false'}"
            (seen,) = await told(uri, leader, **more)
    assert (seen is not None) is verified
