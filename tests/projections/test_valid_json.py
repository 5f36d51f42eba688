"""What projections take for JSON."""

from __future__ import annotations

import pytest

from esdb_lite.server.projections.valid_json import is_valid

DEEP = b"[" * 64 + b"]" * 64


@pytest.mark.parametrize(
    "data",
    [
        b"{}", b" [1, 2] ", b'"s"', b"17", b"true", b"null", b"-1.5e3", b'{"a":"\xff"}', b"9" * 5000, DEEP,
        b'{"a":1,}', b"[1,]", b"[1 , ]", b"// first\n{}", b'{/* within */"a":1}', b"{} // last", b'["//", "/*"]',
        b'["' + b"[" * 100 + b'"]', b'[",]"]',
    ],
)  # fmt: skip
def test_valid(data: bytes) -> None:
    assert is_valid(data)


@pytest.mark.parametrize(
    "data",
    [
        b"", b" ", b"{broken", b"1 2", b"NaN", b"[Infinity]", b"01", b"\xef\xbb\xbf{}", b"[" + DEEP + b"]", b"0@x",
        b"[,]", b"[1,,]", b"{,}", b"/* open", b'{"a":"\n"}', b"'a'", b"[" * 100_000, b'{"a":' * 2000,
    ],
)  # fmt: skip
def test_invalid(data: bytes) -> None:
    assert not is_valid(data)
