"""The arithmetic of the log: how long a record is, and where the next one goes.

Owns: positions. A position is the byte offset that a real server's record would have, so that nothing needs to be
laid out like that to be addressed like that. Must not know: SQLite, the rules of appending.
"""

from __future__ import annotations

from esdb_lite.server.storage import Record

CHUNK_SIZE = 268_435_456
"""The log goes on at a multiple of this after each scavenge start, and where a record would not fit before it."""


def _text_length(text: str) -> int:
    length = len(text) if text.isascii() else len(text.encode())
    if length < 128:
        return 1 + length
    prefix = 1
    rest = length >> 7
    while rest:
        prefix += 1
        rest >>= 7
    return prefix + length


def record_length(stream: str, event_type: str, data_length: int, metadata_length: int) -> int:
    """Bytes that a record takes in the log; positions advance by this."""
    return 88 + _text_length(stream) + _text_length(event_type) + data_length + metadata_length


def length_of(record: Record) -> int:
    """Bytes that a stored event takes in the log: the positions inside it belong to no event."""
    metadata = len(record.metadata) if record.schema is None else record.schema.size
    return record_length(record.stream, record.type, len(record.data), metadata)


def place(log_end: int, length: int) -> int:
    """The position at which a record of this length goes, given the end of the log."""
    chunk_end = log_end - log_end % CHUNK_SIZE + CHUNK_SIZE
    return log_end if log_end + length <= chunk_end or length > CHUNK_SIZE else chunk_end


def next_chunk(log_end: int) -> int:
    """The start of the next chunk (the log's end itself when it is one)."""
    return -(-log_end // CHUNK_SIZE) * CHUNK_SIZE
