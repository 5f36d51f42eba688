"""The nodes of a cluster, as in kurrentdbclient.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient.gossip import NODE_STATE_FOLLOWER as NODE_STATE_FOLLOWER
from esdb_lite.compat.kurrentdbclient.gossip import NODE_STATE_LEADER as NODE_STATE_LEADER
from esdb_lite.compat.kurrentdbclient.gossip import NODE_STATE_OTHER as NODE_STATE_OTHER
from esdb_lite.compat.kurrentdbclient.gossip import NODE_STATE_REPLICA as NODE_STATE_REPLICA
from esdb_lite.compat.kurrentdbclient.gossip import ClusterMember as ClusterMember
