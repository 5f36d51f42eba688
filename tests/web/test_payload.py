"""How data are shown that anybody may have written."""

from __future__ import annotations

import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.web.json_text import laid_out
from esdb_lite.web.payload import payload, preview, readable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


def text_of(markup: str) -> str:
    """What a browser shows of markup."""
    return html.unescape(re.sub(r"</?span[^>]*>", "", markup))


@given(VALUES)
def test_what_is_laid_out_is_the_same_document(value: object) -> None:
    markup = laid_out(json.dumps(value, ensure_ascii=False))
    assert markup is not None
    assert json.loads(text_of(markup)) == value
    assert "<" not in re.sub(r'<span class="json-[a-z]+">|</span>', "", markup)


def test_layout() -> None:
    assert text_of(laid_out('{"a":[1,{}],"b":[],"c":{"d":null}}') or "") == (
        '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": [],\n  "c": {\n    "d": null\n  }\n}'
    )


def test_numbers_keep_their_digits_and_names_come_twice() -> None:
    shown = text_of(laid_out('{"n":1.0,"n":1234567890123456789012345,"e":1E+2}') or "")
    assert re.findall(r": (\S+?),?$", shown, re.MULTILINE) == ["1.0", "1234567890123456789012345", "1E+2"]
    assert shown.count('"n"') == 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "plain", "[1,]", "[" * 5000 + "]" * 5000, '"' + "x" * 300_000 + '"', "[" + "1," * 20_000 + "1]"],
    ids=["empty", "unfinished", "words", "wrong", "deep", "long", "of many parts"],
)
def test_what_is_not_laid_out(text: str) -> None:
    assert laid_out(text) is None


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"", "empty"), (b'{"a": 1}', "JSON"), (b"words", "text"), (b"\xff\x00", "binary"), ("é".encode(), "text")],
)
def test_kinds(data: bytes, kind: str) -> None:
    assert (payload(data).kind, payload(data).size) == (kind, len(data))


@given(st.binary(max_size=600))
def test_nothing_of_data_becomes_markup(data: bytes) -> None:
    body = re.sub(r'<span class="json-[a-z]+">|</span>', "", payload(data + b"<script>").body)
    assert "<" not in body
    assert "\n" not in preview(data)


def test_large_data_are_cut() -> None:
    assert payload(b"\x00" * 5000).is_cut
    assert payload(b"a" * 200_000).is_cut
    assert len(payload(b"\xff" * 10_000_000).body) < 20_000


def test_binary_data_are_shown_byte_by_byte() -> None:
    assert payload(b"AB\xff").body.startswith("000000  41 42 ff")
    assert payload(b"AB\xff").body.endswith("AB.")


def test_previews() -> None:
    assert preview(b'{"a":  1}') == '{"a": 1}'
    assert preview(b"line\nline") == "line line"
    assert preview(b"\xff\xfe") == "2 bytes"
    assert len(preview(b"x" * 1000)) == 160
    assert preview("é".encode() * 1000).startswith("ééé")


def test_characters_that_do_something_to_the_page() -> None:
    assert readable("a\x1b[31m\u202eb\x07") == "a\ufffd[31m\ufffdb\ufffd"
