"""A client that does not follow the leader: what only the leader can do goes where reads go, and may be refused there.

Owns: `Staying`. Must not know: how the node is found (`Single`, `client.topology.cluster`).
"""

from __future__ import annotations

from collections.abc import Callable

from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite.client.topology.need import Need, wanted
from esdb_lite.client.topology.nodes import Moved, Topology
from esdb_lite.errors import NotLeader, ServerNotReady
from esdb_lite.settings import NodePreference


class Staying:
    """All calls go to one node, and those that only the leader can do say so."""

    def __init__(self, places: Topology, preference: NodePreference) -> None:
        """`places` finds the node."""
        self._places = places
        self._preference = preference

    async def node(self, need: Need, deadline: Deadline) -> ConnectionPool:
        """Return the node that reads go to."""
        return await self._places.node(Need.PREFERRED, deadline)

    def failed(self, node: ConnectionPool, error: Exception) -> None:
        """Take note of a failure; both ways of a node to say that it does not lead are none."""
        if not isinstance(error, (NotLeader, ServerNotReady)):
            self._places.failed(node, error)

    def requires_leader(self, need: Need) -> bool:
        """True also for reads, where the leader is preferred."""
        return wanted(need, self._preference) is NodePreference.LEADER

    def is_current(self, node: ConnectionPool, need: Need) -> bool:
        """Whether reads go to the node."""
        return self._places.is_current(node, Need.PREFERRED)

    def watch(self, node: ConnectionPool, moved: Moved) -> Callable[[], None]:
        """As where the node is found."""
        return self._places.watch(node, moved)

    async def close(self) -> None:
        """Stop whatever runs."""
        await self._places.close()
