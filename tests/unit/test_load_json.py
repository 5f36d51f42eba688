"""JSON of events is read as `json.loads` reads it, whatever reads it in fact."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import _json
from esdb_lite._json import Json, NotJson, load_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ODD = [b"", b" 1 ", b"1 2", b"[1,]", b"01", b"1.", b"NaN", b"-Infinity", b"1e400", b"-0", b"-0.0", b'"\\ud800"', b"{}}"]
ODD += [
    b"\xef\xbb\xbf{}",
    b"\xff",
    b'"\xed\xa0\x80"',
    b'"\x00"',
    b'{"a":1,"a":2}',
    b"9" * 5000,
    b"18446744073709551616",
]
ODD += ['{"a": 1}'.encode("utf-16"), '{"a": 1}'.encode("utf-32-le"), b"123456789012345678901234567890.5", b"{'a': 1}"]


@pytest.fixture(autouse=True, params=["as installed", "without msgspec"])
def _(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without msgspec":
        monkeypatch.setattr(_json, "_decoder", lambda: _json._read_usual)


def read(load: Callable[[bytes], Json], data: bytes) -> tuple[str, str]:
    """What comes of it, by its text: so are NaN and 1.0 told from others."""
    try:
        return "value", repr(load(data))
    except ValueError as error:
        return type(error).__name__, str(error)


@given(value=VALUES, blanks=st.sampled_from([None, 1]))
def test_documents(value: Json, blanks: int | None) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only, indent=blanks)
        assert read(load_json, text.encode("utf-8", "surrogatepass")) == read(
            json.loads, text.encode("utf-8", "surrogatepass")
        )
        assert repr(load_json(text)) == repr(json.loads(text))


@given(st.binary() | st.text('[]{}:," \\u0019eE+-.tfnNI').map(str.encode))
def test_anything_else(data: bytes) -> None:
    assert read(load_json, data) == read(json.loads, data)


@pytest.mark.parametrize("data", ODD, ids=lambda data: repr(data[:20]))
def test_what_readers_of_json_do_not_agree_about(data: bytes) -> None:
    assert read(load_json, data) == read(json.loads, data)


def test_what_is_nested_too_deeply_is_said() -> None:
    with pytest.raises(NotJson, match="nested too deeply"):
        load_json(b"[" * 100_000 + b"]" * 100_000)
