"""The answers to a read, in batches: what arrives on a call, straight into `RecordedEvent`s and control objects.

Owns: finding the messages in the bytes, and a shortcut through the usual event. Must not know: how the bytes arrive.

There are two ways through a message. Servers write an event in one layout: every field present, in order, lengths that
fit. `_usual` takes that apart in place, and gives up wherever anything is not exactly so; then `read_response` reads
the message by the rules of protobuf. What repeats from event to event (the names of stream and type, and the lengths at
the head) is checked once and from then on compared as bytes. Both ways agree on every message; the tests see to it.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from esdb_lite_protos import tags

from esdb_lite._wire.framing import MAX_MESSAGE, Pieces, checked_length
from esdb_lite._wire.primitives import (
    WireError,
    block,
    int32,
    position_at,
    read_block,
    read_varint,
    tag_byte,
    text,
)
from esdb_lite._wire.read_response import ReadItem, decode_persistent_response, decode_response
from esdb_lite._wire.uuids import before_text
from esdb_lite.events import RecordedEvent

# both services have these with the same tags
_EVENT = tags.STREAMS_READ_RESP_EVENT
_RECORD, _LINK = tags.STREAMS_READ_RESP_READ_EVENT_EVENT, tags.STREAMS_READ_RESP_READ_EVENT_LINK
_POSITION = tags.STREAMS_READ_RESP_READ_EVENT_COMMIT_POSITION
_RETRY_COUNT = tags.PERSISTENT_READ_RESP_READ_EVENT_RETRY_COUNT
_STREAM = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_STREAM_IDENTIFIER
_REVISION = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_STREAM_REVISION
_PREPARE = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_PREPARE_POSITION
_COMMIT = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_COMMIT_POSITION
_METADATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_METADATA
_CUSTOM_METADATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_CUSTOM_METADATA
_DATA = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_DATA
_KEY = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_METADATA_ENTRY_KEY
_VALUE = tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_METADATA_ENTRY_VALUE
_NAME = tags.SHARED_STREAM_IDENTIFIER_STREAM_NAME

_CACHED = 1024
_ID_TEXT, _DIGITS = 36, 17
_BEFORE_ID = before_text(tags.STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_ID)
_TYPE, _CONTENT_TYPE = (block(_KEY, key) + tag_byte(_VALUE) for key in (b"type", b"content-type"))
_CREATED = block(_METADATA, block(_KEY, b"created") + block(_VALUE, bytes(_DIGITS)))[:-_DIGITS]
_TO_DIGITS = 2 + len(_CREATED)  # from the entry with the type: its tag and length, and what stands before the digits
_new = object.__new__
_Cached = TypeVar("_Cached")


class _Head(NamedTuple):
    """The head of a message that holds an event with an id as text: everything up to that text."""

    length: int
    """Of the message."""
    start: bytes
    """The tags and lengths in front of the id."""
    size: int
    """Length of `start`."""
    tail: int
    """Length of what follows the event in the message: its position, and what else."""


# What has been checked once, by its bytes, for all calls: a short one could not make up for learning it again.
_heads: dict[bytes, _Head] = {}
_names: dict[bytes, str] = {}
_types: dict[bytes, str] = {}
_content_types: dict[bytes, str] = {}


class ReadDecoder:
    """Decodes the answers of a Streams/Read call; `persistent` makes it those of PersistentSubscriptions/Read."""

    __slots__ = (
        "_limit",
        "_name",
        "_persistent",
        "_pieces",
        "_position",
        "_stream",
        "controls",
    )

    controls: int
    """How many of the items of the last batch are something else than events."""

    def __init__(self, *, persistent: bool = False, limit: int = MAX_MESSAGE) -> None:
        self._persistent = persistent
        self._limit = limit
        self._pieces = Pieces(limit)
        self._stream, self._name = tag_byte(0), ""  # the last stream, as a field and as a text
        self._position = b""  # of the last event, as a varint
        self.controls = 0

    @property
    def complete(self) -> bool:
        """Whether what has arrived ends with a whole message: where the stream ends otherwise, it was cut off."""
        return self._pieces.empty

    def feed(self, data: bytes) -> list[ReadItem]:
        """Decode the messages that are complete now. Raises WireError; after that the decoder cannot be used.

        Messages without content, or with content that only a newer server knows, are left out.
        """
        data = self._pieces.join(data)
        items: list[ReadItem] = []
        self.controls = 0
        head_of, usual, append = _heads.get, self._usual, items.append
        at, end = 0, len(data)
        while end - at >= 5:
            start = at + 5
            head = head_of(data[at:start])
            stop = start + (checked_length(data, at, self._limit) if head is None else head[0])
            if stop > end:
                break
            event = None if head is None else usual(data, start, stop, head)
            if event is not None:
                append(event)
            else:
                self._unusual(data, start, stop, items)
            at = stop
        self._pieces.keep(data[at:])
        return items

    def _unusual(self, data: bytes, at: int, end: int, items: list[ReadItem]) -> None:
        """Decode the message data[at:end], which is no event, or not laid out as the last one of its length was."""
        item: ReadItem | None = None
        head = self._learn(data, at, end)
        if head is not None:
            item = self._usual(data, at, end, head)
        if item is None:
            item = (decode_persistent_response if self._persistent else decode_response)(data[at:end])
        if item is not None:
            items.append(item)
            self.controls += item.__class__ is not RecordedEvent

    def _learn(self, data: bytes, at: int, end: int) -> _Head | None:
        """Check and remember the head of the message data[at:end]; None when it is not one of a usual event."""
        if end - at < 100 or data[at] != _EVENT:
            return None
        size, inner = read_varint(data, at + 1)
        if inner + size != end or data[inner] != _RECORD:
            return None
        size, first = read_varint(data, inner + 1)
        tail = end - first - size
        if tail < 0 or not data.startswith(_BEFORE_ID, first):
            return None
        start = data[at : first + len(_BEFORE_ID)]
        head = _Head(end - at, start, len(start), tail)
        _remember(_heads, data[at - 5 : at], head)
        return head

    def _usual(self, data: bytes, at: int, end: int, head: _Head) -> RecordedEvent | None:
        """Decode the message data[at:end] if it is an event in the usual layout."""
        _, start, size, tail = head
        if not data.startswith(start, at):
            return None
        stop = end - tail
        try:
            event = self._record(data, at + size, stop)
            if event is None or data[stop] != _POSITION or data[stop + 1 : end] != self._position:
                return None if event is None else self._followed(event, data, stop, end)
        except (IndexError, WireError):
            return None  # whatever it is, it is said when the message is read by the rules
        return event

    def _followed(self, event: RecordedEvent, data: bytes, at: int, end: int) -> RecordedEvent | None:
        """Decode what follows the record in the event, if it is what usually does: a link, the position, retries."""
        if data[at] == _LINK:
            size, at = position_at(data, at + 1)
            if not data.startswith(_BEFORE_ID, at):
                return None
            event.link = self._record(data, at + len(_BEFORE_ID), at + size)
            if event.link is None:
                return None
            at += size
        if data[at] != _POSITION:
            return None
        _, at = position_at(data, at + 1)
        if at < end and self._persistent and data[at] == _RETRY_COUNT:
            value, at = position_at(data, at + 1)
            event.retry_count = value if value < 128 else int32(value)
        return event if at == end else None

    def _record(self, data: bytes, at: int, stop: int) -> RecordedEvent | None:
        """Decode the record whose id, a text, is at `at`, and which ends at `stop`.

        A tag and a length are one byte each where nothing else is said:

            id               0A 26 12 24, 36 characters      seen to by the head
            stream           12 length, 1A length, name
            revision         18 varint                       left out where it is 0
            prepare, commit  20 varint, 28 the same varint
            metadata         32 length, 0A 04 "type", 12 length, type
                             32 1C, 0A 07 "created", 12 11, 17 digits
                             32 length, 0A 0C "content-type", 12 length, content type
            custom metadata  3A length as varint, bytes      left out where it is empty
            data             42 length as varint, bytes      left out where it is empty
        """
        event: RecordedEvent = _new(RecordedEvent)
        start, at = at, at + _ID_TEXT
        event._id = data[start:at]
        if data.startswith(self._stream, at):
            event.stream_name = self._name
            at += len(self._stream)
        else:
            start, at = at, at + 2 + data[at + 1]
            event.stream_name = self._stream_name(data[start:at])
        if data[at] == _REVISION:
            event.stream_position, at = position_at(data, at + 1)
        else:
            event.stream_position = 0
        start = at + 1
        if data[at] != _PREPARE:
            return None
        event.commit_position, at = position_at(data, start)
        event.prepare_position = event.commit_position
        self._position = raw = data[start:at]
        if data[at] != _COMMIT or not data.startswith(raw, at + 1) or len(raw) > 9:
            return None
        start = at + 1 + len(raw)
        at = start + _TO_DIGITS + data[start + 1]
        raw = data[start:at]
        event.type = _types.get(raw) or self._type(raw)
        start, at = at, at + _DIGITS
        event._created = data[start:at]
        start, at = at, at + 2 + data[at + 1]
        raw = data[start:at]
        event.content_type = _content_types.get(raw) or self._content_type(raw)
        event.metadata, at = read_block(data, at + 1) if data[at] == _CUSTOM_METADATA else (b"", at)
        event.data, at = read_block(data, at + 1) if at < stop and data[at] == _DATA else (b"", at)
        event.link = event.retry_count = None
        return event if at == stop else None

    def _stream_name(self, raw: bytes) -> str:
        """Decode the field of the stream's name, and expect it again in the next event."""
        name = _names.get(raw)
        if name is None:
            if raw[0] != _STREAM or len(raw) != raw[1] + 2 or raw[2] != _NAME or raw[3] != raw[1] - 2 or raw[1] > 127:
                raise WireError("not the usual field")
            name = text(raw[4:])
            _remember(_names, raw, name)
        self._stream, self._name = raw, name
        return name

    def _type(self, raw: bytes) -> str:
        """Decode the entry of the event's type, with the beginning of the entry after it."""
        if not raw.endswith(_CREATED):
            raise WireError("not the usual field")
        name = _entry(raw[: -len(_CREATED)], _TYPE)
        _remember(_types, raw, name)
        return name

    def _content_type(self, raw: bytes) -> str:
        name = _entry(raw, _CONTENT_TYPE)
        _remember(_content_types, raw, name)
        return name


def _remember(cache: dict[bytes, _Cached], key: bytes, value: _Cached) -> None:
    if len(cache) >= _CACHED:
        cache.clear()
    cache[key] = value


def _entry(raw: bytes, key: bytes) -> str:
    """Decode an entry of the metadata, tag included, that must have this key."""
    at = 2 + len(key)
    if (
        raw[0] != _METADATA
        or raw[1] != len(raw) - 2
        or raw[1] > 127
        or raw[2:at] != key
        or raw[at] != len(raw) - at - 1
    ):
        raise WireError("not the usual field")
    return text(raw[at + 1 :])
