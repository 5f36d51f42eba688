"""Streams/Read: its request, in both directions (for its answers, see the modules `read_response*`).

Owns: ReadReq. Must not know: which combinations make sense, what a read does.
What a server must tell apart stays apart: None is a field that is not there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from esdb_lite._wire.primitives import (
    MAX_UINT64,
    block,
    encode_pair,
    encode_stream_identifier,
    fields,
    int32,
    number,
    pair,
    stream_identifier,
    text,
)
from esdb_lite._wire.read_response import OneofField, last_of
from esdb_lite.filters import Filter, FilterBy

READ = "/event_store.client.streams.Streams/Read"

DEFAULT_WINDOW = 32
"""The window of a filter that asks for `count`."""


UNLIMITED = MAX_UINT64


@dataclass(frozen=True)
class ReadRequest:
    """What is asked of Streams/Read."""

    stream_name: str | None = None
    """None: all events."""
    start: int | tuple[int, int] | None = None
    """Number of an event in the stream, or commit and prepare position; None: from the beginning or the end."""
    from_end: bool = False
    backwards: bool = False
    limit: int | None = UNLIMITED
    """None: a subscription."""
    resolve_links: bool = False
    filter: Filter | None = None

    def encode(self) -> bytes:
        """Return the ReadReq."""
        stream = self.stream_name
        parts = [
            block(0x0A, self._stream(stream)) if stream is not None else block(0x12, self._all()),
            number(0x18, 1) if self.backwards else b"",
            number(0x20, 1) if self.resolve_links else b"",
            b"2\0" if self.limit is None else number(0x28, self.limit),
            b"B\0" if self.filter is None else block(0x3A, encode_filter(self.filter)),
            b"J\x02\x12\0",  # ids as text
            b"R\x02\x08\x01",  # compatibility: tell the last position of the stream
        ]
        return block(0x0A, b"".join(parts))

    def _stream(self, name: str) -> bytes:
        revision = self.start
        assert not isinstance(revision, tuple)
        start = number(0x10, revision) if revision is not None else b'"\0' if self.from_end else b"\x1a\0"
        return encode_stream_identifier(0x0A, name) + start

    def _all(self) -> bytes:
        start = self.start
        if start is None:
            return b"\x1a\0" if self.from_end else b"\x12\0"
        commit, prepare = start if isinstance(start, tuple) else (start, start)
        return block(0x0A, encode_pair(commit, prepare))


def encode_filter(value: Filter) -> bytes:
    """Return ReadReq.Options.FilterOptions."""
    expression = block(0x0A, value.regex.encode()) if value.regex else b""
    expression += b"".join(block(0x12, prefix.encode()) for prefix in value.prefixes)
    tag = 0x12 if value.by is FilterBy.EVENT_TYPE else 0x0A
    return block(tag, expression) + number(0x18, value.window) + number(0x28, value.checkpoint_interval)


class End(enum.Enum):
    """The ends of a stream or of the log."""

    START = "start"
    END = "end"


class StreamRange(NamedTuple):
    """Which stream to read, and from where."""

    stream: str | None
    start: int | End | None


class AllRange(NamedTuple):
    """From where to read the log: commit and prepare position, or an end of it."""

    start: tuple[int, int] | End | None


class FilterRequest(NamedTuple):
    """A filter of $all."""

    on_type: bool | None
    """True: event types; False: stream names; None: neither was set."""
    regex: str
    prefixes: tuple[str, ...]
    window: int | None
    """Records considered at once; None: not set."""
    counted: bool
    """The window was given as `count`, which stands for the default."""
    multiplier: int


class ReadOptions(NamedTuple):
    """A request to read or to subscribe, as sent."""

    source: StreamRange | AllRange | None
    direction: int
    """0 is forwards, 1 backwards."""
    resolve_links: bool
    limit: int | None
    """None: not a counted read."""
    subscription: bool
    filter: FilterRequest | bool | None
    """False: `no_filter`; None: neither was set. (True is not used.)"""
    structured: bool | None
    """True: ids in the structured form; False: as text; None: the option is missing."""
    compatibility: int


_SOURCE = {0x0A: "stream", 0x12: "all"}
_COUNT = (0x28, 0x32)
_FILTER = (0x3A, 0x42)


def decode_read_request(data: bytes) -> ReadOptions | None:
    """Decode a ReadReq; None when it has no options. Raises WireError."""
    options = last_of(data, (0x0A,))
    return None if options is None else _decode_options(options.raw)


def _decode_options(data: bytes) -> ReadOptions:
    direction, resolve_links = 0, False
    for tag, value, _ in fields(data):
        if tag == 0x18:
            direction = int32(value)
        elif tag == 0x20:
            resolve_links = bool(value)
    count, chosen = last_of(data, _COUNT), last_of(data, _FILTER)
    control = last_of(data, (0x52,))
    return ReadOptions(
        _decode_source(last_of(data, _SOURCE)),
        direction,
        resolve_links,
        count.value if count is not None and count.tag == 0x28 else None,
        count is not None and count.tag == 0x32,
        None if chosen is None else chosen.tag == 0x3A and _decode_filter(chosen.raw),
        _decode_uuid_option(last_of(data, (0x4A,))),
        0 if control is None else pair(control.raw)[0] & 0xFFFFFFFF,
    )


def _decode_source(source: OneofField | None) -> StreamRange | AllRange | None:
    if source is None:
        return None
    if source.tag == 0x12:
        start = last_of(source.raw, (0x0A, 0x12, 0x1A))
        return AllRange(None if start is None else pair(start.raw) if start.tag == 0x0A else _PLACES[start.tag])
    identifier, revision = last_of(source.raw, (0x0A,)), last_of(source.raw, (0x10, 0x1A, 0x22))
    return StreamRange(
        None if identifier is None else stream_identifier(identifier.raw),
        None if revision is None else revision.value if revision.tag == 0x10 else _STREAM_PLACES[revision.tag],
    )


_PLACES = {0x12: End.START, 0x1A: End.END}
_STREAM_PLACES = {0x1A: End.START, 0x22: End.END}


def _decode_uuid_option(option: OneofField | None) -> bool | None:
    if option is None:
        return None
    content = last_of(option.raw, (0x0A, 0x12))
    return content is None or content.tag == 0x0A


def _decode_filter(data: bytes) -> FilterRequest:
    expression, window = last_of(data, (0x0A, 0x12)), last_of(data, (0x18, 0x22))
    multiplier = 0
    for tag, value, _ in fields(data):
        if tag == 0x28:
            multiplier = value & 0xFFFFFFFF
    regex, prefixes = _decode_expression(expression.raw if expression is not None else b"")
    return FilterRequest(
        None if expression is None else expression.tag == 0x12,
        regex,
        prefixes,
        None if window is None else DEFAULT_WINDOW if window.tag == 0x22 else window.value & 0xFFFFFFFF,
        window is not None and window.tag == 0x22,
        multiplier,
    )


def _decode_expression(data: bytes) -> tuple[str, tuple[str, ...]]:
    regex, prefixes = "", []
    for tag, _, raw in fields(data):
        if tag == 0x0A:
            regex = text(raw)
        elif tag == 0x12:
            prefixes.append(text(raw))
    return regex, tuple(prefixes)
