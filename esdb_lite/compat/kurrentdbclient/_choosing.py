"""Whether a cluster has a node of the kind that a connection string wants.

Owns: the exceptions that kurrentdbclient has for that; our client takes another node instead.
Must not know: connections.
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


def check_preference(spec: specs.ConnectionSpec, nodes: Sequence[esdb_lite.ClusterNode]) -> None:
    """Raise a DiscoveryFailedError where there is no such node."""
    preference = spec.options.node_preference
    if preference not in _WANTED:
        return
    state, missing = _WANTED[preference]
    if not any(values.their_member(node).state == state for node in nodes):
        raise missing(f"the cluster has no {preference}")
