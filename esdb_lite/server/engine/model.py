"""The words of the database: proposed events, and how an append can end.

Owns: value types and names used by every rule. Must not know: how events are kept, the wire, the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from esdb_lite.server.storage import Note, Record, StoredSchema
from esdb_lite.server.storage.log import CHUNK_SIZE, length_of, next_chunk, place, record_length

NO_STREAM = -1
"""Expected version: the stream has never been written."""
ANY = -2
"""Expected version: whatever there is."""
EXISTS = -4
"""Expected version: the stream has events or metadata, and is not deleted."""
SOFT_DELETED, TOMBSTONED = -5, -6
"""States that an atomic append may expect, too, and find."""

__all__ = [
    "ANY",
    "CHUNK_SIZE",
    "EXISTS",
    "LONGEST_NAME",
    "METADATA_TYPE",
    "MOST_EVENTS",
    "NO_STREAM",
    "SOFT_DELETED",
    "TOMBSTONED",
    "TOMBSTONE_TYPE",
    "Appended",
    "Decision",
    "DeletedStream",
    "Outcome",
    "ProposedEvent",
    "RecordsAppended",
    "RecordsOutcome",
    "RecordsRejected",
    "StateViolation",
    "WrongVersion",
    "event_size",
    "is_metastream",
    "is_too_long",
    "length_of",
    "metastream_of",
    "next_chunk",
    "original_of",
    "place",
    "record_length",
]  # fmt: skip

LONGEST_NAME = 4096
"""Bytes in UTF-8 that the name of a stream, a type, a group or a user may have."""

MOST_EVENTS = 65_536
"""Events of one append: more of them hold up others for too long, however small they are."""

METADATA_TYPE = "$metadata"
TOMBSTONE_TYPE = "$streamDeleted"


class ProposedEvent(NamedTuple):
    """One event as a client wants it written."""

    id: bytes
    """16 bytes, big-endian (RFC 4122)."""
    type: str
    is_json: bool
    data: bytes
    metadata: bytes = b""
    schema: StoredSchema | None = None
    """None: an event of the older protocol."""


class Appended(NamedTuple):
    """Written now, or found to have been written before."""

    revision: int
    """Number of the last event of this append; the stream's last number (-1: none) when there was nothing to write."""
    position: int | None
    """Position of that event; None when it was written before and is no longer readable in its stream."""
    idempotent: bool = False
    """Whether nothing was written because all of it was there already."""


class WrongVersion(NamedTuple):
    """The stream is not at the expected version."""

    current: int
    """The stream's last number, -1 when it has none."""


class DeletedStream(NamedTuple):
    """The stream is tombstoned; or soft-deleted and expected to exist."""

    stream: str


class RecordsAppended(NamedTuple):
    """Records of an atomic append: written now, or found to have been written before."""

    revisions: Mapping[str, int]
    """By stream: number of its last record."""
    position: int | None
    """Position of the last record; None when all were written before and none can be read any more."""


class StateViolation(NamedTuple):
    """A stream is not in the state in which an atomic append expects it."""

    check_index: int
    """Among all streams of the append, in the order in which they are judged."""
    stream: str
    expected: int
    actual: int


class RecordsRejected(NamedTuple):
    """An atomic append that is not written because of the streams' states."""

    violations: Sequence[StateViolation]


Outcome: TypeAlias = Appended | WrongVersion | DeletedStream
RecordsOutcome: TypeAlias = RecordsAppended | RecordsRejected


class Decision(NamedTuple):
    """What a rule decided: the answer, and what to write for it, all or nothing."""

    outcome: Outcome | RecordsOutcome
    records: Sequence[Record]
    log_end: int
    """Where the log ends afterwards; it may lie behind the last record (marker of an empty append)."""
    notes: Sequence[Note] = ()
    """What is remembered beside the log in the same transaction."""


def is_too_long(name: str) -> bool:
    """Whether nothing can have this name."""
    return len(name) > LONGEST_NAME // 4 and len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME


def is_metastream(stream: str) -> bool:
    """Whether the name is that of a metadata stream."""
    return stream.startswith("$$")


def metastream_of(stream: str) -> str:
    """The metadata stream of a stream."""
    return "$$" + stream


def original_of(metastream: str) -> str:
    """The stream that a metadata stream is about."""
    return metastream[2:]


def event_size(type: str, payload: int) -> int:
    """Size of one event as MaxAppendSize and MaxAppendEventSize count it; `payload`: bytes of data and metadata."""
    return payload + (2 * len(type) if type.isascii() else len(type.encode("utf-16-le", "surrogatepass")))
