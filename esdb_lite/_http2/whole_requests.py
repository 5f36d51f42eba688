"""A request that has come whole, on the server, for as long as it can be answered whole.

Owns: finding such requests in what arrives, and their answers. Must not know: gRPC, who answers.

A stream of h2, one of grpclib, its events and its waiters cost more than such a call does otherwise. Until it is
answered, or something comes that concerns its stream, neither knows of the request; then it is made a stream like
others, as if it had been one from the beginning.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from esdb_lite._http2.quick_headers import END_STREAM, Pairs

if TYPE_CHECKING:
    from esdb_lite._http2.server import ServerProtocol

_FRAME = Struct(">IBI")  # length << 8 | type, flags, stream; the type of DATA is 0


class WholeRequest:
    """One of them."""

    __slots__ = ("_protocol", "data", "number")

    def __init__(self, protocol: ServerProtocol, number: int, data: bytes) -> None:
        self._protocol = protocol
        self.number = number
        """Of its stream."""
        self.data = data
        """All that was sent."""

    @property
    def room(self) -> int:
        """How many bytes of an answer window and socket take now."""
        return self._protocol.room_for_answer

    def answer(self, headers: Pairs, data: bytes, trailers: Pairs) -> bool:
        """Send a whole answer, and be done; False, and nothing is sent: there is no room for it.

        `headers` and `trailers` are short, and of a call that succeeds.
        """
        return self._protocol.answer(self, headers, data, trailers)

    def adopt(self) -> None:
        """Make it a stream with everything in it, which the handler of the connection gets by `adopted`."""
        self._protocol.adopt(self)

    def drop(self) -> None:
        """Leave it: it is answered, or nobody waits for an answer. Idempotent."""
        self._protocol.drop(self)


def body_at(data: bytes, at: int, stream_id: int, largest: int) -> tuple[bytes, int] | None:
    """Return the data of a stream, all frames of which stand here one after the other, and where they end.

    None where the end is not there, a frame is larger than it may be, or anything else stands between.
    """
    parts: list[bytes] = []
    end = len(data) - _FRAME.size
    while at <= end:
        kind, flags, number = _FRAME.unpack_from(data, at)
        begin = at + _FRAME.size
        at = begin + (kind >> 8)
        if kind & 0xFF or number != stream_id or at > len(data) or kind >> 8 > largest:
            return None
        if flags:
            if flags != END_STREAM:
                return None
            last = data[begin:at]
            return (b"".join((*parts, last)) if parts else last), at
        if at == begin:  # such frames are counted
            return None
        parts.append(data[begin:at])
    return None
