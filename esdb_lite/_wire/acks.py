"""PersistentSubscriptions/Read: its requests, in both directions (for its answers, see the modules `read_response*`).

Owns: ReadReq with options, ack and nack. Must not know: what a consumer does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Union

from esdb_lite._wire.primitives import block, encode_stream_identifier, fields, int32, number, stream_identifier, text
from esdb_lite._wire.read_response import last_of
from esdb_lite._wire.uuids import WireUuid, decode_uuid, encode_uuid
from esdb_lite.events import RecordedEvent

READ = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/Read"

_TEXT = 36
"""Length of an id as text."""
_ID_FIELD = 40
"""Length of the field with it."""
_ID_PATTERN = ((0, b"\x12"), (1, b"&"), (2, b"\x12"), (3, b"$"), (12, b"-"), (17, b"-"), (22, b"-"), (27, b"-"))
"""What is at which place in that field."""


class GroupReadOptions(NamedTuple):
    """The first request of a consumer."""

    stream: str | None
    """None: all events, if `all` is set; else the source is missing."""
    all: bool
    group: str
    buffer_size: int
    structured: bool | None
    """True: ids in the structured form; False: as text; None: the option is missing."""


class Ack(NamedTuple):
    """Events have been processed."""

    ids: list[WireUuid]


class Nack(NamedTuple):
    """Events have not been processed."""

    ids: list[WireUuid]
    action: int
    """The value of a `NackAction`, or another number."""
    reason: str


ConsumerRequest = Union[GroupReadOptions, Ack, Nack]  # noqa: UP007


def encode_consumer_options(*, stream: str | None, group: str, buffer_size: int, structured: bool = False) -> bytes:
    """Encode the first request of a consumer; `stream` None means all events."""
    return block(
        0x0A,
        b"".join(
            (
                encode_stream_identifier(0x0A, stream) if stream is not None else b"",
                block(0x12, group.encode()),
                number(0x18, buffer_size),
                b'"\x02\n\0' if structured else b'"\x02\x12\0',
                b"*\0" if stream is None else b"",
            )
        ),
    )


def encode_ack(ids: Iterable[WireUuid]) -> bytes:
    """Encode that events have been processed."""
    return block(0x12, b"".join(encode_uuid(0x12, id) for id in ids))


def encode_nack(ids: Iterable[WireUuid], action: int, reason: str = "") -> bytes:
    """Encode that events have not been processed."""
    return block(
        0x1A,
        b"".join(
            (
                *(encode_uuid(0x12, id) for id in ids),
                number(0x18, action) if action else b"",
                block(0x22, reason.encode()) if reason else b"",
            )
        ),
    )


def answer_field(event: RecordedEvent) -> bytes:
    """Encode the id by which a persistent subscription knows a delivery, as it goes into an ack or nack."""
    raw = event.original._id
    if isinstance(raw, bytes) and len(raw) == _TEXT:
        return b"\x12&\x12$" + raw
    return encode_uuid(0x12, str(event.ack_id))


def encode_answers(ids: Iterable[bytes], action: int = 0, reason: str = "") -> bytes:
    """Encode an ack, or (with an action) a nack, of ids that `answer_field` has encoded."""
    if not action:
        return block(0x12, b"".join(ids))
    return block(0x1A, b"".join((*ids, number(0x18, action), block(0x22, reason.encode()) if reason else b"")))


def decode_consumer_request(data: bytes) -> ConsumerRequest | None:
    """Decode a ReadReq; None when it has no content."""
    content = last_of(data, {0x0A, 0x12, 0x1A})
    if content is None:
        return None
    if content.tag == 0x0A:
        return _decode_options(content.raw)
    return _decode_nack(content.raw) if content.tag == 0x1A else Ack(_decode_ids(content.raw))


def usual_ack(data: bytes) -> list[bytes] | None:
    """Decode an ack whose ids are texts as clients write them, all at once; None when it is anything else."""
    if data[:1] != b"\x12" or len(data) < 2 + _ID_FIELD:
        return None
    start = 2 if data[1] < 128 else 3
    ids, odd = divmod(len(data) - start, _ID_FIELD)
    if odd or ids * _ID_FIELD != (data[1] if start == 2 else data[1] & 127 | data[2] << 7) or data[start - 1] > 127:
        return None
    if any(data[start + at :: _ID_FIELD] != char * ids for at, char in _ID_PATTERN):
        return None
    digits = data[start:].translate(None, b"\x12&$-")
    if len(digits) != 32 * ids:
        return None
    try:
        raw = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    return [raw[at : at + 16] for at in range(0, len(raw), 16)] if len(raw) == 16 * ids else None


def _decode_options(data: bytes) -> GroupReadOptions:
    group, buffer_size = "", 0
    uuid_option: bytes | None = None
    for tag, value, raw in fields(data):
        if tag == 0x12:
            group = text(raw)
        elif tag == 0x18:
            buffer_size = int32(value)
        elif tag == 0x22:
            uuid_option = raw if uuid_option is None else uuid_option + raw
    source = last_of(data, {0x0A, 0x2A})
    stream = stream_identifier(source.raw) if source is not None and source.tag == 0x0A else None
    everything = source is not None and source.tag == 0x2A
    return GroupReadOptions(stream, everything, group, buffer_size, _structured(uuid_option))


def _structured(uuid_option: bytes | None) -> bool | None:
    if uuid_option is None:
        return None
    content = last_of(uuid_option, {0x0A, 0x12})
    return content is None or content.tag == 0x0A


def _decode_nack(data: bytes) -> Nack:
    action, reason = 0, ""
    for tag, value, raw in fields(data):
        if tag == 0x18:
            action = int32(value)
        elif tag == 0x22:
            reason = text(raw)
    return Nack(_decode_ids(data), action, reason)


def _decode_ids(data: bytes) -> list[WireUuid]:
    return [decode_uuid(raw) for tag, _, raw in fields(data) if tag == 0x12]
