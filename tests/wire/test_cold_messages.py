"""Cold messages: what their generated classes are given to decode."""

from __future__ import annotations

from importlib import import_module

import betterproto
import pytest
from esdb_lite_protos.event_store.client.gossip import ClusterInfo, EndPoint, MemberInfo
from esdb_lite_protos.event_store.client.persistent_subscriptions import CreateReq
from esdb_lite_protos.event_store.client.users import DetailsResp, DetailsRespUserDetails
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._wire.messages import decode_message
from esdb_lite._wire.primitives import WireError, block, number

SERVICES = {
    "gossip": "Gossip",
    "monitoring": "Monitoring",
    "operations": "Operations",
    "persistent_subscriptions": "PersistentSubscriptions",
    "projections": "Projections",
    "server_features": "ServerFeatures",
    "streams": "Streams",
    "users": "Users",
}
HOT = {"ReadReq", "ReadResp", "AppendReq", "AppendResp", "BatchAppendReq", "BatchAppendResp"}


def cold() -> dict[str, type[betterproto.Message]]:
    """The messages of all calls that are not hot, by name."""
    found = {}
    for package, service in SERVICES.items():
        module = import_module(f"esdb_lite_protos.event_store.client.{package}")
        for about in getattr(module, f"{service}Base")().__mapping__().values():
            for kind in (about.request_type, about.reply_type):
                if kind.__name__ not in HOT and kind.__name__ != "Empty":
                    found[f"{package}.{kind.__name__}"] = kind
    return found


COLD = cold()


@given(st.binary(max_size=60), st.sampled_from(sorted(COLD)))
def test_any_bytes_lead_to_a_message_or_to_the_one_error(data: bytes, name: str) -> None:
    try:
        assert isinstance(decode_message(COLD[name], data), COLD[name])
    except WireError:
        return


def test_what_is_cut_off_is_refused() -> None:
    whole = bytes(ClusterInfo(members=[MemberInfo(http_end_point=EndPoint("host", 2113))]))
    for end in range(1, len(whole)):
        with pytest.raises(WireError, match="truncated"):
            decode_message(ClusterInfo, whole[:end])


def test_values_of_a_wrong_wire_type_are_left_out() -> None:
    """A number where the options should be, and options with a number where the group's name should be."""
    assert decode_message(CreateReq, number(0x08, 5)) == CreateReq()
    assert decode_message(CreateReq, block(0x0A, number(0x10, 5))).options.group_name == ""


def test_a_message_in_parts_is_put_together() -> None:
    parts = [block(0x0A, block(0x0A, b"ann")), block(0x0A, block(0x22, block(0x08, b""))), block(0x0A, number(0x28, 1))]
    details = decode_message(DetailsResp, b"".join(parts)).user_details
    assert details == DetailsRespUserDetails(login_name="ann", disabled=True)


def test_of_a_oneof_the_last_one_counts() -> None:
    empty, stream = block(0x1A, b""), block(0x12, b"\x0a\x00")
    options = decode_message(CreateReq, block(0x0A, block(0x2A, empty) + block(0x2A, stream)))
    assert betterproto.which_one_of(options.options.all, "all_option")[0] == "start"
