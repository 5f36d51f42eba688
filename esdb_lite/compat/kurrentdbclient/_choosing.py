"""Which nodes of a cluster a connection string wants.

Owns: which they are, and the exceptions where there is none: our client takes another node then. Must not know:
connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import esdb_lite
from esdb_lite.compat.kurrentdbclient import _values as values
from esdb_lite.compat.kurrentdbclient import connection_spec as specs
from esdb_lite.compat.kurrentdbclient import exceptions, gossip
from esdb_lite.compat.kurrentdbclient._failures import translated

_WANTED = {
    specs.NODE_PREFERENCE_LEADER: (gossip.NODE_STATE_LEADER, exceptions.LeaderNotFoundError),
    specs.NODE_PREFERENCE_FOLLOWER: (gossip.NODE_STATE_FOLLOWER, exceptions.FollowerNotFoundError),
    specs.NODE_PREFERENCE_REPLICA: (gossip.NODE_STATE_REPLICA, exceptions.ReadOnlyReplicaNotFoundError),
}

_MISSING = tuple(missing for _, missing in _WANTED.values())


@contextmanager
def discovering(spec: specs.ConnectionSpec) -> Iterator[None]:
    """Raise a DiscoveryFailedError where no node says which nodes there are."""
    try:
        with translated("connect"):
            yield
    except (exceptions.GrpcError, exceptions.DeadlineExceededError, exceptions.DiscoveryFailedError) as error:
        if error.__class__ in _MISSING:
            raise
        text = f"Failed to obtain cluster info from {','.join(spec.targets)!r}: {error}"
        raise exceptions.DiscoveryFailedError(text) from error


def wanted_targets(spec: specs.ConnectionSpec, nodes: Sequence[esdb_lite.ClusterNode]) -> Sequence[str]:
    """Return the nodes of the kind that is wanted, as `host:port`. Raises DiscoveryFailedError."""
    preference = spec.options.node_preference
    members = [values.their_member(node) for node in nodes]
    if preference in _WANTED:
        state, missing = _WANTED[preference]
        members = [member for member in members if member.state == state]
        if not members:
            raise missing(f"the cluster has no {preference}")
    return [specs.grpc_target(member.address, member.port) for member in members]
