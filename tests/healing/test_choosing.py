"""Which node of a cluster is chosen: every rule, and that nothing but the rules decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._convert.gossip import GossipMember, GossipState
from esdb_lite.client.topology.choosing import choose, leaders
from esdb_lite.client.topology.need import Need, wanted
from esdb_lite.settings import Address, NodePreference

A, B, C, D = (Address("10.0.0.1", port) for port in (1, 2, 3, 4))
LEADER, FOLLOWER = NodePreference.LEADER, NodePreference.FOLLOWER
RANDOM, REPLICA = NodePreference.RANDOM, NodePreference.READ_ONLY_REPLICA

SERVES = {GossipState.Leader, GossipState.Follower, GossipState.ReadOnlyReplica, GossipState.ReadOnlyLeaderless}


def member(place: Address, state: GossipState, alive: bool = True) -> GossipMember:
    return GossipMember(place, state, alive)


CLUSTER = (member(C, GossipState.Follower), member(B, GossipState.Leader), member(A, GossipState.Follower))
"""As gossip lists a settled one: by address, not the leader first."""

NAMED = {"A": A, "B": B, "C": C, "D": D}

MEMBERS = st.lists(
    st.builds(GossipMember, st.sampled_from([A, B, C, D]), st.sampled_from(list(GossipState)), st.booleans()),
    max_size=6,
    unique_by=lambda member: member.place,
)
CHANCE = st.floats(0, 1, exclude_max=True)
DOUBTED = st.sets(st.sampled_from([A, B, C, D]))


# --- states and life --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", GossipState)
@pytest.mark.parametrize("preference", NodePreference)
def test_a_single_living_member(state: GossipState, preference: NodePreference) -> None:
    usable = state is GossipState.Leader if preference is LEADER else state in SERVES
    assert choose([member(A, state)], preference) == (A if usable else None)


@pytest.mark.parametrize("state", GossipState)
@pytest.mark.parametrize("preference", NodePreference)
def test_the_dead_are_never_chosen_whatever_they_were(state: GossipState, preference: NodePreference) -> None:
    assert choose([member(A, state, alive=False)], preference) is None
    assert choose([member(A, state, alive=False)], preference, doubted=[A], chance=0.99) is None


@pytest.mark.parametrize("preference", NodePreference)
def test_nobody_is_there(preference: NodePreference) -> None:
    assert choose([], preference) is None


def test_a_lone_follower_that_lists_its_dead_leader() -> None:
    """As a node says without end that has survived both others."""
    seen = [
        member(C, GossipState.Follower, False),
        member(B, GossipState.Leader, False),
        member(A, GossipState.PreReplica),
    ]
    for preference in NodePreference:
        assert choose(seen, preference) is None


def test_an_election_has_no_leader() -> None:
    seen = [member(A, GossipState.PreLeader), member(B, GossipState.ResigningLeader), member(C, GossipState.Follower)]
    assert choose(seen, LEADER) is None
    assert choose(seen, RANDOM) == choose(seen, FOLLOWER) == choose(seen, REPLICA) == C


# --- two leaders ------------------------------------------------------------------------------------------------------

TWO = [member(A, GossipState.Leader), member(B, GossipState.Leader), member(C, GossipState.Follower)]


@pytest.mark.parametrize(
    ("doubted", "chance", "expected"),
    [((), 0.0, A), ((), 0.5, B), ((), 0.99, B), ((A,), 0.0, B), ((B,), 0.99, A), ((A, B), 0.0, A), ((A, B), 0.7, B)],
)
def test_of_two_leaders_the_one_that_is_not_doubted(
    doubted: tuple[Address, ...], chance: float, expected: Address
) -> None:
    assert choose(TWO, LEADER, doubted=doubted, chance=chance) == expected
    assert leaders(TWO) == [A, B]


def test_leaders_are_those_that_live_and_lead() -> None:
    assert leaders(CLUSTER) == [B]
    assert (
        leaders(
            [member(A, GossipState.Leader, False), member(B, GossipState.PreLeader), member(C, GossipState.Follower)]
        )
        == []
    )


# --- doubt ------------------------------------------------------------------------------------------------------------


def test_a_doubted_leader_is_better_than_none() -> None:
    assert choose(CLUSTER, LEADER, doubted=[B]) == B


def test_a_follower_is_no_leader_however_doubted_that_is() -> None:
    assert choose([member(A, GossipState.Follower), member(B, GossipState.Leader, False)], LEADER, doubted=[B]) is None


def test_doubt_counts_more_than_kind() -> None:
    assert choose(CLUSTER, FOLLOWER, doubted=[A, C]) == B
    assert choose(CLUSTER, REPLICA, doubted=[A, B]) == C


# --- preferences and what they fall back to ---------------------------------------------------------------------------

MIXED = [
    member(A, GossipState.Leader),
    member(B, GossipState.Follower),
    member(C, GossipState.ReadOnlyReplica),
    member(D, GossipState.ReadOnlyLeaderless),
]


@pytest.mark.parametrize(
    ("preference", "gone", "expected"),
    [
        (LEADER, "", {A}),
        (LEADER, "A", set()),
        (FOLLOWER, "", {B}),
        (FOLLOWER, "B", {A, C, D}),
        (FOLLOWER, "ACD", {B}),
        (REPLICA, "", {C}),
        (REPLICA, "C", {D}),
        (REPLICA, "CD", {A, B}),
        (RANDOM, "", {A, B, C, D}),
        (RANDOM, "A", {B, C, D}),
        (RANDOM, "ABCD", set()),
    ],
)
def test_preferences(preference: NodePreference, gone: str, expected: set[Address]) -> None:
    dead = {NAMED[name] for name in gone}
    members = [member(each.place, each.state, each.place not in dead) for each in MIXED]
    found = {choose(members, preference, chance=number / 100) for number in range(100)}
    assert found == (expected or {None})


@pytest.mark.parametrize("preference", NodePreference)
def test_what_changes_something_goes_to_the_leader(preference: NodePreference) -> None:
    assert wanted(Need.LEADER, preference) is LEADER
    assert wanted(Need.PREFERRED, preference) is preference


# --- chance -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chance", "expected"), [(0.0, C), (0.333, C), (0.334, B), (0.666, B), (0.667, A), (0.9999, A)]
)
def test_chance_divides_equals_evenly(chance: float, expected: Address) -> None:
    assert choose(CLUSTER, RANDOM, chance=chance) == expected


@given(MEMBERS, st.sampled_from(NodePreference), DOUBTED, CHANCE)
def test_against_the_rules_in_words(
    members: list[GossipMember], preference: NodePreference, doubted: set[Address], chance: float
) -> None:
    found = choose(members, preference, doubted=doubted, chance=chance)
    kinds = {LEADER: [{GossipState.Leader}], FOLLOWER: [{GossipState.Follower}, SERVES], RANDOM: [SERVES]}
    kinds[REPLICA] = [{GossipState.ReadOnlyReplica}, {GossipState.ReadOnlyLeaderless}, SERVES]
    living = [each for each in members if each.alive]
    for trusted in (True, False):
        for states in kinds[preference]:
            good = [each.place for each in living if each.state in states and (each.place not in doubted) is trusted]
            if good:
                assert found in good
                return
    assert found is None


@given(MEMBERS, st.sampled_from(NodePreference), DOUBTED)
def test_everybody_who_is_as_good_can_be_chosen(
    members: list[GossipMember], preference: NodePreference, doubted: set[Address]
) -> None:
    found = {choose(members, preference, doubted=doubted, chance=number / 60) for number in range(60)}
    reverse = {choose(members[::-1], preference, doubted=doubted, chance=number / 60) for number in range(60)}
    assert found == reverse  # the order of the members decides nothing
