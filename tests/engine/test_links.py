"""Links to large events: pages get short, nothing is left out, and nothing comes twice."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from esdb_lite.server.engine.filters import EventFilter, FilterOn, selector, shown
from esdb_lite.server.engine.groups.config import GroupConfig
from esdb_lite.server.engine.groups.messages import Message
from esdb_lite.server.engine.groups.parking import parked_stream
from esdb_lite.server.engine.groups.queries import GroupSource, parked_page
from esdb_lite.server.engine.groups.settings import GroupSettings
from esdb_lite.server.engine.links import ReadEvent, Resolved, resolve_some
from esdb_lite.server.engine.read import AllBackwards, AllForwards, Read, StreamBackwards, StreamForwards
from esdb_lite.server.engine.subscriptions import (
    AllSubscription,
    FilteredSubscription,
    PassedOver,
    StreamSubscription,
    SubscriptionRules,
)
from esdb_lite.server.storage import Record
from tests.engine.naive_reader import Log, NaiveReader

NOW = 10**15
LARGEST = 32 * 100_000 + 256 * 1024
"""Bytes that a page may resolve: what fits, and a few links more, of which each may be large."""


@pytest.fixture(params=range(3))
def log(request: pytest.FixtureRequest) -> Log:
    """Large events, small ones, and links to both, to nothing, and that are none."""
    chance = random.Random(request.param)
    made = Log()
    for number in range(40):
        made.add(f"large-{number % 3}", data=b"x" * 100_000)
        made.add("small", data=b"{}")
    for _ in range(300):
        target = chance.choice(("large-0", "large-1", "large-2", "small", "small", "gone"))
        made.add("links", data=f"{chance.randrange(12)}@{target}".encode(), type="$>")
        if chance.random() < 0.2:
            made.add("links", data=b"none", type=chance.choice(("$>", "T")))
    return made


def positions(events: Sequence[object]) -> list[int]:
    return [event.link.position if isinstance(event, Resolved) else event.position for event in events]  # type: ignore[attr-defined]


def size(events: Sequence[object]) -> int:
    return sum(len(event.event.data) for event in events if isinstance(event, Resolved) and event.event is not None)


def read_all(read: Read, log: Log) -> list[ReadEvent]:
    reader, found = NaiveReader(log.records), list[ReadEvent]()
    while True:
        page = read.page(reader, NOW)
        assert size(page.events) < LARGEST
        found += page.events
        if page.done:
            return found


def history(subscription: SubscriptionRules, log: Log) -> list[object]:
    reader, found = NaiveReader(log.records), list[object]()
    subscription.start(reader, NOW)
    while True:
        part = subscription.page(reader, NOW)
        assert size(part.messages) < LARGEST
        found += [message for message in part.messages if not isinstance(message, PassedOver)]
        if part.end:
            return found


def links_of(log: Log, only: str = "") -> list[Record]:
    return [record for record in log.records if record.stream == (only or record.stream)]


@pytest.mark.parametrize("count", [1, 7, 100, 10_000])
def test_reads(log: Log, count: int) -> None:
    links = [record.position for record in links_of(log, "links")]
    every = [record.position for record in log.records]
    forwards = StreamForwards("links", 0, count, resolve_links=True, positions=True)
    assert positions(read_all(forwards, log)) == links[:count]
    backwards = StreamBackwards("links", None, count, resolve_links=True, positions=True)
    assert positions(read_all(backwards, log)) == links[::-1][:count]
    assert positions(read_all(AllForwards(0, count, shown, resolve_links=True), log)) == every[:count]
    assert positions(read_all(AllBackwards(None, count, shown, resolve_links=True), log)) == every[::-1][:count]
    select = selector(EventFilter(FilterOn.STREAM, prefixes=("links",)))
    assert positions(read_all(AllForwards(0, count, select, resolve_links=True), log)) == links[:count]
    assert positions(read_all(AllBackwards(None, count, select, resolve_links=True), log)) == links[::-1][:count]


def test_subscriptions(log: Log) -> None:
    links = [record.position for record in links_of(log, "links")]
    every = [record.position for record in log.records]
    select = selector(EventFilter(FilterOn.STREAM, prefixes=("links",)))
    assert positions(history(StreamSubscription("links", -1, resolve_links=True), log)) == links
    assert positions(history(AllSubscription((0, 0), shown, resolve_links=True), log)) == every
    filtered = FilteredSubscription((0, 0), select, window=32, multiplier=1, resolve_links=True)
    assert positions(history(filtered, log)) == links


@pytest.mark.parametrize("in_log", [False, True])
def test_groups(log: Log, in_log: bool) -> None:
    filter_ = EventFilter(FilterOn.STREAM, prefixes=("links",)) if in_log else None
    config = GroupConfig("$all" if in_log else "links", "g", GroupSettings(resolve_links=True), filter_)
    reader, source, found = NaiveReader(log.records), GroupSource(config), list[Message]()
    first = skipped = 0
    while True:
        page = source.page(reader, first, 500, NOW)
        assert sum(message.size for message in page.messages) < LARGEST + 500 * 1000
        found += page.messages
        skipped += page.skipped
        if page.at_end:
            break
        assert page.last is not None
        first = page.last + 1
    assert [message.original.position for message in found] == [record.position for record in links_of(log, "links")]
    assert skipped == (80 if in_log else 0)


def test_parked_events_are_all_found_however_short_the_pages_are() -> None:
    log = Log()
    log.add("s", data=b"{}")
    for _ in range(40):
        log.add(parked_stream("s", "g"), data=b"0@s", type="$>")
    config, reader = GroupConfig("s", "g", GroupSettings()), NaiveReader(log.records, longest=5)
    assert len(parked_page(reader, config, 0, 32, NOW)) == 32
    assert len(parked_page(reader, config, 32, 32, NOW)) == 8


def test_at_least_one_is_resolved_and_not_many_of_large_events() -> None:
    log = Log()
    log.add("s", data=b"x" * 10_000_000)
    for _ in range(100):
        log.add("links", data=b"0@s", type="$>")
    assert 1 <= len(resolve_some(NaiveReader(log.records), links_of(log, "links"), NOW)) <= 2
