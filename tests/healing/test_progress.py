"""Where reads and subscriptions go on: cut off anywhere, any number of times, they hand out what they would have.

The model is a log of records and a server that answers a request from it as servers do, item by item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esdb_lite._wire.read_request import UNLIMITED, ReadRequest
from esdb_lite._wire.read_response import ReadItem
from esdb_lite.client.read.progress import ReadProgress, place_of
from esdb_lite.events import CaughtUp, Checkpoint, FellBehind, RecordedEvent
from esdb_lite.filters import Filter, FilterBy

Place = tuple[int, int]
FILTER = Filter(FilterBy.EVENT_TYPE, "x")


@dataclass(frozen=True)
class Record:
    """One record of the log. `number` is its place in the stream "s"; None: it is in another stream."""

    place: Place
    number: int | None
    matches: bool
    """The filter lets it through."""
    linked: bool
    """It is a link, and comes as the event that it points to."""

    def event(self, resolve: bool) -> RecordedEvent:
        stream, number = ("s", self.number) if self.number is not None else ("other", self.place[1])
        itself = recorded(stream, number, self.place)
        return recorded("target", 7, (3, 3), itself) if self.linked and resolve else itself


def recorded(stream: str, number: int, place: Place, link: RecordedEvent | None = None) -> RecordedEvent:
    return RecordedEvent(
        type="T",
        data=b"",
        metadata=b"",
        stream_name=stream,
        stream_position=number,
        commit_position=place[0],
        prepare_position=place[1],
        link=link,
    )


@dataclass
class Server:
    """Answers from the log. `chatty` decides where control items come, and may be any bits."""

    log: Sequence[Record]
    chatty: int = 0

    def answer(self, request: ReadRequest) -> Iterator[ReadItem]:
        left = UNLIMITED if request.limit is None else request.limit
        subscribed = request.limit is None
        last: Place | None = None
        for index, record in enumerate(self._wanted(request)):
            if left == 0:
                return
            last = record.place
            if request.filter is None or record.matches:
                left -= 1
                yield record.event(request.resolve_links)
            if subscribed and self.chatty >> (index % 30) & 1:
                if request.stream_name is None and request.index_name is None:
                    yield Checkpoint(*record.place)
                yield FellBehind(None)
        if subscribed and request.stream_name is None and last is not None:
            yield CaughtUp(None, None, *last)
        elif subscribed:
            yield CaughtUp(None)

    def _wanted(self, request: ReadRequest) -> list[Record]:
        """The records from where the request begins, in its order."""
        subscribed = request.limit is None
        log = [record for record in self.log if request.stream_name is None or record.number is not None]
        if request.index_name is not None:
            log = [record for record in log if record.place[0] == record.place[1]]  # in indexes, all have one number
        if request.backwards:
            log.reverse()
        if request.start is None:
            return [] if request.from_end and not request.backwards else log
        start = request.start
        if request.index_name is not None:  # included both ways; subscriptions go on behind it
            commit = start[0] if isinstance(start, tuple) else start
            if request.backwards:
                return [record for record in log if record.place[0] <= commit]
            return [record for record in log if record.place[0] + (0 if subscribed else 1) > commit]
        if request.stream_name is None:
            at = start if isinstance(start, tuple) else (start, start)
            if request.backwards:  # what comes before a position
                return [record for record in log if record.place < at]
            return [record for record in log if record.place > at or (record.place == at and not subscribed)]
        assert isinstance(start, int)
        if request.backwards:
            return [record for record in log if (record.number or 0) <= start]
        return [record for record in log if (record.number or 0) + (0 if subscribed else 1) > start]


def key(item: RecordedEvent) -> tuple[str, int, int | None, int | None]:
    original = item.original
    return original.stream_name, original.stream_position, original.commit_position, original.prepare_position


def events(items: Sequence[ReadItem] | Iterator[ReadItem]) -> list[tuple[str, int, int | None, int | None]]:
    return [key(item) for item in items if isinstance(item, RecordedEvent)]


def attempt(progress: ReadProgress, items: Sequence[ReadItem], sizes: Sequence[int]) -> list[RecordedEvent]:
    """Take items in batches, as the client does."""
    taken: list[RecordedEvent] = []
    at, number = 0, 0
    while at < len(items):
        size = sizes[number % len(sizes)]
        batch = items[at : at + size]
        at, number = at + size, number + 1
        fresh = progress.without_known(batch)
        if fresh:
            progress.saw(fresh, only_events=all(isinstance(item, RecordedEvent) for item in batch))
        taken += [item for item in fresh if isinstance(item, RecordedEvent)]
    return taken


# --- what is asked ----------------------------------------------------------------------------------------------------


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Places have gaps, some events share a commit position, numbers have gaps (of events that are gone)."""
    records: list[Record] = []
    commit = prepare = 0
    number = draw(st.integers(0, 3))
    for _ in range(draw(st.integers(0, 12))):
        prepare = max(prepare, commit) + draw(st.integers(1, 5))
        together = bool(records) and draw(st.integers(0, 4)) == 0 and commit >= prepare
        commit = commit if together else prepare + draw(st.sampled_from([0, 0, 9]))
        mine = draw(st.booleans())
        records.append(
            Record((commit, prepare), number if mine else None, draw(st.booleans()), draw(st.integers(0, 3)) == 0)
        )
        number += draw(st.integers(1, 3)) if mine else 0
    return records


@st.composite
def requests(draw: st.DrawFn, log: list[Record]) -> ReadRequest:
    subscribed = draw(st.booleans())
    stream = draw(st.sampled_from(["s", None]))
    backwards = not subscribed and draw(st.booleans())
    starts: list[int | None] = [None, 0, 1]
    starts += [record.number for record in log] if stream else [record.place[0] for record in log]
    start = draw(st.sampled_from(starts))
    index = "$idx-all" if stream is None and draw(st.booleans()) else None
    return ReadRequest(
        stream,
        start,
        from_end=backwards and start is None,
        backwards=backwards,
        limit=None if subscribed else draw(st.sampled_from([UNLIMITED, 1, 2, 3, 5, 100])),
        resolve_links=draw(st.booleans()),
        filter=FILTER if stream is None and index is None and draw(st.booleans()) else None,
        index_name=index,
    )


CUTS = st.lists(st.integers(0, 15), max_size=6)
SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@settings(max_examples=600)
@given(st.data(), logs(), CUTS, SIZES, st.integers(0, 2**30))
def test_what_is_handed_out_in_all(
    data: st.DataObject, log: list[Record], cuts: list[int], sizes: list[int], chatty: int
) -> None:
    request = data.draw(requests(log))
    server = Server(log, chatty)
    progress, seen = ReadProgress(request), list[RecordedEvent]()
    for cut in [*cuts, None]:
        rest = progress.rest()
        if rest is None:
            break
        assert rest.encode()
        seen += attempt(progress, list(server.answer(rest))[:cut], sizes)
    assert events(seen) == events(server.answer(request))
    if request.limit is not None:
        assert len(seen) <= request.limit


@settings(max_examples=300)
@given(st.data(), logs(), CUTS, SIZES, st.integers(0, 2**30))
def test_a_subscription_to_a_log_that_grows(
    data: st.DataObject, log: list[Record], cuts: list[int], sizes: list[int], chatty: int
) -> None:
    """Each time that it is resumed there is more; checkpoints and caught-up items say where it is."""
    request = data.draw(requests(log).filter(lambda request: request.limit is None))
    progress, seen = ReadProgress(request), list[RecordedEvent]()
    length = 0
    for cut in [*cuts, None]:
        length = len(log) if cut is None else data.draw(st.integers(length, len(log)))
        rest = progress.rest()
        assert rest is not None
        seen += attempt(progress, list(Server(log[:length], chatty).answer(rest))[:cut], sizes)
    assert events(seen) == events(Server(log).answer(request))


# --- cases of their own -----------------------------------------------------------------------------------------------

LOG = [Record((position, position), position // 10, True, False) for position in range(0, 100, 10)]


def test_nothing_was_handed_out_yet() -> None:
    request = ReadRequest(None, 30, limit=5)
    assert ReadProgress(request).rest() == request


def test_a_sparse_filter_is_not_gone_through_again() -> None:
    progress = ReadProgress(ReadRequest(None, limit=None))
    progress.saw([recorded("s", 0, (10, 10)), Checkpoint(5_000, 5_000)])
    rest = progress.rest()
    assert rest is not None
    assert rest.start == (5_000, 5_000)


def test_a_checkpoint_that_lags_takes_nothing_back() -> None:
    progress = ReadProgress(ReadRequest(None, limit=None))
    progress.saw([recorded("s", 0, (10, 10)), Checkpoint(5, 5), CaughtUp(None, None, 7, 7), CaughtUp(None)])
    rest = progress.rest()
    assert rest is not None
    assert rest.start == (10, 10)


def test_the_limit_is_reached() -> None:
    for stream in ("s", None):
        progress = ReadProgress(ReadRequest(stream, limit=2))
        progress.saw([recorded("s", 0, (1, 1)), recorded("s", 1, (2, 2))], only_events=True)
        assert progress.rest() is None


def test_the_first_event_of_a_stream_ends_reading_it_backwards() -> None:
    progress = ReadProgress(ReadRequest("s", from_end=True, backwards=True))
    progress.saw([recorded("s", 1, (20, 20)), recorded("s", 0, (10, 10))], only_events=True)
    assert progress.rest() is None


def test_links_count_with_their_own_places() -> None:
    link = recorded("s", 4, (50, 50))
    event = recorded("target", 1, (7, 7), link)
    assert place_of(event, "s") == (4, 0)
    assert place_of(event, None) == (50, 50)


def test_an_old_server_does_not_tell_places_in_streams() -> None:
    event = RecordedEvent(type="T", data=b"", metadata=b"", stream_name="s", stream_position=3, commit_position=None)
    assert place_of(event, "s") == (3, 0)
    assert place_of(event, None) is None


@pytest.mark.parametrize("gone", [True, False])
def test_the_limit_is_kept_when_the_last_event_is_gone_meanwhile(gone: bool) -> None:
    """A read forwards goes on at the last event that it has, which may have been scavenged since."""
    request = ReadRequest(None, limit=4)
    progress = ReadProgress(request)
    seen = attempt(progress, list(Server(LOG).answer(request))[:2], [2])
    rest = progress.rest()
    assert rest is not None
    log = [record for record in LOG if not gone or record.place != (10, 10)]
    seen += attempt(progress, list(Server(log).answer(rest)), [1])
    assert [event.commit_position for event in seen] == [0, 10, 20, 30]


# --- servers that send events twice -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["s", None])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sizes", [[1], [2, 3], [20]])
def test_events_that_come_twice_in_a_call(stream: str | None, backwards: bool, sizes: list[int]) -> None:
    """The end of a batch tells of repeated runs; single events are found where batches meet, or in their stream."""
    request = ReadRequest(stream, from_end=backwards, backwards=backwards)
    sent = list(Server(LOG).answer(request))
    progress = ReadProgress(request)
    seen = attempt(progress, [*sent[:6], *sent[2:6], *sent[5:6], *sent[6:]], sizes)
    if stream is None and sizes == [20]:
        assert len(seen) == 15  # in the middle of a batch of all events nobody looks
    else:
        assert events(seen) == events(sent)
        assert progress.repeated == 5


def test_events_that_come_twice_among_other_items() -> None:
    progress = ReadProgress(ReadRequest(None, limit=None))
    first, second = recorded("s", 0, (10, 10)), recorded("s", 1, (20, 20))
    assert attempt(progress, [first, Checkpoint(15, 15), second, CaughtUp(None, None, 20, 20)], [4]) == [first, second]
    assert attempt(progress, [CaughtUp(None, None, 20, 20), second], [2]) == []
    assert attempt(progress, [first, CaughtUp(None, None, 20, 20)], [2]) == []
    assert progress.repeated == 2


def test_a_checkpoint_hides_no_event() -> None:
    """What a server says of its places need not fit its events: it is no reason to leave one out."""
    progress = ReadProgress(ReadRequest(None, limit=None))
    event = recorded("s", 0, (10, 10))
    assert attempt(progress, [Checkpoint(10, 10), event], [1]) == [event]
    assert attempt(ReadProgress(ReadRequest(None, limit=None)), [CaughtUp(None, None, 50, 50), event], [2]) == [event]
