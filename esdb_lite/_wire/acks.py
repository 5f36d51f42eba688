"""PersistentSubscriptions/Read: its requests, in both directions (for its answers, see the modules `read_response*`).

Owns: ReadReq with options, ack and nack. Must not know: what a consumer does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Union

from esdb_lite_protos import tags

from esdb_lite._wire.primitives import (
    block,
    empty,
    encode_stream_identifier,
    fields,
    int32,
    last_of,
    number,
    stream_identifier,
    submessage,
    tag_byte,
    text,
)
from esdb_lite._wire.uuids import WireUuid, before_text, decode_uuid, encode_uuid
from esdb_lite.events import RecordedEvent

READ = tags.PATH_PERSISTENT_SUBSCRIPTIONS_READ

_OPTIONS = tags.PERSISTENT_READ_REQ_OPTIONS
_ACK, _NACK = tags.PERSISTENT_READ_REQ_ACK, tags.PERSISTENT_READ_REQ_NACK
_STREAM, _ALL = tags.PERSISTENT_READ_REQ_OPTIONS_STREAM_IDENTIFIER, tags.PERSISTENT_READ_REQ_OPTIONS_ALL
_GROUP_NAME = tags.PERSISTENT_READ_REQ_OPTIONS_GROUP_NAME
_BUFFER_SIZE = tags.PERSISTENT_READ_REQ_OPTIONS_BUFFER_SIZE
_UUIDS = tags.PERSISTENT_READ_REQ_OPTIONS_UUID_OPTION
_STRUCTURED = tags.PERSISTENT_READ_REQ_OPTIONS_UUID_OPTION_STRUCTURED
_AS_TEXT = tags.PERSISTENT_READ_REQ_OPTIONS_UUID_OPTION_STRING
_IDS = tags.PERSISTENT_READ_REQ_ACK_IDS  # in a nack, too
_ACTION, _REASON = tags.PERSISTENT_READ_REQ_NACK_ACTION, tags.PERSISTENT_READ_REQ_NACK_REASON

_BEFORE_ID = before_text(_IDS)
_TEXT = 36
"""Length of an id as text."""
_ID_FIELD = len(_BEFORE_ID) + _TEXT
"""Length of the field with it."""
_HYPHENS = (12, 17, 22, 27)
"""Their places in that field."""
_ID_PATTERN = (*((at, tag_byte(byte)) for at, byte in enumerate(_BEFORE_ID)), *((at, b"-") for at in _HYPHENS))
"""What is at which place in that field."""
_NO_DIGITS = _BEFORE_ID + b"-"


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
        _OPTIONS,
        b"".join(
            (
                encode_stream_identifier(_STREAM, stream) if stream is not None else b"",
                block(_GROUP_NAME, group.encode()),
                number(_BUFFER_SIZE, buffer_size),
                block(_UUIDS, empty(_STRUCTURED if structured else _AS_TEXT)),
                empty(_ALL) if stream is None else b"",
            )
        ),
    )


def answer_field(event: RecordedEvent) -> bytes:
    """Encode the id by which a persistent subscription knows a delivery, as it goes into an ack or nack."""
    raw = event.original._id
    if isinstance(raw, bytes) and len(raw) == _TEXT:
        return _BEFORE_ID + raw
    return encode_uuid(_IDS, str(event.ack_id))


def encode_answers(ids: Iterable[bytes], action: int = 0, reason: str = "") -> bytes:
    """Encode an ack, or (with an action) a nack, of ids that `answer_field` has encoded."""
    if not action:
        return block(_ACK, b"".join(ids))
    return block(_NACK, b"".join((*ids, number(_ACTION, action), block(_REASON, reason.encode()) if reason else b"")))


def decode_consumer_request(data: bytes) -> ConsumerRequest | None:
    """Decode a ReadReq; None when it has no content."""
    content = last_of(data, (_OPTIONS, _ACK, _NACK))
    if content is None:
        return None
    if content.tag == _OPTIONS:
        return _decode_options(content.raw)
    return _decode_nack(content.raw) if content.tag == _NACK else Ack(_decode_ids(content.raw))


def usual_ack(data: bytes) -> list[bytes] | None:
    """Decode an ack whose ids are texts as clients write them, all at once; None when it is anything else."""
    if len(data) < 2 + _ID_FIELD or data[0] != _ACK:
        return None
    start = 2 if data[1] < 128 else 3
    ids, odd = divmod(len(data) - start, _ID_FIELD)
    if odd or ids * _ID_FIELD != (data[1] if start == 2 else data[1] & 127 | data[2] << 7) or data[start - 1] > 127:
        return None
    if any(data[start + at :: _ID_FIELD] != char * ids for at, char in _ID_PATTERN):
        return None
    digits = data[start:].translate(None, _NO_DIGITS)
    if len(digits) != 32 * ids:
        return None
    try:
        raw = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    return [raw[at : at + 16] for at in range(0, len(raw), 16)] if len(raw) == 16 * ids else None


def _decode_options(data: bytes) -> GroupReadOptions:
    group, buffer_size = "", 0
    for tag, value, raw in fields(data):
        if tag == _GROUP_NAME:
            group = text(raw)
        elif tag == _BUFFER_SIZE:
            buffer_size = int32(value)
    source = last_of(data, (_STREAM, _ALL))
    stream = stream_identifier(source.raw) if source is not None and source.tag == _STREAM else None
    everything = source is not None and source.tag == _ALL
    return GroupReadOptions(stream, everything, group, buffer_size, _structured(submessage(data, _UUIDS)))


def _structured(uuid_option: bytes | None) -> bool | None:
    if uuid_option is None:
        return None
    content = last_of(uuid_option, (_STRUCTURED, _AS_TEXT))
    return content is None or content.tag == _STRUCTURED


def _decode_nack(data: bytes) -> Nack:
    action, reason = 0, ""
    for tag, value, raw in fields(data):
        if tag == _ACTION:
            action = int32(value)
        elif tag == _REASON:
            reason = text(raw)
    return Nack(_decode_ids(data), action, reason)


def _decode_ids(data: bytes) -> list[WireUuid]:
    return [decode_uuid(raw) for tag, _, raw in fields(data) if tag == _IDS]
