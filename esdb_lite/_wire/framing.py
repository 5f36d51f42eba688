"""gRPC's framing of messages: a flag, four bytes of length, the message.

Owns: putting messages into bytes and finding them there, whatever the pieces in which the bytes arrive.
Must not know: HTTP/2, protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from esdb_lite._wire.primitives import WireError

PREFIX = Struct(">BI")
MAX_MESSAGE = 64 * 2**20
"""Bytes that a message may have where nothing else is said. The largest event that a server takes has 16 MiB; whatever
claims to be longer than this is refused before it comes."""


class CompressedMessage(WireError):
    """A message is compressed, which was not agreed upon."""


class MessageTooLong(WireError):
    """A message is longer than what is taken."""


def frame(messages: Iterable[bytes]) -> bytes:
    """Return messages as they stand in a gRPC stream."""
    pack = PREFIX.pack
    parts = []
    for message in messages:
        parts.append(pack(0, len(message)))
        parts.append(message)
    return b"".join(parts)


class Pieces:
    """Bytes that arrive in pieces, kept until a whole message is there. Costs time in proportion to what arrives."""

    __slots__ = ("_limit", "_missing", "_parts")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._missing = 0

    def join(self, data: bytes) -> bytes:
        """Return all that is there, `data` at its end, or b"" while even the first message is not complete."""
        if not self._parts:
            return data
        self._parts.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return b""
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole

    def keep(self, rest: bytes) -> None:
        """Keep the beginning of a message, and check how long the message says that it is."""
        if not rest:
            return
        size = PREFIX.size
        if len(rest) >= size:
            size += checked_length(rest, 0, self._limit)
        self._parts.append(rest)
        self._missing = size - len(rest)

    @property
    def empty(self) -> bool:
        """Whether no message has begun that is not complete."""
        return not self._parts


def checked_length(data: bytes, at: int, limit: int) -> int:
    """Return the length in the prefix at `at`. Raises WireError for compressed and for over-long messages."""
    compressed, length = PREFIX.unpack_from(data, at)
    if compressed:
        if compressed == 1:
            raise CompressedMessage("a message is compressed")
        raise WireError(f"a message has the flags {compressed}")
    if length > limit:
        raise MessageTooLong(f"a message of {length} bytes is longer than {limit}")
    return int(length)


class MessageSplitter:
    """Splits what arrives on a gRPC stream into messages. Messages over `limit` bytes are refused before they come."""

    __slots__ = ("_limit", "_pieces")

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._pieces = Pieces(limit)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now. Raises WireError; after that the splitter cannot be used."""
        data = self._pieces.join(data)
        messages = []
        at, end = 0, len(data)
        while end - at >= 5:
            start = at + 5
            stop = start + checked_length(data, at, self._limit)
            if stop > end:
                break
            messages.append(data[start:stop])
            at = stop
        self._pieces.keep(data[at:])
        return messages

    @property
    def complete(self) -> bool:
        """Whether what has arrived ends with a whole message: where the stream ends otherwise, it was cut off."""
        return self._pieces.empty
