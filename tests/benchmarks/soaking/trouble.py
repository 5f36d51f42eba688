"""What can go wrong with a server of this process, a simulated cluster, a server in a process of its own, and proxies.

Owns: the faults by name, each as a coroutine that returns when it is over; and choosing them. The choice depends on the
seed alone. Must not know: who suffers.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from random import Random

from esdb_lite.server import EmbeddedServer, SimulatedCluster
from esdb_lite.server.faults.api import Fault, Faults
from esdb_lite.server.faults.plan import Refusal
from tests.benchmarks.soaking.processes import KillableServer
from tests.healing.proxies import Proxy

Action = Callable[[Random], Awaitable[None]]
Ready = Callable[[], bool]
METHODS = (None, "Append", "BatchAppend", "Read")
DEAD_PORT = 9
"""Nobody listens there."""


async def hold(fault: Fault, seconds: float) -> None:
    """Let a fault last, and end it."""
    with fault:
        await asyncio.sleep(seconds)


async def until(ready: Ready) -> None:
    """Wait for something that tells nobody when it comes about."""
    while not ready():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def one_at_a_time(actions: Mapping[str, Action]) -> dict[str, Action]:
    """Let those wait that would take away or bring back what another one has just done so with."""
    lock = asyncio.Lock()

    def alone(action: Action) -> Action:
        async def happen(rng: Random) -> None:
            async with lock:
                await action(rng)

        return happen

    return {name: alone(action) for name, action in actions.items()}


def faults_of(faults: Faults, host: Callable[[], tuple[str, int]]) -> dict[str, Action]:
    """The faults of one server, and where it listens."""

    async def at_once(do: Callable[[], None]) -> None:
        do()

    async def refuse_connections(rng: Random) -> None:
        with faults.refuse_connections():
            faults.drop_connections()
            await asyncio.sleep(rng.uniform(0.2, 1.5))

    def drop_after(rng: Random) -> Awaitable[None]:
        return hold(faults.drop_after(rng.randint(1, 200), times=rng.randint(1, 5)), rng.uniform(0.5, 1.5))

    def delay(rng: Random) -> Awaitable[None]:
        return hold(faults.delay(rng.uniform(0.05, 1.2), method=rng.choice(METHODS)), rng.uniform(0.5, 1.5))

    def refuse(reason: Refusal) -> Action:
        return lambda rng: hold(faults.refuse_appends(reason=reason, times=rng.randint(1, 30)), rng.uniform(0.3, 1.5))

    def not_leader(rng: Random, port: int | None = None) -> Awaitable[None]:
        place = host()
        return hold(faults.not_leader(place[0], port or place[1]), rng.uniform(0.2, 1.0))

    return {
        "drop connections": lambda rng: at_once(faults.drop_connections),
        "drop after some events": drop_after,
        "delay": delay,
        **{f"refuse appends ({reason.value})": refuse(reason) for reason in Refusal},
        "lose answers": lambda rng: hold(faults.lose_answers(times=rng.randint(1, 5)), rng.uniform(0.3, 1.0)),
        "time out appends": lambda rng: hold(faults.time_out_appends(times=rng.randint(1, 9)), rng.uniform(0.3, 1.0)),
        "not leader (itself)": not_leader,
        "not leader (nobody there)": lambda rng: not_leader(rng, DEAD_PORT),
        "consumer too slow": lambda rng: at_once(faults.consumer_too_slow),
        "stall, short": lambda rng: hold(faults.stall(), rng.uniform(0.2, 0.9)),
        "stall, beyond keep-alive": lambda rng: hold(faults.stall(), rng.uniform(2.5, 4.5)),
        "stall, calls only": lambda rng: hold(faults.stall(connections=False), rng.uniform(0.2, 2.5)),
        "refuse connections": refuse_connections,
        "go away": lambda rng: at_once(lambda: faults.go_away(rng.choice((0, 0, 2, 11)))),
    }


def of_server(server: EmbeddedServer, front: Callable[[], int] | None = None) -> dict[str, Action]:
    """Everything that can go wrong with a server of this process. `front`: the port at which clients find it."""

    async def kill(rng: Random) -> None:
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        await asyncio.to_thread(server.restart)

    async def restart(rng: Random) -> None:
        await asyncio.to_thread(server.restart)

    return {
        **faults_of(server.faults, lambda: (server.host, front() if front else server.port)),
        **one_at_a_time({"kill and restart": kill, "stop and restart": restart}),
    }


def of_cluster(cluster: SimulatedCluster) -> dict[str, Action]:
    """Everything that can go wrong with a simulated cluster which holds elections by itself."""
    doing = asyncio.to_thread
    count = len(cluster.nodes)

    def leading() -> int:
        leader = cluster.leader
        return 0 if leader is None else leader.number

    def follower(rng: Random) -> int:
        return rng.choice([number for number in range(count) if number != leading()])

    async def elect(rng: Random) -> None:
        await led()
        await doing(cluster.elect, follower(rng), after=rng.choice((0.0, 0.3, 0.8)))
        await led()

    async def led() -> None:
        await until(lambda: cluster.leader is not None)

    async def kill(rng: Random, number: int) -> None:
        await doing(cluster.kill, number)
        await asyncio.sleep(rng.uniform(0.1, 2.0))
        await doing(cluster.start, number)
        await led()

    async def kill_two(rng: Random) -> None:
        """No quorum for a while."""
        numbers = rng.sample(range(count), 2)
        for number in numbers:
            await doing(cluster.kill, number)
        await asyncio.sleep(rng.uniform(0.1, 1.5))
        for number in numbers:
            await doing(cluster.start, number)
        await led()

    async def freeze(rng: Random, number: int) -> None:
        await doing(cluster.freeze, number)
        await asyncio.sleep(rng.choice((rng.uniform(0.1, 0.8), rng.uniform(2.5, 4.0))))
        await doing(cluster.thaw, number, after=rng.choice((0.0, 0.7)))
        await led()

    async def shut_down(rng: Random, number: int) -> None:
        await doing(cluster.shut_down, number, reset_after=rng.uniform(0.3, 2.5))
        await until(lambda: not cluster.nodes[number].alive)
        await doing(cluster.start, number)
        await led()

    def of_some_node(name: str) -> Action:
        async def happen(rng: Random) -> None:
            node = cluster.nodes[leading() if rng.random() < 0.7 else rng.randrange(count)]
            await faults_of(node.faults, lambda: (node.host, node.port))[name](rng)

        return happen

    names = [name for name in faults_of(Faults(), lambda: ("", 1)) if not name.startswith("not leader")]
    lives = {
        "elect another": elect,
        "kill the leader": lambda rng: kill(rng, leading()),
        "kill a follower": lambda rng: kill(rng, follower(rng)),
        "kill two nodes": kill_two,
        "freeze the leader": lambda rng: freeze(rng, leading()),
        "freeze a follower": lambda rng: freeze(rng, follower(rng)),
        "shut down the leader": lambda rng: shut_down(rng, leading()),
        "shut down a follower": lambda rng: shut_down(rng, follower(rng)),
    }
    return {**one_at_a_time(lives), **{f"a node: {name}": of_some_node(name) for name in names}}


def of_process(server: KillableServer) -> dict[str, Action]:
    """What can be done to a process from outside."""

    async def kill(rng: Random) -> None:
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(rng.choice((0.0, rng.uniform(0.0, 1.5))))
        await asyncio.to_thread(server.start)

    async def kill_twice(rng: Random) -> None:
        """The second time while it starts, or just after."""
        await asyncio.to_thread(server.kill)
        server.launch()
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

    async def terminate(rng: Random) -> None:
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)

    def pause(shortest: float, longest: float) -> Action:
        async def happen(rng: Random) -> None:
            server.send(signal.SIGSTOP)
            await asyncio.sleep(rng.uniform(shortest, longest))
            server.send(signal.SIGCONT)

        return happen

    async def kill_paused(rng: Random) -> None:
        server.send(signal.SIGSTOP)
        await asyncio.sleep(rng.uniform(0.1, 3.0))
        await kill(rng)

    actions = {
        "SIGKILL": kill,
        "SIGKILL, twice": kill_twice,
        "SIGTERM": terminate,
        "SIGSTOP, short": pause(0.2, 0.9),
        "SIGSTOP, beyond keep-alive": pause(2.5, 4.0),
        "SIGSTOP, then SIGKILL": kill_paused,
    }
    return one_at_a_time(actions)


def of_proxy(proxy: Proxy) -> dict[str, Action]:
    """What can go wrong with a proxy."""

    def ended(end: Callable[[], None]) -> Action:
        async def happen(rng: Random) -> None:
            await asyncio.to_thread(end)
            await asyncio.sleep(rng.uniform(0.0, 1.5))
            await asyncio.to_thread(proxy.start)

        return happen

    def done(do: Callable[[], None]) -> Action:
        return lambda rng: asyncio.to_thread(do)

    actions = {
        "reload": done(proxy.reload),
        "stop and start": ended(proxy.stop),
        "kill and start": ended(proxy.kill),
        "cut": done(proxy.cut),
    }
    return one_at_a_time({f"{proxy.kind}: {name}": action for name, action in actions.items()})


class Deck:
    """Deals faults at random, each kind before any comes again."""

    def __init__(self, faults: Mapping[str, Action], rng: Random) -> None:
        self._faults = faults
        self._rng = rng
        self._left: list[str] = []
        self._count = 0

    def deal(self) -> tuple[str, Awaitable[None]]:
        """Choose a fault and begin it. It gets a source of chance of its own, so that what it does never changes
        what comes next."""
        if not self._left:
            self._left = self._rng.sample(sorted(self._faults), len(self._faults))
        name = self._left.pop()
        self._count += 1
        return name, self._faults[name](Random(self._rng.random()))

    def gap(self) -> float:
        """Seconds before the next fault."""
        return self._rng.uniform(0.0, 0.6)

    def doubles(self) -> bool:
        """Whether the next fault begins before this one is over."""
        return self._rng.random() < 0.15
