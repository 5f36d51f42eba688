"""What the nodes of a cluster say of each other, as bytes and as values.

Owns: the request and the answer of Gossip/Read (clients need nothing else of that service). Must not know: how it is
asked, which node is to be chosen.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from esdb_lite._wire.primitives import fields, last_field, text
from esdb_lite.settings import Address

READ_GOSSIP = "/event_store.client.gossip.Gossip/Read"


class GossipState(enum.Enum):
    """What a node is, or is about to be. The numbers are those of MemberInfo.VNodeState."""

    INITIALIZING = 0
    DISCOVER_LEADER = 1
    UNKNOWN = 2
    PRE_REPLICA = 3
    CATCHING_UP = 4
    CLONE = 5
    FOLLOWER = 6
    PRE_LEADER = 7
    LEADER = 8
    MANAGER = 9
    SHUTTING_DOWN = 10
    SHUTDOWN = 11
    READ_ONLY_LEADERLESS = 12
    PRE_READ_ONLY_REPLICA = 13
    READ_ONLY_REPLICA = 14
    RESIGNING_LEADER = 15


@dataclass(frozen=True)
class GossipMember:
    """One node, as the node that was asked sees it."""

    place: Address
    """Where clients reach it."""
    state: GossipState
    alive: bool


def decode_gossip(data: bytes) -> tuple[GossipMember, ...]:
    """Read ClusterInfo. Members without an address are left out."""
    return tuple(member for tag, _, raw in fields(data) if tag == 0x0A and (member := _member(raw)) is not None)


def _member(data: bytes) -> GossipMember | None:
    state, alive = 0, False
    for tag, value, _ in fields(data):
        if tag == 0x18:
            state = value
        elif tag == 0x20:
            alive = bool(value)
    address = last_field(data, 0x2A)
    host = text(last_field(address, 0x0A))
    port = next((value for tag, value, _ in fields(address) if tag == 0x10), 0)
    if not host or not 0 < port < 65536:
        return None
    known = state in GossipState._value2member_map_
    return GossipMember(Address(host, port), GossipState(state) if known else GossipState.UNKNOWN, alive)
