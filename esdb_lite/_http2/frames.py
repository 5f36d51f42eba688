"""Where frames stand that come one after the other.

Owns: finding them in what has arrived. Must not know: what they are for, state of any kind.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

# A frame (RFC 9113, section 4.1):
#
#     0         3      4      5           9                9 + length
#     | length  | type | flags | R stream |  payload ...   |
#
# read as two big-endian numbers with a byte in between: length << 8 | type, flags, R << 31 | stream.
FRAME = Struct(">IBI")
DATA, HEADERS, WINDOW_UPDATE, END_STREAM, END_HEADERS = 0, 1, 8, 1, 4  # types of frames, and flags

RESERVED = 0x80000000
LARGEST_WINDOW = 0x7FFFFFFF

# A frame that opens a window (RFC 9113, section 6.9) has 4 bytes: by how much, behind a bit that must be 0.
_WINDOW_UPDATE = Struct(">IBII")
WINDOW_UPDATE_SIZE = _WINDOW_UPDATE.size


def window_update(data: bytes, at: int, stream_id: int) -> int:
    """Return by how much the frame that begins here opens the window of a stream; 0: it is another frame."""
    if at + WINDOW_UPDATE_SIZE > len(data):
        return 0
    kind, _, number, more = _WINDOW_UPDATE.unpack_from(data, at)
    return more if kind == 4 << 8 | WINDOW_UPDATE and number == stream_id else 0


class LastFrame(NamedTuple):
    """The frame that a side of a stream ends with."""

    before: list[bytes]
    """The data of the frames before it."""
    payload: bytes
    stop: int
    """Where it ends."""


def last_frame(data: bytes, at: int, stream_id: int, largest: int, end: tuple[int, int]) -> LastFrame | None:
    """Return the frame of this type and with these flags that ends a stream, behind some data of the same stream.

    None where it is not there, a frame is larger than it may be, or anything else stands between.
    """
    before: list[bytes] = []
    while at + FRAME.size <= len(data):
        kind, flags, number = FRAME.unpack_from(data, at)
        begin = at + FRAME.size
        at = begin + (kind >> 8)
        if number != stream_id or at > len(data) or kind >> 8 > largest:
            return None
        if (kind & 0xFF, flags) == end:
            return LastFrame(before, data[begin:at], at)
        if kind & 0xFF != DATA or flags or at == begin:  # empty ones are counted
            return None
        before.append(data[begin:at])
    return None
