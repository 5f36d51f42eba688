"""From patterns to the one expression that a server takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import ESDB_EVENTS_REGEX, Filter, FilterBy, InvalidArgument, WrongArgumentType
from esdb_lite.filters import DEFAULT_EXCLUDE, excluding, including, make_filter, patterns

WORDS = st.text("ab$.", min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("alternatives", "regex"),
    [
        (("a",), "^(?:a)$"),
        (("a", "b.*"), "^(?:a|b.*)$"),
        (("a|b", "c"), "^(?:a|b|c)$"),
        (("(?i)a", "b"), "^(?:(?:(?i)a)|b)$"),
    ],
)
def test_including(alternatives: tuple[str, ...], regex: str) -> None:
    assert including(alternatives) == regex


def test_excluding() -> None:
    assert excluding(("a", "b.*")) == "^(?!(?:a|b.*)$)"


@given(st.lists(WORDS, min_size=1, max_size=4), WORDS)
def test_alternatives_match_as_a_whole(names: list[str], value: str) -> None:
    alternatives = [re.escape(name) for name in names]
    assert bool(re.search(including(alternatives), value)) == (value in names)
    assert bool(re.search(excluding(alternatives), value)) == (value not in names)


def test_the_default_leaves_out_what_begins_with_a_dollar() -> None:
    regex = excluding((ESDB_EVENTS_REGEX,))
    assert not re.search(regex, "$metadata")
    assert not re.search(regex, "$>")
    assert re.search(regex, "Order$Created")
    assert re.search(regex, "OrderCreated")


def test_what_the_arguments_of_a_read_mean() -> None:
    assert make_filter(DEFAULT_EXCLUDE, (), None) == Filter(FilterBy.EVENT_TYPE, r"^(?!(?:\$.*)$)")
    assert make_filter((), (), None) is None
    assert make_filter(["x"], ["a", "b"], None) == Filter(FilterBy.EVENT_TYPE, "^(?:a|b)$")
    given = Filter.by_stream_name(prefixes=["order-"])
    assert make_filter(DEFAULT_EXCLUDE, (), given) is given
    assert make_filter([ESDB_EVENTS_REGEX], (), given) is given


@pytest.mark.parametrize(("exclude", "include"), [((), ()), (["x"], ()), (DEFAULT_EXCLUDE, ["a"])])
def test_a_filter_and_patterns_exclude_each_other(exclude: Any, include: Any) -> None:
    with pytest.raises(InvalidArgument, match="filter"):
        make_filter(exclude, include, Filter.by_stream_name(prefixes=["a"]))


def test_a_lone_string_is_one_pattern() -> None:
    assert patterns("filter_include", "OrderCreated") == ("OrderCreated",)


@pytest.mark.parametrize("values", [5, b"x", None, {"a": 1}, [b"x"], [None]])
def test_wrong_types(values: Any) -> None:
    with pytest.raises(WrongArgumentType, match="filter_include"):
        patterns("filter_include", values)


@pytest.mark.parametrize(
    "text",
    [
        r"[\w-[aeiou]]+",
        "(?<=a+)b",
        r"\Ga",
        r"\cA",
        r"\e",
        r"(?<n>a)\k<n>",
        "(?<o>a)(?<-o>b)",
        "(?n)a",
        "(?<n>a)(?<n>b)",
    ],
)
def test_what_only_the_servers_engine_can_read(text: str) -> None:
    assert patterns("filter_include", [text]) == (text,)


@pytest.mark.parametrize("text", ["", "(", "*", "[", "a)", r"\p{Lu", "(?<n>a", "[z-a]", "a**", "a{3,2}", "a\\"])
def test_what_no_engine_can_read(text: str) -> None:
    with pytest.raises(InvalidArgument, match="filter_include") as caught:
        patterns("filter_include", [text])
    assert caught.value.value == text


@pytest.mark.parametrize("text", [r"\p{Lu}\w*", r"(?<name>a)b", r"(?>a|b)c", r"a\z", "(?i)order", "(?m-i)^a", r"\$.*"])
def test_what_dotnet_can_read(text: str) -> None:
    assert patterns("filter_include", [text]) == (text,)


def test_the_ways_to_make_a_filter() -> None:
    assert Filter.by_event_type(regex="Order") == Filter(FilterBy.EVENT_TYPE, "Order")
    assert Filter.by_event_type(exclude=["a", "b"]).regex == "^(?!(?:a|b)$)"
    assert Filter.by_stream_name(include="a").regex == "^(?:a)$"
    assert Filter.by_stream_name(prefixes=("a", "b")).prefixes == ("a", "b")
    chosen = Filter.by_event_type(prefixes=["a"], window=500, checkpoint_interval=2)
    assert (chosen.window, chosen.checkpoint_interval) == (500, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"include": ["a"], "exclude": ["b"]},
        {"prefixes": ["a"], "regex": "b"},
        {"regex": "("},
        {"regex": 5},
        {"prefixes": [""]},
        {"prefixes": ["a"], "window": 0},
        {"prefixes": ["a"], "window": 2**32},
        {"prefixes": ["a"], "window": True},
        {"prefixes": ["a"], "checkpoint_interval": 0},
        {"prefixes": ["a"], "checkpoint_interval": 1.5},
    ],
)
def test_filters_that_are_none(arguments: dict[str, Any]) -> None:
    for make in (Filter.by_event_type, Filter.by_stream_name):
        with pytest.raises(InvalidArgument):
            make(**arguments)


def test_the_constructor_checks_too() -> None:
    with pytest.raises(WrongArgumentType, match="by"):
        Filter("event type", "a")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="filter"):
        Filter(FilterBy.EVENT_TYPE, "a", ("b",))
