"""Whatever happens in whatever order, a cluster has one leader at most, loses nothing, and comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from esdb_lite import Faults, InvalidArgument, SimulatedCluster
from tests.faults.support import NOT_LEADER, NOT_READY, OK, REQUIRED, append, events_in, read, subscribe
from tests.serving.raw import connected

STEPS = 40

FAULTS: tuple[Callable[[Faults], object], ...] = (
    Faults.drop_connections,
    Faults.go_away,
    Faults.consumer_too_slow,
    Faults.clear,
    Faults.stall,
    lambda faults: faults.stall(connections=False),
    Faults.refuse_connections,
    lambda faults: faults.drop_after(2),
    lambda faults: faults.delay(0.01, times=3),
    lambda faults: faults.refuse_appends(times=2),
    lambda faults: faults.lose_answers(times=1),
    lambda faults: faults.time_out_appends(times=1),
    lambda faults: faults.not_leader("127.0.0.1", 1, times=2),
)


class Writer:
    """Appends to one node after the other, and counts what it was told."""

    def __init__(self, cluster: SimulatedCluster, number: int) -> None:
        self._cluster = cluster
        self.stream = f"written-{number}"
        self.stopped = False
        self.acknowledged = 0
        self.perhaps = 0

    async def run(self) -> None:
        """Until it is stopped. (Cancelling is not safe: wait_for of some versions of Python loses it.)"""
        while not self.stopped:
            for node in self._cluster.nodes:
                with suppress(OSError, EOFError, asyncio.TimeoutError):
                    await asyncio.wait_for(self._write(node.port), 0.2)
                await asyncio.sleep(0.001)

    async def _write(self, port: int) -> None:
        async with connected(port) as client:
            subscribe(client, self.stream)
            self.perhaps += 1
            status = (await append(client, self.stream, more=REQUIRED)).status
            if status == OK:
                self.acknowledged += 1
            elif status in (NOT_READY, NOT_LEADER):
                self.perhaps -= 1


async def happen(cluster: SimulatedCluster, rng: random.Random) -> None:
    """Let something happen to a node."""
    node = rng.choice(cluster.nodes)
    with suppress(InvalidArgument):  # it is not in a state for that
        action = rng.randrange(9)
        if action == 0:
            await cluster.kill_async(node)
        elif action == 1:
            await cluster.start_async(node)
        elif action == 2:
            await cluster.elect_async(node, after=rng.choice((0.0, 0.01, 0.05)))
        elif action == 3:
            await cluster.freeze_async(node)
        elif action == 4:
            await cluster.thaw_async(node, after=rng.choice((0.0, 0.02)))
        elif action == 5:
            await cluster.shut_down_async(node, reset_after=rng.choice((0.0, 0.03)))
        else:
            rng.choice(FAULTS)(node.faults)


async def recover(cluster: SimulatedCluster) -> None:
    """Bring everything back."""
    for node in cluster.nodes:
        await cluster.thaw_async(node)
        await cluster.kill_async(node)
        await cluster.start_async(node)
        node.faults.clear()
    await cluster.elect_async(1)


@pytest.mark.parametrize("seed", range(4))
async def test_anything_can_happen(seed: int) -> None:
    rng = random.Random(seed)
    async with SimulatedCluster(election_after=0.05, forwarding_timeout=0.05) as cluster:
        writers = [Writer(cluster, number) for number in range(2)]
        tasks = [asyncio.ensure_future(writer.run()) for writer in writers]
        for _ in range(STEPS):
            await happen(cluster, rng)
            leaders = [node for node in cluster.nodes if node.role == "Leader" and node.alive]
            assert len(leaders) <= 2
            assert cluster.leader is None or cluster.leader in leaders
            await asyncio.sleep(0.005)
        for writer in writers:
            writer.stopped = True
        await asyncio.gather(*tasks)
        await recover(cluster)
        assert [node.role for node in cluster.nodes] == ["Follower", "Leader", "Follower"]
        for node in cluster.nodes:
            async with connected(node.port) as client:
                for writer in writers:
                    assert writer.acknowledged <= events_in(await read(client, writer.stream)) <= writer.perhaps
                while (status := (await append(client)).status) == NOT_READY:
                    continue  # the leader had 50 ms to answer the follower
                assert status == OK
