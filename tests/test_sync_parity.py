"""Both clients have the same methods: names, parameters, defaults, and what their documentation begins with."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from typing_extensions import get_overloads

from esdb_lite import AsyncEsdbClient, ConsumeOptions, EsdbClient
from esdb_lite.client.admin.statistics import AsyncStatisticsFeed
from esdb_lite.client.consumers.consumer import AsyncConsumer
from esdb_lite.client.consumers.several import AsyncConsumerGroup
from esdb_lite.client.groups.subscription import AsyncPersistentSubscription
from esdb_lite.client.read.iterators import AsyncReadResponse, AsyncSubscription
from esdb_lite.sync.consumer import Consumer
from esdb_lite.sync.consumer_group import ConsumerGroup
from esdb_lite.sync.group_subscription import PersistentSubscription
from esdb_lite.sync.read import ReadResponse, Subscription
from esdb_lite.sync.statistics import StatisticsFeed

PAIRS = [
    (AsyncEsdbClient, EsdbClient),
    (AsyncReadResponse, ReadResponse),
    (AsyncSubscription, Subscription),
    (AsyncStatisticsFeed, StatisticsFeed),
    (AsyncConsumer, Consumer),
    (AsyncConsumerGroup, ConsumerGroup),
    (AsyncPersistentSubscription, PersistentSubscription),
]

ONLY_ASYNC = {
    AsyncEsdbClient: {"embedded"},
    AsyncReadResponse: {"aclose"},
    AsyncSubscription: {"aclose"},
    AsyncStatisticsFeed: {"aclose"},
    AsyncConsumer: set(),
    AsyncConsumerGroup: set(),
    AsyncPersistentSubscription: {"collect", "call_later"},
}
"""What the client for threads has no use for: other names for the same, and what it uses itself."""

TWINS = {
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__init__": "__init__",
}


def methods(cls: type) -> dict[str, Any]:
    """The public methods and properties of a class."""
    return {name: value for name, value in inspect.getmembers(cls) if not name.startswith("_")}


def parameters(function: Any) -> list[tuple[str, Any, Any, str]]:
    """Names, kinds, defaults and annotations, as far as the faces may not differ in them."""
    return [
        (parameter.name, parameter.kind, parameter.default, without_face(str(parameter.annotation)))
        for parameter in inspect.signature(function).parameters.values()
    ]


def without_face(text: str) -> str:
    """An annotation as both faces have it."""
    return re.sub(r"\bAsync(?=[A-Z])", "", text)


def both(pair: tuple[type, type]) -> list[tuple[str, Any, Any]]:
    first, second = methods(pair[0]), methods(pair[1])
    return [(name, first[name], second[name]) for name in sorted(set(first) & set(second))]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1].__name__)
def test_the_same_names(pair: tuple[type, type]) -> None:
    assert set(methods(pair[0])) - ONLY_ASYNC[pair[0]] == set(methods(pair[1]))
    for name, twin in TWINS.items():
        assert hasattr(pair[0], name) == hasattr(pair[1], twin), name


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1].__name__)
def test_the_same_parameters(pair: tuple[type, type]) -> None:
    for name, first, second in both(pair):
        if callable(first):
            assert parameters(first) == parameters(second), name
            assert len(get_overloads(first)) == len(get_overloads(second)), name


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1].__name__)
def test_the_same_results(pair: tuple[type, type]) -> None:
    for name, first, second in both(pair):
        if callable(first):
            mine, theirs = (inspect.signature(each).return_annotation for each in (first, second))
            assert without_face(str(mine)) == str(theirs), name


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1].__name__)
def test_documentation_begins_alike(pair: tuple[type, type]) -> None:
    for name, first, second in both(pair):
        if callable(first) or isinstance(first, property):
            mine, theirs = (inspect.getdoc(each) for each in (first, second))
            assert mine, name
            assert theirs, name
            assert mine.splitlines()[0] == theirs.splitlines()[0], name


def test_what_is_a_coroutine() -> None:
    """Everything but the reads, which return an iterator at once, and `consumer`, which only makes one.

    Subscriptions are opened in one way or another: `opened` may be awaited, too.
    """
    opened = {name for name in methods(AsyncEsdbClient) if name.startswith("subscribe_")} | {"read_subscription"}
    at_once = {"read_stream_events", "read_all_events", "read_index_events", "consumer"}
    for name, method in methods(AsyncEsdbClient).items():
        if callable(method):
            assert inspect.iscoroutinefunction(method) == (name not in at_once | opened), name
    for name, method in methods(EsdbClient).items():
        assert not inspect.iscoroutinefunction(method), name
        assert not inspect.iscoroutinefunction(inspect.unwrap(method)), name  # where FastAPI looks


def test_the_options_of_consume_are_those_of_consumer() -> None:
    taken = set(inspect.signature(EsdbClient.consumer).parameters) - set(
        inspect.signature(EsdbClient.consume).parameters
    )
    assert set(ConsumeOptions.__annotations__) == taken


def test_options_are_keyword_only() -> None:
    positional = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    for name, method in methods(AsyncEsdbClient).items():
        if callable(method):
            for parameter in inspect.signature(method).parameters.values():
                if parameter.name in ("timeout", "credentials", "resolve_links", "from_end", "filter"):
                    assert parameter.kind not in positional, (name, parameter.name)


def test_every_call_takes_a_timeout_and_credentials() -> None:
    without = {"close": set(), "connect": {"timeout"}, "consume": {"options"}}
    assert {"timeout", "credentials"} <= set(ConsumeOptions.__annotations__)
    for name, method in methods(EsdbClient).items():
        expected = without.get(name, {"timeout", "credentials"})
        assert expected <= set(inspect.signature(method).parameters), name
