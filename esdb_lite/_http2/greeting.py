"""What a server begins with: whether it speaks HTTP/2, or what it speaks instead.

Owns: telling that by the first bytes. Must not know: connections, what follows from it.
"""

from __future__ import annotations

import enum

_ENOUGH = 5
"""Bytes after which it is clear."""
_SETTINGS, _GOAWAY = 4, 7
"""Types of the frames that a server of HTTP/2 may begin with, in the fourth byte: one that is full says goodbye."""
_TLS_RECORDS = (0x15, 0x16)
"""Alert, handshake: as the first byte of a frame of HTTP/2 they would say that it is over a megabyte long."""
_SHOWN = 60


class Greeting(enum.Enum):
    """What a server speaks."""

    NOTHING = "it has not said anything"
    HTTP2 = "HTTP/2"
    HTTP1 = "HTTP/1"
    TLS = "TLS"
    OTHER = "something else"


def greeting_of(first: bytes) -> Greeting:
    """Return what a server speaks that begins like this; NOTHING while that is not clear."""
    if first[:1] == b"H" and b"HTTP/".startswith(first[:_ENOUGH]):
        return Greeting.HTTP1 if len(first) >= _ENOUGH else Greeting.NOTHING
    if len(first) < _ENOUGH:
        return Greeting.NOTHING
    if first[0] in _TLS_RECORDS and first[1] == 3:
        return Greeting.TLS
    return Greeting.HTTP2 if first[3] in (_SETTINGS, _GOAWAY) else Greeting.OTHER


def first_line(first: bytes) -> str:
    """Return what somebody has said, to be shown: no more than a line of it, and nothing but printable characters."""
    return repr(first.partition(b"\n")[0].rstrip(b"\r")[:_SHOWN].decode("latin-1"))
