"""Streams/Read: its request, in both directions (for its answers, see the modules `read_response*`).

Owns: ReadReq. Must not know: which combinations make sense, what a read does.
What a server must tell apart stays apart: None is a field that is not there.
"""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import NamedTuple

from esdb_lite_protos import tags

from esdb_lite._wire.primitives import (
    MAX_UINT64,
    OneofField,
    block,
    empty,
    encode_pair,
    encode_stream_identifier,
    fields,
    int32,
    last_of,
    last_of_each,
    number,
    pair,
    stream_identifier,
    text,
    uint32,
)
from esdb_lite.filters import Filter, FilterBy

READ = tags.PATH_STREAMS_READ
UNLIMITED = MAX_UINT64
DEFAULT_WINDOW = 32
"""The window of a filter that asks for `count`."""

_OPTIONS = tags.STREAMS_READ_REQ_OPTIONS
_STREAM, _ALL = tags.STREAMS_READ_REQ_OPTIONS_STREAM, tags.STREAMS_READ_REQ_OPTIONS_ALL
_DIRECTION = tags.STREAMS_READ_REQ_OPTIONS_READ_DIRECTION
_RESOLVE_LINKS = tags.STREAMS_READ_REQ_OPTIONS_RESOLVE_LINKS
_COUNT, _SUBSCRIPTION = tags.STREAMS_READ_REQ_OPTIONS_COUNT, tags.STREAMS_READ_REQ_OPTIONS_SUBSCRIPTION
_FILTER, _NO_FILTER = tags.STREAMS_READ_REQ_OPTIONS_FILTER, tags.STREAMS_READ_REQ_OPTIONS_NO_FILTER
_UUIDS, _CONTROL = tags.STREAMS_READ_REQ_OPTIONS_UUID_OPTION, tags.STREAMS_READ_REQ_OPTIONS_CONTROL_OPTION

_STREAM_IDENTIFIER = tags.STREAMS_READ_REQ_OPTIONS_STREAM_OPTIONS_STREAM_IDENTIFIER
_REVISION = tags.STREAMS_READ_REQ_OPTIONS_STREAM_OPTIONS_REVISION
_STREAM_START = tags.STREAMS_READ_REQ_OPTIONS_STREAM_OPTIONS_START
_STREAM_END = tags.STREAMS_READ_REQ_OPTIONS_STREAM_OPTIONS_END

_POSITION = tags.STREAMS_READ_REQ_OPTIONS_ALL_OPTIONS_POSITION
_ALL_START = tags.STREAMS_READ_REQ_OPTIONS_ALL_OPTIONS_START
_ALL_END = tags.STREAMS_READ_REQ_OPTIONS_ALL_OPTIONS_END

_BY_STREAM = tags.STREAMS_READ_REQ_OPTIONS_FILTER_OPTIONS_STREAM_IDENTIFIER
_BY_TYPE = tags.STREAMS_READ_REQ_OPTIONS_FILTER_OPTIONS_EVENT_TYPE
_MAX = tags.STREAMS_READ_REQ_OPTIONS_FILTER_OPTIONS_MAX
_USUAL_WINDOW = tags.STREAMS_READ_REQ_OPTIONS_FILTER_OPTIONS_COUNT
_MULTIPLIER = tags.STREAMS_READ_REQ_OPTIONS_FILTER_OPTIONS_CHECKPOINT_INTERVAL_MULTIPLIER
_REGEX = tags.STREAMS_READ_REQ_OPTIONS_FILTER_OPTIONS_EXPRESSION_REGEX
_PREFIX = tags.STREAMS_READ_REQ_OPTIONS_FILTER_OPTIONS_EXPRESSION_PREFIX

_STRUCTURED = tags.STREAMS_READ_REQ_OPTIONS_UUID_OPTION_STRUCTURED
_TEXT = tags.STREAMS_READ_REQ_OPTIONS_UUID_OPTION_STRING
_COMPATIBILITY = tags.STREAMS_READ_REQ_OPTIONS_CONTROL_OPTION_COMPATIBILITY

_SUBSCRIBED, _UNFILTERED = empty(_SUBSCRIPTION), empty(_NO_FILTER)
_IDS_AS_TEXT = block(_UUIDS, empty(_TEXT))
_LAST_POSITION_TOLD = block(_CONTROL, number(_COMPATIBILITY, 1))


class ReadRequest(NamedTuple):
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
    index_name: str | None = None
    """Of all events, those of this index; instead of `filter`."""
    tells_last: bool = False
    """Whether the server is to tell the number of the stream's last event: in a message of its own, behind the events.
    It may tell before where the readable events begin."""

    def encode(self) -> bytes:
        """Return the ReadReq."""
        stream = self.stream_name
        parts = [
            block(_STREAM, self._stream(stream)) if stream is not None else block(_ALL, self._all()),
            number(_DIRECTION, 1) if self.backwards else b"",
            number(_RESOLVE_LINKS, 1) if self.resolve_links else b"",
            _SUBSCRIBED if self.limit is None else number(_COUNT, self.limit),
            self._filter(),
            _IDS_AS_TEXT,
            _LAST_POSITION_TOLD if self.tells_last else b"",
        ]
        return block(_OPTIONS, b"".join(parts))

    def _filter(self) -> bytes:
        if self.index_name is not None:
            return block(_FILTER, block(_BY_STREAM, block(_PREFIX, self.index_name.encode())))
        return _UNFILTERED if self.filter is None else block(_FILTER, encode_filter(self.filter))

    def _stream(self, name: str) -> bytes:
        revision = self.start
        assert not isinstance(revision, tuple)
        end = _STREAM_END if self.from_end else _STREAM_START
        return encode_stream_identifier(_STREAM_IDENTIFIER, name) + (
            number(_REVISION, revision) if revision is not None else empty(end)
        )

    def _all(self) -> bytes:
        start = self.start
        if start is None:
            return empty(_ALL_END if self.from_end else _ALL_START)
        commit, prepare = start if isinstance(start, tuple) else (start, start)
        return block(_POSITION, encode_pair(commit, prepare))


def encode_filter(value: Filter) -> bytes:
    """Return ReadReq.Options.FilterOptions."""
    expression = block(_REGEX, value.regex.encode()) if value.regex else b""
    expression += b"".join(block(_PREFIX, prefix.encode()) for prefix in value.prefixes)
    tag = _BY_TYPE if value.by is FilterBy.EVENT_TYPE else _BY_STREAM
    return block(tag, expression) + number(_MAX, value.window) + number(_MULTIPLIER, value.checkpoint_interval)


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


def decode_read_request(data: bytes) -> ReadOptions | None:
    """Decode a ReadReq; None when it has no options. Raises WireError."""
    options = last_of(data, (_OPTIONS,))
    return None if options is None else _decode_options(options.raw)


_GROUPS = {tag: tag for tag in (_DIRECTION, _RESOLVE_LINKS, _STREAM, _COUNT, _FILTER, _UUIDS, _CONTROL)}
_GROUPS |= {_ALL: _STREAM, _SUBSCRIPTION: _COUNT, _NO_FILTER: _FILTER}
"""Of the options: each tag, and the first of those of which the last counts."""
_REMEMBERED, _SHORT = 256, 64
"""How many kinds of options are remembered, and how many bytes they may have."""


def _decode_options(data: bytes) -> ReadOptions:
    """What stands behind the usual first field, the stream, is mostly as it was in other requests."""
    stop = 2 + data[1] if len(data) > 1 and data[0] == _STREAM and data[1] < 128 else 0
    if 0 < stop <= len(data) <= stop + _SHORT:
        others = _remembered_options(data[stop:])
        if others.source is None:
            return ReadOptions(_decode_stream(data[2:stop]), *others[1:])
    return _options(data)


def _options(data: bytes) -> ReadOptions:
    found = last_of_each(data, _GROUPS).get
    direction, resolve_links, control = found(_DIRECTION), found(_RESOLVE_LINKS), found(_CONTROL)
    count, chosen = found(_COUNT), found(_FILTER)
    return ReadOptions(
        _decode_source(found(_STREAM)),
        0 if direction is None else int32(direction.value),
        resolve_links is not None and bool(resolve_links.value),
        count.value if count is not None and count.tag == _COUNT else None,
        count is not None and count.tag == _SUBSCRIPTION,
        None if chosen is None else chosen.tag == _FILTER and _decode_filter(chosen.raw),
        _decode_uuid_option(found(_UUIDS)),
        0 if control is None else uint32(pair(control.raw)[0]),
    )


_remembered_options = lru_cache(_REMEMBERED)(_options)


def _decode_source(source: OneofField | None) -> StreamRange | AllRange | None:
    if source is None:
        return None
    if source.tag == _STREAM:
        return _decode_stream(source.raw)
    start = last_of(source.raw, (_POSITION, *_ALL_ENDS))
    return AllRange(None if start is None else pair(start.raw) if start.tag == _POSITION else _ALL_ENDS[start.tag])


def _decode_stream(data: bytes) -> StreamRange:
    found = last_of_each(data, _STREAM_GROUPS).get
    identifier, revision = found(_STREAM_IDENTIFIER), found(_REVISION)
    return StreamRange(
        None if identifier is None else stream_identifier(identifier.raw),
        None if revision is None else revision.value if revision.tag == _REVISION else _STREAM_ENDS[revision.tag],
    )


_ALL_ENDS = {_ALL_START: End.START, _ALL_END: End.END}
_STREAM_ENDS = {_STREAM_START: End.START, _STREAM_END: End.END}
_STREAM_GROUPS = {_STREAM_IDENTIFIER: _STREAM_IDENTIFIER, **dict.fromkeys((_REVISION, *_STREAM_ENDS), _REVISION)}
"""The same of a stream's."""


def _decode_uuid_option(option: OneofField | None) -> bool | None:
    if option is None:
        return None
    content = last_of(option.raw, (_STRUCTURED, _TEXT))
    return content is None or content.tag == _STRUCTURED


def _decode_filter(data: bytes) -> FilterRequest:
    expression, window = last_of(data, (_BY_STREAM, _BY_TYPE)), last_of(data, (_MAX, _USUAL_WINDOW))
    multiplier = 0
    for tag, value, _ in fields(data):
        if tag == _MULTIPLIER:
            multiplier = uint32(value)
    regex, prefixes = _decode_expression(expression.raw if expression is not None else b"")
    return FilterRequest(
        None if expression is None else expression.tag == _BY_TYPE,
        regex,
        prefixes,
        None if window is None else DEFAULT_WINDOW if window.tag == _USUAL_WINDOW else uint32(window.value),
        window is not None and window.tag == _USUAL_WINDOW,
        multiplier,
    )


def _decode_expression(data: bytes) -> tuple[str, tuple[str, ...]]:
    regex, prefixes = "", []
    for tag, _, raw in fields(data):
        if tag == _REGEX:
            regex = text(raw)
        elif tag == _PREFIX:
            prefixes.append(text(raw))
    return regex, tuple(prefixes)
