"""Events in batches: the shortcut through the usual event and the rules of protobuf never disagree."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esdb_lite._wire import read_response_encode as encode
from esdb_lite._wire import read_response_fast
from esdb_lite._wire.controls import SubscriptionConfirmed
from esdb_lite._wire.framing import frame
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.read_response import decode_persistent_response, decode_response
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.events import RecordedEvent
from tests.wire import strategies as wire

ID = UUID("12345678-9abc-def0-1234-56789abcdef0")
SMALL_IDS = [UUID(int=value) for value in (0, 1, 2**56, 2**64, 2**120, 2**120 + 2**56 - 1, 2**120 + 2**56)]
CREATED = 17_954_746_331_234_567


def a_record(**changes: object) -> bytes:
    values = {
        "id": ID.bytes,
        "structured": False,
        "stream": "orders-1",
        "revision": 300,
        "position": 123_456_789,
        "type": "OrderCreated",
        "is_json": True,
        "created": CREATED,
        "metadata": b'{"a":1}',
        "data": b"x" * 200,
    }
    return encode.encode_record(**{**values, **changes})  # type: ignore[arg-type]


def an_event(**changes: object) -> bytes:
    return encode.encode_event(a_record(**changes), None, int(str(changes.get("position", 123_456_789))))


def by_rules(message: bytes, persistent: bool = False) -> object:
    try:
        return meaning((decode_persistent_response if persistent else decode_response)(message))
    except WireError:
        return WireError


def meaning(item: object) -> object:
    """The item itself, or WireError for an event whose id or time turn out to be none when they are asked for."""
    for event in (item, getattr(item, "link", None)):
        if isinstance(event, RecordedEvent):
            if isinstance(event._created, bytes) and not event._created.isascii():
                return WireError
            try:
                assert event.id is not None
            except ValueError:
                return WireError
    return item


def in_batch(before: list[bytes], message: bytes, persistent: bool = False) -> object:
    """What a decoder that has seen these messages makes of one more."""
    decoder = ReadDecoder(persistent=persistent)
    decoder.feed(frame(before))
    try:
        items = decoder.feed(frame([message]))
    except WireError:
        return WireError
    assert decoder.controls == sum(not isinstance(item, RecordedEvent) for item in items)
    return meaning(items[0]) if items else None


# records as servers write them, in all sizes at which the layout changes
records = st.fixed_dictionaries(
    {
        "id": (st.uuids() | st.sampled_from(SMALL_IDS)).map(lambda id: id.bytes),
        "structured": st.sampled_from([False, False, False, True]),
        "stream": st.sampled_from(["s", "orders-1", "größe", "x" * 122, "x" * 124, "x" * 130, "$$a b/c@d"]),
        "revision": st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 2**31, 2**63 - 1]),
        "position": st.sampled_from(
            [0, 1, 127, 128, 2**14 - 1, 2**14, 2**21, 2**28 - 1, 2**28, 2**35, 2**42, 2**64 - 1]
        ),
        "type": st.sampled_from(["T", "$>", "OrderCreated", "ä", "t" * 113, "t" * 120, "t" * 300]),
        "is_json": st.booleans(),
        "created": st.sampled_from([CREATED, CREATED, CREATED, 0, 10**18]),
        "metadata": st.sampled_from([b"", b"{}", b"m" * 127, b"m" * 128, b"m" * 17_000]),
        "data": st.sampled_from([b"", b"{}", b"d" * 127, b"d" * 128, b"d" * 16_383, b"d" * 17_000]),
    }
)


@st.composite
def usual_events(draw: st.DrawFn) -> bytes:
    record = draw(records)
    link = draw(st.none() | st.none() | records)
    place = (link or record)["position"]
    event = None if link and draw(st.integers(0, 5)) == 0 else encode.encode_record(**record)
    linked = encode.encode_record(**link) if link else None
    return encode.encode_event(event, linked, place, retry_count=draw(st.sampled_from([None, None, 0, 1, 200])))


@settings(max_examples=150)
@given(st.lists(usual_events(), max_size=4), usual_events(), st.booleans())
def test_usual_events(before: list[bytes], message: bytes, persistent: bool):
    assert in_batch(before, message, persistent) == by_rules(message, persistent)


@settings(max_examples=300)
@given(st.lists(records.filter(lambda record: record["position"] > 0), max_size=5), st.booleans())
def test_many_are_encoded_as_each(several: list[dict[str, Any]], structured: bool):
    columns = ("position", "stream", "revision", "id", "type", "is_json", "created", "data", "metadata")
    rows: list[Any] = [(*(record[column] for column in columns), None) for record in several]
    each = [encode.encode_record(**{**record, "structured": structured}) for record in several]
    messages = [encode.encode_event(one, None, record["position"]) for one, record in zip(each, several, strict=True)]
    assert encode.frame_events(rows, structured=structured) == frame(messages)


@settings(max_examples=300)
@given(st.data(), st.booleans())
def test_broken_usual_events(data: st.DataObject, persistent: bool):
    whole = an_event(**data.draw(records)) if data.draw(st.booleans()) else an_event()
    before = [whole, an_event(id=uuid4().bytes)]
    message = data.draw(wire.broken(st.just(whole)))
    assert in_batch(before, message, persistent) == by_rules(message, persistent)


def test_every_single_byte_of_a_usual_event_changed():
    """A decoder that knows the event by heart still sees every change in it."""
    whole = an_event(data=b"short")
    decoder = ReadDecoder()
    assert decoder.feed(frame([whole])) == [decode_response(whole)]
    for at in range(len(whole)):
        for change in (whole[at] ^ 1, whole[at] ^ 0x80, 0, 0xFF):
            message = whole[:at] + bytes((change,)) + whole[at + 1 :]
            assert in_batch([whole], message) == by_rules(message), (at, change)


def test_every_way_of_cutting_a_usual_event_short():
    whole = an_event(data=b"short")
    for at in range(len(whole)):
        assert in_batch([whole], whole[:at]) == by_rules(whole[:at])
        assert by_rules(whole[:at]) is (None if at == 0 else WireError)


@settings(max_examples=100)
@given(wire.messages(wire.READ_RESP), st.lists(usual_events(), max_size=2))
def test_messages_written_in_any_way(message: bytes, before: list[bytes]):
    assert in_batch(before, message) == by_rules(message)


@settings(max_examples=100)
@given(
    st.lists(usual_events() | st.just(encode.encode_confirmation("x")) | st.just(b""), max_size=12),
    st.lists(st.sampled_from([1, 2, 3, 4, 5, 6, 50, 200, 1000, 30_000]), min_size=1, max_size=4),
)
def test_however_the_bytes_arrive(messages: list[bytes], cuts: list[int]):
    decoder, whole = ReadDecoder(), frame(messages)
    items: list[object] = []
    at = turn = 0
    while at < len(whole):
        size = cuts[turn % len(cuts)] if len(whole) < 5000 else max(cuts[turn % len(cuts)], 200)
        batch = decoder.feed(whole[at : at + size])
        assert decoder.controls == sum(not isinstance(item, RecordedEvent) for item in batch)
        items += batch
        at, turn = at + size, turn + 1
    assert items == [item for item in map(decode_response, messages) if item is not None]
    assert decoder.complete


def test_an_event_has_all_that_was_written():
    (event,) = ReadDecoder().feed(frame([an_event()]))
    assert isinstance(event, RecordedEvent)
    assert event == RecordedEvent(
        "OrderCreated",
        b"x" * 200,
        b'{"a":1}',
        "orders-1",
        300,
        123_456_789,
        id=ID,
        recorded_at=event.recorded_at,
    )
    assert event.recorded_at is not None
    assert event.recorded_at.isoformat() == "2026-11-23T22:57:13.123456+00:00"


def test_a_link_without_an_event_stands_for_itself():
    link = a_record(type="$>", data=b"3@gone", position=7)
    item = decode_response(encode.encode_event(None, link, 7))
    assert isinstance(item, RecordedEvent)
    assert (item.type, item.data, item.link, item.original) == ("$>", b"3@gone", None, item)


def test_a_position_that_is_not_known_is_none():
    for decoded in (in_batch([], an_event(position=2**64 - 1)), by_rules(an_event(position=2**64 - 1))):
        assert isinstance(decoded, RecordedEvent)
        assert decoded.commit_position is decoded.prepare_position is None


def test_the_caches_are_bounded():
    decoder = ReadDecoder()
    for n in range(3000):
        decoder.feed(frame([an_event(stream=f"s{n}", type=f"T{n}", data=bytes(n))]))
    for cache in (read_response_fast._heads, read_response_fast._names, read_response_fast._types):
        assert 0 < len(cache) <= 1024


def test_controls_among_events():
    decoder = ReadDecoder()
    items = decoder.feed(frame([encode.encode_confirmation("me"), an_event(), an_event()]))
    assert items[0] == SubscriptionConfirmed("me")
    assert decoder.controls == 1
    decoder.feed(frame([an_event()]))
    assert decoder.controls == 0


@pytest.mark.parametrize("prefix", [b"\x01\0\0\0\5", b"\x02\0\0\0\0", b"\0\xff\xff\xff\xff", b"\0\0\0\3\xe9"])
def test_bad_framing_is_refused_before_the_message_comes(prefix: bytes):
    with pytest.raises(WireError, match=r"compressed|flags|longer than 1000"):
        ReadDecoder(limit=1000).feed(frame([an_event()]) + prefix)


def test_a_stream_that_is_cut_off_is_noticed():
    decoder = ReadDecoder()
    decoder.feed(frame([an_event()])[:-1])
    assert not decoder.complete


def test_a_large_event_in_small_pieces_costs_no_more_than_its_size():
    whole = frame([an_event(data=b"x" * 20_000_000)])
    decoder = ReadDecoder()
    items = [item for at in range(0, len(whole), 16_384) for item in decoder.feed(whole[at : at + 16_384])]
    assert len(items) == 1
    assert len(items[0].data) == 20_000_000  # type: ignore[union-attr]
