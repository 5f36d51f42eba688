"""Bytes in and out of one HTTP/2 stream of grpclib, in batches. With `protocol` it knows grpclib's insides.

Owns: taking all that has arrived with one flow-control acknowledgement, sending with back-pressure, and the sizes of
the windows. Must not know: gRPC methods, protobuf, events. Used by the client's calls and by `server.app`.
"""

from __future__ import annotations

from collections.abc import Callable

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, H2Protocol, Stream
from h2.config import H2Configuration
from h2.exceptions import StreamClosedError

from esdb_lite._http2.protocol import FastProtocol as FastProtocol
from esdb_lite._http2.protocol import read_moderately as read_moderately
from esdb_lite._http2.protocol import write_data

STREAM_WINDOW = 4 * 2**20
"""Bytes that a stream may have received and not read: what a receiver that stands still costs at most."""

CONNECTION_WINDOW = 2**31 - 1
"""The same for all streams of a connection: no limit, so that a receiver that stands still, such as a subscription
whose events nobody takes, does not hold up the others."""

_OWED = 64 * 1024
"""Bytes that may wait to be acknowledged where little arrives at a time."""

_AT_A_TIME = 4 * 16_384
"""Bytes that are written before the socket is asked again whether it takes more."""


def new_protocol(handler: AbstractHandler, config: Configuration, h2_config: H2Configuration) -> H2Protocol:
    """Return the protocol for one connection, of a client or a server."""
    return FastProtocol(handler, config, h2_config)


async def receive_data(stream: Stream) -> bytes:
    """Return everything that has arrived on the stream, waiting for something; b"" once the peer has ended it.

    What is returned has been acknowledged. A call that is cancelled has taken nothing.
    """
    buffer = stream.buffer
    queue = buffer._unacked
    while not (buffer._eof and queue.empty()):
        data, _, size = await queue.get()
        if not queue.empty():  # nothing below waits, so that nothing can be lost
            parts = [data]
            while not queue.empty():
                chunk = queue.get_nowait()
                parts.append(chunk.data)
                size += chunk.ack_size
            data = b"".join(parts)
        if size and not stream.connection.is_closing():
            stream.connection.ack(_id(stream), size)
        if data:
            return data
    return b""


def deliver(stream: Stream, take: Callable[[bytes], None]) -> None:
    """Give what arrives on the stream to a function from now on, at once; `receive_data` then tells of the end only.

    Nothing that has arrived may wait to be received. `take` must not raise. For calls that stay open: what has not
    been acknowledged when the stream ends never is.
    """
    owed = 0

    def add(data: bytes, size: int) -> None:
        nonlocal owed
        owed += size
        if owed >= _OWED and not stream.connection.is_closing():
            stream.connection.ack(_id(stream), owed)
            owed = 0
        take(data)

    setattr(stream.buffer, "add", add)  # noqa: B010 - an assignment to a method, which mypy refuses


async def send_data(stream: Stream, data: bytes, *, end: bool = False) -> None:
    """Send bytes, in frames as large as the peer takes them; returns when window and socket have taken all of them.

    A call that is cancelled may have sent a part: then the stream can only be reset. Raises StreamClosedError when
    the stream has ended, ConnectionResetError when the connection is gone.
    """
    stream_id, h2 = _id(stream), stream._h2_connection
    at, size = 0, len(data)
    if not size and not end:
        return
    view = memoryview(data)
    while True:
        stop = min(size, at + min(await _room(stream, size > 0), _AT_A_TIME))
        if (end and stop == size) or not write_data(stream.connection, stream_id, view[at:stop]):
            frame = h2.max_outbound_frame_size
            for start in range(at, max(stop, at + 1), frame):
                cut = min(stop, start + frame)
                h2.send_data(stream_id, view[start:cut], end_stream=end and cut == size)
        _written(stream, stop - at)
        at = stop
        if at == size:
            return


def send_data_at_once(stream: Stream, data: bytes) -> bool:
    """Send bytes if window and socket take all of them now; False, and nothing is sent, where they do not."""
    connection = stream.connection
    if not connection.write_ready.is_set() or connection.is_closing():
        return False
    stream_id = _id(stream)
    inner = stream._h2_connection.streams.get(stream_id)
    if inner is None or inner.closed or stream._h2_connection.local_flow_control_window(stream_id) < len(data):
        return False
    if not write_data(connection, stream_id, data):
        return False
    _written(stream, len(data))
    return True


async def _room(stream: Stream, needed: bool) -> int:
    """Wait until the socket takes data, and if that is needed the window; return how much the window takes."""
    stream_id, h2, connection = _id(stream), stream._h2_connection, stream.connection
    while True:
        if not connection.write_ready.is_set():
            await connection.write_ready.wait()
        if connection.is_closing():
            raise ConnectionResetError("the connection is closed")
        inner = h2.streams.get(stream_id)
        if inner is None or inner.closed:
            raise StreamClosedError(stream_id)
        room = h2.local_flow_control_window(stream_id)
        if room > 0 or not needed:
            return room
        stream.window_updated.clear()
        await stream.window_updated.wait()


def _written(stream: Stream, size: int) -> None:
    connection = stream.connection
    connection.flush()
    stream.data_sent += size
    connection.data_sent += size
    connection.data_send_process()


def _id(stream: Stream) -> int:
    if stream.id is None:
        raise AssertionError("the stream has not been opened")
    return stream.id
