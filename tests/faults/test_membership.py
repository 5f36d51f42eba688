"""What a node in some state answers to whom: the tables of the notes about clusters. No server."""

from __future__ import annotations

import pytest

from esdb_lite.server.faults.membership import Asks, ClusterMember, Membership, NodeState, Verdict

SERVED, AWAY, LATER, LOST = Verdict.SERVED, Verdict.NOT_LEADER, Verdict.NOT_READY, Verdict.LOST
WRONG = Verdict.WRONG_STATE
BOTH = (False, True)


def cluster(
    state: NodeState, *, authenticated: bool = False, read_only: bool = False
) -> tuple[Membership, ClusterMember]:
    """A leader, and a node in some state."""
    node = ClusterMember("127.0.0.1", 2, state, read_only=read_only)
    return Membership([ClusterMember("127.0.0.1", 1, NodeState.LEADER), node], authenticated=authenticated), node


def verdicts(membership: Membership, node: ClusterMember, asks: Asks) -> tuple[Verdict, Verdict]:
    """Without and with the header."""
    return (
        membership.verdict(node, asks, required=False),
        membership.verdict(node, asks, required=True),
    )


@pytest.mark.parametrize("asks", list(Asks))
def test_a_leader_serves_everything(asks: Asks) -> None:
    membership = Membership.alone("127.0.0.1", 1)
    assert verdicts(membership, membership.members[0], asks) == (SERVED, SERVED)


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        (Asks.WRITE, (SERVED, AWAY)),
        (Asks.READ, (SERVED, AWAY)),
        (Asks.SUBSCRIPTION, (SERVED, AWAY)),
        (Asks.GROUP, (AWAY, AWAY)),
        (Asks.GROUP_INFO, (LATER, LATER)),
        (Asks.GROUP_RESTART, (WRONG, WRONG)),
        (Asks.OTHER, (SERVED, SERVED)),
    ],
)
@pytest.mark.parametrize("state", [NodeState.FOLLOWER, NodeState.READ_ONLY_REPLICA])
def test_a_follower(state: NodeState, asks: Asks, expected: tuple[Verdict, Verdict]) -> None:
    assert verdicts(*cluster(state), asks) == expected


def test_a_replica_forwards_nothing_where_callers_are_asked_who_they_are() -> None:
    membership, node = cluster(NodeState.READ_ONLY_REPLICA, authenticated=True, read_only=True)
    assert verdicts(membership, node, Asks.WRITE) == (AWAY, AWAY)
    assert verdicts(membership, node, Asks.READ) == (SERVED, AWAY)


def test_a_lone_follower_goes_on_naming_its_dead_leader() -> None:
    membership, node = cluster(NodeState.FOLLOWER)
    membership.members[0].alive = False
    assert verdicts(membership, node, Asks.WRITE) == (LOST, AWAY)
    assert verdicts(membership, node, Asks.READ) == (SERVED, AWAY)
    assert verdicts(membership, node, Asks.GROUP) == (AWAY, AWAY)


def test_a_follower_that_knows_of_no_leader() -> None:
    membership, node = cluster(NodeState.FOLLOWER)
    membership.leader = None
    assert verdicts(membership, node, Asks.WRITE) == (LATER, LATER)
    assert verdicts(membership, node, Asks.GROUP) == (LATER, LATER)


@pytest.mark.parametrize(
    ("state", "reads"),
    [
        (NodeState.UNKNOWN, (SERVED, LATER)),
        (NodeState.DISCOVER_LEADER, (SERVED, LATER)),
        (NodeState.PRE_LEADER, (SERVED, SERVED)),
        (NodeState.RESIGNING_LEADER, (SERVED, SERVED)),
        (NodeState.SHUTTING_DOWN, (SERVED, SERVED)),
    ],
)
def test_a_node_between_two_roles(state: NodeState, reads: tuple[Verdict, Verdict]) -> None:
    for asks in (Asks.READ, Asks.SUBSCRIPTION):
        assert verdicts(*cluster(state), asks) == reads
    for asks in (Asks.WRITE, Asks.GROUP, Asks.GROUP_INFO):
        assert verdicts(*cluster(state), asks) == (LATER, LATER)
    assert verdicts(*cluster(state), Asks.OTHER) == (SERVED, SERVED)


def test_a_deposed_leader_gives_stale_answers_and_takes_no_writes() -> None:
    membership, node = cluster(NodeState.LEADER)
    node.deposed = True
    assert verdicts(membership, node, Asks.READ) == (SERVED, SERVED)
    assert verdicts(membership, node, Asks.WRITE) == (LATER, LATER)


def test_order_and_identity() -> None:
    members = [ClusterMember("127.0.0.1", port) for port in (3112, 3111, 3113)]
    membership = Membership(members)
    assert [member.port for member in membership.in_order()] == [3113, 3112, 3111]
    before = members[0].instance
    members[0].renew()
    assert members[0].instance != before
    assert len({member.instance for member in members}) == 3
