"""Which node of a cluster to talk to.

Owns: the choice, as a pure function of what the nodes say. Must not know: how they are asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from esdb_lite._convert.gossip import GossipMember, GossipState
from esdb_lite.settings import Address, NodePreference

_SERVES = (GossipState.Leader, GossipState.Follower, GossipState.ReadOnlyReplica, GossipState.ReadOnlyLeaderless)
"""States in which a node answers reads; in all others it is coming or going."""


def choose(
    members: Sequence[GossipMember],
    preference: NodePreference,
    *,
    doubted: Collection[Address] = (),
    chance: float = 0.0,
) -> Address | None:
    """Choose among the living members; None when there is none to be used, so that one has to wait.

    Only a leader does where the leader is preferred: in an election there is none for a while. Where there are two
    (the old one does not know yet), one that is not `doubted` is chosen. For the other preferences any node that
    serves reads does, those of the preferred kind first. `chance`, from 0 to below 1, decides among equals.
    """
    best: list[Address] = []
    rank = None
    for member in members:
        its = _rank(member, preference, member.place in doubted)
        if its is not None and (rank is None or its < rank):
            best, rank = [member.place], its
        elif its is not None and its == rank:
            best.append(member.place)
    return best[int(chance * len(best))] if best else None


def leaders(members: Sequence[GossipMember]) -> list[Address]:
    """Return all living leaders."""
    return [member.place for member in members if member.alive and member.state is GossipState.Leader]


def is_of_kind(members: Sequence[GossipMember], place: Address, preference: NodePreference) -> bool:
    """Whether a node is of the kind that is preferred, as far as is known: another one may have to do for a while."""
    kinds = _ORDER.get(preference)
    return not kinds or all(member.state in kinds for member in members if member.place == place)


def _rank(member: GossipMember, preference: NodePreference, doubted: bool) -> tuple[bool, int] | None:
    """Return how good a choice a member is, the less the better; None when it is none."""
    state = member.state
    if not member.alive or state not in _SERVES:
        return None
    if preference is NodePreference.LEADER:
        return (doubted, 0) if state is GossipState.Leader else None
    order = _ORDER[preference]
    return doubted, order.index(state) if state in order else len(order)


_ORDER = {
    NodePreference.RANDOM: (),
    NodePreference.FOLLOWER: (GossipState.Follower,),
    NodePreference.READ_ONLY_REPLICA: (GossipState.ReadOnlyReplica, GossipState.ReadOnlyLeaderless),
}
