"""Catch-up subscriptions: what is sent in which order, whatever is fetched at once and wherever live events begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.engine import read
from esdb_lite.server.engine.filters import EventFilter, FilterOn, selector, shown
from esdb_lite.server.engine.links import Resolved
from esdb_lite.server.engine.model import length_of
from esdb_lite.server.engine.read import AllForwards, NoRecordAt
from esdb_lite.server.engine.subscriptions import (
    AllSubscription,
    FilteredSubscription,
    Message,
    PassedOver,
    Position,
    ReachedLive,
    StreamSubscription,
    SubscriptionRules,
)
from esdb_lite.server.engine.visibility import StreamTombstoned
from esdb_lite.server.storage import TOMBSTONE, Reader, Record
from tests.engine.naive_reader import Log

NOW = 0
ONLY_W = EventFilter(FilterOn.STREAM, prefixes=("w",))


def of_stream(stream: str, after: int | None, *, resolve_links: bool = False) -> StreamSubscription:
    return StreamSubscription(stream, after, resolve_links=resolve_links)


def of_all(after: Position | None) -> AllSubscription:
    return AllSubscription(after, shown, resolve_links=False)


def filtered(after: Position | None, window: int, multiplier: int) -> FilteredSubscription:
    return FilteredSubscription(after, selector(ONLY_W), window=window, multiplier=multiplier, resolve_links=False)


def history(subscription: SubscriptionRules, log: Log, longest: int = 1000) -> list[Message]:
    """Return all that is sent up to and with `caught_up`."""
    reader = log.reader(longest)
    subscription.start(reader, NOW)
    messages: list[Message] = []
    end = not subscription.behind
    while not end:
        part = subscription.page(reader, NOW)
        messages += part.messages
        end = part.end
    return [*messages, *subscription.caught_up()]


def live(subscription: SubscriptionRules, records: Sequence[Record]) -> list[Message]:
    return list(subscription.live(records, None, NOW))


def log_of(names: str) -> Log:
    """A log of events in streams of one letter each."""
    log = Log()
    for name in names:
        log.add(name)
    return log


def at(record: Record) -> Position:
    return record.position, record.position


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "wanted", "caught_up"),
    [(-1, [0, 1, 2], 2), (1, [2], 2), (2, [], 2), (7, [], 7), (None, [], 2)],
)
def test_a_stream(after: int | None, wanted: list[int], caught_up: int) -> None:
    log = log_of("sxsxs")
    messages = history(of_stream("s", after), log)
    assert [m.revision for m in messages[:-1] if isinstance(m, Record)] == wanted
    assert messages[-1] == ReachedLive(caught_up, None)


@pytest.mark.parametrize(("after", "caught_up"), [(-1, None), (5, 5), (None, None)])
def test_a_stream_that_is_missing(after: int | None, caught_up: int | None) -> None:
    subscription = of_stream("none", after)
    log = log_of("s")
    assert history(subscription, log) == [ReachedLive(caught_up, None)]
    new = [log.add("none") for _ in range(8)]
    assert live(subscription, new) == new[0 if after != 5 else 6 :]


def test_what_the_metadata_hides_is_not_history_but_live_events_are_sent() -> None:
    log = log_of("sssss")
    log.set_metadata("s", maxCount=2)
    subscription = of_stream("s", -1)
    assert [m.revision for m in history(subscription, log) if isinstance(m, Record)] == [3, 4]
    burst = [log.add("s") for _ in range(5)]
    assert live(subscription, burst) == burst


def test_a_soft_deleted_stream_goes_on_where_it_ended() -> None:
    log = log_of("ss")
    log.set_metadata("s", tb=TOMBSTONE)
    subscription = of_stream("s", -1)
    assert history(subscription, log) == [ReachedLive(None, None)]
    again = log.add("s")
    assert live(subscription, [again]) == [again]


def test_a_tombstone() -> None:
    log = log_of("s")
    subscription = of_stream("s", -1)
    history(subscription, log)
    tombstone = log.add("s", revision=TOMBSTONE, type="$streamDeleted")
    assert subscription.ended is None
    assert live(subscription, [tombstone]) == [tombstone]
    assert subscription.ended == "s"
    with pytest.raises(StreamTombstoned):
        of_stream("s", -1).start(log.reader(), NOW)


def test_links_are_resolved_in_history_and_live() -> None:
    log = log_of("t")
    link = log.link("l", "0@t")
    subscription = of_stream("l", -1, resolve_links=True)
    assert history(subscription, log)[0] == Resolved(log.records[0], link)
    assert not subscription.needs_reader([log.records[0]])
    second = log.link("l", "7@t")
    assert subscription.needs_reader([second])
    assert subscription.live([second], log.reader(), NOW) == [Resolved(None, second)]


# --- $all -------------------------------------------------------------------------------------------------------------


def test_all_from_the_start_and_from_the_end() -> None:
    log = log_of("abc")
    assert history(of_all((0, 0)), log) == [*log.records, ReachedLive(None, at(log.records[2]))]
    assert history(of_all(None), log) == [ReachedLive(None, at(log.records[2]))]


def test_all_after_a_position() -> None:
    log = log_of("abc")
    a, b, c = log.records
    assert history(of_all(at(a)), log) == [b, c, ReachedLive(None, at(c))]
    assert history(of_all((b.position, 0)), log) == [b, c, ReachedLive(None, at(c))]
    assert history(of_all(at(c)), log) == [ReachedLive(None, at(c))]
    with pytest.raises(NoRecordAt):
        history(of_all((b.position + 1, 0)), log)


def test_all_after_a_position_beyond_the_end() -> None:
    log = log_of("abc")
    beyond = log.records[2].position + 2 * length_of(log.records[2])
    subscription = of_all((beyond, beyond))
    assert history(subscription, log) == [ReachedLive(None, (beyond, beyond))]
    new = [log.add("d") for _ in range(4)]
    assert live(subscription, new) == [record for record in new if record.position > beyond]


# --- filters and checkpoints ------------------------------------------------------------------------------------------


def test_the_example_of_the_protocol_notes() -> None:
    log = log_of("m" + "wu" * 4)
    m, *rest = log.records
    w, u = rest[::2], rest[1::2]
    assert history(filtered(at(m), 4, 1), log) == [
        w[0],
        w[1],
        PassedOver(*at(w[1])),
        w[2],
        w[3],
        PassedOver(*at(w[3])),
        PassedOver(u[3].position, 0),
        ReachedLive(None, (u[3].position, 0)),
    ]


def test_without_matches_checkpoints_lag_by_a_page() -> None:
    log = log_of("u" * 70)
    third, end = log.records[64], log.records[32]
    assert history(filtered((0, 0), 32, 1), log) == [
        PassedOver(0, 0),
        PassedOver(end.position, 0),
        PassedOver(third.position, 0),
        ReachedLive(None, (third.position, 0)),
    ]


def test_a_subscription_from_the_end_begins_without_a_checkpoint() -> None:
    log = log_of("wu")
    assert history(filtered(None, 4, 1), log) == [ReachedLive(None, at(log.records[1]))]


def test_live_checkpoints_count_every_event() -> None:
    log = log_of("w")
    subscription = filtered(None, 2, 2)
    history(subscription, log)
    new = [log.add(name) for name in "uuwuuuuw"]
    assert live(subscription, new) == [new[2], PassedOver(*at(new[3])), new[7], PassedOver(*at(new[7]))]


def test_what_is_counted_beyond_an_interval_counts_towards_the_next() -> None:
    log = log_of("u" + "w" * 200)  # pages end after 32 matches, before the window of 40 does
    messages = history(filtered(at(log.records[0]), 40, 1), log)
    places = [index for index, message in enumerate(messages) if isinstance(message, PassedOver)]
    assert places == [64, 64 + 33, 96 + 34, 128 + 35, 200 + 4]
    assert messages == model_history(log, 0, 40, 1)


def model_history(log: Log, start: int, window: int, multiplier: int) -> list[Message]:
    """Section 16 of the protocol notes, page by page, after the record at index `start`; the log goes on behind it."""
    records, interval = log.records, window * multiplier
    after = at(records[start])
    messages: list[Message] = []
    index, running, counter, reported = start, after, 0, None
    while True:
        page_start = (records[index].position, 0) if index < len(records) else (log.reader().log_end(), 0)
        running = max(running, page_start)
        considered = matched = 0
        while index < len(records) and considered < window and matched < 32:
            record = records[index]
            considered, index = considered + 1, index + 1
            if record.stream == "w" and at(record) > after:
                matched, running = matched + 1, at(record)
                messages.append(record)
        if considered < window and matched < 32:
            break
        counter += considered
        if counter >= interval:
            counter, reported = counter % interval, running
            messages.append(PassedOver(*running))
    if reported is None or running > reported:
        messages.append(PassedOver(*running))
    return [*messages, ReachedLive(None, running)]


@given(
    st.text("wu", min_size=2, max_size=120),
    st.integers(0, 118),
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(1, 50),
)
def test_history_against_the_model(names: str, start: int, window: int, multiplier: int, longest: int) -> None:
    log = log_of(names)
    start = min(start, len(names) - 2)
    wanted = model_history(log, start, window, multiplier)
    assert history(filtered(at(log.records[start]), window, multiplier), log, longest) == wanted


# --- from history to live ---------------------------------------------------------------------------------------------

kinds: dict[str, Callable[[], SubscriptionRules]] = {
    "stream": lambda: of_stream("w", -1),
    "all": lambda: of_all((0, 0)),
    "filtered": lambda: filtered((0, 0), 3, 2),
}


class Feed:
    """Collects live events for a subscription that takes them when it comes to it; holds only so many."""

    def __init__(self, log: Log, stream: str | None, limit: int) -> None:
        self._log, self._stream, self._limit = log, stream, limit
        self.waiting: list[Record] = []
        self.overflowed = False

    def listen(self) -> None:
        """Begin anew."""
        self.waiting, self.overflowed = [], False

    def append(self, name: str) -> None:
        """Commit an event."""
        record = self._log.add(name)
        if self._stream in (None, name) and not self.overflowed:
            self.waiting.append(record)
            self.overflowed = len(self.waiting) > self._limit


@pytest.mark.parametrize("kind", kinds)
@given(st.lists(st.sampled_from(["w", "u", "step", "step"]), max_size=80), st.integers(0, 5), st.integers(1, 7))
def test_nothing_is_lost_or_repeated(kind: str, program: list[str], limit: int, longest: int) -> None:
    log = log_of("wuw")
    subscription = kinds[kind]()
    feed = Feed(log, "w" if kind == "stream" else None, limit)
    got: list[Message] = []
    subscription.start(log.reader(longest), NOW)
    state = "history"

    def step() -> str:
        if state == "history":
            part = subscription.page(log.reader(longest), NOW)
            got.extend(part.messages)
            if not part.end:
                return state
            if feed.overflowed:
                feed.listen()
                return state
            got.extend(subscription.caught_up())
            return "live"
        if feed.overflowed:
            subscription.fall_behind()
            feed.listen()
            return "history"
        records, feed.waiting = feed.waiting, []
        got.extend(subscription.live(records, None, NOW))
        return state

    for action in [*program, *["step"] * 100]:
        if action == "step":
            state = step()
        else:
            feed.append(action)
    wanted = [record for record in log.records if kind == "all" or record.stream == "w"]
    assert [message for message in got if isinstance(message, Record)] == wanted
    check_order(got)


def check_order(messages: Sequence[Message]) -> None:
    """Checkpoints do not go back, and none is ahead of an event that comes later."""
    highest: Position = (0, 0)
    for message in messages:
        if isinstance(message, PassedOver):
            assert message >= highest
            highest = tuple(message)
        elif isinstance(message, Record):
            assert at(message) > highest


# --- a filter that picks few ------------------------------------------------------------------------------------------

RUNS = st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=5)
"""So many events that are passed over, and then perhaps one that is not."""


@given(RUNS, st.integers(1, 80), st.integers(1, 3), st.sampled_from([3, 50, 1000]))
def test_where_few_are_picked_the_others_are_not_read_and_the_same_is_sent(
    runs: list[tuple[int, bool]], window: int, multiplier: int, longest: int
) -> None:
    log = log_of("".join("x" * passed + "w" * picked for passed, picked in runs))
    few = history(filtered((0, 0), window, multiplier), log, longest)
    forwards = AllForwards(0, 1000, selector(ONLY_W), resolve_links=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_FEW", 0)
        assert few == history(filtered((0, 0), window, multiplier), log, longest)
    assert of_pages(forwards, log.reader(longest)) == [record for record in log.records if record.stream == "w"]


def of_pages(reading: AllForwards, reader: Reader) -> list[object]:
    events: list[object] = []
    done = False
    while not done:
        _, some, _, done = reading.page(reader, NOW)
        events += some
    return events


def test_they_are_fetched_whole_in_parts() -> None:
    log = log_of("x" * 600 + "www" + "x" * 300 + "w")
    subscription = filtered((0, 0), 32, 1)
    reader = log.reader(3)  # as if three were all that goes into a page
    subscription.start(reader, NOW)
    sent: list[Message] = []
    while not (part := subscription.page(reader, NOW)).end:
        sent += part.messages
    sent += part.messages
    assert [item for item in sent if isinstance(item, Record)] == [r for r in log.records if r.stream == "w"]


def test_what_is_hidden_stays_so_where_few_are_picked() -> None:
    log = log_of("x" * 600)
    log.add("$epoch-information", type="Rare")
    rare = log.add("y", type="Rare")
    select = selector(EventFilter(FilterOn.TYPE, prefixes=("Rare",)))
    assert of_pages(AllForwards(0, 1000, select, resolve_links=False), log.reader()) == [rare]


# --- live, many at a time ---------------------------------------------------------------------------------------------


@given(st.lists(st.text("wx", min_size=1, max_size=20), max_size=6), st.integers(1, 8))
def test_events_that_come_together_are_sent_as_one_by_one(batches: list[str], window: int) -> None:
    log = log_of("".join(batches))
    together, alone = (live_from_the_start(window) for _ in range(2))
    rest = iter(log.records)
    for batch in batches:
        records = [next(rest) for _ in batch]
        one_by_one = [message for record in records for message in alone.live([record], None, NOW)]
        assert list(together.live(records, None, NOW)) == one_by_one


def live_from_the_start(window: int) -> FilteredSubscription:
    subscription = filtered(None, window, 1)
    subscription.start(Log().reader(), NOW)
    subscription.caught_up()
    return subscription
