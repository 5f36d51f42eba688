"""Bytes in and out of one HTTP/2 stream of grpclib, in batches. The only module that knows grpclib's insides.

Owns: taking all that has arrived with one flow-control acknowledgement, and sending with back-pressure.
Must not know: gRPC methods, protobuf, events. Used by the client's calls and by `server.app`.
"""

from __future__ import annotations

from grpclib.protocol import Stream


async def receive_data(stream: Stream) -> bytes:
    """Return everything that has arrived on the stream, waiting for at least one byte; b"" once the peer has ended it."""
    buffer = stream.buffer
    queue = buffer._unacked
    if buffer._eof and queue.empty():
        return b""
    chunks = [await queue.get()]
    while not queue.empty():
        chunks.append(queue.get_nowait())
    acknowledged = sum(chunk.ack_size for chunk in chunks)
    if acknowledged:
        stream.connection.ack(_id(stream), acknowledged)
    data = b"".join(chunk.data for chunk in chunks)
    return data if data or buffer._eof and queue.empty() else await receive_data(stream)


async def send_data(stream: Stream, data: bytes, *, end: bool = False) -> None:
    """Send bytes, waiting for the flow-control window and the socket."""
    await stream.send_data(data, end_stream=end)


def _id(stream: Stream) -> int:
    if stream.id is None:
        raise AssertionError("the stream has not been opened")
    return stream.id
