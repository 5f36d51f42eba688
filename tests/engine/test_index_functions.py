"""What can be a filter or a selector, and what an index keeps of what they give."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from esdb_lite.server.indexes.definition import FieldDefinition, FieldType, IndexDefinition
from esdb_lite.server.indexes.functions import IndexFunctions, is_function
from esdb_lite.server.indexes.user_index import stored_value
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs
from esdb_lite.server.storage import Record
from tests.engine.naive_reader import Log

pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("rec => true", True),
        ("(rec) => { return true }", True),
        ("(function (rec) { return true })", True),
        ("async rec => true", True),
        ("({ value }) => value", True),
        ("({ value: { k = ',' } = {} }) => k", True),
        ("(...rest) => true", True),
        ("(rec = 1) => true", True),
        ("(rec,) => true", True),
        ("rec => nothing.there", True),
        (" // a remark\n rec => true; ", True),
        ("rec => (1, 2)", True),
        ("", False),
        ("  ", False),
        ("rec =>", False),
        ("1 + 1", False),
        ("() => true", False),
        ("(a, b) => true", False),
        ("function (rec) { return true }", False),
        ("function f(rec) { return true }", False),
        ("parseInt", False),
        ("nonsense", False),
        ("(() => rec => true)()", False),
        ("while (true) {}", False),
    ],
)
def test_what_is_a_function_of_one_argument(text: str, is_one: bool) -> None:
    assert is_function(text, open_quickjs) is is_one


def evaluated(functions: IndexFunctions, records: Sequence[Record]) -> list[str | None]:
    """What is kept of all records, however many the functions take at once."""
    found: list[str | None] = []
    idle = 0
    while len(found) < len(records):
        some = functions.evaluate_some(records[len(found) :])
        idle = 0 if some else idle + 1
        assert idle < 20  # it may take fewer at once a few times; nobody waits for ever
        found += some
    return found


def kept(selector: str, type: FieldType, *data: bytes, text: str = "") -> list[str | None]:
    log = Log()
    records = [log.add("a-1", data=each) for each in data]
    functions = IndexFunctions(IndexDefinition("i", text, FieldDefinition("f", selector, type)), open_quickjs)
    try:
        return evaluated(functions, records)
    finally:
        functions.close()


def test_what_is_kept_of_values() -> None:
    numbers = [b'{"v": 1.5}', b'{"v": -3}', b'{"v": "1"}', b'{"v": null}', b"{}", b"no JSON", b'{"v": 1e400}']
    select = "rec => rec.value.v"
    assert kept(select, FieldType.INT_32, *numbers) == ["1", "-3", None, None, None, None, None]
    assert kept(select, FieldType.DOUBLE, *numbers) == ["1.5", "-3", None, None, None, None, "Infinity"]
    assert kept(select, FieldType.STRING, *numbers) == [None, None, "1", None, None, None, None]
    large = [b'{"v": 2147483648}', b'{"v": 9223372036854775807}', b'{"v": 9007199254740993}']
    assert kept(select, FieldType.INT_32, *large) == [None, None, None]
    assert kept(select, FieldType.INT_64, *large) == ["2147483648", None, "9007199254740992"]


def test_a_function_that_never_ends_leaves_its_record_out_and_no_other() -> None:
    data = [b'{"v": 1}', b'{"v": 2}', b'{"v": 3}']
    text = "rec => { while (rec.value.v === 2); return true }"
    assert kept("rec => rec.value.v", FieldType.INT_32, *data, text=text) == ["1", None, "3"]


@pytest.mark.parametrize(
    ("text", "selector", "fault"),
    [
        ("", "rec => rec.valu.a", "selector: TypeError: "),
        ("rec => { throw new Error('no such luck') }", "rec => 1", "filter: Error: no such luck"),
        ("rec => { throw { toString() { throw 1 } } }", "rec => 1", "filter: an error that has no text"),
        ("rec => { while (true); }", "rec => 1", "the script was stopped after"),
    ],
)
def test_the_first_fault_of_an_index_is_logged_and_no_other(
    text: str, selector: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert kept(selector, FieldType.INT_32, b"{}", b"{}", b"{}", text=text) == [None] * 3
    (message,) = caplog.messages
    assert message.startswith("index 'i' leaves out event 0@'a-1'")
    assert fault in message


@pytest.mark.parametrize(
    ("text", "type", "value"),
    [
        (" A ", FieldType.STRING, " A "),
        ("", FieldType.STRING, ""),
        (" 01 ", FieldType.INT_32, "1"),
        ("+1", FieldType.INT_64, "1"),
        ("1.0", FieldType.INT_32, None),
        ("1e3", FieldType.INT_64, None),
        ("9" * 5000, FieldType.INT_64, None),
        ("1e3", FieldType.DOUBLE, "1000.0"),
        (" +1.0 ", FieldType.DOUBLE, "1.0"),
        ("Infinity", FieldType.DOUBLE, "inf"),
        ("x", FieldType.DOUBLE, None),
    ],
)
def test_values_that_are_asked_for(text: str, type: FieldType, value: str | None) -> None:
    assert stored_value(text, type) == value


@pytest.mark.parametrize(
    "spoiling",
    ["Array.prototype.toJSON = () => []", "Array.prototype.toJSON = () => 7", "Array.prototype.push = () => 1"],
)
def test_functions_that_change_what_javascript_is_made_of_harm_themselves_only(spoiling: str) -> None:
    log = Log()
    records = [log.add("a-1", data=b"{}") for _ in range(3)]
    functions = IndexFunctions(IndexDefinition("i", f"rec => {{ {spoiling}; return true }}", None), open_quickjs)
    assert len(evaluated(functions, records)) == 3
    functions.close()
