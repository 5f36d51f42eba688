"""The short way to an event's message comes to the same bytes as the long one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._wire.read_response_encode import encode_delivery, encode_event, encode_record

UINT64 = st.integers(0, 2**64 - 1) | st.integers(0, 20_000)


@given(
    id=st.binary(min_size=16, max_size=16),
    stream=st.text(max_size=200),
    revision=UINT64,
    position=UINT64,
    type=st.text(max_size=200),
    is_json=st.booleans(),
    created=st.integers(0, 10**18) | st.integers(10**16, 10**17),
    metadata=st.binary(max_size=300),
    data=st.binary(max_size=20_000),
    retry_count=st.integers(0, 2**31 - 1),
)
def test_both_ways_agree(
    id: bytes,
    stream: str,
    revision: int,
    position: int,
    type: str,
    is_json: bool,
    created: int,
    metadata: bytes,
    data: bytes,
    retry_count: int,
) -> None:
    record = encode_record(
        id=id,
        structured=False,
        stream=stream,
        revision=revision,
        position=position,
        type=type,
        is_json=is_json,
        created=created,
        metadata=metadata,
        data=data,
    )
    delivery = encode_delivery(id, stream, revision, position, type, is_json, created, metadata, data, retry_count)
    assert delivery == encode_event(record, None, position, retry_count=retry_count)
