"""Filters of $all, and .NET's regular expressions in Python."""

from __future__ import annotations

import re

import pytest

from esdb_lite.server.engine.filters import EventFilter, FilterOn, selector
from esdb_lite.server.engine.regex.automaton import Allowance
from esdb_lite.server.engine.regex.matcher import compile_dotnet
from esdb_lite.server.engine.regex.translation import UnsupportedRegex, translate
from tests.engine.naive_reader import Log


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("b", ["abc"], ["B", ""]),
        ("^a|b$", ["ax", "xb"], ["xa"]),
        (r"^(?!\$).*$", ["order"], ["$order"]),
        (r"(?<=a)b", ["ab"], ["cb"]),
        (r"^(?i)order", ["OrDeR"], ["xorder"]),
        (r"a(?i)b|c", ["aB", "ab", "C"], ["AB", "a"]),
        (r"(a(?i)b)c", ["aBc"], ["aBC", "ABc"]),
        (r"(?i:a)b", ["Ab"], ["AB"]),
        (r"(?i-s)A", ["a"], ["b"]),
        (r"(?n)(a)b", ["ab"], ["b"]),
        (r"^\p{Lu}\p{Ll}+$", ["Order", "Äpfel"], ["order", "ORDER"]),
        (r"^\P{L}$", ["1"], ["a"]),
        (r"^[\p{Lu}\d_]+$", ["AB_1"], ["a"]),
        (r"^[^\p{Lu}]+$", ["abc"], ["aBc"]),
        (r"^[a-z-[aeiou]]+$", ["xyz"], ["xaz"]),
        (r"^[\w-[\d]]+$", ["abc"], ["a1"]),
        (r"^[[a]$", ["[", "a"], ["b"]),
        (r"^[]a]$", ["]", "a"], ["b"]),
        (r"^[a&&b||c~~d]+$", ["a&b|c~d"], ["e"]),
        (r"^(?>a+)b$", ["aab"], ["b"]),
        (r"^(?>a+)ab$", [], ["aab"]),
        (r"(?<name>a)\k<name>", ["aa"], ["ab"]),
        (r"(?'name'a)\k'name'", ["aa"], ["ab"]),
        (r"^a\Z", ["a", "a\n"], ["a\nb"]),
        (r"^a\z", ["a"], ["a\n"]),
        (r"\Aa", ["ab"], ["ba"]),
        (r"^x{,3}$", ["x{,3}"], ["xx", ""]),
        (r"^x{2}$", ["xx"], ["x{2}"]),
        (r"^\{a}$", ["{a}"], ["a"]),
        (r"a(?#comment)b", ["ab"], ["acommentb"]),
        (r"(?x) a b # comment", ["ab"], ["a b"]),
        ("(?x)a # not a group (\nb", ["ab"], ["a", "a(b"]),
        ("(?x: a # ) [\n)(?-x:#) (?x)b(?-x) #", ["a# b #"], ["a#b#"]),
        (r"^\cA\e\x41\u0042$", ["\x01\x1bAB"], ["AB"]),
        (r"\.\\\(", [".\\("], ["a"]),
        (r"^(a)?(?(1)b|c)$", ["ab", "c"], ["b"]),
    ],
)
def test_dotnet(pattern: str, matching: list[str], others: list[str]) -> None:
    search, allowance = compile_dotnet(pattern).search, Allowance(10_000)
    assert [text for text in matching if not search(text, allowance)] == []
    assert [text for text in others if search(text, allowance)] == []


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "[", "[a", "*", "a**", r"\p{IsGreek}", r"\pL", r"\Ga", "(?<a-b>x)", "(?<=a+)b", "\\", "(?#", "[a-[b]c]"],
)
def test_what_cannot_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedRegex):
        compile_dotnet(pattern)


def test_the_replacement_for_atomic_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10))
    translated = translate("^(?>a+)ab$|^(?>b|bc)d")
    assert "(?>" not in translated
    assert [text for text in ("aab", "bd", "bcd") if re.search(translated, text)] == ["bd"]


@pytest.mark.parametrize(
    ("event_filter", "wanted"),
    [
        (None, ["a/T", "b/U", "$c/$T"]),
        (EventFilter(FilterOn.STREAM, prefixes=("a", "$")), ["a/T", "$c/$T"]),
        (EventFilter(FilterOn.STREAM), []),
        (EventFilter(FilterOn.TYPE, prefixes=("",)), ["a/T", "b/U", "$c/$T"]),
        (EventFilter(FilterOn.TYPE, prefixes=("t",)), []),
        (EventFilter(FilterOn.TYPE, regex="U", prefixes=("T",)), ["b/U"]),
        (EventFilter(FilterOn.STREAM, regex=r"^\$"), ["$c/$T"]),
    ],
)
def test_filters(event_filter: EventFilter | None, wanted: list[str]) -> None:
    log = Log()
    for stream, type in (("a", "T"), ("b", "U"), ("$c", "$T"), ("$epoch-information", "T")):
        log.add(stream, type=type)
    assert [f"{r.stream}/{r.type}" for r in selector(event_filter)(log.records)] == wanted


def test_verdicts_on_names_are_kept_within_bounds() -> None:
    log = Log()
    for number in range(10_000):
        log.add(f"s{number}")
    select = selector(EventFilter(FilterOn.STREAM, regex="7$"))
    seen = [record.stream for start in range(0, 10_000, 100) for record in select(log.records[start : start + 100])]
    assert seen == [f"s{number}" for number in range(7, 10_000, 10)]
    assert len(select._verdicts) < 5000  # type: ignore[attr-defined]
