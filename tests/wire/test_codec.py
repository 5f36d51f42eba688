"""What we write betterproto reads, and what betterproto writes we read, field by field."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import UUID

import betterproto
import pytest
from betterproto.lib.google import protobuf as well_known
from esdb_lite_protos.event_store import client
from esdb_lite_protos.event_store.client import persistent_subscriptions as groups
from esdb_lite_protos.event_store.client import streams
from esdb_lite_protos.google import rpc
from esdb_lite_protos.tags import PERSISTENT_READ_REQ_ACK_IDS
from hypothesis import given, settings
from hypothesis import strategies as st

from esdb_lite._wire import acks, append, batch_append
from esdb_lite._wire import read_response_encode as encode
from esdb_lite._wire.acks import Ack, GroupReadOptions, Nack
from esdb_lite._wire.append import ANY, EXISTS, NO_STREAM, AppendAnswer, AppendOptions, Conflict, Proposed
from esdb_lite._wire.batch_append import BatchError, BatchOptions, BatchRequest, BatchResponse
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.uuids import NO_UUID, decode_uuid, encode_uuid, format_uuid, parse_uuid, usual_uuid, usual_uuids

uint64 = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(codec="utf-8"))
wire_ids = st.uuids().map(str) | st.uuids().map(lambda id: id.bytes)
expectations = uint64 | st.sampled_from([NO_STREAM, ANY, EXISTS])
TICKS = 17_954_746_331_234_567
WHEN = datetime(2026, 11, 23, 22, 57, 13, 123456, timezone.utc)


def of(message: betterproto.Message, group: str) -> str:
    return betterproto.which_one_of(message, group)[0]


def form(id: client.Uuid) -> object:
    kind, value = betterproto.which_one_of(id, "value")
    if kind != "structured":
        return value
    halves = value.most_significant_bits, value.least_significant_bits
    return b"".join((half % 2**64).to_bytes(8, "big") for half in halves)


# --- UUIDs ----------------------------------------------------------------------------------------------------------


@given(wire_ids)
def test_both_forms_of_a_uuid(id: bytes | str):
    tag, size, encoded = (whole := encode_uuid(0x0A, id))[0], whole[1], whole[2:]
    assert (tag, size) == (0x0A, len(encoded))
    assert form(client.Uuid().parse(encoded)) == id
    assert decode_uuid(encoded) == id
    assert parse_uuid(id) == (UUID(id).bytes if isinstance(id, str) else id)
    assert format_uuid(parse_uuid(id)) == str(UUID(bytes=parse_uuid(id)))


def test_a_uuid_without_a_form():
    assert decode_uuid(b"") is NO_UUID
    assert encode_uuid(0x0A, NO_UUID) == b"\x0a\0"
    with pytest.raises(WireError):
        parse_uuid(NO_UUID)


TEXT = "12345678-9abc-def0-1234-56789abcdef0"


@pytest.mark.parametrize(
    "text", [TEXT, TEXT.upper(), TEXT.replace("-", ""), f"{{{TEXT}}}", f"({TEXT})", f"  {TEXT}\t", f" {{{TEXT}}} "]
)
def test_texts_that_are_uuids(text: str):
    assert parse_uuid(text) == UUID(TEXT).bytes


_TEXTS = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda id: str(id).upper()),
    st.sampled_from(["", TEXT[:-1], TEXT + "0", "-" + TEXT[1:], TEXT[:-1] + "-", TEXT[:-1] + " ", TEXT[:-1] + "g"]),
    st.text(alphabet="0a- ", min_size=36, max_size=36),
)


@given(st.lists(_TEXTS, min_size=1, max_size=4))
def test_many_uuids_are_parsed_as_each_of_them(texts: list[str]) -> None:
    each = [usual_uuid(text) for text in texts]
    assert usual_uuids(texts) == (None if None in each else each)


def test_bytes_are_no_usual_uuids() -> None:
    assert usual_uuids([TEXT, bytes(16)]) is None
    assert usual_uuids([None]) is None
    assert usual_uuids([]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"urn:uuid:{TEXT}",
        TEXT[:-1],
        TEXT + "0",
        f"{{{TEXT})",
        f"{{{TEXT}",
        TEXT.replace("-", "_"),
        TEXT.replace("1", "\N{ARABIC-INDIC DIGIT ONE}"),
        "-".join(TEXT.replace("-", "")),
    ],
)
def test_texts_that_are_none(text: str):
    with pytest.raises(WireError):
        parse_uuid(text)


# --- answers to a read ----------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.uuids(), st.booleans(), texts, uint64, uint64, texts, st.booleans(), st.binary(), st.binary())
def test_records(
    id: UUID, structured: bool, stream: str, revision: int, at: int, type: str, json: bool, metadata: bytes, data: bytes
):
    encoded = encode.encode_record(
        id=id.bytes,
        structured=structured,
        stream=stream,
        revision=revision,
        position=at,
        type=type,
        is_json=json,
        created=TICKS,
        metadata=metadata,
        data=data,
    )
    record = streams.ReadRespReadEventRecordedEvent().parse(encoded)
    assert form(record.id) == (id.bytes if structured else str(id))
    assert record.stream_identifier.stream_name == stream.encode()
    assert record.stream_revision == revision
    assert record.prepare_position == record.commit_position == at
    content_type = "application/json" if json else "application/octet-stream"
    assert record.metadata == {"type": type, "created": str(TICKS), "content-type": content_type}
    assert (record.custom_metadata, record.data) == (metadata, data)
    if type:  # betterproto leaves out empty values of maps
        assert bytes(record) == encoded


def record(stream: str) -> bytes:
    return encode.encode_record(
        id=bytes(range(16)),
        structured=False,
        stream=stream,
        revision=1,
        position=2,
        type="T",
        is_json=True,
        created=TICKS,
        metadata=b"",
        data=b"",
    )


def test_events_with_and_without_a_link():
    for event, link in ((record("e"), None), (record("e"), record("l")), (None, record("l"))):
        read = streams.ReadResp().parse(encode.encode_event(event, link, 5)).event
        assert betterproto.serialized_on_wire(read.event) == (event is not None)
        assert betterproto.serialized_on_wire(read.link) == (link is not None)
        assert bytes(read.event) == (event or b"")
        assert bytes(read.link) == (link or b"")
        assert betterproto.which_one_of(read, "position") == ("commit_position", 5)


def test_events_of_persistent_subscriptions():
    for count in (0, 3):
        raw = encode.encode_event(record("e"), None, 0, retry_count=count)
        read = groups.ReadResp().parse(raw).event
        assert betterproto.which_one_of(read, "count") == ("retry_count", count)
        assert betterproto.which_one_of(read, "position") == ("commit_position", 0)


def test_controls():
    def parse(raw: bytes) -> streams.ReadResp:
        return streams.ReadResp().parse(raw)

    assert parse(encode.encode_confirmation("me")).confirmation.subscription_id == "me"
    assert groups.ReadResp().parse(encode.encode_confirmation("me")).subscription_confirmation.subscription_id == "me"
    checkpoint = parse(encode.encode_checkpoint(7, 0, now=TICKS)).checkpoint
    assert (checkpoint.commit_position, checkpoint.prepare_position, checkpoint.timestamp) == (7, 0, WHEN)
    missing = parse(encode.encode_stream_missing("s")).stream_not_found
    assert missing.stream_identifier.stream_name == b"s"
    first, last = (
        parse(encode.encode_first_position(0)),
        parse(encode.encode_last_position(0)),
    )
    assert of(first, "content") == "first_stream_position"
    assert of(last, "content") == "last_stream_position"


def test_progress():
    def parse(raw: bytes) -> streams.ReadResp:
        return streams.ReadResp().parse(raw)

    stream = parse(encode.encode_caught_up(now=TICKS, stream_position=0)).caught_up
    assert (stream.timestamp, stream.stream_revision, stream.position) == (WHEN, 0, None)
    everything = parse(encode.encode_caught_up(now=TICKS, position=(5, 0))).caught_up
    assert everything.stream_revision is None
    assert (everything.position.commit_position, everything.position.prepare_position) == (5, 0)
    nothing = parse(encode.encode_caught_up(now=TICKS)).caught_up
    assert nothing.stream_revision is nothing.position is None


# --- appends --------------------------------------------------------------------------------------------------------

OPTIONS = {NO_STREAM: "no_stream", ANY: "any", EXISTS: "stream_exists"}


@given(texts, expectations)
def test_append_options(stream: str, expected: int):
    raw = append.encode_append_options(stream, expected)
    options = streams.AppendReq().parse(raw).options
    assert options.stream_identifier.stream_name == stream.encode()
    kind, value = betterproto.which_one_of(options, "expected_stream_revision")
    assert kind == OPTIONS.get(expected, "revision")
    assert kind != "revision" or value == expected
    assert append.decode_append_request(raw) == AppendOptions(stream, expected)


@given(wire_ids, texts, texts, st.binary(), st.binary())
def test_proposed_events(id: bytes | str, type: str, content_type: str, metadata: bytes, data: bytes):
    proposed = append.encode_proposed(id=id, type=type, content_type=content_type, metadata=metadata, data=data)
    raw = append.encode_append_proposed(proposed)
    message = streams.AppendReq().parse(raw).proposed_message
    assert form(message.id) == id
    assert message.metadata == {"type": type, "content-type": content_type}
    assert (message.custom_metadata, message.data) == (metadata, data)
    expected = Proposed(id, {"type": type, "content-type": content_type}, metadata, data)
    assert append.decode_append_request(raw) == expected


def test_what_is_missing_in_an_append_is_told_apart():
    """As bytes, since betterproto does not write submessages that are empty."""
    decode = append.decode_append_request
    assert decode(b"") is None
    assert decode(b"\x0a\0") == AppendOptions(None, None)
    assert decode(b"\x0a\x04\x0a\0\x10\0") == AppendOptions("", 0)
    assert decode(b"\x12\0") == Proposed(None, {}, b"", b"")
    assert decode(b"\x12\x0a\x0a\0\x12\x06\x0a\x04type") == Proposed(NO_UUID, {"type": ""}, b"", b"")
    assert decode(b"\x12\x04\x0a\x02\x0a\0") == Proposed(bytes(16), {}, b"", b"")
    assert decode(b"\x12\x04\x0a\x02\x12\0") == Proposed("", {}, b"", b"")


@given(st.none() | uint64, st.none() | uint64)
def test_success(revision: int | None, position: int | None):
    raw = append.encode_appended(revision, position)
    success = streams.AppendResp().parse(raw).success
    assert of(success, "current_revision_option") == ("no_stream" if revision is None else "current_revision")
    assert of(success, "position_option") == ("no_position" if position is None else "position")
    assert append.decode_append_response(raw) == AppendAnswer(revision, position)
    again = batch_append.decode_batch_response(batch_append.encode_batch_success("x", "s", revision, position))
    assert again == BatchResponse("x", AppendAnswer(revision, position), "s")


@given(st.none() | uint64, expectations)
def test_conflicts(current: int | None, expected: int):
    raw = append.encode_conflict(current, expected)
    refused = streams.AppendResp().parse(raw).wrong_expected_version
    assert of(refused, "current_revision_option") == ("current_no_stream" if current is None else "current_revision")
    assert of(refused, "current_revision_option_20_6_0").startswith("no" if current is None else "current")
    names = {NO_STREAM: "expected_no_stream", ANY: "expected_any", EXISTS: "expected_stream_exists"}
    assert of(refused, "expected_revision_option") == names.get(expected, "expected_revision")
    assert append.decode_append_response(raw) == Conflict(current, expected)
    detail = batch_append.encode_wrong_expected_version(current, expected)
    assert batch_append.decode_wrong_expected_version(detail) == Conflict(current, expected)
    names = {NO_STREAM: "expected_no_stream", ANY: "expected_any", EXISTS: "expected_stream_exists"}
    message = client.WrongExpectedVersion().parse(detail)
    assert of(message, "expected_stream_position_option") == names.get(expected, "expected_stream_position")


def test_conflicts_of_old_servers():
    old = streams.AppendRespWrongExpectedVersion(current_revision_20_6_0=4, any_20_6_0=client.Empty())
    raw = bytes(streams.AppendResp(wrong_expected_version=old))
    assert append.decode_append_response(raw) == Conflict(4, ANY)
    assert append.decode_append_response(b"") is None


@given(
    wire_ids,
    st.none() | texts,
    expectations,
    st.none() | st.floats(0, 1e6) | st.floats(-10, 0),
    st.lists(st.binary(max_size=5), max_size=3),
    st.booleans(),
)
def test_batches(
    id: bytes | str, stream: str | None, expected: int, deadline: float | None, datas: list[bytes], final: bool
):
    events = [append.encode_proposed(id="i", type="T", content_type="c", metadata=b"", data=data) for data in datas]
    raw = batch_append.encode_batch_request(
        id, events, stream=stream, expected=expected, deadline=deadline, is_final=final
    )
    message = streams.BatchAppendReq().parse(raw)
    assert form(message.correlation_id) == id
    assert [each.data for each in message.proposed_messages] == datas
    assert message.is_final is final
    got = batch_append.decode_batch_request(raw)
    assert (got.correlation_id, got.is_final) == (id, final)
    assert [each.data for each in got.events] == datas
    assert (got.options is None) == (stream is None)
    if got.options is not None:
        assert message.options.stream_identifier.stream_name == (stream or "").encode()
        kind = of(message.options, "expected_stream_position")
        assert kind == OPTIONS.get(expected, "stream_position")
        within = None if deadline is None else pytest.approx(deadline, abs=1e-8)
        assert got.options == (stream, expected, None, within)


def test_deadlines_in_both_forms():
    def decode(options: streams.BatchAppendReqOptions) -> BatchOptions | None:
        return batch_append.decode_batch_request(bytes(streams.BatchAppendReq(options=options))).options

    absolute = streams.BatchAppendReqOptions(deadline_21_10_0=datetime.fromtimestamp(1_700_000_000.5, timezone.utc))
    assert decode(absolute) == BatchOptions(None, None, 1_700_000_000.5, None)
    relative = streams.BatchAppendReqOptions(deadline=timedelta(seconds=2, milliseconds=250))
    assert decode(relative) == BatchOptions(None, None, None, 2.25)
    raw = batch_append.encode_batch_request("x", [], stream="s", deadline=2.25)
    assert streams.BatchAppendReq().parse(raw).options.deadline == timedelta(seconds=2.25)


def test_what_is_missing_in_a_batch_is_told_apart():
    assert batch_append.decode_batch_request(b"") == BatchRequest(None, None, [], False)
    assert batch_append.decode_batch_request(b"\x0a\0\x20\1") == BatchRequest(NO_UUID, None, [], True)
    unset = BatchOptions(None, None, None, None)
    assert batch_append.decode_batch_request(b"\x12\0") == BatchRequest(None, unset, [], False)
    assert batch_append.decode_batch_response(b"") == BatchResponse(None, None, None)


DETAILS = {
    "WrongExpectedVersion": batch_append.encode_wrong_expected_version(3, ANY),
    "StreamDeleted": bytes(client.StreamDeleted(client.StreamIdentifier(b"s"))),
    "MaximumAppendSizeExceeded": bytes(client.MaximumAppendSizeExceeded(5)),
    "MaximumAppendEventSizeExceeded": bytes(client.MaximumAppendEventSizeExceeded("id", 7, 6)),
    "BadRequest": bytes(client.BadRequest("why")),
    "Timeout": b"",
}


@pytest.mark.parametrize("detail", DETAILS)
@given(wire_ids, st.none() | texts, st.integers(0, 16), texts)
@settings(max_examples=20)
def test_batches_that_are_refused(detail: str, id: bytes | str, stream: str | None, code: int, message: str):
    raw = batch_append.encode_batch_error(id, stream, code=code, message=message, detail=detail, value=DETAILS[detail])
    answer = streams.BatchAppendResp().parse(raw)
    assert form(answer.correlation_id) == id
    assert (answer.error.code, answer.error.message) == (rpc.Code(code), message)
    assert answer.error.details == well_known.Any(
        type_url=f"type.googleapis.com/event_store.client.{detail}", value=DETAILS[detail]
    )
    got = batch_append.decode_batch_response(raw)
    assert got == BatchResponse(id, BatchError(code, message, detail, DETAILS[detail]), stream)


def test_the_details_of_errors():
    assert batch_append.decode_maximum_append_size(DETAILS["MaximumAppendSizeExceeded"]) == 5
    assert batch_append.decode_maximum_event_size(DETAILS["MaximumAppendEventSizeExceeded"]) == ("id", 7, 6)
    busy = batch_append.encode_batch_error("x", None, code=0, message="Server Is Busy", detail="Empty")
    assert streams.BatchAppendResp().parse(busy).error.details.type_url == "type.googleapis.com/google.protobuf.Empty"


# --- persistent subscriptions ---------------------------------------------------------------------------------------


@given(st.none() | texts, texts, st.integers(-(2**31), 2**31 - 1), st.booleans())
def test_consumers(stream: str | None, group: str, size: int, structured: bool):
    raw = acks.encode_consumer_options(stream=stream, group=group, buffer_size=size, structured=structured)
    options = groups.ReadReq().parse(raw).options
    assert of(options, "stream_option") == ("all" if stream is None else "stream_identifier")
    assert (options.group_name, options.buffer_size) == (group, size)
    assert of(options.uuid_option, "content") == ("structured" if structured else "string")
    expected = GroupReadOptions(stream, stream is None, group, size, structured)
    assert acks.decode_consumer_request(raw) == expected


def test_what_is_missing_in_a_consumer_is_told_apart():
    decode = acks.decode_consumer_request
    assert decode(b"") is None
    assert decode(b"\x0a\0") == GroupReadOptions(None, False, "", 0, None)
    assert decode(b"\x0a\x04\x2a\0\x22\0") == GroupReadOptions(None, True, "", 0, True)
    assert decode(b"\x0a\x06\x2a\0\x0a\0\x22\0") == GroupReadOptions("", False, "", 0, True)
    assert decode(b"\x12\0") == Ack([])
    assert decode(b"\x1a\x02\x12\0") == Nack([NO_UUID], 0, "")


@given(st.lists(wire_ids), st.integers(1, 4), texts)
def test_acks_and_nacks(ids: list[bytes | str], action: int, reason: str):
    encoded = [encode_uuid(PERSISTENT_READ_REQ_ACK_IDS, id) for id in ids]
    raw = acks.encode_answers(encoded)
    assert [form(id) for id in groups.ReadReq().parse(raw).ack.ids] == ids
    assert acks.decode_consumer_request(raw) == Ack(ids)
    raw = acks.encode_answers(encoded, action, reason)
    nack = groups.ReadReq().parse(raw).nack
    assert [form(id) for id in nack.ids] == ids
    assert (nack.action, nack.reason) == (action, reason)
    assert acks.decode_consumer_request(raw) == Nack(ids, action, reason)
