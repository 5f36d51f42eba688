"""How long a client is without a leader when the leader of a cluster dies: `python -m tests.benchmarks.failover`.

A simulated cluster of three. Each round kills the leader, has another one elected after a while, and starts the dead
one again; a writer appends all the time. Counted is the time from the moment at which gossip names the new leader to
the first append that succeeds, and to the first event that a subscription hands out, on both faces.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time

from esdb_lite import AsyncEsdbClient, EsdbClient, NewEvent, SimulatedCluster, StreamState


class Marks:
    """When things were first seen after the last election, in seconds."""

    def __init__(self) -> None:
        self.elected = 0.0
        self.waiting = threading.Event()
        self.times: list[float] = []

    def elect(self) -> None:
        """Another leader is named now."""
        self.elected = time.monotonic()
        self.waiting.set()

    def seen(self) -> None:
        """Something has come through."""
        if self.waiting.is_set():
            self.waiting.clear()
            self.times.append(time.monotonic() - self.elected)

    def line(self, what: str) -> str:
        """Say it."""
        times = sorted(self.times)
        return (
            f"{what:<34} {len(times):>3} rounds   median {statistics.median(times):6.3f} s   worst {times[-1]:6.3f} s"
        )


async def measure_async(cluster: SimulatedCluster, appends: Marks, events: Marks, stop: asyncio.Event) -> None:
    """Append and subscribe with the client for asyncio until `stop`."""
    async with AsyncEsdbClient(cluster.uri) as client, await client.subscribe_all_events(from_end=True) as subscription:

        async def follow() -> None:
            async for _ in subscription:
                events.seen()

        following = asyncio.ensure_future(follow())
        while not stop.is_set():
            await client.append_events("async", StreamState.ANY, NewEvent("T", b"{}"))
            appends.seen()
            await asyncio.sleep(0.002)
        following.cancel()


def measure_sync(uri: str, appends: Marks, events: Marks, stop: threading.Event) -> None:
    """Append and subscribe with the client for threads until `stop`."""
    with EsdbClient(uri) as client, client.subscribe_all_events(from_end=True) as subscription:

        def follow() -> None:
            for _ in subscription:
                events.seen()

        following = threading.Thread(target=follow, daemon=True)
        following.start()
        while not stop.is_set():
            client.append_events("sync", StreamState.ANY, NewEvent("T", b"{}"))
            appends.seen()
            time.sleep(0.002)
    following.join(10)


async def run(rounds: int, without: float) -> None:
    """Kill leaders."""
    names = ("append, asyncio", "append, threads", "subscription, asyncio", "subscription, threads")
    marks = {name: Marks() for name in names}
    stop, stopped = asyncio.Event(), threading.Event()
    async with SimulatedCluster() as cluster:
        working = asyncio.gather(
            measure_async(cluster, marks[names[0]], marks[names[2]], stop),
            asyncio.to_thread(measure_sync, cluster.uri, marks[names[1]], marks[names[3]], stopped),
        )
        await asyncio.sleep(1.0)
        leader = 0
        for _ in range(rounds):
            await cluster.kill_async(leader)
            await asyncio.sleep(without)
            successor = (leader + 1) % 3
            await cluster.elect_async(successor)
            for mark in marks.values():
                mark.elect()
            await asyncio.sleep(2.0)
            await cluster.start_async(leader)
            leader = successor
        stop.set()
        stopped.set()
        await working
    print(f"from the moment at which a new leader is named ({without:g} s after the old one was killed)")
    for name, mark in marks.items():
        print(mark.line(name))


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--without", type=float, default=1.0, help="seconds without a leader")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.rounds, arguments.without))


if __name__ == "__main__":
    main()
