"""Google's protobuf as the judge, where it is installed: every way of writing a message means the same to both.

Messages are generated field by field: in any order, repeated, with unknown fields and groups between them and
varints that are longer than they need to be; and then with bytes changed, where both must find the same fault.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from esdb_lite._wire import imports
from esdb_lite._wire.acks import Ack, GroupReadOptions, Nack, decode_consumer_request
from esdb_lite._wire.append import ANY, EXISTS, NO_STREAM, AppendAnswer, decode_append_request, decode_append_response
from esdb_lite._wire.batch_append import BatchError, decode_batch_request, decode_batch_response
from esdb_lite._wire.controls import FirstStreamPosition, LastAllPosition, LastStreamPosition, StreamMissing
from esdb_lite._wire.imports import ImportAnswer, SentImport, decode_import_answer
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.read_request import (
    DEFAULT_WINDOW,
    AllRange,
    End,
    FilterRequest,
    ReadOptions,
    StreamRange,
    decode_read_request,
)
from esdb_lite._wire.read_response import decode_persistent_response, decode_response
from esdb_lite.events import CaughtUp, Checkpoint, FellBehind, RecordedEvent
from tests.wire import strategies as wire

message_module = pytest.importorskip("google.protobuf.message", reason="needs protobuf")
protoc = pytest.importorskip("grpc_tools.protoc", reason="needs grpcio-tools, to build proto/")

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def build() -> dict[str, Any]:
    """Compile proto/ and return the classes of its messages by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    proto = Path(__file__).parents[2] / "proto"
    include = Path(protoc.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        files = sorted(path.name for path in proto.glob("*.proto"))
        arguments = ["", f"-I{proto}", f"-I{include}", "--include_imports", f"--descriptor_set_out={out}", *files]
        assert protoc.main(arguments) == 0
        described = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    classes = {}
    for file in described.file:
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            classes[name] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    return classes


CLASSES = build()


def google(name: str) -> Any:
    return CLASSES[f"esdb_lite.{name}" if name.startswith("imports.") else f"event_store.client.{name}"]


# --- what google's message says, in our words -----------------------------------------------------------------------


def form(id: Any) -> bytes | str:
    kind = id.WhichOneof("value")
    if kind is None:
        return b""
    if kind == "string":
        return str(id.string)
    halves = id.structured.most_significant_bits % 2**64, id.structured.least_significant_bits % 2**64
    return b"".join(half.to_bytes(8, "big") for half in halves)


def uuid(id: Any) -> UUID:
    value = form(id)
    return UUID(value) if isinstance(value, str) else UUID(bytes=value or bytes(16))


def known(position: int) -> int | None:
    return None if position == 2**64 - 1 else position


FIELDS = attrgetter(
    *("type", "data", "metadata", "stream_name", "stream_position", "commit_position", "prepare_position"),
    *("content_type", "id", "recorded_at"),
)


def record(raw: Any) -> tuple[object, ...]:
    created = RecordedEvent("", b"", b"", "", 0, 0)
    created._created = raw.metadata.get("created", "").encode() or None
    return (
        raw.metadata.get("type", ""),
        raw.data,
        raw.custom_metadata,
        raw.stream_identifier.stream_name.decode(),
        raw.stream_revision,
        known(raw.commit_position),
        known(raw.prepare_position),
        raw.metadata.get("content-type", "application/octet-stream"),
        uuid(raw.id),
        created.recorded_at,
    )


def event(raw: Any) -> tuple[object, ...]:
    if not raw.HasField("event") and not raw.HasField("link"):
        raise WireError("neither")
    retries = None
    if "retry_count" in raw.DESCRIPTOR.fields_by_name and raw.WhichOneof("count") == "retry_count":
        retries = raw.retry_count
    linked = record(raw.link) if raw.HasField("link") else None
    if not raw.HasField("event"):
        return (linked, None, retries)
    return (record(raw.event), linked, retries)


def our_event(item: RecordedEvent) -> tuple[object, ...]:
    return (FIELDS(item), None if item.link is None else FIELDS(item.link), item.retry_count)


def time(stamp: Any) -> datetime | None:
    try:
        return EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        return None


def progress(raw: Any) -> tuple[object, ...]:
    at = (raw.position.commit_position, raw.position.prepare_position) if raw.HasField("position") else (None, None)
    revision = raw.stream_revision if raw.HasField("stream_revision") else None
    return (time(raw.timestamp) if raw.HasField("timestamp") else None, revision, *at)


def read_response(raw: Any) -> object:
    kind = raw.WhichOneof("content")
    content = getattr(raw, kind) if kind else None
    if kind == "event":
        return event(content)
    if kind in ("confirmation", "subscription_confirmation"):
        return content.subscription_id
    if kind == "checkpoint":
        stamp = time(content.timestamp) if content.HasField("timestamp") else None
        return Checkpoint(content.commit_position, content.prepare_position, stamp)
    if kind == "stream_not_found":
        return StreamMissing(content.stream_identifier.stream_name.decode())
    if kind == "first_stream_position":
        return FirstStreamPosition(content)
    if kind == "last_stream_position":
        return LastStreamPosition(content)
    if kind == "last_all_stream_position":
        return LastAllPosition(content.commit_position, content.prepare_position)
    if kind == "caught_up":
        return CaughtUp(*progress(content))
    return FellBehind(*progress(content)) if kind else None


def our_read_response(item: object) -> object:
    if isinstance(item, RecordedEvent):
        return our_event(item)
    return getattr(item, "subscription_id", item)


def stream(raw: Any) -> str | None:
    return raw.stream_identifier.stream_name.decode() if raw.HasField("stream_identifier") else None


def expected(raw: Any, oneof: str, prefix: str = "") -> int | None:
    kind = raw.WhichOneof(oneof)
    if kind is None:
        return None
    named = {"any": ANY, "stream_exists": EXISTS, "no_stream": NO_STREAM}
    return named.get(kind.removeprefix(prefix).removesuffix("_20_6_0")) or getattr(raw, kind)


def proposed(raw: Any) -> tuple[object, ...]:
    id = form(raw.id) if raw.HasField("id") else None
    return (id, dict(raw.metadata), raw.custom_metadata, raw.data)


def append_request(raw: Any) -> object:
    kind = raw.WhichOneof("content")
    if kind == "options":
        return (stream(raw.options), expected(raw.options, "expected_stream_revision"))
    return proposed(raw.proposed_message) if kind else None


def batch_request(raw: Any) -> object:
    options = None
    if raw.HasField("options"):
        kind = raw.options.WhichOneof("deadline_option")
        part = getattr(raw.options, kind) if kind else None
        value = None if part is None else part.seconds + part.nanos / 1e9
        at, within = (value, None) if kind == "deadline_21_10_0" else (None, value)
        options = (stream(raw.options), expected(raw.options, "expected_stream_position"), at, within)
    id = form(raw.correlation_id) if raw.HasField("correlation_id") else None
    return (id, options, [proposed(each) for each in raw.proposed_messages], raw.is_final)


def success(raw: Any) -> tuple[object, ...]:
    revision = raw.current_revision if raw.WhichOneof("current_revision_option") == "current_revision" else None
    return (revision, raw.position.commit_position if raw.WhichOneof("position_option") == "position" else None)


def append_response(raw: Any) -> object:
    kind = raw.WhichOneof("result")
    if kind == "success":
        return ("success", *success(raw.success))
    if kind is None:
        return None
    refused = raw.wrong_expected_version
    kind = refused.WhichOneof("current_revision_option") or refused.WhichOneof("current_revision_option_20_6_0")
    current = getattr(refused, kind) if kind and kind.startswith("current_revision") else None
    want = expected(refused, "expected_revision_option", "expected_")
    if want is None:
        want = expected(refused, "expected_revision_option_20_6_0")
    return ("refused", current, want)


def our_append_response(item: Any) -> object:
    return item and ("success" if isinstance(item, AppendAnswer) else "refused", *item)


def batch_response(raw: Any) -> object:
    kind = raw.WhichOneof("result")
    result: object = None
    if kind == "success":
        result = success(raw.success)
    elif kind == "error":
        detail = raw.error.details
        short = detail.type_url.rpartition("/")[2].rpartition(".")[2]
        result = (raw.error.code, raw.error.message, short, detail.value)
    id = form(raw.correlation_id) if raw.HasField("correlation_id") else None
    return (id, result, stream(raw))


def consumer_request(raw: Any) -> object:
    kind = raw.WhichOneof("content")
    if kind == "ack":
        return ("ack", [form(id) for id in raw.ack.ids])
    if kind == "nack":
        return ("nack", [form(id) for id in raw.nack.ids], raw.nack.action, raw.nack.reason)
    if kind is None:
        return None
    options = raw.options
    source = options.WhichOneof("stream_option")
    name = options.stream_identifier.stream_name.decode() if source == "stream_identifier" else None
    structured = options.uuid_option.WhichOneof("content") != "string" if options.HasField("uuid_option") else None
    return ("options", name, source == "all", options.group_name, options.buffer_size, structured)


def import_request(raw: Any) -> object:
    return SentImport([*raw.streams], [*raw.expected], [*raw.stream_of], [*map(proposed, raw.events)])


def our_import_request(data: bytes) -> object:
    """Without looking whether it makes sense."""
    streams, expected, stream_of, events = imports._usual_request(data) or imports._any_request(data)
    return SentImport([*streams], [*expected], [*stream_of], [*events])


def import_response(raw: Any) -> object:
    return ImportAnswer(raw.commit_position, batch_response(raw.refusal) if raw.HasField("refusal") else None)


def our_consumer_request(item: object) -> object:
    names = {GroupReadOptions: "options", Ack: "ack", Nack: "nack"}
    return item and (names[type(item)], *item)  # type: ignore[index, misc]


def read_request(raw: Any) -> object:
    if not raw.HasField("options"):
        return None
    options = raw.options
    source, count, chosen = (options.WhichOneof(f"{name}_option") for name in ("stream", "count", "filter"))
    uuids = options.uuid_option.WhichOneof("content") != "string" if options.HasField("uuid_option") else None
    return ReadOptions(
        read_from(getattr(options, source)) if source else None,
        options.read_direction,
        options.resolve_links,
        options.count if count == "count" else None,
        count == "subscription",
        read_filter(options.filter) if chosen == "filter" else None if chosen is None else False,
        uuids,
        options.control_option.compatibility,
    )


def read_from(raw: Any) -> StreamRange | AllRange:
    ends = {"start": End.START, "end": End.END, None: None}
    if raw.DESCRIPTOR.name == "StreamOptions":
        kind = raw.WhichOneof("revision_option")
        return StreamRange(stream(raw), raw.revision if kind == "revision" else ends[kind])
    kind = raw.WhichOneof("all_option")
    place = (raw.position.commit_position, raw.position.prepare_position)
    return AllRange(place if kind == "position" else ends[kind])


def read_filter(raw: Any) -> FilterRequest:
    by, window = raw.WhichOneof("filter"), raw.WhichOneof("window")
    expression = getattr(raw, by or "event_type")
    return FilterRequest(
        None if by is None else by == "event_type",
        expression.regex,
        tuple(expression.prefix),
        DEFAULT_WINDOW if window == "count" else raw.max if window else None,
        window == "count",
        raw.checkpointIntervalMultiplier,
    )


# --- the comparison -------------------------------------------------------------------------------------------------

Decode = Callable[[bytes], object]
KINDS: dict[str, tuple[wire.Schema, str, Decode, Decode]] = {
    "ReadReq": (wire.READ_REQ, "streams.ReadReq", read_request, decode_read_request),
    "ReadResp": (
        wire.READ_RESP,
        "streams.ReadResp",
        read_response,
        lambda data: our_read_response(decode_response(data)),
    ),
    "persistent ReadResp": (
        wire.PERSISTENT_READ_RESP,
        "persistent_subscriptions.ReadResp",
        read_response,
        lambda data: our_read_response(decode_persistent_response(data)),
    ),
    "persistent ReadReq": (
        wire.PERSISTENT_READ_REQ,
        "persistent_subscriptions.ReadReq",
        consumer_request,
        lambda data: our_consumer_request(decode_consumer_request(data)),
    ),
    "AppendReq": (wire.APPEND_REQ, "streams.AppendReq", append_request, decode_append_request),
    "AppendResp": (
        wire.APPEND_RESP,
        "streams.AppendResp",
        append_response,
        lambda data: our_append_response(decode_append_response(data)),
    ),
    "ImportReq": (wire.IMPORT_REQ, "imports.ImportReq", import_request, our_import_request),
    "ImportResp": (wire.IMPORT_RESP, "imports.ImportResp", import_response, decode_import_answer),
    "BatchAppendReq": (wire.BATCH_REQ, "streams.BatchAppendReq", batch_request, decode_batch_request),
    "BatchAppendResp": (wire.BATCH_RESP, "streams.BatchAppendResp", batch_response, decode_batch_response),
}


def by_us(kind: str, data: bytes) -> object:
    try:
        return KINDS[kind][3](data)
    except WireError as error:
        return error


def by_google(kind: str, data: bytes) -> object:
    message = google(KINDS[kind][1])()
    try:
        message.ParseFromString(data)
        return KINDS[kind][2](message)
    except (message_module.DecodeError, WireError, UnicodeDecodeError, ValueError) as error:
        return error


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(st.data())
def test_every_way_of_writing_a_message(kind: str, data: st.DataObject):
    written = data.draw(wire.messages(KINDS[kind][0]))
    theirs = by_google(kind, written)
    ours = by_us(kind, written)
    if isinstance(theirs, Exception):
        assert isinstance(ours, WireError)
    else:
        assert ours == theirs


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(st.data())
def test_broken_messages_never_mean_something_else(kind: str, data: st.DataObject):
    """What Google refuses may be taken by us: a fault in a part that does not count, such as a oneof's loser."""
    written = data.draw(wire.broken(wire.messages(KINDS[kind][0])))
    theirs = by_google(kind, written)
    ours = by_us(kind, written)
    if not isinstance(theirs, Exception) and "number 0" not in str(ours):  # which Google allows within groups
        assert ours == theirs


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(st.data())
def test_messages_that_are_cut_off(kind: str, data: st.DataObject):
    written = data.draw(wire.canonical(KINDS[kind][0]))
    at = data.draw(st.integers(0, len(written)))
    theirs, ours = by_google(kind, written[:at]), by_us(kind, written[:at])
    if isinstance(theirs, Exception):
        assert isinstance(ours, WireError), theirs
    else:
        assert ours == theirs


@example(b"\x08" + b"\xff" * 9 + b"\x01")
@example(b"\x08" + b"\xff" * 9 + b"\x02")
@example(b"\x08" + b"\xff" * 10 + b"\x01")
@example(b"\x03\x04")
@example(b"\x7b\x7c")
@example(b"\x7b\x74")
@example(b"\x7c")
@example(b"\x06\x01")
@example(b"\xfa\xff\xff\xff\x0f\x00")
@example(b"\xfa\xff\xff\xff\x1f\x00")
@given(st.binary(max_size=30))
@settings(max_examples=100)
def test_bytes_that_are_no_message(data: bytes):
    for kind in KINDS:
        theirs, ours = by_google(kind, data), by_us(kind, data)
        if isinstance(theirs, Exception):
            assert isinstance(ours, WireError), (kind, theirs)
        else:
            assert ours == theirs, kind


def test_batch_errors_are_as_expected():
    assert isinstance(decode_batch_response(b"\x12\x02\x08\x06").result, BatchError)
