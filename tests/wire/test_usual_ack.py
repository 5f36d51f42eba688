"""The short way through an ack agrees with the long one, or says nothing."""

from __future__ import annotations

import uuid

import pytest
from esdb_lite_protos.event_store.client import Uuid
from esdb_lite_protos.event_store.client.persistent_subscriptions import ReadReq, ReadReqAck, ReadReqNack
from esdb_lite_protos.tags import PERSISTENT_READ_REQ_ACK_IDS
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._wire.acks import (
    Ack,
    answer_field,
    decode_consumer_request,
    encode_answers,
    usual_ack,
)
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.uuids import encode_uuid, parse_uuid
from esdb_lite.events import RecordedEvent

IDS = st.lists(st.uuids(), max_size=300)


def encode_ack(ids: list[uuid.UUID]) -> bytes:
    return encode_answers(encode_uuid(PERSISTENT_READ_REQ_ACK_IDS, str(id_)) for id_ in ids)


def slowly(data: bytes) -> list[bytes] | None:
    """What the rules of protobuf make of it; None when it is no ack, or one with ids that are none."""
    try:
        request = decode_consumer_request(data)
        return [parse_uuid(id_) for id_ in request.ids] if isinstance(request, Ack) else None
    except WireError:
        return None


@given(IDS)
def test_usual_acks_are_taken_at_once(ids: list[uuid.UUID]) -> None:
    data = encode_ack(ids)
    assert slowly(data) == [id_.bytes for id_ in ids]
    assert usual_ack(data) == (slowly(data) if ids else None)


@given(IDS, st.data())
def test_whatever_else_is_left_to_the_rules(ids: list[uuid.UUID], data: st.DataObject) -> None:
    encoded = bytearray(encode_ack(ids))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    taken = usual_ack(bytes(encoded))
    assert taken is None or taken == slowly(bytes(encoded))


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    taken = usual_ack(data)
    assert taken is None or taken == slowly(data)


@pytest.mark.parametrize("action", [0, 1, 4])
def test_answers_are_acks_and_nacks(action: int) -> None:
    id_ = uuid.uuid4()
    event = RecordedEvent("T", b"", b"", "s", 0, 0, id=id_)
    ids = [Uuid(string=str(id_))]
    expected = bytes(
        ReadReq(nack=ReadReqNack(b"", ids, action, "why")) if action else ReadReq(ack=ReadReqAck(b"", ids))
    )
    assert encode_answers([answer_field(event)], action, "why") == expected
    event._id = str(id_).encode()
    assert encode_answers([answer_field(event)], action, "why") == expected
