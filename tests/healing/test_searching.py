"""Looking for the nodes of a cluster when names and nodes are in trouble."""

from __future__ import annotations

import asyncio
import socket

import pytest

from esdb_lite import AsyncEsdbClient, ClientClosed, DiscoveryFailed, NewEvent, RetryPolicy, ServiceUnavailable
from esdb_lite.server.simulation.cluster import SimulatedCluster
from tests.healing.waiting import until
from tests.rpc.fake import fake_server
from tests.rpc.streams_service import StreamsService
from tests.support import own_time

FAST = "tls=false&discoveryInterval=10&maxDiscoverAttempts=3"


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 70])
async def test_a_name_that_has_no_address(name: str) -> None:
    async with AsyncEsdbClient(f"esdb+discover://{name}:2113?{FAST}") as client:
        with pytest.raises(DiscoveryFailed, match="address"):
            await client.connect(timeout=0.2)


async def test_a_name_that_has_no_address_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names fail now and then, as when a container starts; that counts as one attempt."""
    async with SimulatedCluster() as cluster:
        loop, asked = asyncio.get_running_loop(), []
        real = loop.getaddrinfo

        async def resolve(host: str, port: int, **rest: int) -> object:
            if host != "cluster.test":
                return await real(host, port, **rest)
            asked.append(host)
            if len(asked) < 3:
                raise socket.gaierror(-3, "Temporary failure in name resolution")
            return await real("127.0.0.1", port, **rest)

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        async with AsyncEsdbClient(f"esdb+discover://cluster.test:{cluster.nodes[0].port}?{FAST}") as client:
            await client.append_events("s", None, NewEvent("T", b"{}"), timeout=10)
        assert len(asked) == 3


async def test_closing_in_the_middle_of_a_search() -> None:
    """Nothing answers, and there is no end of attempts."""
    async with fake_server(StreamsService(), deaf=True) as server:
        port = server.port
        client = AsyncEsdbClient(f"esdb://127.0.0.1:{port},127.0.0.1:1?tls=false&maxDiscoverAttempts=-1")
        tasks: list[asyncio.Future[int]] = [asyncio.ensure_future(client.get_commit_position()) for _ in range(3)]
        tasks.append(asyncio.ensure_future(client.append_events("s", None, NewEvent("T", b"{}"))))
        await until(lambda: bool(server.peers))
        await client.close()
        for result in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5):
            assert isinstance(result, ClientClosed)


async def test_those_who_wait_for_a_search_may_be_cancelled() -> None:
    async with SimulatedCluster() as cluster:
        for node in range(3):
            await cluster.freeze_async(node)
        async with AsyncEsdbClient(cluster.uri + "&gossipTimeout=1") as client:
            first = asyncio.ensure_future(client.get_commit_position())
            second = asyncio.ensure_future(client.get_commit_position())
            done, _ = await asyncio.wait({first, second}, timeout=0.05)
            assert not done
            first.cancel()
            for node in range(3):
                await cluster.thaw_async(node)
            assert await asyncio.wait_for(second, 5) > 0
            with pytest.raises(asyncio.CancelledError):
                await first


async def test_the_deadline_counts_while_a_cluster_is_searched() -> None:
    async with SimulatedCluster() as cluster:
        for node in range(3):
            await cluster.freeze_async(node)
        async with AsyncEsdbClient(cluster.uri, retry=RetryPolicy()) as client:
            before = own_time()
            with pytest.raises(ServiceUnavailable):
                await client.append_events("s", None, NewEvent("T", b"{}"), timeout=0.2)
            assert own_time() - before < 2
        for node in cluster.nodes:
            await cluster.thaw_async(node)
            async with AsyncEsdbClient(node.uri) as other:  # so that it has seen to what was waiting
                await other.get_commit_position(timeout=5)
