"""Reads and subscriptions by index, over random logs, against all of the log looked at one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.engine.indexes import IndexRead, IndexSubscription, SelectedContent, parse_index
from esdb_lite.server.storage import LogSelection, Record
from tests.engine.naive_reader import Log, NaiveReader

STREAMS = ("a-1", "a-2", "a", "a-1-b", "-a", "b-1", "$a-1", "$$a-1")
TYPES = ("T", "U", "$T")

logs = st.lists(st.tuples(st.sampled_from(STREAMS), st.sampled_from(TYPES)), max_size=40)
selections = st.builds(
    LogSelection, st.sampled_from([None, "a", "", "b", "a-1", "none"]), st.sampled_from([None, "T", "V"])
)


def log_of(events: list[tuple[str, str]]) -> list[Record]:
    log = Log()
    for stream, type in events:
        log.add(stream, type=type)
    return log.records


def wanted(records: list[Record], selection: LogSelection) -> list[Record]:
    """The rule in words: no event of the server's; the category is the name up to its first hyphen."""
    return [
        record
        for record in records
        if record.stream[0] != "$"
        and record.type[0] != "$"
        and selection.type in (None, record.type)
        and selection.category in (None, record.stream.split("-")[0])
    ]


def read_all(read: IndexRead, reader: NaiveReader) -> list[Record]:
    found: list[Record] = []
    while True:
        page = read.page(reader, 0)
        found += page.events  # type: ignore[arg-type]
        if page.done:
            return found


@given(logs, selections, st.integers(0, 5000), st.integers(0, 12), st.booleans(), st.integers(1, 7))
def test_reads(
    events: list[tuple[str, str]], selection: LogSelection, start: int, count: int, backwards: bool, longest: int
) -> None:
    records = log_of(events)
    read = IndexRead(SelectedContent(selection), start, count, backwards=backwards)
    chosen = wanted(records, selection)
    before = [record for record in reversed(chosen) if record.position <= start]
    after = [record for record in chosen if record.position >= start]
    assert read_all(read, NaiveReader(records, longest)) == (before if backwards else after)[:count]


@given(logs, selections, st.one_of(st.none(), st.integers(0, 5000)), st.integers(0, 40), st.integers(1, 7))
def test_subscriptions(
    events: list[tuple[str, str]], selection: LogSelection, after: int | None, live: int, longest: int
) -> None:
    """What is committed before comes as history, the rest live; some records come both ways."""
    records = log_of(events)
    history = records[:live]
    subscription = IndexSubscription(SelectedContent(selection), after)
    reader = NaiveReader(history, longest)
    subscription.start(reader, 0)
    found: list[object] = []
    end = False
    while not end:
        messages, end = subscription.page(reader, 0)
        found += messages
    (caught_up,) = subscription.caught_up()
    delivered = [*found]
    found += subscription.live(records[max(live - 2, 0) :], None, 0)
    newest = max([record.position for record in wanted(history, LogSelection())], default=0)
    first = newest if after is None else after
    assert found == [record for record in wanted(records, selection) if record.position > first]
    position = delivered[-1].position if delivered else first  # type: ignore[attr-defined]
    assert caught_up.position == ((position, position) if position else None)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["$idx-", "$idx-ce", "$idx-CE-x", "$idx-all-x", "$idx-all:x", "$idx", "all", ""])
def test_names_of_no_index(name: str) -> None:
    assert parse_index(name) is None
