"""What has arrived on a stream and is not read yet, in pieces of a sensible size.

Owns: joining small pieces: one of a single byte takes 90. Must not know: streams, flow control.
"""

from __future__ import annotations

from grpclib.protocol import Buffer

_MANY = 1024
"""Pieces from which it is worth a look. More than a full window has of pieces that are large enough."""
_LARGE = 16 * 1024
"""Bytes from which a piece is left alone."""


def tidy(buffer: Buffer) -> None:
    """Join small pieces where there are many: each byte is copied a few times at most, however small they come."""
    queue = buffer._unacked
    if queue.qsize() < _MANY:
        return
    pieces = [queue.get_nowait() for _ in range(queue.qsize())]
    parts: list[bytes] = []
    size = owed = 0
    for piece in pieces:
        if parts and (size >= _LARGE or not piece.ack_size):  # one without a size is the end of the stream
            buffer.add(b"".join(parts), owed)
            parts, size, owed = [], 0, 0
        if piece.ack_size:
            parts.append(piece.data)
            size += len(piece.data)
            owed += piece.ack_size
        else:
            queue.put_nowait(piece)
    if parts:
        buffer.add(b"".join(parts), owed)
