"""The servers that a client may talk to: one that was named, or the nodes of a cluster.

Owns: `Nodes`, which makes and keeps them, and `Single`, which is all there is to choose without a cluster
(`client.topology.cluster` has the other). Must not know: what is called on a node.
What a client has of a node is the pool of its connections there: `node` is a `ConnectionPool` in all of `client`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection
from typing import Protocol

from esdb_lite._http2.keepalive import KeepAlive
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite.client.retry import suspicious
from esdb_lite.client.topology.need import Need
from esdb_lite.connection_strings import ConnectionSettings
from esdb_lite.errors import NotLeader
from esdb_lite.settings import Address

Moved = Callable[[str], None]
"""Called with the reason when something that stays open should go elsewhere."""


class Topology(Protocol):
    """Which node a call goes to."""

    async def node(self, need: Need, deadline: Deadline) -> ConnectionPool:
        """Return the node for a call. Raises ServiceUnavailable where there is none."""
        ...

    def failed(self, node: ConnectionPool, error: Exception) -> None:
        """Take note of how a call on a node has failed."""

    def requires_leader(self, need: Need) -> bool:
        """Whether the node is to refuse the call unless it leads the cluster."""
        ...

    def is_current(self, node: ConnectionPool, need: Need) -> bool:
        """Whether calls of this need still go to this node."""
        ...

    def watch(self, node: ConnectionPool, moved: Moved) -> Callable[[], None]:
        """Have `moved` called when what is open on this node belongs elsewhere. Returns a function that ends it."""
        ...

    async def close(self) -> None:
        """Stop whatever runs."""


class Nodes:
    """All nodes that a client has had to do with, each with its connections."""

    def __init__(self, settings: ConnectionSettings, tls: ssl.SSLContext | None) -> None:
        interval = settings.keep_alive_interval
        self._keep_alive = None if interval is None else KeepAlive(interval, settings.keep_alive_timeout)
        self._tls = tls
        self._named = {place.host for place in settings.nodes}
        self._vouches = (tls is not None and settings.tls_verify) or settings.embedded is not None
        """Whether whoever a connection leads to is the one that was meant: its certificate says so."""
        self._nodes: dict[Address, ConnectionPool] = {}
        self._met = False

    @property
    def met(self) -> bool:
        """Whether one of them has ever answered."""
        return self._met or any(node.met for node in self._nodes.values())

    def get(self, place: Address, server_name: str | None = None) -> ConnectionPool:
        """Return the node at a place. `server_name` is the one in its certificate, where it is another."""
        node = self._nodes.get(place)
        if node is None:
            node = self._nodes[place] = ConnectionPool(
                place.host,
                place.port,
                tls=self._tls,
                server_name=server_name,
                keep_alive=self._keep_alive,
                others_met=lambda: self.met,
                trusted=self._vouches or server_name is not None or place.host in self._named,
            )
        return node

    def forget_all_but(self, places: Collection[Address]) -> None:
        """Drop the nodes that are not at one of these places, as soon as nothing is open there."""
        for place, node in [*self._nodes.items()]:
            if place in places:
                continue
            if node.idle and node.connections:
                node.close_links()
            if node.dormant:
                self._met |= node.met
                del self._nodes[place]

    def close_idle(self, *but: ConnectionPool | None) -> None:
        """Close connections that nothing uses, except to the nodes that calls go to."""
        for node in self._nodes.values():
            if node not in but and node.idle and node.connections:
                node.close_links()

    async def close(self) -> None:
        """Close all connections; open calls fail."""
        for node in [*self._nodes.values()]:
            await node.close()


class Single:
    """One server, named by the caller. It may be part of a cluster, and say who leads that."""

    def __init__(self, nodes: Nodes, place: Address) -> None:
        self._nodes = nodes
        self._node = nodes.get(place)
        self._leader: ConnectionPool | None = None

    async def node(self, need: Need, deadline: Deadline) -> ConnectionPool:
        """Return the server; for what it has refused as a follower, its leader."""
        return self._serving(need)

    def failed(self, node: ConnectionPool, error: Exception) -> None:
        """Follow a refusal to the leader that it names; come back when that one fails."""
        if isinstance(error, NotLeader) and error.host and error.port:
            leader = self._nodes.get(Address(error.host, error.port))
            self._leader = None if leader is self._node else leader
            known = (self._node, node, leader)
            self._nodes.forget_all_but({Address(each.host, each.port) for each in known})
        elif node is self._leader and suspicious(error):
            self._leader = None

    def requires_leader(self, need: Need) -> bool:
        """Hardly ever: a follower may forward what it gets, unless it is told not to."""
        return need is Need.LEADER_ITSELF

    def is_current(self, node: ConnectionPool, need: Need) -> bool:
        """True for the server, or for the leader that it has named."""
        return node is self._serving(need)

    def watch(self, node: ConnectionPool, moved: Moved) -> Callable[[], None]:
        """Nothing to watch: there is nowhere else to go."""
        return _nothing

    async def close(self) -> None:
        """Nothing runs."""

    def _serving(self, need: Need) -> ConnectionPool:
        return self._node if need is Need.PREFERRED or self._leader is None else self._leader


def _nothing() -> None:
    pass
