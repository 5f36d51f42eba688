"""QuickJS behind the port: what a script cannot do to us, and what comes through the border unharmed."""

from __future__ import annotations

import json
import sys
import threading
import time

import pytest

from esdb_lite.server.projections.javascript.engine import JavaScriptMissing, Script, ScriptError, ScriptTimeout
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs


def script(body: str) -> Script:
    """A script with one function, `f`; texts with a zero in them come as JSON."""
    with_json = "(name, text) => f(...JSON.parse(text))"
    return open_quickjs(f"(function () {{ const f = {body}; return (name) => name === 'f' ? f : {with_json}; }})()")


def call(body: str, *arguments: str | float | bool | None, seconds: float = 5.0) -> str:
    opened = script(body)
    try:
        return opened.call("f", *arguments, seconds=seconds)
    finally:
        opened.close()


@pytest.mark.parametrize("text", ["", "é", "\U0001f600", "a\0b", "\0", "\ufeff", "x" * 100_000])
def test_texts_come_through(text: str) -> None:
    assert json.loads(call("(text) => JSON.stringify(text)", text)) == text
    assert call("(text) => String(text.length)", text) == str(len(text.encode("utf-16-le")) // 2)


def test_numbers_beyond_32_bits_come_through() -> None:
    assert call("(n) => String(n)", float(2**53 - 1)) == "9007199254740991"
    assert call("(n) => String(n)", float(2**63 - 1)) == "9223372036854776000"


@pytest.mark.parametrize(
    "body",
    [
        "() => { while (true) {} }",
        "() => { try { while (true) {} } catch { return 'caught' } }",
        "() => { try { while (true) {} } finally { while (true) {} } }",
        "() => String(/(a+)+$/.test('a'.repeat(40) + 'b'))",
        "() => { const again = async () => { await null; await again() }; again(); return '' }",
    ],
)
def test_a_script_that_does_not_end_is_stopped(body: str) -> None:
    began = time.thread_time()
    with pytest.raises(ScriptTimeout) as stopped:
        call(body, seconds=0.1)
    assert 0.1 <= stopped.value.took <= time.thread_time() - began < 2.0


def test_a_script_that_ends_too_late_has_taken_too_long() -> None:
    late = "() => { const end = Date.now() + 150; while (Date.now() < end); return 'late' }"
    with pytest.raises(ScriptTimeout):
        call(late, seconds=0.001)
    assert call(late, seconds=5.0) == "late"


@pytest.mark.parametrize(
    "body",
    [
        "() => { const f = (n) => f(n + 1) + 1; return String(f(0)) }",
        "() => JSON.stringify((function deep(n) { return n ? [deep(n - 1)] : 0 })(100000))",
        "() => { const p = new Proxy({}, { get: (t, k, r) => r[k] }); return p.x }",
        "() => { const o = { toString() { return '' + this } }; return '' + o }",
        "() => 'a'.replace(/a/, function again() { return 'a'.replace(/a/, again) })",
        "() => String(new RegExp('('.repeat(100000)))",
        "() => String(JSON.parse('['.repeat(1000000)))",
    ],
)
def test_endless_recursion_harms_nobody(body: str) -> None:
    with pytest.raises(ScriptError):
        call(body)
    assert call("() => 'alive'") == "alive"


@pytest.mark.parametrize(
    "body",
    [
        "() => { const all = []; for (;;) all.push(new Array(100000).fill(1.5)) }",
        "() => { let o = {}; for (;;) o = { o } }",
        "() => { let s = 'x'; for (;;) s += s }",
        "() => 'x'.repeat(1e9)",
        "() => String(new ArrayBuffer(2 ** 31))",
    ],
)
def test_a_script_that_takes_all_memory_is_stopped(body: str) -> None:
    with pytest.raises(ScriptError) as stopped:
        call(body)
    assert not isinstance(stopped.value, ScriptTimeout)
    assert call("() => 'alive'") == "alive"


def test_a_script_that_failed_is_closed() -> None:
    opened = script("() => { while (true) {} }")
    with pytest.raises(ScriptTimeout):
        opened.call("f", seconds=0.01)
    with pytest.raises(ScriptError, match="closed"):
        opened.call("f", seconds=0.01)


def test_scripts_share_nothing() -> None:
    first, second = (script("() => String(globalThis.n = (globalThis.n ?? 0) + 1)") for _ in range(2))
    assert [first.call("f", seconds=1), first.call("f", seconds=1), second.call("f", seconds=1)] == ["1", "2", "1"]


def test_other_threads_go_on_while_a_script_computes() -> None:
    def compute() -> None:
        with pytest.raises(ScriptTimeout):
            call("() => { while (true) {} }", seconds=0.1)

    thread = threading.Thread(target=compute)
    thread.start()
    turns = 0
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    thread.join()
    assert turns > 10


def test_promises_are_kept_without_being_waited_for() -> None:
    kept = script(
        """() => {
            const before = String(globalThis.n ?? 0);
            (async () => { await null; globalThis.n = 1 })();
            return before;
        }"""
    )
    assert [kept.call("f", seconds=1), kept.call("f", seconds=1)] == ["0", "1"]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_quickjs", None)
    with pytest.raises(JavaScriptMissing, match=r"pip install quickjs-ng"):
        open_quickjs("() => 0")
