"""Regular expressions of strangers: what they find is what `re` finds, and none of them takes long."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from esdb_lite.server.engine.filters import EventFilter, FilterOn, UnusableFilter, selector
from esdb_lite.server.engine.regex.automaton import Allowance, Automaton, NoAutomaton, OutOfSteps
from esdb_lite.server.engine.regex.bound import STEPS, longest_safe
from esdb_lite.server.engine.regex.matcher import LONGEST_PATTERN, Matcher, RegexTooSlow
from esdb_lite.server.engine.regex.translation import UnsupportedRegex, translate
from esdb_lite.server.engine.regex.tree import parse
from tests.engine.naive_reader import Log

EVIL = (
    r"^(a+)+$",
    r"^(a|a)*$",
    r"^(a|aa)+$",
    r"(.*)*x",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(a*)*b",
    r"(?:a?){64}a{64}$",
    r"^(?!(a+)+$)(a|b)*!$",
    r"(x+x+)+y",
    r".*.*.*.*=.*",
    r"(?=(a+)+$)a",
    r"(?i)(A|a)*b",
    r"(a|b)*a(a|b){12}$",
    r"^(\w+\s?)*$",
    r"((a{0,5}){0,5}){0,5}$",
)
TEXTS = ("a" * 40 + "!", "a" * 4096 + "!", "x" * 1000, "ab" * 2000, "=" * 300, "a" * 60)


def time_of(action: Callable[[], object]) -> float:
    """Seconds of processor time, so that a busy machine does not count."""
    began = time.process_time()
    action()
    return time.process_time() - began


@pytest.mark.parametrize("pattern", EVIL)
def test_evil_patterns_take_no_time(pattern: str) -> None:
    def match() -> None:
        matcher = Matcher(pattern)
        for text in TEXTS:
            with suppress(RegexTooSlow):
                matcher.search(text, Allowance(100_000))

    assert time_of(match) < 1


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^(a+)+$", "a" * 1000, True),
        (r"^(a+)+$", "a" * 1000 + "!", False),
        (r"(.*)*x$", "a" * 500 + "x", True),
        (r"^(?!(.*foo.*bar)$)", "a" * 500 + "foobar", False),
        (r"^(?!(.*foo.*bar)$)", "a" * 500 + "foobarx", True),
        (r"(?=.*a)(?=.*b)(?!.*c)^[a-z]+$", "x" * 300 + "ab", True),
        (r"(?=.*a)(?=.*b)(?!.*c)^[a-z]+$", "x" * 300 + "abc", False),
        (r"(?i)(?:order)+-\d+$", "OrDer" * 300 + "-17", True),
        (r"\b(?:\w+\W)*end\b", "a-" * 300 + "end", True),
        (r"\b(?:\w+\W)*end\b", "a-" * 300 + "ends", False),
        (r"(?m)^(?:b+)+$", "a\n" * 300 + "bb\n", True),
    ],
)
def test_long_names_are_matched_all_the_same(pattern: str, text: str, found: bool) -> None:
    assert Matcher(pattern).search(text, Allowance(100_000)) is found


@pytest.mark.parametrize("pattern", [r"^(?!\$)", r"^(?!(?:\$.*)$)", r"^Order(?:Placed|Paid)$", r"^order-[0-9a-f-]+$"])
def test_usual_patterns_are_left_to_re(pattern: str) -> None:
    assert longest_safe(parse(translate(pattern))) >= 256


ATOMS = [
    "a",
    "b",
    ".",
    "[ab]",
    "[^a]",
    r"\w",
    r"\d",
    "-",
    r"\b",
    r"\B",
    "^",
    "$",
    r"\A",
    r"\Z",
    "(?=b)",
    "(?!a)",
    r"\n",
]


def random_pattern(chance: random.Random, depth: int) -> str:
    if depth == 0 or chance.random() < 0.2:
        return chance.choice(ATOMS)
    kind = chance.randrange(6)
    inner = [random_pattern(chance, depth - 1) for _ in range(chance.randint(1, 3))]
    if kind <= 1:
        return "".join(inner)
    if kind == 2:
        return f"(?:{'|'.join(inner)})"
    if kind == 3:
        return f"(?:{''.join(inner)}){chance.choice(['*', '+', '?', '{2}', '{1,2}', '*?', '+?', '{0,2}'])}"
    if kind == 4:
        return f"(?{chance.choice(['=', '!'])}{''.join(inner)})"
    return f"(?{chance.choice(['i', 'm', 's'])}:{''.join(inner)})"


@pytest.mark.parametrize("seed", range(40))
def test_the_automaton_finds_what_re_finds(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        pattern = random_pattern(chance, 4)
        compiled, automaton = re.compile(pattern), Automaton(parse(pattern))
        for _ in range(20):
            text = "".join(chance.choices("abA1-\n", k=chance.randint(1, 8)))
            found = compiled.search(text) is not None
            assert automaton.search(text, Allowance(100_000)) is found, (pattern, text)


@pytest.mark.parametrize("seed", range(10))
def test_re_gets_only_texts_for_which_it_is_quick(seed: int) -> None:
    """What it is given takes a step for some 50 nanoseconds at most, whatever the pattern."""
    chance = random.Random(f"bound {seed}")
    for _ in range(30):
        pattern = random_pattern(chance, 5)
        longest = longest_safe(parse(pattern))
        compiled = re.compile(pattern)
        for letters in ("a", "ab", "aA-", "a\n"):
            text = (letters * (longest + 1))[: max(longest, 0)]
            assert time_of(lambda text=text, search=compiled.search: search(text)) < STEPS * 2.5e-6, (pattern, letters)  # type: ignore[misc]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\p{L}" * 2000,
        r"\p{L}" * 500,
        "a" * (LONGEST_PATTERN + 1),
        r"(?i)" + r"[\u0000-\uffff]" * 400,
        "(?:(?:a?){1000}){1000}",
        "(?:){1000000000}",
        r"(a+)+\1$",
        r"(?>(a+)+b)+$(?<=b)",
        r"\p{Xy}",
        "(" * 4000 + ")" * 4000,
        "[a-" * 2700 + "]" * 2700,
    ],
)
def test_what_is_too_large_is_refused_at_once(pattern: str) -> None:
    def refused() -> None:
        with pytest.raises(UnsupportedRegex):
            Matcher(pattern)

    assert time_of(refused) < 1


def test_look_behinds_and_references_are_left_to_re_as_long_as_it_is_quick() -> None:
    matcher = Matcher(r"^(a|b)+-\1$")
    assert matcher.search("a-a", Allowance(1000)) if longest_safe(parse(r"^(a|b)+-\1$")) >= 64 else True
    behind = Matcher(r"(?<=order-)\d")
    assert behind.search("order-1", Allowance(0))
    with pytest.raises(RegexTooSlow, match=re.escape(repr(r"(?<=order-)\d"))):
        behind.search("order-1" * 2000, Allowance(1000))


def test_an_allowance_holds_for_all_names_of_a_page() -> None:
    log = Log()
    chance = random.Random(1)
    for _ in range(500):
        log.add("".join(chance.choices("ab", k=500)) + "!")
    select = selector(EventFilter(FilterOn.STREAM, regex=r"(a|b)*a(a|b){20}$"))

    def look() -> None:
        with pytest.raises(RegexTooSlow):
            select(log.records)

    assert time_of(look) < 1


def test_states_are_kept_within_bounds() -> None:
    automaton = Automaton(parse(r"(a|b)*a(a|b){12}$"))
    chance = random.Random(2)
    for _ in range(100):
        automaton.search("".join(chance.choices("ab", k=100)), Allowance(10**6))
    assert automaton._kept < 20_000


def test_the_end_of_an_allowance() -> None:
    with pytest.raises(OutOfSteps):
        Automaton(parse("(a|b)*c")).search("ab" * 10, Allowance(5))


def test_no_automaton_for_what_is_not_regular() -> None:
    with pytest.raises(NoAutomaton):
        Automaton(parse(r"(a)\1"))


def test_too_many_prefixes_are_refused() -> None:
    with pytest.raises(UnusableFilter, match="prefixes"):
        selector(EventFilter(FilterOn.STREAM, prefixes=tuple(map(str, range(3000)))))


def test_verdicts_on_long_names_do_not_pile_up() -> None:
    log = Log()
    for number in range(1000):
        log.add(f"{number}" + "x" * 4000)
    select = selector(EventFilter(FilterOn.STREAM, regex="^7"))
    for start in range(0, 1000, 20):
        select(log.records[start : start + 20])
    assert sum(map(len, select._verdicts)) < 1_000_000  # type: ignore[attr-defined]
