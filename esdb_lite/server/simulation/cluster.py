"""`SimulatedCluster`: several embedded servers that behave like the nodes of one cluster, for tests.

Owns: what users see of it, with an event loop and without. Must not know: what nodes do and answer (`nodes`
does, and is imported when a cluster is started).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Literal

from esdb_lite._checks import Seconds, checked_int, checked_seconds, checked_text
from esdb_lite._loop_thread import LoopCalls, LoopThread
from esdb_lite.errors import InvalidArgument
from esdb_lite.server.addresses import with_port
from esdb_lite.server.embedded import passwords_of, path_of, projections_of, security_of
from esdb_lite.server.faults.api import Faults
from esdb_lite.server.options import DEFAULT_COMPATIBILITY, Compatibility, Durability, RunProjections, one_of
from esdb_lite.server.tls import Certificates

if TYPE_CHECKING:
    from esdb_lite.server.simulation.nodes import ClusterNodes, ClusterSettings, SimulatedServer

_CALL_PATIENCE = 30.0


class SimulatedNode:
    """A node of a simulated cluster. It stays the same object when it is killed and started again."""

    def __init__(self, cluster: SimulatedCluster, number: int) -> None:
        """Made by the cluster."""
        self.number = number
        """Its index in `cluster.nodes`."""
        self.faults = Faults()
        """What you can break on this node, from any thread: calls made to it, not those that others forward."""
        self._cluster = cluster

    @property
    def host(self) -> str:
        """The address that the node listens on."""
        return self._node.member.host

    @property
    def port(self) -> int:
        """The port that the node listens on; it never changes."""
        return self._node.member.port

    @property
    def uri(self) -> str:
        """A connection string for this node alone."""
        return self._cluster._uri_of([self])

    @property
    def role(self) -> str:
        """What the node is, or was when it died, as gossip names it: `Leader`, `Follower`, `ReadOnlyReplica` ..."""
        return self._node.member.state.value

    @property
    def alive(self) -> bool:
        """Whether the others take the node for alive: it is neither killed nor frozen."""
        return self._node.member.alive

    @property
    def _node(self) -> SimulatedServer:
        return self._cluster._running().nodes[self.number]

    def __repr__(self) -> str:
        if self._cluster._nodes is None:
            return f"<SimulatedNode {self.number}, not started>"
        return f"<SimulatedNode {self.number} at {self.host}:{self.port}, {self.role}{'' if self.alive else ', dead'}>"


class SimulatedCluster:
    """Three nodes for tests: they lead, follow, fail and answer as those of a real cluster do, in this process.

    For tests only: all nodes share one store, so nothing is replicated, and nothing is safer than with one server.
    Events stay while nodes are killed and started. `path` is the database file; without it, events are in memory and
    lost when the cluster stops. The first node leads at the start. The rules are in the notes on clusters (proto/).

    `election_after`: seconds after which another node leads when the leader is gone (for the first half nobody has
    noticed, in the second they vote); None: when `elect` is called. `forwarding_timeout`: seconds after which a write
    fails that a follower forwarded to a lost leader (4 to 5 on a real one). `read_only_replicas`: further nodes that
    never lead, last in `nodes`. The other arguments are those of `EmbeddedServer`. Raises InvalidArgument; starting
    raises `esdb_lite.server.errors.ServerStartError`.

    `with SimulatedCluster() as cluster:` runs it on a thread of its own, `async with` on the running loop. Methods
    whose names end in `_async` are for the loop that it runs on, the others for all other threads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        nodes: int = 3,
        read_only_replicas: int = 0,
        election_after: Seconds | None = None,
        forwarding_timeout: Seconds = 0.5,
        host: str = "127.0.0.1",
        durability: Durability | Literal["full", "relaxed"] = Durability.FULL,
        dev_certificate: str | os.PathLike[str] | None = None,
        admin_password: str | None = None,
        ops_password: str | None = None,
        run_projections: RunProjections | Literal["none", "system", "all"] = RunProjections.NONE,
        start_standard_projections: bool = False,
        compatibility: Compatibility | Literal["24.10", "25.1", "26.1"] = DEFAULT_COMPATIBILITY,
    ) -> None:
        self._path = path_of("path", path)
        self._host = checked_text("host", host)
        self._durability = one_of("durability", durability, Durability)
        self._run_projections = projections_of(run_projections, start_standard_projections)
        self._start_standard_projections = start_standard_projections
        self._compatibility = one_of("compatibility", compatibility, Compatibility)
        self._voters = checked_int("nodes", nodes, 1)
        self._replicas = checked_int("read_only_replicas", read_only_replicas, 0)
        self._election_after = None if election_after is None else checked_seconds("election_after", election_after)
        self._forwarding_timeout = checked_seconds("forwarding_timeout", forwarding_timeout)
        self._certificates = Certificates(None, None, None, path_of("dev_certificate", dev_certificate))
        self._passwords = passwords_of(admin_password, ops_password)
        self._all = tuple(SimulatedNode(self, number) for number in range(nodes + read_only_replicas))
        self._nodes: ClusterNodes | None = None
        self._calls: LoopCalls | None = None
        self._stopped: asyncio.Event | None = None
        self._thread: LoopThread | None = None

    # --- who and where ---

    @property
    def nodes(self) -> Sequence[SimulatedNode]:
        """All nodes, read-only replicas last. The order never changes."""
        return self._all

    @property
    def leader(self) -> SimulatedNode | None:
        """The living node that leads; None while there is none."""
        leader = self._running().leader
        return None if leader is None else self._all[leader.number]

    @property
    def uri(self) -> str:
        """The connection string with all nodes that may lead, `esdb://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3?tls=false`."""
        return self._uri_of(self._all[: self._voters])

    def _uri_of(self, nodes: Sequence[SimulatedNode]) -> str:
        return self._certificates.uri(",".join(with_port(node.host, node.port) for node in nodes))

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
        self._calls = LoopCalls(asyncio.get_running_loop()).here()
        self._stopped = asyncio.Event()

    def _settings(self) -> ClusterSettings:
        from esdb_lite.server.node import ServerSettings
        from esdb_lite.server.simulation.nodes import ClusterSettings

        server = ServerSettings(
            self._path,
            self._host,
            0,
            self._durability,
            security=security_of(self._certificates, self._passwords),
            run_projections=self._run_projections,
            start_standard_projections=self._start_standard_projections,
            compatibility=self._compatibility,
        )
        return ClusterSettings(server, self._voters, self._replicas, self._election_after, self._forwarding_timeout)

    async def stop_async(self) -> None:
        """Stop all nodes, whatever has happened to them. Idempotent."""
        nodes, self._nodes = self._nodes, None
        if nodes is not None and self._stopped is not None:
            try:
                await nodes.stop()
            finally:
                self._stopped.set()
                if self._calls is not None:
                    self._calls.end()
        elif self._stopped is not None:
            await self._stopped.wait()

    async def _until_stopped(self) -> None:
        if self._stopped is not None:
            await self._stopped.wait()

    async def __aenter__(self) -> SimulatedCluster:
        await self.start_async()
        return self

    async def __aexit__(self, *_: object) -> None:
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
        self._thread = LoopThread("esdb-lite cluster", self._start_here, self._until_stopped).start_and_wait()

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

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- what happens to nodes ---

    async def elect_async(self, n: int | SimulatedNode, *, after: Seconds = 0.0) -> None:
        """Let node `n` lead from now on, or `after` some seconds in which nobody does.

        Returns at once. In between, the old and the new leader answer writes with "Server Is Not Ready", and gossip
        shows no leader. Consumers of persistent subscriptions are dropped at once; catch-up subscriptions stay where
        they are. Raises InvalidArgument if the node does not run or is a read-only replica.
        """
        await self._running().elect(self._find(n), after=checked_seconds("after", after))

    def elect(self, n: int | SimulatedNode, *, after: Seconds = 0.0) -> None:
        """Let node `n` lead from now on, or `after` some seconds in which nobody does.

        See `elect_async`.
        """
        self._call(lambda: self.elect_async(n, after=after))

    async def kill_async(self, n: int | SimulatedNode) -> None:
        """End a node abruptly: its connections are reset, and nobody is told. Idempotent.

        The others show it as dead, in its last state. If it led, nobody leads before `elect`, or before
        `election_after` is over.
        """
        await self._running().kill(self._find(n))

    def kill(self, n: int | SimulatedNode) -> None:
        """End a node abruptly: its connections are reset, and nobody is told. Idempotent.

        See `kill_async`.
        """
        self._call(lambda: self.kill_async(n))

    async def freeze_async(self, n: int | SimulatedNode) -> None:
        """Freeze a node: it accepts connections and bytes, and never answers. The others miss it.

        If it led, there is an election after `election_after`, as when it is killed.
        """
        await self._running().freeze(self._find(n))

    def freeze(self, n: int | SimulatedNode) -> None:
        """Freeze a node: it accepts connections and bytes, and never answers. The others miss it.

        See `freeze_async`.
        """
        self._call(lambda: self.freeze_async(n))

    async def thaw_async(self, n: int | SimulatedNode, *, after: Seconds = 0.0) -> None:
        """Thaw a frozen node: it answers all that waits. Idempotent.

        If it led and another node leads now, it follows after `after` seconds; until then gossip shows two living
        leaders, and this one refuses writes.
        """
        await self._running().thaw(self._find(n), after=checked_seconds("after", after))

    def thaw(self, n: int | SimulatedNode, *, after: Seconds = 0.0) -> None:
        """Thaw a frozen node: it answers all that waits. Idempotent.

        See `thaw_async`.
        """
        self._call(lambda: self.thaw_async(n, after=after))

    async def shut_down_async(self, n: int | SimulatedNode, *, reset_after: Seconds = 5.0) -> None:
        """Shut a node down as a real one: GOAWAY now, a reset after some seconds, and no answers in between.

        Returns at once. Consumers of persistent subscriptions are dropped, other open calls hear nothing more, and new
        connections are refused. The others show the node as `ShuttingDown`, and after the reset as dead.
        """
        await self._running().shut_down(self._find(n), reset_after=checked_seconds("reset_after", reset_after))

    def shut_down(self, n: int | SimulatedNode, *, reset_after: Seconds = 5.0) -> None:
        """Shut a node down as a real one: GOAWAY now, a reset after some seconds, and no answers in between.

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
        if self._calls is None or self._calls.inside:
            raise RuntimeError("the cluster runs on the event loop of this thread: use the method that ends in _async")
        self._calls.run(function, patience=_CALL_PATIENCE)
