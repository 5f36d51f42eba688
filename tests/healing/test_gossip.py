"""What nodes say of each other: the recordings, and bytes that nobody should send."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from esdb_lite_protos.event_store.client import Uuid, UuidStructured
from esdb_lite_protos.event_store.client.gossip import ClusterInfo, EndPoint, MemberInfo, MemberInfoVNodeState
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._convert.gossip import GossipMember, GossipState, members_of
from esdb_lite._wire.messages import decode_message
from esdb_lite._wire.primitives import WireError, block, number
from esdb_lite.settings import Address

RECORDED = Path(__file__).parent.parent / "goldens" / "cluster" / "gossip_steady.json"

INFOS = st.builds(
    MemberInfo,
    instance_id=st.none() | st.builds(Uuid, structured=st.builds(UuidStructured, st.integers(-(2**63), 2**63 - 1))),
    time_stamp=st.integers(-(2**63), 2**63 - 1),
    state=st.sampled_from(list(MemberInfoVNodeState)),
    is_alive=st.booleans(),
    http_end_point=st.none() | st.builds(EndPoint, st.text(max_size=10), st.integers(0, 2**32 - 1)),
)


def decode_gossip(data: bytes) -> tuple[GossipMember, ...]:
    return members_of(decode_message(ClusterInfo, data))


def expected(info: MemberInfo) -> GossipMember | None:
    place = info.http_end_point
    if place is None or not place.address or not 0 < place.port < 65536:
        return None
    return GossipMember(Address(place.address, place.port), info.state, info.is_alive)


def one(
    *, state: int = 8, alive: bool = True, address: bytes = b"10.0.0.1", port: int = 2113, more: bytes = b""
) -> bytes:
    end_point = block(0x0A, address) + number(0x10, port)
    return block(0x0A, number(0x18, state) + number(0x20, int(alive)) + block(0x2A, end_point) + more)


@given(st.lists(INFOS, max_size=5))
def test_all_that_can_be_reached_are_members(infos: list[MemberInfo]) -> None:
    members = [member for info in infos if (member := expected(info)) is not None]
    assert decode_gossip(bytes(ClusterInfo(members=infos))) == tuple(members)


def test_against_the_recording() -> None:
    steps = json.loads(RECORDED.read_text())["steps"]
    answers = [step for step in steps if step.get("rpc") == "Gossip/Read"]
    assert len(answers) >= 3
    for step in answers:
        (raw,), (response,) = step["raw"], step["responses"]
        seen = decode_gossip(base64.b64decode(raw))
        assert [(str(m.place.host), m.place.port, m.state.name, m.alive) for m in seen] == [
            (
                member["http_end_point"]["address"],
                member["http_end_point"]["port"],
                member["state"],
                member["is_alive"],
            )
            for member in response["members"]
        ]


@pytest.mark.parametrize("state", [16, 17, 255, 2**31 - 1, 2**64 - 1])
def test_states_that_nobody_knows_yet_are_no_reason_to_fail(state: int) -> None:
    assert decode_gossip(one(state=state)) == (GossipMember(Address("10.0.0.1", 2113), GossipState.Unknown, True),)


def test_what_is_left_out_has_its_default() -> None:
    end_point = block(0x2A, block(0x0A, b"a") + number(0x10, 1))
    assert decode_gossip(block(0x0A, end_point)) == (GossipMember(Address("a", 1), GossipState.Initializing, False),)


@pytest.mark.parametrize(
    "member",
    [
        one(address=b""),
        one(port=0),
        one(port=65536),
        block(0x0A, number(0x18, 8) + number(0x20, 1)),
        block(0x0A, b""),
    ],
    ids=["no address", "no port", "no such port", "no end point", "nothing"],
)
def test_members_that_cannot_be_reached_are_left_out(member: bytes) -> None:
    assert decode_gossip(one(port=1) + member + one(port=2)) == (
        GossipMember(Address("10.0.0.1", 1), GossipState.Leader, True),
        GossipMember(Address("10.0.0.1", 2), GossipState.Leader, True),
    )


@pytest.mark.parametrize(
    "unknown",
    [number(0x78, 5), block(0x7A, b"later"), b"\x7d1234", b"\x7912345678"],
    ids=["varint", "bytes", "32", "64"],
)
def test_fields_of_later_servers_are_passed_over(unknown: bytes) -> None:
    assert decode_gossip(unknown + one(more=unknown) + unknown) == decode_gossip(one())


@given(st.lists(INFOS, min_size=1, max_size=3), st.data())
def test_what_is_cut_off_is_refused_or_is_less(infos: list[MemberInfo], data: st.DataObject) -> None:
    whole = bytes(ClusterInfo(members=infos))
    at = data.draw(st.integers(0, len(whole) - 1))
    try:
        members = decode_gossip(whole[:at])
    except WireError:
        return
    assert members == decode_gossip(whole)[: len(members)]
    assert len(members) <= len(infos)


@given(st.binary(max_size=60))
def test_any_bytes_lead_to_members_or_to_the_one_error(data: bytes) -> None:
    try:
        members = decode_gossip(data)
    except WireError:
        return
    assert all(0 < member.place.port < 65536 and member.place.host for member in members)
