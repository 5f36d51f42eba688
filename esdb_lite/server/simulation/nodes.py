"""The nodes of a simulated cluster at work: servers over one database, and who of them leads.

Owns: starting, stopping, killing and freezing nodes, elections and their time. Must not know: threads, how users ask
for it (`cluster` does), what nodes answer (`membership` does). Everything is called on one event loop.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace

from esdb_lite.errors import InvalidArgument
from esdb_lite.server.addresses import reachable
from esdb_lite.server.database.database import Database
from esdb_lite.server.faults.api import Fault, Faults
from esdb_lite.server.faults.membership import ClusterMember, Membership, NodeState
from esdb_lite.server.node import ClusterSeat, ServerNode, ServerSettings, open_database

_ANSWERED = 0.05
"""Seconds between the answer to Operations.Shutdown or ResignNode and what it asks for."""

RESET_AFTER = 5.0
"""Seconds after which a node that shuts down resets its connections, on a real server."""


@dataclass(frozen=True)
class ClusterSettings:
    """How a simulated cluster is to run."""

    server: ServerSettings
    """Of every node; a node that is started again takes the port that it had."""
    nodes: int
    read_only_replicas: int
    election_after: float | None
    """Seconds between the end of a leader and the next one; None: when somebody asks for it."""
    forwarding_timeout: float


class SimulatedServer:
    """One node. Its faults and its place in the list stay when it is killed and started again."""

    def __init__(self, number: int, faults: Faults, host: str, *, read_only: bool) -> None:
        self.number = number
        self.faults = faults
        self.stack: ServerNode | None = None
        self.frozen: Fault | None = None
        self._kept: socket.socket | None = None
        self.member = ClusterMember(host, 0, read_only=read_only)
        self.member.state = self.following

    def keep_port(self, host: str) -> None:
        """While it is dead, let nobody else have its port, neither as a server nor by chance as a client."""
        kept = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            kept.bind((host, self.member.port))
        except OSError:
            kept.close()  # then it has to be hoped for
        else:
            self._kept = kept

    def give_port_back(self) -> None:
        """Its server listens again, or never will. Idempotent."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    @property
    def following(self) -> NodeState:
        """What it is while another one leads."""
        return NodeState.READ_ONLY_REPLICA if self.member.read_only else NodeState.FOLLOWER

    @property
    def runs(self) -> bool:
        """Whether it has been started, and neither killed nor frozen nor shut down."""
        return self.stack is not None and self.frozen is None and self.member.state is not NodeState.SHUTTING_DOWN

    @property
    def matters(self) -> bool:
        """Whether there has to be an election when it goes."""
        return self.member.leads or self.member.state is NodeState.PRE_LEADER


class _Later:
    """Something that is done in a while, unless it is cancelled before."""

    def __init__(self, seconds: float, do: Callable[[], Coroutine[object, object, None]]) -> None:
        self.ended: Callable[[_Later], None] | None = None
        self.done = False
        self._do = do
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._do())
        self._task.add_done_callback(self._end)

    def _end(self, task: object) -> None:
        self.done = True
        if self.ended is not None:
            self.ended(self)

    def cancel(self) -> None:
        """Do not begin. What has begun goes on."""
        self._timer.cancel()
        if self._task is None:
            self._end(None)

    async def stop(self) -> None:
        """Do not begin; wait for the end of what has begun."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})


class ClusterNodes:
    """All nodes of a cluster. Changes happen one after the other."""

    def __init__(self, settings: ClusterSettings, faults: list[Faults]) -> None:
        """`faults`: of each node, replicas last."""
        host = reachable(settings.server.host)
        self.nodes = [
            SimulatedServer(number, each, host, read_only=number >= settings.nodes)
            for number, each in enumerate(faults)
        ]
        self.membership = Membership(
            [node.member for node in self.nodes], authenticated=settings.server.security is not None
        )
        self._settings = settings
        self._database: Database | None = None
        self._changing = asyncio.Lock()
        self._election: _Later | None = None
        self._later: set[_Later] = set()

    # --- life ---

    async def start(self) -> None:
        """Open the database and start all nodes; the first one leads. Raises ServerStartError."""
        self._database = await open_database(self._settings.server)
        try:
            self._set_leader(self.nodes[0])
            for node in self.nodes:
                await self._start(node)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop all nodes, and close the database."""
        for later in list(self._later):
            await later.stop()
        async with self._changing:
            for node in self.nodes:
                stack, node.stack = node.stack, None
                if stack is not None:
                    await stack.stop()
                self._thawed(node)
                node.give_port_back()
            if self._database is not None:
                await self._database.close()

    async def _start(self, node: SimulatedServer) -> None:
        if self._database is None:
            raise RuntimeError("the cluster has not been started")
        settings = replace(self._settings.server, port=node.member.port)
        timeout = self._settings.forwarding_timeout
        place = ClusterSeat(self._database, self.membership, node.member, timeout, lambda: self._resign_soon(node))
        node.stack = await ServerNode.start(settings, lambda: self._shut_down_soon(node), node.faults, place)

    def _shut_down_soon(self, node: SimulatedServer) -> None:
        """A client has asked for it."""
        self._do_later(_ANSWERED, lambda: self.shut_down(node, reset_after=RESET_AFTER))

    def _resign_soon(self, node: SimulatedServer) -> None:
        """A client has asked for it; only leaders can."""
        others = [other for other in self.nodes if other.runs and not other.member.read_only and other is not node]
        if node.member.leads and others:
            after = self._settings.election_after or 0.0
            self._do_later(_ANSWERED, lambda: self.elect(others[0], after=after))

    # --- roles ---

    @property
    def leader(self) -> SimulatedServer | None:
        """The node that leads and lives."""
        return next((node for node in self.nodes if node.member.works_as_leader), None)

    async def elect(self, node: SimulatedServer, *, after: float = 0.0) -> None:
        """Let a node lead; between its beginning and the end of `after`, nobody does.

        Raises InvalidArgument when it does not run, or never leads.
        """
        if not node.runs or node.member.read_only:
            kind = "no read-only replica" if node.member.read_only else "a node that runs"
            raise InvalidArgument("n", node.number, f"must be {kind}, to lead")
        self._cancel_election()
        async with self._changing:
            if node.member.leads:
                return
            await self._begin_election(node)
            if not after:
                await self._end_election(node)
        if after:
            self._election = self._do_later(after, lambda: self._conclude(node))

    async def _conclude(self, node: SimulatedServer) -> None:
        async with self._changing:
            if node.runs:
                await self._end_election(node)

    async def _begin_election(self, node: SimulatedServer) -> None:
        for other in self.nodes:
            if other.member.leads or other.member.state is NodeState.PRE_LEADER:
                other.member.state = NodeState.RESIGNING_LEADER if other.runs else NodeState.UNKNOWN
        node.member.state = NodeState.PRE_LEADER
        self._roles_changed()
        for other in self.nodes:
            if other.stack is not None:
                await other.stack.stop_leading()

    async def _end_election(self, node: SimulatedServer) -> None:
        if node.stack is not None:
            await node.stack.start_leading()
        self._set_leader(node)
        self._roles_changed()

    def _set_leader(self, node: SimulatedServer) -> None:
        for other in self.nodes:
            other.member.deposed = False
            if other.runs:
                other.member.state = other.following
        node.member.state = NodeState.LEADER
        self.membership.leader = node.member

    def _roles_changed(self) -> None:
        for node in self.nodes:
            if node.stack is not None:
                node.stack.role_changed()

    def _elect_by_itself(self) -> None:
        """The leader is gone: hold an election in a while, if that was asked for."""
        wait = self._settings.election_after
        if wait is not None and self.leader is None:
            self._cancel_election()
            self._election = self._do_later(wait / 2, lambda: self._hold_election(wait / 2))

    async def _hold_election(self, takes: float) -> None:
        """The first half of the time goes by until anybody notices, the second one while they vote."""
        voters = [node for node in self.nodes if not node.member.read_only]
        able = [node for node in voters if node.runs]
        if len(able) * 2 <= len(voters):
            return
        candidate = able[0]
        async with self._changing:
            await self._begin_election(candidate)
        self._election = self._do_later(takes, lambda: self._conclude(candidate))

    def _cancel_election(self) -> None:
        election, self._election = self._election, None
        if election is not None:
            election.cancel()

    # --- ends and beginnings ---

    async def kill(self, node: SimulatedServer) -> None:
        """End a node abruptly. Nothing happens when it is dead."""
        async with self._changing:
            stack, node.stack = node.stack, None
            if stack is None:
                return
            was_leading = node.matters
            node.member.alive = False
            if node.member.state is NodeState.SHUTTING_DOWN:
                node.member.state = NodeState.UNKNOWN
            self._roles_changed()
            await stack.kill()
            self._thawed(node)
            node.keep_port(self._settings.server.host)
        if was_leading:
            self._elect_by_itself()

    async def start_node(self, node: SimulatedServer) -> None:
        """Start a node that was killed or shut down, at its port, as a follower. Raises ServerStartError."""
        async with self._changing:
            if node.stack is not None:
                raise InvalidArgument("n", node.number, "must be a node that does not run")
            member = node.member
            member.renew()
            if self.membership.leader is member:
                self.membership.leader = None
            led = self.leader is not None
            member.state = node.following if led or member.read_only else NodeState.UNKNOWN
            node.give_port_back()
            await self._start(node)
            member.alive = True
            self._roles_changed()
        if not led and (self._election is None or self._election.done):
            self._elect_by_itself()

    async def freeze(self, node: SimulatedServer) -> None:
        """Let a node stand still, as a process that is stopped. Nothing happens when it does already."""
        async with self._changing:
            if node.stack is None:
                raise InvalidArgument("n", node.number, "must be a node that runs")
            if node.frozen is not None:
                return
            node.frozen = node.faults.stall()
            node.member.alive = False
        if node.matters:
            self._elect_by_itself()

    async def thaw(self, node: SimulatedServer, *, after: float = 0.0) -> None:
        """Let a frozen node go on; for `after` seconds it takes itself for the leader if it was, and another one is."""
        async with self._changing:
            if node.frozen is None:
                return
            member = node.member
            member.alive = True
            if self.membership.leader is not member:
                stale = after and member.state is NodeState.UNKNOWN
                member.state = NodeState.LEADER if stale else node.following
                member.deposed = bool(stale)
            elif member.leads:
                self._cancel_election()
            self._roles_changed()
            self._thawed(node)
        if member.deposed:
            self._do_later(after, lambda: self._retire(node))

    def _thawed(self, node: SimulatedServer) -> None:
        frozen, node.frozen = node.frozen, None
        if frozen is not None:
            frozen.clear()

    async def _retire(self, node: SimulatedServer) -> None:
        if node.member.deposed:
            node.member.deposed = False
            node.member.state = node.following
            self._roles_changed()

    async def shut_down(self, node: SimulatedServer, *, reset_after: float) -> None:
        """Let a node leave in order: GOAWAY, no answers any more, and in the end a reset."""
        async with self._changing:
            if not node.runs or node.stack is None:
                raise InvalidArgument("n", node.number, "must be a node that runs")
            was_leading, stack = node.matters, node.stack
            node.member.state = NodeState.SHUTTING_DOWN
            self._roles_changed()
            await stack.leave()
        self._do_later(reset_after, lambda: self._end(node, stack))
        if was_leading:
            self._elect_by_itself()

    async def _end(self, node: SimulatedServer, stack: ServerNode) -> None:
        """The end of a shutdown, unless somebody was faster."""
        if node.stack is stack:
            await self.kill(node)

    # --- time ---

    def _do_later(self, seconds: float, do: Callable[[], Coroutine[object, object, None]]) -> _Later:
        later = _Later(seconds, do)
        self._later.add(later)
        later.ended = self._later.discard
        return later
