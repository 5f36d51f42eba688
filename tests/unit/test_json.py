"""JSON of strangers: a value, or NotJson; nothing else, and not slowly."""

from __future__ import annotations

import json
import random
import time

import pytest

from esdb_lite import RecordedEvent, StreamMetadata
from esdb_lite._json import DEPTH, LONGEST_NUMBER, NotJson, parse_json
from esdb_lite.metadata import decode_metadata
from esdb_lite.server.projections.seen import member, text_of
from esdb_lite.server.projections.valid_json import is_valid


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "text", [], {}, {"a": [1, {"b": "\U0001f600"}]}, "ä\n"])
def test_documents_are_read(value: object) -> None:
    for ascii_only in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"[" * 100_000,
        b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1),
        b'{"a":' * (DEPTH + 1) + b"1" + b"}" * (DEPTH + 1),
        b"9" * (LONGEST_NUMBER + 1),
        b"9" * 100_000,
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'["\\uD83D"]',
        b"{} x",
        b"{'a':1}",
    ],
    ids=range(15),
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(NotJson):
        parse_json(data)
    with pytest.raises(NotJson):
        parse_json(data, unique_names=True)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * DEPTH + b"]" * DEPTH,
        b"[[]," + b"[]," * 1000 + b"[]]",
        b'["' + b"[" * 1000 + b'","\\"' + b"{" * 1000 + b'"]',
        b"1" * LONGEST_NUMBER,
        b'"\\ud83d\\ude00"',
        b'"\\\\ud800"',
    ],
    ids=range(6),
)
def test_what_comes_close(data: bytes) -> None:
    parse_json(data)


def test_a_name_that_comes_twice() -> None:
    assert parse_json(b'{"a":1,"a":2}') == {"a": 2}
    with pytest.raises(NotJson, match="twice"):
        parse_json(b'{"b":{"a":1,"a":2}}', unique_names=True)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_it_is_nothing_else_is_raised_and_it_can_be_written(seed: int) -> None:
    chance = random.Random(seed)
    tokens = ["{", "}", "[", "]", '"', ":", ",", "1", "9" * 5000, "\\", "\\ud800", "e", "null", '"a"', " ", "1e999"]
    for _ in range(200):
        text = "".join(chance.choices(tokens, k=chance.randint(1, 200)))
        try:
            value = parse_json(text)
        except NotJson:
            continue
        json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "text", ['"\\"' * 300_000, "[" + '"a",' * 300_000, '"' * 500_000, "[{" * 300_000, "\\" * 900_000]
)
def test_a_megabyte_does_not_take_long(text: str) -> None:
    began = time.process_time()
    with pytest.raises(NotJson):
        parse_json("[" * 100 + text)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "data", [b'"' + b'\\"' * 300_000, b"/*" * 300_000, b'["' * 300_000, b'"a" ' * 200_000, b"[1," * 60]
)
def test_what_projections_take_for_json_is_found_out_in_no_time(data: bytes) -> None:
    began = time.process_time()
    assert not is_valid(data)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("data", [b'{"a":1,/* b */}', b'["//",//\n]', b'["/*",1,]', b'{"a":"\\"",}', b'["\\\\",]'])
def test_comments_and_commas_that_projections_allow(data: bytes) -> None:
    assert is_valid(data)


@pytest.mark.parametrize("data", [b"{}/*", b"{}/*/", b'["a', b'["a\\', b"{/**/", b'"a\\",]'])
def test_what_has_no_end(data: bytes) -> None:
    assert not is_valid(data)


def test_what_projections_make_names_of_can_be_written() -> None:
    for value in ("\ud800", "a\udfff", ["\ud800"], {"\ud800": 1}, "\ud83d\ude00", "ä"):
        text_of(value).encode()
    assert text_of("a\ud800b") == "a\ufffdb"
    assert text_of("\U0001f600") == "\U0001f600"
    assert member(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", "a") is None


DEEP = b"[" * 100_000 + b"]" * 100_000


def test_what_an_event_holds_may_be_nested_too_deeply() -> None:
    recorded = RecordedEvent("T", DEEP, b'{"a":' + DEEP + b"}", "s", 0, 0)
    with pytest.raises(ValueError, match="nested too deeply"):
        recorded.json()
    assert not recorded.properties
    assert decode_metadata(DEEP, 0) == StreamMetadata(position=0)
