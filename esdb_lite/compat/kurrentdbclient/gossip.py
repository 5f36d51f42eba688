"""The nodes of a cluster, with the names of kurrentdbclient.

Owns: the values. Must not know: calls.
"""

from __future__ import annotations

from dataclasses import dataclass

NODE_STATE_LEADER = "NODE_STATE_LEADER"
NODE_STATE_FOLLOWER = "NODE_STATE_FOLLOWER"
NODE_STATE_REPLICA = "NODE_STATE_REPLICA"
NODE_STATE_OTHER = "NODE_STATE_OTHER"


@dataclass
class ClusterMember:
    """One node of a cluster."""

    state: str
    address: str
    port: int
