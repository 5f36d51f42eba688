"""Bytes in and out of one HTTP/2 stream of grpclib, in batches.

Owns: taking all that has arrived with one flow-control acknowledgement, sending with back-pressure, the ends of a
stream, and the sizes of the windows. Must not know: gRPC methods, protobuf, events. Used by the client's calls and by
`server.app`, for which a `Stream` is something that they hand to these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from grpclib.protocol import Buffer, Connection, Stream
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, StreamClosedError

from esdb_lite._http2.gathering import GatheringTransport
from esdb_lite._http2.protocol import QuickConnection, write_data, write_headers

__all__ = [
    "CANCEL",
    "CONNECTION_WINDOW",
    "NO_ERROR",
    "STREAM_WINDOW",
    "Headers",
    "Stream",
    "StreamOver",
    "deliver",
    "end_input",
    "is_over",
    "owe",
    "push",
    "receive_data",
    "reset",
    "room_at_once",
    "room_in_window",
    "send_data",
    "send_data_at_once",
    "send_headers",
    "take_whole",
]

Headers = Sequence[tuple[str, str]]

STREAM_WINDOW = 4 * 2**20
"""Bytes that a stream may have received and not read: what a receiver that stands still costs at most."""

CONNECTION_WINDOW = 2**31 - 1
"""The same for all streams of a connection: no limit, so that a receiver that stands still, such as a subscription
whose events nobody takes, does not hold up the others."""

NO_ERROR, CANCEL = int(ErrorCodes.NO_ERROR), int(ErrorCodes.CANCEL)
"""Codes with which a stream is reset: because nobody needs the rest of it, or because the call is given up."""

_OWED = 64 * 1024
"""Bytes that may wait to be acknowledged where little arrives at a time."""

_AT_A_TIME = 4 * 16_384
"""Bytes that are written before the socket is asked again whether it takes more."""


class StreamOver(Exception):
    """Nothing can be sent on a stream: it has ended, was reset, or never was."""


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


class _HandOver(Buffer):
    """Gives on what arrives instead of keeping it."""

    def __init__(self, stream: Stream, take: Callable[[bytes], None]) -> None:
        super().__init__(lambda size: stream.connection.ack(_id(stream), size))
        self._stream = stream
        self._take = take
        self._owed = 0

    def add(self, data: bytes, ack_size: int) -> None:
        self._owed += ack_size
        if self._owed >= _OWED and not self._stream.connection.is_closing():
            self._stream.connection.ack(_id(self._stream), self._owed)
            self._owed = 0
        self._take(data)


def deliver(stream: Stream, take: Callable[[bytes], None]) -> None:
    """Give what arrives on the stream to a function from now on, at once; `receive_data` then reports the end only.

    Nothing that has arrived may wait to be received. `take` must not raise. For calls that stay open: what has not
    been acknowledged when the stream ends never is.
    """
    ended = stream.buffer._eof
    stream.buffer = _HandOver(stream, take)
    if ended:
        stream.buffer.eof()


def end_input(stream: Stream) -> None:
    """Let who receives go on as if the peer had ended the stream."""
    stream.buffer.eof()


def is_over(stream: Stream) -> bool:
    """Whether there is nothing left to reset: both sides have ended the stream, or the connection is gone."""
    return not stream.closable


def reset(stream: Stream, code: int) -> None:
    """End the stream here and now, unless it has ended."""
    if stream.closable:
        with suppress(H2Error):  # the peer was faster
            stream.reset_nowait(ErrorCodes(code))


async def send_headers(stream: Stream, headers: Headers, *, end: bool = False) -> None:
    """Send headers or trailers, when the socket takes something. Raises StreamOver."""
    try:
        if not stream.connection.write_ready.is_set():
            await stream.connection.write_ready.wait()
        if write_headers(stream.connection, _id(stream), headers, end=end):
            stream.connection.flush()
        else:
            await stream.send_headers([*headers], end_stream=end)
    except H2Error as error:
        raise StreamOver(str(error)) from error


def room_in_window(stream: Stream) -> int:
    """Return how many bytes may be sent on the stream now. Raises StreamOver."""
    try:
        return stream._h2_connection.local_flow_control_window(_id(stream))
    except H2Error as error:
        raise StreamOver(str(error)) from error


async def send_data(stream: Stream, data: bytes, *, end: bool = False) -> None:
    """Send bytes, in frames as large as the peer takes them; returns when window and socket have taken all of them.

    A call that is cancelled may have sent a part: then the stream can only be reset. Raises StreamOver when the stream
    has ended, ConnectionResetError when the connection is gone.
    """
    try:
        await _send(stream, data, end)
    except H2Error as error:
        raise StreamOver(str(error)) from error


async def _send(stream: Stream, data: bytes, end: bool) -> None:
    stream_id, h2 = _id(stream), stream._h2_connection
    at, size = 0, len(data)
    if not size and not end:
        return
    view = memoryview(data)
    while True:
        stop = min(size, at + min(await _room(stream, size > 0), _AT_A_TIME))
        ends = end and stop == size
        if not size or not write_data(stream.connection, stream_id, view[at:stop], end=ends):
            frame = h2.max_outbound_frame_size
            for start in range(at, max(stop, at + 1), frame):
                cut = min(stop, start + frame)
                h2.send_data(stream_id, view[start:cut], end_stream=end and cut == size)
            stream.connection.flush()
        _written(stream, stop - at)
        at = stop
        if at == size:
            return


def send_data_at_once(stream: Stream, data: bytes, *, end: bool = False) -> bool:
    """Send bytes if window and socket take all of them now; False, and nothing is sent, where they do not.

    `end`: they are the last, and there must be some.
    """
    if room_at_once(stream) < max(1, len(data)) or not write_data(stream.connection, _id(stream), data, end=end):
        return False
    _written(stream, len(data))
    return True


def room_at_once(stream: Stream) -> int:
    """Return how many bytes window and socket take now."""
    connection, h2 = stream.connection, stream._h2_connection
    inner = h2.streams.get(_id(stream))
    if inner is None or not connection.write_ready.is_set() or connection.is_closing():
        return 0
    return int(min(h2.outbound_flow_control_window, inner.outbound_flow_control_window))


def take_whole(stream: Stream) -> bytes | None:
    """Return everything that has arrived where the peer has ended the stream; None, and nothing is taken: it has not.

    It is acknowledged with more, later.
    """
    buffer = stream.buffer
    if not buffer._eof:
        return None
    queue, parts, size = buffer._unacked, [], 0
    while not queue.empty():
        data, _, owed = queue.get_nowait()
        parts.append(data)
        size += owed
    owe(stream.connection, _id(stream), size)
    return parts[0] if len(parts) == 2 else b"".join(parts)  # the last one is the end


def owe(connection: Connection, stream_id: int, size: int) -> None:
    """Give back the room of what has been taken of a stream that has ended, with more of it."""
    if isinstance(connection, QuickConnection):
        connection.owed += size
        if connection.owed < _OWED or connection.is_closing():
            return
        size, connection.owed = connection.owed, 0
    connection.ack(stream_id, size)


def peer_address(stream: Stream) -> str:
    """Return the address at the other end, for logs."""
    transport = stream.connection._transport
    address = None if transport is None else transport.get_extra_info("peername")
    return str(address[0]) if isinstance(address, tuple) and address else "an unknown address"


def push(stream: Stream) -> None:
    """Write what waits for the end of this turn of the loop."""
    transport = stream.connection._transport
    if isinstance(transport, GatheringTransport):
        transport.flush()


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
    stream.data_sent += size
    connection.data_sent += size
    connection.data_send_process()


def _id(stream: Stream) -> int:
    if stream.id is None:
        raise AssertionError("the stream has not been opened")
    return stream.id
