"""The client's requests as bytes, and the answers to them: what is neither an event read nor an append.

Owns: the requests of Read, Delete and Tombstone, and what ServerFeatures answers. Must not know: how they are sent.
Written by hand because the messages are small and their generated classes are slow to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from esdb_lite._wire.append import encode_append_options
from esdb_lite._wire.primitives import (
    block,
    encode_pair,
    encode_stream_identifier,
    fields,
    last_field,
    number,
    pair,
    text,
)
from esdb_lite.filters import Filter, FilterBy

READ = "/event_store.client.streams.Streams/Read"
APPEND = "/event_store.client.streams.Streams/Append"
BATCH_APPEND = "/event_store.client.streams.Streams/BatchAppend"
DELETE = "/event_store.client.streams.Streams/Delete"
TOMBSTONE = "/event_store.client.streams.Streams/Tombstone"
SERVER_FEATURES = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"

UNLIMITED = 2**64 - 1

_START, _END = "start", "end"


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


def encode_delete(stream_name: str, expected: int) -> bytes:
    """Return the DeleteReq or TombstoneReq (they have the layout of an append's first request)."""
    return encode_append_options(stream_name, expected)


def decode_delete(data: bytes) -> int | None:
    """Return the commit position in a DeleteResp or TombstoneResp, None when the server does not tell it."""
    position = None
    for tag, _, raw in fields(data):
        if tag == 0x0A:
            position = pair(raw)[0]
    return position


@dataclass(frozen=True)
class KnownFeatures:
    """What a server can do."""

    version: str = ""
    methods: frozenset[str] = frozenset()
    """`package.service/method`, in lower case."""

    def has(self, method: str) -> bool:
        """Whether the server has the call with this path."""
        return _normal(method) in self.methods


@lru_cache(64)
def _normal(method: str) -> str:
    return method.lower().lstrip("/")


def decode_features(data: bytes) -> KnownFeatures:
    """Read SupportedMethods."""
    methods = set()
    for tag, _, raw in fields(data):
        if tag == 0x0A:
            service, name = text(last_field(raw, 0x12)), text(last_field(raw, 0x0A))
            methods.add(f"{service}/{name}".lower())
    return KnownFeatures(text(last_field(data, 0x12)), frozenset(methods))
