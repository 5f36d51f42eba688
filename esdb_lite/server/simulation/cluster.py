"""`SimulatedCluster`: several embedded servers that behave like the nodes of one cluster, for tests.

Owns: what users see of it, with an event loop and without. Must not know: what nodes do and answer (`nodes`
does, and is imported when a cluster is started).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from esdb_lite._loop_thread import LoopThread
from esdb_lite.errors import InvalidArgument
from esdb_lite.server.embedded import passwords, path_of
from esdb_lite.server.faults.api import Faults, check_seconds
from esdb_lite.server.options import Durability, one_of
from esdb_lite.server.tls import Certificates

if TYPE_CHECKING:
    from esdb_lite.server.simulation.nodes import ClusterNodes, ClusterSettings, SimulatedServer

_CALL_PATIENCE = 30.0


class SimulatedNode:
    """A node of a simulated cluster. It stays the same object when it is killed and started again."""

    def __init__(self, cluster: SimulatedCluster, number: int) -> None:
        """Made by the cluster."""
        self.number = number
        """Its place in `cluster.nodes`."""
        self.faults = Faults()
        """What can be made to go wrong with this node, from any thread: with what it is asked itself.

        What others forward does not come this way.
        """
        self._cluster = cluster

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._node.member.host

    @property
    def port(self) -> int:
        """The port that it listens on; it keeps it."""
        return self._node.member.port

    @property
    def uri(self) -> str:
        """A connection string for this node alone."""
        return self._cluster._uri_of([self])

    @property
    def role(self) -> str:
        """What it is, or was when it died, as gossip names it: `Leader`, `Follower`, `ReadOnlyReplica`, `Unknown`..."""
        return self._node.member.state.value

    @property
    def alive(self) -> bool:
        """Whether the others take it for alive: it was neither killed nor is it frozen."""
        return self._node.member.alive

    @property
    def _node(self) -> SimulatedServer:
        return self._cluster._running().nodes[self.number]

    def __repr__(self) -> str:
        if self._cluster._nodes is None:
            return f"<SimulatedNode {self.number}, not started>"
        return f"<SimulatedNode {self.number} at {self.host}:{self.port}, {self.role}{'' if self.alive else ', dead'}>"


class SimulatedCluster:
    """Three nodes for tests: they say who leads, follow, fail and answer as those of a real cluster, in this process.

    For tests only: all nodes share one store, so nothing is replicated, and nothing is safer than with one server.
    What is written stays while any nodes are killed and started. `path` is the database file; without it events are
    in memory, and lost when the cluster is stopped. The first node leads in the beginning.

    `election_after`: seconds after which, when the leader is gone, another one leads by itself (in the first half
    nobody has noticed, in the second they vote); None: when `elect` is called. `forwarding_timeout`: seconds after
    which a write fails that a follower has forwarded to a leader which is gone (a real one takes 4 to 5).
    `read_only_replicas`: nodes besides, which never lead; they come last in `nodes`. The others are as with
    `EmbeddedServer`.

    `with SimulatedCluster() as cluster:` runs it on a thread of its own, `async with` on the running loop. Methods
    whose names end in `_async` are for the loop that it runs on, the others for all other threads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        nodes: int = 3,
        read_only_replicas: int = 0,
        election_after: float | None = None,
        forwarding_timeout: float = 0.5,
        host: str = "127.0.0.1",
        durability: Durability | Literal["full", "relaxed"] = Durability.FULL,
        dev_certificate: str | os.PathLike[str] | None = None,
        admin_password: str | None = None,
        ops_password: str | None = None,
    ) -> None:
        _check_number("nodes", nodes, 1)
        _check_number("read_only_replicas", read_only_replicas, 0)
        check_seconds("forwarding_timeout", forwarding_timeout)
        if election_after is not None:
            check_seconds("election_after", election_after)
        self._path = path_of(path)
        self._host = host
        self._durability = one_of("durability", durability, Durability)
        self._voters = nodes
        self._replicas = read_only_replicas
        self._election_after = election_after
        self._forwarding_timeout = forwarding_timeout
        self._certificates = Certificates(None, None, None, path_of(dev_certificate))
        self._passwords = {"admin": admin_password, "ops": ops_password}
        self._all = tuple(SimulatedNode(self, number) for number in range(nodes + read_only_replicas))
        self._nodes: ClusterNodes | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._stopped: asyncio.Event | None = None
        self._thread: LoopThread | None = None

    # --- who and where ---

    @property
    def nodes(self) -> Sequence[SimulatedNode]:
        """All nodes, read-only replicas last. The order never changes."""
        return self._all

    @property
    def leader(self) -> SimulatedNode | None:
        """The node that leads and is alive; None while there is none."""
        leader = self._running().leader
        return None if leader is None else self._all[leader.number]

    @property
    def uri(self) -> str:
        """The connection string with all nodes that may lead, `esdb://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3?tls=false`."""
        return self._uri_of(self._all[: self._voters])

    def _uri_of(self, nodes: Sequence[SimulatedNode]) -> str:
        hosts = ",".join(
            f"[{node.host}]:{node.port}" if ":" in node.host else f"{node.host}:{node.port}" for node in nodes
        )
        if not self._certificates.secure:
            return f"esdb://{hosts}?tls=false"
        authority = self._certificates.authority
        return f"esdb://{hosts}" + ("" if authority is None else f"?tlsCaFile={quote(authority)}")

    def _running(self) -> ClusterNodes:
        if self._nodes is None:
            raise RuntimeError("the cluster has not been started")
        return self._nodes

    def __repr__(self) -> str:
        return f"<SimulatedCluster {', '.join(map(repr, self._all))}>"

    # --- on the running loop ---

    async def start_async(self, n: int | SimulatedNode | None = None) -> None:
        """Start all nodes on the running event loop; with `n`, a node that was killed or shut down.

        That node comes back at its port, as a follower, with a new instance id. Raises ServerStartError;
        InvalidArgument when the node runs.
        """
        if n is not None:
            await self._running().start_node(self._find(n))
            return
        if self._nodes is not None or self._thread is not None:
            raise RuntimeError("the cluster is running already")
        await self._start_here()

    async def _start_here(self) -> None:
        from esdb_lite.server.simulation.nodes import ClusterNodes

        nodes = ClusterNodes(self._settings(), [node.faults for node in self._all])
        await nodes.start()
        self._nodes = nodes
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._stopped = asyncio.Event()

    def _settings(self) -> ClusterSettings:
        from esdb_lite.server.node import Security, ServerSettings
        from esdb_lite.server.simulation.nodes import ClusterSettings

        security = None
        if self._certificates.secure:
            security = Security(self._certificates.files(), passwords(self._passwords))
        server = ServerSettings(self._path, self._host, 0, self._durability, security=security)
        return ClusterSettings(server, self._voters, self._replicas, self._election_after, self._forwarding_timeout)

    async def stop_async(self) -> None:
        """Stop all nodes, whatever has happened to them. Idempotent."""
        nodes, self._nodes = self._nodes, None
        if nodes is not None and self._stopped is not None:
            try:
                await nodes.stop()
            finally:
                self._stopped.set()
        elif self._stopped is not None:
            await self._stopped.wait()

    async def _until_stopped(self) -> None:
        if self._stopped is not None:
            await self._stopped.wait()

    async def __aenter__(self) -> SimulatedCluster:
        await self.start_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop_async()

    # --- on a thread of its own ---

    def start(self, n: int | SimulatedNode | None = None) -> None:
        """Start all nodes on a thread of its own; with `n`, a node that was killed or shut down.

        See `start_async`.
        """
        if n is not None:
            self._call(lambda: self.start_async(n))
            return
        if self._nodes is not None or self._thread is not None:
            raise RuntimeError("the cluster is running already")
        thread = LoopThread("esdb-lite cluster", self._start_here, self._until_stopped)
        thread.start_and_wait()
        self._thread = thread

    def stop(self) -> None:
        """Stop all nodes, whatever has happened to them. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop_and_wait(self._stop_soon)

    def _stop_soon(self) -> None:
        self._stopping = asyncio.ensure_future(self.stop_async())

    def __enter__(self) -> SimulatedCluster:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # --- what happens to nodes ---

    async def elect_async(self, n: int | SimulatedNode, *, after: float = 0.0) -> None:
        """Let node `n` lead from now on, or after some seconds in which nobody does.

        Meanwhile the old and the coming leader answer writes with "Server Is Not Ready", and gossip shows no leader;
        this does not wait for it. Consumers of persistent subscriptions are dropped at once, catch-up subscriptions
        stay where they are. Raises InvalidArgument when the node does not run or is a read-only replica.
        """
        check_seconds("after", after)
        await self._running().elect(self._find(n), after=after)

    def elect(self, n: int | SimulatedNode, *, after: float = 0.0) -> None:
        """Let node `n` lead from now on, or after some seconds in which nobody does.

        See `elect_async`.
        """
        self._call(lambda: self.elect_async(n, after=after))

    async def kill_async(self, n: int | SimulatedNode) -> None:
        """End a node abruptly: its connections are reset, and nobody is told.

        The others show it as dead with its last state. If it led there is no leader before `elect`, or before
        `election_after` has passed. Nothing happens when it is dead.
        """
        await self._running().kill(self._find(n))

    def kill(self, n: int | SimulatedNode) -> None:
        """End a node abruptly: its connections are reset, and nobody is told.

        See `kill_async`.
        """
        self._call(lambda: self.kill_async(n))

    async def freeze_async(self, n: int | SimulatedNode) -> None:
        """Let a node stand still: it accepts connections and bytes, and never says anything. The others miss it.

        If it led, there is an election after `election_after`, as when it was killed.
        """
        await self._running().freeze(self._find(n))

    def freeze(self, n: int | SimulatedNode) -> None:
        """Let a node stand still: it accepts connections and bytes, and never says anything. The others miss it.

        See `freeze_async`.
        """
        self._call(lambda: self.freeze_async(n))

    async def thaw_async(self, n: int | SimulatedNode, *, after: float = 0.0) -> None:
        """Let a frozen node go on: it answers all that waits.

        If it led, and another one leads now, it follows after `after` seconds; until then gossip shows two living
        leaders, and this one refuses writes. Nothing happens when it is not frozen.
        """
        check_seconds("after", after)
        await self._running().thaw(self._find(n), after=after)

    def thaw(self, n: int | SimulatedNode, *, after: float = 0.0) -> None:
        """Let a frozen node go on: it answers all that waits.

        See `thaw_async`.
        """
        self._call(lambda: self.thaw_async(n, after=after))

    async def shut_down_async(self, n: int | SimulatedNode, *, reset_after: float = 5.0) -> None:
        """Let a node leave as a real one does: GOAWAY now, a reset after some seconds, and no answers in between.

        Consumers of persistent subscriptions are dropped, other open calls hear nothing more, new connections are
        refused. The others show it as `ShuttingDown`, and after the reset as dead. This does not wait for that.
        """
        check_seconds("reset_after", reset_after)
        await self._running().shut_down(self._find(n), reset_after=reset_after)

    def shut_down(self, n: int | SimulatedNode, *, reset_after: float = 5.0) -> None:
        """Let a node leave as a real one does: GOAWAY now, a reset after some seconds, and no answers in between.

        See `shut_down_async`.
        """
        self._call(lambda: self.shut_down_async(n, reset_after=reset_after))

    def _find(self, n: int | SimulatedNode) -> SimulatedServer:
        number = n.number if isinstance(n, SimulatedNode) else n
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(self._all):
            raise InvalidArgument("n", n, f"must be a node, or a number between 0 and {len(self._all) - 1}")
        return self._running().nodes[number]

    def _call(self, function: Callable[[], Coroutine[object, object, None]]) -> None:
        """Run a coroutine function on the loop of the cluster, from another thread."""
        self._running()
        if self._thread is not None:
            self._thread.call(function)
        elif self._loop is None or threading.get_ident() == self._loop_thread:
            raise RuntimeError("the cluster runs on the event loop of this thread: use the method that ends in _async")
        else:
            asyncio.run_coroutine_threadsafe(function(), self._loop).result(_CALL_PATIENCE)


def _check_number(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidArgument(name, value, f"must be a number, at least {least}")
