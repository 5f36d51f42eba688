"""The recorded bytes of a real server mean to us what they mean to betterproto."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timezone
from pathlib import Path
from uuid import UUID

import betterproto
import pytest
from esdb_lite_protos.event_store.client import persistent_subscriptions, streams

from esdb_lite._wire.append import AppendAnswer, Conflict, decode_append_response, encode_appended, encode_conflict
from esdb_lite._wire.batch_append import BatchError, decode_batch_response, encode_batch_error, encode_batch_success
from esdb_lite._wire.controls import FirstStreamPosition, LastStreamPosition, StreamMissing, SubscriptionConfirmed
from esdb_lite._wire.framing import frame
from esdb_lite._wire.read_response import decode_persistent_response, decode_response
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.events import CaughtUp, Checkpoint, RecordedEvent

GOLDENS = Path(__file__).parents[1] / "goldens"
RECORDINGS = sorted(GOLDENS.rglob("*.json"))


def recorded(rpc: str) -> Iterator[bytes]:
    """Every message that the real server sent in answer to calls of this method."""
    for path in RECORDINGS:
        calls: dict[str, str] = {}
        for step in json.loads(path.read_text())["steps"]:
            name = step.get("rpc") or calls.get(step.get("stream", ""), "")
            calls[step.get("id", "")] = name
            if name == rpc:
                yield from map(base64.b64decode, step.get("raw", ()))


def as_fields(event: RecordedEvent | None) -> object:
    if event is None:
        return None
    return {
        "id": event.id,
        "stream": event.stream_name,
        "revision": event.stream_position,
        "positions": (event.prepare_position, event.commit_position),
        "type": event.type,
        "content_type": event.content_type,
        "created": event.recorded_at,
        "data": event.data,
        "metadata": event.metadata,
    }


def proto_fields(record: streams.ReadRespReadEventRecordedEvent) -> object:
    _, form = betterproto.which_one_of(record.id, "value")
    if isinstance(form, str):
        id = UUID(form)
    else:
        halves = form.most_significant_bits % 2**64, form.least_significant_bits % 2**64
        id = UUID(int=halves[0] << 64 | halves[1])
    created = RecordedEvent("", b"", b"", "", 0, 0)
    created._created = int(record.metadata["created"])
    return {
        "id": id,
        "stream": record.stream_identifier.stream_name.decode(),
        "revision": record.stream_revision,
        "positions": (record.prepare_position, record.commit_position),
        "type": record.metadata["type"],
        "content_type": record.metadata["content-type"],
        "created": created.recorded_at,
        "data": record.data,
        "metadata": record.custom_metadata,
    }


def check_event(got: object, event: streams.ReadRespReadEvent) -> None:
    assert isinstance(got, RecordedEvent)
    has_event, has_link = (betterproto.serialized_on_wire(part) for part in (event.event, event.link))
    assert as_fields(got) == proto_fields(event.event if has_event else event.link)
    assert as_fields(got.link) == (proto_fields(event.link) if has_event and has_link else None)
    assert got.original.commit_position == event.commit_position


def check_control(got: object, kind: str, content: object) -> None:
    if kind == "confirmation":
        assert got == SubscriptionConfirmed(content.subscription_id)
    elif kind == "checkpoint":
        assert got == Checkpoint(content.commit_position, content.prepare_position, utc(content.timestamp))
    elif kind == "stream_not_found":
        assert got == StreamMissing(content.stream_identifier.stream_name.decode())
    elif kind == "first_stream_position":
        assert got == FirstStreamPosition(content)
    elif kind == "last_stream_position":
        assert got == LastStreamPosition(content)
    else:
        assert kind == "caught_up"
        at = (
            (None, None)
            if content.position is None
            else (content.position.commit_position, content.position.prepare_position)
        )
        assert got == CaughtUp(utc(content.timestamp), content.stream_revision, *at)


def utc(when: object) -> object:
    return when.astimezone(timezone.utc)


def test_there_are_recordings():
    assert len(RECORDINGS) > 50


def test_every_answer_to_a_read():
    seen = set()
    messages = list(recorded("Streams/Read"))
    for raw in messages:
        kind, content = betterproto.which_one_of(streams.ReadResp().parse(raw), "content")
        seen.add(kind)
        got = decode_response(raw)
        assert ReadDecoder().feed(frame([raw])) == [got]
        if kind == "event":
            check_event(got, content)
        else:
            check_control(got, kind, content)
    assert {"event", "confirmation", "checkpoint", "caught_up", "stream_not_found"} <= seen
    assert ReadDecoder().feed(frame(messages)) == [decode_response(raw) for raw in messages]


def test_every_answer_to_a_persistent_read():
    messages = list(recorded("PersistentSubscriptions/Read"))
    for raw in messages:
        kind, content = betterproto.which_one_of(persistent_subscriptions.ReadResp().parse(raw), "content")
        got = decode_persistent_response(raw)
        assert ReadDecoder(persistent=True).feed(frame([raw])) == [got]
        if kind == "event":
            check_event(got, content)
            assert got.retry_count == content.retry_count
        else:
            assert got == SubscriptionConfirmed(content.subscription_id)
    decoder = ReadDecoder(persistent=True)
    assert decoder.feed(frame(messages)) == [decode_persistent_response(raw) for raw in messages]
    assert decoder.controls > 0


def is_usual(item: object, raw: bytes) -> bool:
    """An event (not a link without one) with an id as text, whose stream has a name of usual length."""
    inner = 3 if raw[1] > 127 else 2
    short = isinstance(item, RecordedEvent) and len(item.stream_name) < 120
    return short and raw[inner] == 0x0A and b"\n&\x12$" in raw[:12]


@pytest.mark.parametrize(("rpc", "persistent"), [("Streams/Read", False), ("PersistentSubscriptions/Read", True)])
def test_usual_events_take_the_short_way(rpc: str, persistent: bool, monkeypatch: pytest.MonkeyPatch):
    """What the real server sends is what the shortcut is made for: also links, and both content types."""
    usual = [raw for raw in recorded(rpc) if is_usual(decode_persistent_response(raw), raw)]
    monkeypatch.setattr("esdb_lite._wire.read_response_fast.decode_response", None)
    monkeypatch.setattr("esdb_lite._wire.read_response_fast.decode_persistent_response", None)
    assert len(usual) > 100
    assert len(ReadDecoder(persistent=persistent).feed(frame(usual))) == len(usual)


def test_every_answer_to_an_append():
    kinds = set()
    for raw in recorded("Streams/Append"):
        got = decode_append_response(raw)
        kinds.add(type(got))
        if isinstance(got, AppendAnswer):
            assert encode_appended(*got) == raw
        else:
            assert isinstance(got, Conflict)
            assert got.expected is not None
            assert encode_conflict(got.current, got.expected) == raw
    assert kinds == {AppendAnswer, Conflict}


def test_every_answer_to_a_batch():
    kinds = set()
    for raw in recorded("Streams/BatchAppend"):
        got = decode_batch_response(raw)
        kinds.add(type(got.result))
        if isinstance(got.result, AppendAnswer):
            assert encode_batch_success(got.correlation_id, got.stream, *got.result) == raw
        else:
            assert isinstance(got.result, BatchError)
            assert encode_batch_error(got.correlation_id, got.stream, **got.result._asdict()) == raw
    assert kinds == {AppendAnswer, BatchError}
