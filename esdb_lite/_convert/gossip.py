"""The Gossip service: what the nodes of a cluster say about each other, as values.

Owns: the call, and which members count. Must not know: which node is to be asked, which one is to be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client.gossip import ClusterInfo, GossipStub, MemberInfo
from esdb_lite_protos.event_store.client.gossip import MemberInfoVNodeState as GossipState

from esdb_lite.settings import Address

if TYPE_CHECKING:
    from grpclib.client import Channel

__all__ = ["GossipMember", "GossipState", "members_of", "read"]


@dataclass(frozen=True)
class GossipMember:
    """One node, as the node that was asked sees it."""

    place: Address
    """Where clients reach it."""
    state: GossipState
    alive: bool


async def read(channel: Channel) -> tuple[GossipMember, ...]:
    """Ask a node who is in the cluster."""
    return members_of(await GossipStub(channel).read(Empty()))


def members_of(cluster: ClusterInfo) -> tuple[GossipMember, ...]:
    """Return the members; those without an address are left out."""
    return tuple(member for info in cluster.members if (member := _member(info)) is not None)


def _member(info: MemberInfo) -> GossipMember | None:
    at = info.http_end_point
    if not at.address or not 0 < at.port < 65536:
        return None
    state = info.state if info.state.name else GossipState(GossipState.Unknown)  # one of the future has no name
    return GossipMember(Address(at.address, at.port), state, info.is_alive)
