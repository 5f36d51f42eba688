"""What a call needs of a node.

Owns: `Need`. Must not know: nodes.
"""

from __future__ import annotations

import enum

from esdb_lite.settings import NodePreference


class Need(enum.Enum):
    """What a call needs of a node."""

    LEADER = "leader"
    """Writing, and everything about groups and users: other nodes refuse it, or pass it on."""
    LEADER_ITSELF = "the leader itself"
    """The last word on what is there: another node must refuse it, even where it is the only one that is known."""
    PREFERRED = "preferred"
    """Reading: any node that the settings prefer."""


def wanted(need: Need, preference: NodePreference) -> NodePreference:
    """Return which kind of node a call goes to."""
    return preference if need is Need.PREFERRED else NodePreference.LEADER
