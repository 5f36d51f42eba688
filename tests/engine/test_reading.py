"""Reads against a model that reads as the protocol notes say: 32 events at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.engine.filters import EventFilter, FilterOn, selector, shown
from esdb_lite.server.engine.links import Resolved
from esdb_lite.server.engine.metadata import TICKS_PER_SECOND
from esdb_lite.server.engine.model import length_of
from esdb_lite.server.engine.read import (
    AllBackwards,
    AllForwards,
    FirstPosition,
    LastPosition,
    NoRecordAt,
    NotFound,
    Read,
    StreamBackwards,
    StreamForwards,
)
from esdb_lite.server.engine.visibility import StreamTombstoned
from esdb_lite.server.storage import TOMBSTONE, Record
from tests.engine.naive_reader import Log, NaiveReader

NOW = 1000 * TICKS_PER_SECOND
MAX_PAGES = 10_000


def run(read: Read, reader: NaiveReader, now: int = NOW) -> list[object]:
    """Return all messages of a read."""
    messages: list[object] = []
    for _ in range(MAX_PAGES):
        page = read.page(reader, now)
        messages += [*page.before, *page.events, *page.after]
        if page.done:
            return messages
    raise AssertionError("the read does not end")


def forwards(stream: str, start: int, count: int, *, positions: bool = True) -> StreamForwards:
    return StreamForwards(stream, start, count, resolve_links=False, positions=positions)


def backwards(stream: str, start: int | None, count: int) -> StreamBackwards:
    return StreamBackwards(stream, start, count, resolve_links=False, positions=True)


# --- streams ----------------------------------------------------------------------------------------------------------


def model_forwards(events: list[Record], m: int, oldest: int, start: int, count: int) -> list[object]:
    """Section 11 of the protocol notes, page by page. Revisions have no gaps; `m` is the lowest readable one."""
    last, messages, emitted, at = events[-1].revision, [], 0, start
    while emitted < count:
        size = min(32, count)
        page = [e for e in events if max(at, m) <= e.revision < at + size and e.created >= oldest]
        beyond = [e for e in events if e.revision >= max(at, m) and e.created >= oldest]
        if page:
            taken = page[: count - emitted]
            messages += taken
            emitted += len(taken)
            at = at + size
            continue
        following = m if at + size <= m else beyond[0].revision if beyond else last + 1
        if not emitted and following != at:
            messages.append(FirstPosition(following))
        if following > last and at + size > m:
            break
        at = following
    return [*messages, LastPosition(last)]


streams = st.tuples(
    st.integers(1, 120),  # events
    st.integers(0, 150),  # $tb
    st.integers(0, 150),  # $maxCount, 0 for none
    st.integers(0, 130),  # events that have expired
)


@given(streams, st.integers(0, 200), st.integers(1, 130), st.integers(1, 40))
def test_forwards(stream: tuple[int, int, int, int], start: int, count: int, longest: int) -> None:
    events, tb, max_count, expired = stream
    log = log_with(events, tb, max_count, expired)
    own = [record for record in log.records if record.stream == "s"]
    m = max(tb, events - max_count if max_count else 0)
    wanted = model_forwards(own, m, NOW - 10 * TICKS_PER_SECOND, start, count)
    assert run(forwards("s", start, count), log.reader(longest)) == wanted


@given(streams, st.one_of(st.none(), st.integers(0, 200)), st.integers(1, 130), st.integers(1, 40))
def test_backwards(stream: tuple[int, int, int, int], start: int | None, count: int, longest: int) -> None:
    events, tb, max_count, expired = stream
    log = log_with(events, tb, max_count, expired)
    m = max(tb, events - max_count if max_count else 0)
    first = events - 1 if start is None else min(start, events - 1)
    numbers = [n for n in range(first, -1, -1) if n >= max(m, expired)][:count]
    wanted = [*numbers, LastPosition(events - 1)]
    got = run(backwards("s", start, count), log.reader(longest))
    assert [m.revision if isinstance(m, Record) else m for m in got] == wanted


def log_with(events: int, tb: int, max_count: int, expired: int) -> Log:
    log = Log()
    for number in range(events):
        log.add("other")
        log.add("s", created=NOW - (100 if number < expired else 1) * TICKS_PER_SECOND)
    metadata = {"tb": tb, "maxAge": 10}
    log.set_metadata("s", **(metadata | {"maxCount": max_count} if max_count else metadata))
    return log


@given(st.sets(st.integers(0, 90)), st.integers(0, 100), st.integers(1, 50))
def test_gaps_are_skipped_forwards_and_end_a_read_backwards(missing: set[int], start: int, count: int) -> None:
    log = Log()
    for revision in sorted(set(range(91)) - missing | {90}):
        log.add("s", revision=revision)
    there = [record.revision for record in log.records]
    got = run(forwards("s", start, count, positions=False), log.reader())
    assert [r.revision for r in got if isinstance(r, Record)] == [n for n in there if n >= start][:count]
    down = run(backwards("s", start, count), log.reader())
    unbroken = []
    for number in range(min(start, 90), -1, -1):
        if number not in there:
            break
        unbroken.append(number)
    assert [r.revision for r in down if isinstance(r, Record)] == unbroken[:count]


def test_what_is_appended_during_a_read_is_read() -> None:
    log = Log()
    for _ in range(40):
        log.add("s")
    read = forwards("s", 0, 1000)
    first = read.page(log.reader(), NOW)
    assert not first.done
    log.add("s")
    assert run(read, log.reader())[-2:] == [log.records[-1], LastPosition(40)]


@pytest.mark.parametrize("read", [forwards("s", 0, 1), backwards("s", None, 1)])
def test_not_found(read: Read) -> None:
    log = Log()
    log.add("other")
    log.set_metadata("s", maxCount=3)
    assert run(read, log.reader()) == [NotFound("s")]


def test_a_soft_deleted_stream_is_not_found() -> None:
    log = Log()
    log.add("s")
    log.set_metadata("s", tb=TOMBSTONE)
    assert run(forwards("s", 0, 1), log.reader()) == [NotFound("s")]


@pytest.mark.parametrize("stream", ["s", "$$s"])
def test_a_tombstoned_stream_and_its_metadata_cannot_be_read(stream: str) -> None:
    log = Log()
    log.set_metadata("s", maxCount=3)
    log.add("s", revision=TOMBSTONE, type="$streamDeleted")
    with pytest.raises(StreamTombstoned) as caught:
        run(forwards(stream, 0, 1), log.reader())
    assert caught.value.stream == stream


def test_of_metadata_only_the_last_is_read() -> None:
    log = Log()
    log.set_metadata("s", maxCount=3)
    last = log.set_metadata("s", maxCount=4)
    assert run(forwards("$$s", 0, 10), log.reader()) == [last, LastPosition(1)]


# --- $all -------------------------------------------------------------------------------------------------------------

HIDDEN = ("$epoch-information", "$persistentsubscription-$all::g-checkpoint", "$persistentsubscription-$all::g-parked")
names = st.sampled_from(["a", "b", "$c", "$$a", "$$$persistentsubscription-$all::g-parked", *HIDDEN])
logs = st.lists(st.tuples(names, st.sampled_from(["T", "U"])), min_size=1, max_size=60)
filters = st.sampled_from([None, EventFilter(FilterOn.STREAM, prefixes=("a", "$$")), EventFilter(FilterOn.TYPE, "^U$")])


def visible(record: Record, event_filter: EventFilter | None) -> bool:
    if record.stream in HIDDEN:
        return False
    if event_filter is None:
        return True
    return record.type == "U" if event_filter.regex else record.stream.startswith(("a", "$$"))


@given(logs, filters, st.integers(0, 70), st.integers(1, 50), st.integers(1, 40))
def test_all(
    events: list[tuple[str, str]], event_filter: EventFilter | None, at: int, count: int, longest: int
) -> None:
    log = Log()
    for stream, type in events:
        log.add(stream, type=type)
    reader, select = log.reader(longest), selector(event_filter)
    start = log.records[at].position if at < len(events) else reader.log_end()
    seen = [record for record in log.records if visible(record, event_filter)]
    up = run(AllForwards(start, count, select, resolve_links=False), reader)
    assert up == [record for record in seen if record.position >= start][:count]
    down = run(AllBackwards(start, count, select, resolve_links=False), reader)
    assert down == [record for record in reversed(seen) if record.position < start][:count]


def test_all_from_positions_within_records() -> None:
    log = Log()
    for _ in range(3):
        log.add("s")
    reader = log.reader()
    inside, last = log.records[1].position + 1, log.records[2]
    with pytest.raises(NoRecordAt):
        run(AllForwards(inside, 1, shown, resolve_links=False), reader)
    with pytest.raises(NoRecordAt):
        run(AllBackwards(inside, 1, shown, resolve_links=False), reader)
    with pytest.raises(NoRecordAt):
        run(AllForwards(1, 1, shown, resolve_links=False), reader)
    assert run(AllForwards(last.position + 1, 1, shown, resolve_links=False), reader) == []
    assert run(AllForwards(10**12, 1, shown, resolve_links=False), reader) == []
    assert run(AllBackwards(1, 1, shown, resolve_links=False), reader) == []
    with pytest.raises(NoRecordAt):
        run(AllBackwards(10**12, 1, shown, resolve_links=False), reader)
    end = last.position + length_of(last)
    assert run(AllBackwards(end, 1, shown, resolve_links=False), reader) == [last]


def test_a_lower_prepare_position_leaves_one_record_out_backwards() -> None:
    log = Log()
    for _ in range(4):
        log.add("s")
    read = AllBackwards(log.records[3].position, 10, shown, resolve_links=False, skip_one=True)
    assert run(read, log.reader()) == [log.records[1], log.records[0]]


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "revision"),
    [
        ("1@t", 1),
        (" +2 @t", 2),
        ("-1@t", 2),
        ("3@t", None),
        ("-2@t", None),
        ("0@nowhere", None),
        ("0@", None),
        ("0", None),
        ("0@gone", None),
        ("0@soft", None),
        ("0@truncated", None),
        ("1@truncated", 1),
        ("0@a@b", 0),
    ],
)
def test_links(target: str, revision: int | None) -> None:
    log = Log()
    for stream in ("t", "t", "t", "gone", "soft", "truncated", "truncated", "a@b"):
        log.add(stream)
    log.add("gone", revision=TOMBSTONE, type="$streamDeleted")
    log.set_metadata("soft", tb=TOMBSTONE)
    log.set_metadata("truncated", tb=1)
    link = log.link("links", target)
    (got,) = run(StreamForwards("links", 0, 1, resolve_links=True, positions=False), log.reader())
    assert isinstance(got, Resolved)
    assert got.link == link
    assert (None if got.event is None else got.event.revision) == revision


@pytest.mark.parametrize("target", ["nonsense", "x@t", "@t", "1 2@t", f"{2**63}@t", "1.0@t", "٣@t"])
def test_a_link_without_a_number_is_an_event(target: str) -> None:
    log = Log()
    log.add("t")
    link = log.link("links", target)
    assert run(StreamForwards("links", 0, 1, resolve_links=True, positions=False), log.reader()) == [link]


def test_links_are_resolved_one_level_deep_and_only_when_asked() -> None:
    log = Log()
    log.add("t")
    inner = log.link("inner", "0@t")
    outer = log.link("outer", "0@inner")
    assert run(StreamForwards("outer", 0, 1, resolve_links=True, positions=False), log.reader()) == [
        Resolved(inner, outer)
    ]
    assert run(forwards("outer", 0, 1, positions=False), log.reader()) == [outer]
