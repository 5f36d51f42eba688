"""Stream metadata is read as leniently, and refused as wholly, as a real server does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.engine.metadata import (
    EMPTY,
    Acl,
    StreamRules,
    min_readable,
    oldest_readable,
    parse,
    with_truncate_before,
)
from esdb_lite.server.storage import TOMBSTONE


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"$maxCount": 3, "custom": {"a": [1, null]}}', StreamRules(max_count=3)),
        (b'{"$maxAge":5,"$cacheControl":7,"$tmp":true,"$tb":0}', StreamRules(None, 5, 0, 7, True)),
        (b'{"$acl":{"$r":"a","$w":["b","c"],"$d":[]}}', StreamRules(acl=Acl(("a",), ("b", "c"), ()))),
        (b'{"$acl":{"$mr":"a","$mw":"b"}}', StreamRules(acl=Acl(metadata_read=("a",), metadata_write=("b",)))),
        (b'{"$maxCount":0,"$maxAge":-1,"$tb":-1,"$cacheControl":0,"x":1}', EMPTY),
        (b'{"$maxCount":0,"$tb":4}', StreamRules(truncate_before=4)),
        (b'\xef\xbb\xbf{"$maxCount":3}', StreamRules(max_count=3)),
        (b"{'$maxCount':3,'it\\'s':'\"'}", StreamRules(max_count=3)),
        (b'{"$maxCount":3} trailing }{', StreamRules(max_count=3)),
        (b'{"$maxCount":3,"$maxCount":4}', StreamRules(max_count=4)),
        (b'{"$tb":9223372036854775807}', StreamRules(truncate_before=TOMBSTONE)),
        (b'{"other":123456789012345678901234567890}', EMPTY),
    ],
)
def test_known_keys_are_read(document: bytes, expected: StreamRules) -> None:
    assert parse(document) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        b'"$maxCount":2.0', b'"$maxCount":"2"', b'"$maxCount":null', b'"$maxCount":true', b'"$maxAge":{}',
        b'"$maxCount":9223372036854775808', b'"$tb":-9223372036854775809', b'"$tmp":1', b'"$cacheControl":[1]',
        b'"$acl":null', b'"$acl":[]', b'"$acl":{"$x":"a"}', b'"$acl":{"$r":1}', b'"$acl":{"$r":["a",null]}',
        b'"open', b'"a":}', b'"a" 1',
    ],
)  # fmt: skip
def test_one_wrong_value_empties_the_whole_document(wrong: bytes) -> None:
    assert parse(b'{"$tb":5,' + wrong + b"}") == EMPTY


@pytest.mark.parametrize("document", [b"", b"[]", b"1", b"null", b"text", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_object_is_empty(document: bytes) -> None:
    assert parse(document) == EMPTY
    assert with_truncate_before(document, 1) is None


def test_metadata_that_is_not_flagged_json_is_empty() -> None:
    assert parse(b'{"$maxCount":3}', is_json=False) == EMPTY


@given(st.binary(max_size=60))
def test_any_bytes_are_survived(data: bytes) -> None:
    parse(data)
    with_truncate_before(data, 3)


@pytest.mark.parametrize(
    ("document", "rewritten"),
    [
        (b'{"$tb":9223372036854775807}', b'{"$tb":3}'),
        (b'{ "a": [1, 2.5], "$tb": 7, "z": "\xc3\xa9" }', b'{"a":[1,2.5],"$tb":3,"z":"\xc3\xa9"}'),
        (b'{"a": null}', b'{"a":null,"$tb":3}'),
        (b'{"a":1} more', None),
    ],
)
def test_an_undone_deletion_keeps_the_other_keys_in_their_order(document: bytes, rewritten: bytes | None) -> None:
    assert with_truncate_before(document, 3) == rewritten


@given(st.integers(0, 50), st.none() | st.integers(1, 60), st.none() | st.integers(0, 60))
def test_the_lowest_readable_revision(last: int, max_count: int | None, truncate_before: int | None) -> None:
    metadata = StreamRules(max_count=max_count, truncate_before=truncate_before)
    readable = [
        revision
        for revision in range(last + 1)
        if (max_count is None or revision > last - max_count) and revision >= (truncate_before or 0)
    ]
    assert [revision for revision in range(last + 1) if revision >= min_readable(metadata, last)] == readable


def test_age_is_counted_in_ticks() -> None:
    assert oldest_readable(StreamRules(max_age=2), 100_000_000) == 80_000_000
    assert oldest_readable(EMPTY, 100_000_000) is None
