"""How values become text: it is not JSON.stringify (section 2.5 of the notes on projections)."""

from __future__ import annotations

import pytest

from esdb_lite.server.projections.javascript.program import Handled, HandlerFault, QueryProgram, StateIs
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs
from esdb_lite.server.projections.javascript.source_event import SourceEvent
from esdb_lite.server.projections.javascript.tags import Tag


def event(
    data: str | None = "{}", metadata: str | None = None, *, is_json: bool = True, number: int = 0
) -> SourceEvent:
    return SourceEvent(
        Tag({"x": number}), "x", number, "T", "id", "2026-11-30T00:49:57.5176757", data, metadata, is_json
    )


def handled(query: str, given: SourceEvent | None = None) -> Handled:
    program = QueryProgram.load(query, open_quickjs)
    try:
        return program.handle(given or event(), "", StateIs.NEW, "")
    finally:
        program.close()


def text(value: str) -> str:
    """What is kept of a state that a handler returns."""
    return handled(f"fromStream('x').when({{T: (s, e) => {{ return {value} }}}})").state


TEXTS = {
    "({a: 1, b: [true, null, 'x']})": '{"a":1,"b":[true,null,"x"]}',
    "7": "7",
    "true": "true",
    "null": "",
    "''": "",
    "'text'": "text",
    """'{"a":1}'""": '{"a":1}',
    "undefined": "{}",
    "({u: undefined, a: [undefined, , 1]})": '{"a":[null,null,1]}',
    "BigInt(3)": '"3"',
    "({n: 3n})": '{"n":"3"}',
    "new Date(0)": "{}",
    "[new Map([[1, 2]]), new Set([1]), new Uint8Array(3), Promise.resolve(1), new Number(3)]": "[{},{},{},{},{}]",
    "new String('s')": '{"length":1}',
    "/x/": '{"lastIndex":0}',
    "new (class { a = 1; #p = 2; m() {} get g() { return 3 } static s = 4 })()": '{"a":1}',
    "({toJSON() { return 5 }}).constructor === Object": "true",
    # numbers
    "[0, -0, 1.5, 0.0001, 123456789]": "[0,-0,1.5,0.0001,123456789]",
    "[1e16, 12345678901234568, 1e17, 1.5e-5, 5e-324, 1e21, -1e-7]": (
        "[10000000000000000,12345678901234568,1E+17,1.5E-05,5E-324,1E+21,-1E-07]"
    ),
    # escapes
    r"""'"\\\n\t\u0001\u001f'""": '"\\\n\t\u0001\u001f',
    r"""[`"\\\n\r\t\b\f\u0001\u001f\u007f`]""": r'["\"\\\n\r\t\b\f\u0001\u001F\u007F"]',
    "['é漢</&+']": '["é漢</&+"]',
    r"['\u0080\u00a0\u2028\u2029\u3000\ufeff']": r'["\u0080\u00A0\u2028\u2029\u3000\uFEFF"]',
    r"['\ue000\u0378']": r'["\uE000\u0378"]',
    "['\U0001f600']": r'["\uD83D\uDE00"]',
    r"['\ud83d', '\ude00x']": r'["\uFFFD","\uFFFDx"]',
    """({'é"<>&\\'+`': 1})""": r'{"\u00E9\u0022\u003C\u003E\u0026\u0027\u002B\u0060":1}',
    r"({'a b/c': {'\n\\': 1}})": r'{"a b/c":{"\n\\":1}}',
}


@pytest.mark.parametrize("value", TEXTS)
def test_the_text_of_a_state(value: str) -> None:
    assert text(value) == TEXTS[value]


TOO_DEEP = "Index was outside the bounds of the array."
FAULTS = {
    "NaN": ".NET number values such as positive and negative infinity",
    "({a: 1 / 0})": ".NET number values such as positive and negative infinity",
    "Symbol()": "Cannot serialize Symbol as primitive",
    "[Symbol.iterator]": "Cannot serialize Symbol as primitive",
    "({f: () => 1})": TOO_DEEP,
    "(() => { const c = {}; c.c = c; return c })()": TOO_DEEP,
    "(() => { let a = 1; for (let i = 0; i < 65; i++) a = [a]; return a })()": TOO_DEEP,
}


@pytest.mark.parametrize("value", FAULTS)
def test_values_that_have_no_text(value: str) -> None:
    with pytest.raises(HandlerFault) as fault:
        text(value)
    assert str(fault.value).startswith(FAULTS[value])


FLAWS = {
    "NaN": "The state is NaN",
    "({total: 1 + undefined})": "The state has NaN at .total",
    "({a: [1, {'b c': -1 / 0}]})": 'The state has -Infinity at .a[1]["b c"]',
    "[Symbol.iterator]": "The state has a symbol at [0]",
    "({toJSON() { return 5 }})": "The state has a function at .toJSON",
    "(() => { const c = []; c[0] = c; return c })()": "The state has more than 64 levels (or itself) at " + "[0]" * 64,
    "emit('o', 'E', {x: NaN})": "What is emitted has NaN at .x",
    "emit('o', 'E', {}, {x: NaN})": "What is emitted, in its metadata, is NaN",
    "(() => { throw null })()": "null is thrown, or the script has used up its memory",
    "(() => { throw new Error('theirs') })()": "",
}


@pytest.mark.parametrize("value", FLAWS)
def test_why_a_value_has_no_text_is_told_in_plain_words(value: str) -> None:
    with pytest.raises(HandlerFault) as fault:
        text(value)
    assert fault.value.flaw == FLAWS[value]


def test_a_long_text_is_written() -> None:
    long = "x" * 5_000_000
    assert text("'x'.repeat(5e6)") == long
    assert text("['x'.repeat(5e6)]") == f'["{long}"]'
    assert text("['x'.repeat(16384) + '\\n' + 'x']") == '["' + "x" * 16384 + '\\nx"]'


def test_64_levels_have_a_text() -> None:
    assert text("(() => { let a = 1; for (let i = 0; i < 64; i++) a = [a]; return a })()") == "[" * 64 + "1" + "]" * 64


KEYS = {
    "'x'": "x",
    "' '": " ",
    "'a b/é'": "a b/é",
    "''": "",
    "1": "1",
    "1.5": "1.5",
    "1e21": "1E+21",
    "1e-7": "1E-07",
    "-0": "-0",
    "NaN": "NaN",
    "12345678901234568": "12345678901234568",
    "'null'": "null",
    r"'\ud83d'": "\ufffd",
    r"'a\0b'": "a\0b",
    **dict.fromkeys(["true", "false", "null", "undefined", "[1]", "({})"]),
}


@pytest.mark.parametrize("key", KEYS)
def test_the_text_of_a_partition(key: str) -> None:
    program = QueryProgram.load(f"fromStream('x').partitionBy(e => ({key})).when({{$any: s => s}})", open_quickjs)
    assert program.partition(event()) == KEYS[key]
    program.close()


def test_an_event_becomes_text_with_all_that_can_be_parsed_of_it() -> None:
    state = handled("fromStream('x').when({T: (s, e) => e})", event('{"a":1}', "no json")).state
    assert state == (
        '{"partition":"","created":"2026-11-30T00:49:57.5176757","bodyRaw":"{\\"a\\":1}","metadataRaw":"no json",'
        '"streamId":"x","eventId":"id","eventType":"T","linkMetadataRaw":null,"isJson":true,"category":null,'
        '"sequenceNumber":0,"body":{"a":1},"data":{"a":1},"linkMetadata":null}'
    )
