"""Whether a cluster has a node of the kind that a connection string wants.

Owns: the exceptions that kurrentdbclient has for that; our client takes another node instead.
Must not know: connections.
"""

from __future__ import annotations

from collections.abc import Sequence

import esdb_lite
from esdb_lite.compat.kurrentdbclient import _values as values
from esdb_lite.compat.kurrentdbclient import connection_spec as specs
from esdb_lite.compat.kurrentdbclient import exceptions, gossip

_WANTED = {
    specs.NODE_PREFERENCE_LEADER: (gossip.NODE_STATE_LEADER, exceptions.LeaderNotFoundError),
    specs.NODE_PREFERENCE_FOLLOWER: (gossip.NODE_STATE_FOLLOWER, exceptions.FollowerNotFoundError),
    specs.NODE_PREFERENCE_REPLICA: (gossip.NODE_STATE_REPLICA, exceptions.ReadOnlyReplicaNotFoundError),
}


def check_preference(spec: specs.ConnectionSpec, nodes: Sequence[esdb_lite.ClusterNode]) -> None:
    """Raise a DiscoveryFailedError where there is no such node."""
    preference = spec.options.node_preference
    if preference not in _WANTED:
        return
    state, missing = _WANTED[preference]
    if not any(values.their_member(node).state == state for node in nodes):
        raise missing(f"the cluster has no {preference}")
