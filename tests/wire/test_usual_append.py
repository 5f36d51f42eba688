"""The short ways through appends and their answers agree with the long ones, or leave it to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._wire import append, batch_append
from esdb_lite._wire.append import encode_proposed, encode_success
from esdb_lite._wire.primitives import WireError

T = TypeVar("T")
PAYLOADS = st.binary(max_size=300)
NUMBERS = st.integers(0, 2**63 - 1)
PROPOSED = st.builds(
    encode_proposed,
    id=st.uuids().map(str),
    type=st.text(max_size=20),
    content_type=st.sampled_from(["application/json", "application/octet-stream", ""]),
    metadata=PAYLOADS,
    data=PAYLOADS,
)
SUCCESSES = st.builds(encode_success, NUMBERS, NUMBERS)
SIMILAR = st.builds(
    encode_proposed,
    id=st.uuids().map(str),
    type=st.sampled_from(["A", "B"]),
    content_type=st.just("application/json"),
    metadata=st.sampled_from([b"", b"{}", b"x" * 200]),
    data=st.sampled_from([b"", b"{}", b"y" * 200]),
)
BATCHES = st.builds(
    batch_append.encode_batch_request,
    st.uuids().map(str),
    st.lists(st.one_of(SIMILAR, PROPOSED), max_size=8),
    stream=st.text(min_size=1, max_size=20),
    expected=st.sampled_from([0, 7, batch_append.ANY]),
)


def outcome(decode: Callable[[bytes], T], data: bytes) -> T | None:
    """What the rules of protobuf make of it; None where it is malformed."""
    try:
        return decode(data)
    except WireError:
        return None


@given(PROPOSED)
def test_usual_events_take_the_short_way(data: bytes) -> None:
    assert append._usual_proposed(data) == append._any_proposed(data)


@given(BATCHES)
def test_usual_batches_take_the_short_way(data: bytes) -> None:
    assert batch_append._usual_request(data) == batch_append._any_request(data)


@given(st.integers(0, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_usual_successes_take_the_short_way(revision: int, position: int) -> None:
    data = encode_success(revision, position)
    assert append._usual_success(data) == append._any_success(data) == (revision, position)


@pytest.mark.parametrize(
    ("usual", "by_the_rules", "examples"),
    [
        (append._usual_proposed, append._any_proposed, PROPOSED),
        (append._usual_success, append._any_success, SUCCESSES),
        (batch_append._usual_request, batch_append._any_request, BATCHES),
    ],
)
@given(data=st.data())
def test_whatever_else_is_left_to_the_rules(
    usual: Callable[[bytes], object],
    by_the_rules: Callable[[bytes], object],
    examples: st.SearchStrategy[bytes],
    data: st.DataObject,
) -> None:
    encoded = bytearray(data.draw(examples))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(encoded[: data.draw(st.integers(0, len(encoded)))])
    for changed in (bytes(encoded), cut):
        taken = usual(changed)
        assert taken is None or taken == outcome(by_the_rules, changed)


def test_what_events_share_cannot_be_changed() -> None:
    data = encode_proposed(id="x" * 36, type="T", content_type="c", metadata=b"", data=b"")
    first = append.decode_proposed(data)
    with pytest.raises(TypeError):
        first.metadata["type"] = "changed"  # type: ignore[index]
    assert append.decode_proposed(data).metadata["type"] == "T"
