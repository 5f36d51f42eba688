"""Metadata of streams, as values and as JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import InvalidArgument, StreamAcl, StreamMetadata, WrongArgumentType
from esdb_lite.metadata import decode_metadata, encode_metadata

DAY = timedelta(days=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ROLES = st.none() | st.lists(st.text(min_size=1), max_size=3).map(tuple)
METADATA = st.builds(
    StreamMetadata,
    max_count=st.none() | st.integers(1, 2**63 - 1),
    max_age=st.none() | st.integers(1, 10**9).map(lambda seconds: timedelta(seconds=seconds)),
    truncate_before=st.none() | st.integers(0, 2**63 - 1),
    cache_control=st.none() | st.integers(1, 10**9).map(lambda seconds: timedelta(seconds=seconds)),
    acl=st.none() | st.builds(StreamAcl, read=ROLES, write=ROLES, delete=ROLES, meta_read=ROLES, meta_write=ROLES),
    custom=st.dictionaries(st.text().filter(lambda key: not key.startswith("$")), JSON, max_size=3),
)


@given(METADATA)
def test_there_and_back(metadata: StreamMetadata) -> None:
    assert decode_metadata(encode_metadata(metadata), 3) == metadata


def test_the_json_is_the_servers() -> None:
    metadata = StreamMetadata(
        max_count=5,
        max_age=DAY,
        truncate_before=0,
        cache_control=timedelta(seconds=9),
        acl=StreamAcl(read=("a",), write=()),
    )
    assert json.loads(encode_metadata(metadata)) == {
        "$maxCount": 5,
        "$maxAge": 86400,
        "$tb": 0,
        "$cacheControl": 9,
        "$acl": {"$r": "a", "$w": []},
    }
    assert encode_metadata(StreamMetadata()) == b"{}"


@pytest.mark.parametrize(
    "document",
    [
        {"$maxCount": "5"},
        {"$maxCount": 0},
        {"$maxCount": True},
        {"$maxAge": -1},
        {"$maxAge": 10**30},
        {"$tb": 1.5},
        {"$acl": {"$r": 5}},
        {"$acl": {"$x": "a"}},
        {"$acl": []},
        {"$tmp": True},
    ],
)
def test_what_is_not_understood_is_kept(document: dict[str, Any]) -> None:
    metadata = decode_metadata(json.dumps(document).encode(), 0)
    assert metadata == StreamMetadata(custom=document)
    assert json.loads(encode_metadata(metadata)) == document


@pytest.mark.parametrize("data", [b"", b"nothing", b"[]", b"5", b"\xff"])
def test_what_is_no_document(data: bytes) -> None:
    assert decode_metadata(data, 4) == StreamMetadata()
    assert decode_metadata(data, 4).position == 4


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"max_count": 0}, InvalidArgument),
        ({"max_count": 2**63}, InvalidArgument),
        ({"max_count": "5"}, WrongArgumentType),
        ({"max_count": True}, WrongArgumentType),
        ({"truncate_before": -1}, InvalidArgument),
        ({"max_age": "60"}, WrongArgumentType),
        ({"max_age": timedelta(0)}, InvalidArgument),
        ({"max_age": timedelta(seconds=1.5)}, InvalidArgument),
        ({"cache_control": timedelta(seconds=-1)}, InvalidArgument),
        ({"acl": {"$r": "a"}}, WrongArgumentType),
        ({"custom": [1]}, WrongArgumentType),
        ({"custom": {1: 2}}, WrongArgumentType),
    ],
)
def test_values_that_are_none(arguments: dict[str, Any], kind: type[InvalidArgument]) -> None:
    with pytest.raises(kind) as caught:
        StreamMetadata(**arguments)
    assert caught.value.argument in arguments


def test_roles() -> None:
    assert StreamAcl(read="ops") == StreamAcl(read=["ops"]) == StreamAcl(read=("ops",))  # type: ignore[arg-type]
    for value in (5, [5], b"x", {"a"}):
        with pytest.raises(WrongArgumentType, match="write"):
            StreamAcl(write=value)  # type: ignore[arg-type]
