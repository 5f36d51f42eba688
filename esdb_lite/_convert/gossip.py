"""The Gossip service: what the nodes of a cluster say about each other, as values.

Owns: the call, and which members count. Must not know: which node is to be asked, which one is to be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID

from esdb_lite_protos.event_store.client import Empty, Uuid
from esdb_lite_protos.event_store.client.gossip import ClusterInfo, GossipStub, MemberInfo
from esdb_lite_protos.event_store.client.gossip import MemberInfoVNodeState as GossipState

from esdb_lite.administration import ClusterNode, NodeRole
from esdb_lite.errors import ProtocolError
from esdb_lite.settings import Address

if TYPE_CHECKING:
    from grpclib.client import Channel

__all__ = ["GossipMember", "GossipState", "members_of", "nodes", "read"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ROLES = {role.value: role for role in NodeRole}


@dataclass(frozen=True)
class GossipMember:
    """One node, as the node that was asked sees it."""

    place: Address
    """The host at which clients reach it."""
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


async def nodes(channel: Channel) -> list[ClusterNode]:
    """Ask a node who is in the cluster, and return all that it says."""
    return [_node(info) for info in (await GossipStub(channel).read(Empty())).members]


def _node(info: MemberInfo) -> ClusterNode:
    at = info.http_end_point
    try:
        heard = _EPOCH + timedelta(microseconds=info.time_stamp // 10)
    except OverflowError:
        raise ProtocolError(f"a node was heard of at {info.time_stamp}, which is no time") from None
    role = _ROLES.get(info.state.name or "", NodeRole.UNKNOWN)  # one of the future has no name
    return ClusterNode(_instance(info.instance_id), at.address, at.port, role, info.is_alive, heard)


def _instance(id: Uuid) -> UUID | None:
    if id.is_set("structured"):
        halves = (id.structured.most_significant_bits, id.structured.least_significant_bits)
        return UUID(bytes=b"".join(half.to_bytes(8, "big", signed=True) for half in halves))
    try:
        return UUID(id.string)
    except ValueError:
        return None
