"""What can be relied on of the event classes: validation, equality, hashing, copying, pickling, text."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime, timezone
from uuid import UUID, uuid4

import pytest

from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import (
    AppendResult,
    CaughtUp,
    Checkpoint,
    FellBehind,
    NewEvent,
    Reconnected,
    RecordedEvent,
    StreamState,
)

ID = UUID("12345678-1234-5678-1234-567812345678")
WHEN = datetime(2026, 11, 23, 22, 57, 13, 123456, timezone.utc)
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def recorded(**changes: object) -> RecordedEvent:
    values = {
        "type": "T",
        "data": b"{}",
        "metadata": b"",
        "stream_name": "s",
        "stream_position": 3,
        "commit_position": 512,
        "id": ID,
        "recorded_at": WHEN,
    }
    return RecordedEvent(**{**values, **changes})  # type: ignore[arg-type]


def as_off_the_wire(event: RecordedEvent, id: object, created: object) -> RecordedEvent:
    event._id = id  # type: ignore[assignment]
    event._created = created  # type: ignore[assignment]
    return event


def test_new_event_has_defaults_and_ids_of_its_own():
    one, two = NewEvent("T", b"{}"), NewEvent(type="T", data=b"{}", metadata=b"")
    assert (one.type, one.data, one.metadata, one.content_type) == ("T", b"{}", b"", "application/json")
    assert one.id.version == 4
    assert one.id != two.id
    assert one != two


def test_new_event_takes_whatever_is_bytes():
    event = NewEvent("T", bytearray(b"a"), memoryview(b"b"))
    assert (event.data, event.metadata) == (b"a", b"b")
    assert type(event.data) is type(event.metadata) is bytes


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("type", "", InvalidArgument),
        ("type", "\ud800", InvalidArgument),
        ("type", None, WrongArgumentType),
        ("type", b"T", WrongArgumentType),
        ("data", "{}", WrongArgumentType),
        ("data", {"a": 1}, WrongArgumentType),
        ("metadata", None, WrongArgumentType),
        ("content_type", "text/plain", InvalidArgument),
        ("content_type", None, WrongArgumentType),
        ("id", str(ID), WrongArgumentType),
        ("id", UUID(int=0), InvalidArgument),
    ],
)
def test_new_event_names_the_argument_that_is_wrong(argument: str, value: object, error: type[InvalidArgument]):
    with pytest.raises(error) as caught:
        NewEvent(**{"type": "T", "data": b"", argument: value})
    assert caught.value.argument == argument
    assert caught.value.value == value
    assert isinstance(caught.value, TypeError) == (error is WrongArgumentType)


def test_new_event_from_json():
    event = NewEvent.json("T", {"a": [1, "é"]}, {"user": "me"}, id=ID)
    assert event == NewEvent("T", '{"a":[1,"é"]}'.encode(), b'{"user":"me"}', "application/json", ID)
    assert NewEvent.json("T", None).metadata == b""
    with pytest.raises(WrongArgumentType, match="data"):
        NewEvent.json("T", {1, 2})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="metadata"):
        NewEvent.json("T", 1, float("nan"))


def test_recorded_event_is_made_by_keyword_with_six_arguments():
    event = RecordedEvent(type="T", data=b"{}", metadata=b"{}", stream_name="s", stream_position=0, commit_position=512)
    assert event.prepare_position == 512
    assert event.content_type == "application/json"
    assert event.id == UUID(int=0)
    assert event.recorded_at is event.link is event.retry_count is None
    assert event.original is event
    assert not hasattr(event, "__dict__")


@pytest.mark.parametrize("raw", [str(ID).encode(), str(ID), ID.bytes, ID])
def test_id_is_converted_on_demand_from_every_raw_form(raw: object):
    event = as_off_the_wire(recorded(), raw, b"17954747530123456")
    assert event.id == ID
    assert event.id is event.id
    assert event == recorded(recorded_at=datetime(2026, 11, 23, 22, 59, 13, 12345, timezone.utc))


@pytest.mark.parametrize("raw", [b"x" * 36, b"\xff" * 36, "x", b""])
def test_an_id_that_is_none_is_refused(raw: object):
    with pytest.raises(ValueError, match="the server has sent"):
        _ = as_off_the_wire(recorded(), raw, None).id


@pytest.mark.parametrize("raw", [b"", b"x", b"99999999999999999999999", 10**25])
def test_a_time_that_is_none_is_none(raw: object):
    assert as_off_the_wire(recorded(), ID, raw).recorded_at is None


def test_recorded_at_is_aware_and_exact_to_the_microsecond():
    event = as_off_the_wire(recorded(), ID, 17_954_746_331_234_567)
    assert event.recorded_at is not None
    assert event.recorded_at.utcoffset() is not None
    assert event.recorded_at.isoformat() == "2026-11-23T22:57:13.123456+00:00"
    assert event.recorded_at is event.recorded_at


def test_recorded_events_are_equal_by_value():
    assert recorded() == recorded()
    assert hash(recorded()) == hash(recorded())
    assert recorded(link=recorded()) == recorded(link=recorded())
    assert recorded() != object()
    changes: dict[str, object] = {
        "type": "U",
        "data": b"",
        "metadata": b"x",
        "stream_name": "t",
        "stream_position": 4,
        "commit_position": None,
        "prepare_position": 0,
        "content_type": "application/octet-stream",
        "link": recorded(),
        "retry_count": 0,
        "id": uuid4(),
        "recorded_at": None,
    }
    for name, value in changes.items():
        assert recorded(**{name: value}) != recorded(), name


def test_recorded_event_of_a_link():
    link = recorded(id=uuid4(), commit_position=600)
    event = recorded(link=link)
    assert event.original is link
    assert event.ack_id == link.id
    assert recorded().ack_id == ID


def test_recorded_event_json():
    assert recorded(data=b'{"a": 1}').json() == {"a": 1}
    with pytest.raises(ValueError, match="Expecting value"):
        recorded(data=b"").json()


def test_texts_are_short():
    text = repr(recorded(data=b"x" * 10_000, link=recorded(), retry_count=2))
    assert text.startswith("RecordedEvent(type='T', data=b'xxx")
    assert "10000 bytes" in text
    assert "retry_count=2" in text
    assert len(text) < 500
    assert "metadata" not in text
    event = as_off_the_wire(recorded(metadata=b"m"), str(ID).encode(), 17_954_746_331_234_567)
    assert "data=b'{}', metadata=b'm', " in repr(event)
    assert f"id='{ID}', recorded_at='2026-11-23 22:57:13.123456+00:00'" in repr(event)
    assert "id=None" in repr(as_off_the_wire(recorded(), b"none", None))
    assert "metadata=b'm'" in repr(NewEvent("T", b"", b"m"))
    assert len(repr(NewEvent("T", b"x" * 10_000))) < 200
    assert repr(NewEvent("T", b"{}", id=ID)) == f"NewEvent(type='T', data=b'{{}}', id='{ID}')"


@pytest.mark.parametrize(
    "value",
    [
        NewEvent("T", b"{}", b"m", "application/octet-stream"),
        recorded(link=recorded(), retry_count=1),
        as_off_the_wire(recorded(), str(ID).encode(), b"17954746331234567"),
        AppendResult(5, 6),
        AppendResult(None, None),
        AppendResult(5, 6, "s"),
        Checkpoint(1, 2, WHEN),
        CaughtUp(WHEN, 1),
        FellBehind(WHEN, None, 1, 2),
        Reconnected(None, "a:1", "gone"),
        StreamState.ANY,
    ],
    ids=lambda value: type(value).__name__,
)
def test_pickling_and_copying(value: object):
    twins = [pickle.loads(pickle.dumps(value, protocol)) for protocol in PROTOCOLS]
    for twin in [*twins, copy.copy(value), copy.deepcopy(value)]:
        assert twin == value
        assert type(twin) is type(value)
        assert repr(twin) == repr(value)


def test_an_id_that_is_none_is_not_shown_in_full():
    event = as_off_the_wire(recorded(), b"x" * 10**6, b"1")
    with pytest.raises(ValueError, match=r"the server has sent b'xxx.{0,80}\.\.\. as the id of an event") as caught:
        _ = event.id
    assert len(str(caught.value)) < 200


def test_append_result_is_an_int():
    result = AppendResult(512, 3)
    assert result == 512
    assert isinstance(result, int)
    assert (result.commit_position, result.stream_position) == (512, 3)
    assert f"{result} {result!s} {result:,}" == "512 512 512"
    assert result < AppendResult(513, 0)


def test_an_append_result_without_a_position_is_before_every_event():
    result = AppendResult(None, 3)
    assert result == 0
    assert result.commit_position is None


def test_what_notebooks_show() -> None:
    data = b'{"a":"<script>alert(1)</script>"}'
    text = RecordedEvent("<b>", data, b"\xff", "s<", 1, 100)._repr_html_()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<th>&lt;b&gt;</th><td>1@s&lt;</td>" in text
    assert len(RecordedEvent("T", b"x" * 5000, b"", "s", 1, 100)._repr_html_()) < 3000
