"""A shorter way for DATA frames through grpclib and h2, which take 30 times as long over one as it needs.

Owns: finding the frames in what arrives; plain DATA frames of streams that are open go straight into the buffers of
their streams, WINDOW_UPDATE frames open windows, everything else goes to h2, whole and in order. Writing frames of
data, behind what h2 has written. Must not know: gRPC, or what the data is.

h2 stays in charge of the state: it owns the windows, which are only changed here, and it sees every frame that
could change the state of a stream or of the connection. A frame takes the short way only if all that h2 would do with
it is to change the windows, or to end the peer's side: no padding, headers received, not in the middle of a block of
headers; `quick_headers` says the same of HEADERS. Where h2 has changed so that this cannot be told, every frame goes to
h2.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import cast

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Connection, EventsProcessor, H2Protocol, Stream
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import Event, WindowUpdated
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.settings import SettingCodes
from h2.stream import H2Stream, StreamState

from esdb_lite._http2 import header_logs
from esdb_lite._http2.engine import Http2Engine
from esdb_lite._http2.frames import DATA, END_STREAM, FRAME, HEADERS, LARGEST_WINDOW, RESERVED, WINDOW_UPDATE
from esdb_lite._http2.internals import short_way_is_known
from esdb_lite._http2.pieces import tidy
from esdb_lite._http2.quick_headers import Pairs, QuickHeaders, end_input, end_output, event_of, is_ordinary

log = logging.getLogger("esdb_lite.http2")

_READ_SIZE = 112 * 1024  # less than what malloc does not take from its heap

_HEADER_SIZE = FRAME.size

_WORTH_OF_H2 = 16
"""What a frame costs that goes through h2, where a run of DATA costs 1."""

_PREAMBLE = 24  # bytes with which a client begins
_CONNECTED = (ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN)
_RECEIVING = (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL)
_SENDING = (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE)


class QuickConnection(Connection):
    """A connection on which frames may be written without h2."""

    headers: QuickHeaders | None = None
    owed = 0
    """Bytes that have been taken, and that the window of the connection has to get back when there are more."""
    pieces = 0
    """DATA frames that were written."""


def write_headers(connection: Connection, stream_id: int, headers: Pairs, *, end: bool) -> bool:
    """Write the headers of an answer, or trailers. False, and nothing written, where h2 has to do it."""
    quick = _quick_headers(connection)
    return quick is not None and quick.answer(stream_id, headers, end=end)


def begin_request(connection: Connection, stream_id: int, headers: Pairs) -> bool:
    """Write the headers of a request. False, and nothing written, where h2 has to do it."""
    quick = _quick_headers(connection)
    return quick is not None and quick.begin(stream_id, headers)


def begin_whole_request(connection: Connection, stream_id: int, headers: Pairs, data: bytes, beside: int) -> bool:
    """Write a whole request, to be flushed. False, and nothing written, where h2 has to do it, or has no room.

    `beside`: such requests that have no answer.
    """
    quick = _quick_headers(connection)
    return quick is not None and quick.begin_whole(stream_id, headers, data, beside)


def _quick_headers(connection: Connection) -> QuickHeaders | None:
    if not isinstance(connection, QuickConnection) or connection.is_closing():
        return None
    return connection.headers if connection._connection.state_machine.state in _CONNECTED else None


def write_data(connection: Connection, stream_id: int, data: bytes | memoryview, *, end: bool = False) -> bool:
    """Write data for which there is room in the windows, in frames as large as the peer takes them.

    False, and nothing written, where h2 has to do it: when that would change more than the windows. `end`: nothing is
    sent behind it, and there must be some of it.
    """
    if not isinstance(connection, QuickConnection):
        return False
    h2 = connection._connection
    inner: H2Stream | None = h2.streams.get(stream_id)
    if (
        inner is None
        or inner.state_machine.state not in _SENDING
        or not inner.state_machine.headers_sent
        or h2.state_machine.state not in _CONNECTED
    ):
        return False
    size, largest = len(data), h2.max_outbound_frame_size
    parts: list[bytes | memoryview] = [h2.data_to_send()]
    for at in range(0, size, largest):
        piece = data if size <= largest else data[at : at + largest]
        last = end and at + len(piece) == size
        parts += (FRAME.pack(len(piece) << 8 | DATA, END_STREAM if last else 0, stream_id), piece)
    if end:
        end_output(h2, inner)
    h2.outbound_flow_control_window -= size
    inner.outbound_flow_control_window -= size
    connection.pieces += len(parts) // 2
    connection._transport.write(b"".join(parts))
    return True


def read_moderately(transport: asyncio.BaseTransport) -> None:
    """Have a socket read less at a time than the 256 KB of asyncio, for which memory is taken from the system and given
    back with every read, however little there is."""
    if hasattr(transport, "max_size"):
        setattr(transport, "max_size", _READ_SIZE)  # noqa: B010 - an attribute that only asyncio's own transports have


class FastProtocol(H2Protocol):
    """A connection, of a client or a server."""

    peer = "the client"
    """Who is at the other end, in words."""

    def __init__(self, handler: AbstractHandler, config: Configuration, h2_config: H2Configuration) -> None:
        super().__init__(handler, config, h2_config)
        header_logs.keep_secrets()
        self._fast = short_way_is_known()
        self._headers: QuickHeaders | None = None
        self._short = frozenset((DATA,))
        """Types of frames that may not have to go through h2."""
        self._preamble = 0 if h2_config.client_side else _PREAMBLE
        self._rest = b""  # the beginning of a frame
        self._stream_id = 0  # the stream of the run of frames that is collected in
        self._run: list[bytes] = []
        self._unread = 0  # bytes that nobody takes, and that the window of the connection has to get back
        self._unread_of = 0  # one of the streams that they were for

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to speak HTTP/2."""
        read_moderately(transport)
        self._h2 = self._begin_h2()
        kind = QuickConnection if self._fast else Connection
        self.connection = kind(self._h2, cast(asyncio.Transport, transport), config=self.config)
        if self._fast and is_ordinary(self.h2_config):
            self._headers = QuickHeaders(self._h2)
            self._short = frozenset((DATA, HEADERS, WINDOW_UPDATE))
        if isinstance(self.connection, QuickConnection):
            self.connection.headers = self._headers
        self.connection.flush()
        self.processor = self._events()

    @property
    def _share(self) -> int | None:
        """What may be done for it in one turn of the loop, in runs of DATA; None: everything that has come."""
        return None

    def _events(self) -> EventsProcessor:
        """Return what hears of everything that happens."""
        return EventsProcessor(self.handler, self.connection)

    def _settings(self) -> dict[SettingCodes | int, int]:
        """Return what the peer hears first."""
        settings: dict[SettingCodes | int, int] = {
            SettingCodes.INITIAL_WINDOW_SIZE: self.config.http2_stream_window_size
        }
        return {**settings, SettingCodes.ENABLE_PUSH: 0} if self.h2_config.client_side else settings

    def _begin_h2(self) -> Http2Engine:
        h2 = Http2Engine(config=self.h2_config)
        h2.local_settings.update(self._settings())
        h2.local_settings.acknowledge()  # valid at once: the peer is given more than it knows, never less
        h2.initiate_connection()
        more = self.config.http2_connection_window_size - h2.inbound_flow_control_window
        if more > 0:
            h2.increment_flow_control_window(more)
        return h2

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.connection.write_ready.set()  # waiters would wait for ever

    def data_received(self, data: bytes) -> None:
        if self.connection.is_closing():
            return
        if not self._fast:
            super().data_received(data)
            return
        try:
            done = self._receive(data)
            self._give_back()
        except ProtocolError as error:
            log.debug("protocol error", exc_info=True)
            self._fail(error)
        else:
            self._flush()
            if not done:
                self._postpone()

    def _postpone(self) -> None:
        """There is more than may be done in this turn: see to it that `data_received` is called in another one."""
        raise NotImplementedError

    def _weigh(self, kind: int, number: int) -> None:
        """So many frames of a kind have come that carry no data. Raises ProtocolError when that is too much."""

    def _make_known(self, stream_id: int) -> None:
        """Something comes for h2 that concerns a stream: see to it that h2 knows the stream."""

    def _takes_whole(self, data: bytes, at: int, stop: int) -> int:
        """Take a whole request whose headers are `data[at:stop]`; return where it ends, or 0: it is for others."""
        return 0

    def _receive(self, data: bytes) -> bool:
        """Take what has arrived: frame by frame, DATA of one stream in runs. False when some is left for another turn.

        Invariants, at the head of the loop: data[:seen] is done with, or it is in the run. data[seen:at] are whole
        frames for h2 that it does not have yet. Only one of them is not empty: a run, or frames that wait; so nothing
        can overtake anything.
        """
        if self._preamble:
            data = self._begin(data)
        if self._rest:
            data = self._rest + data
        at = seen = cost = 0
        end, largest, share = len(data), self._h2.max_inbound_frame_size, self._share
        while end - at >= _HEADER_SIZE:
            if share is not None and cost >= share:
                break
            kind, flags, stream_id = FRAME.unpack_from(data, at)
            stop = at + _HEADER_SIZE + (kind >> 8)
            if kind >> 8 > largest:
                self._settle(data[seen:at])
                raise FrameTooLargeError(f"a frame of {kind >> 8} bytes, where {largest} is the most")
            if stop > end:
                break
            if kind & 0xFF not in self._short:
                # for h2: it waits, so the run must not
                if self._run:
                    self._deliver()
                self._make_known(stream_id & ~RESERVED)
                self._weigh(kind & 0xFF, 1)
                cost += _WORTH_OF_H2
            elif self._run and stream_id == self._stream_id and not flags | kind & 0xFF:  # one more of the run
                self._run.append(data[at + _HEADER_SIZE : stop])
                seen = stop
            else:  # what comes before is settled: then the state of the stream can be asked
                if not self._settle(data[seen:at]):
                    return True
                seen, largest = at, self._h2.max_inbound_frame_size
                if kind & 0xFF == HEADERS and (whole := self._takes_whole(data, at, stop)):
                    seen = at = whole
                    cost += 2 + _WORTH_OF_H2
                    continue
                short = self._goes_short(kind & 0xFF, flags, stream_id & ~RESERVED, data[at + _HEADER_SIZE : stop])
                if short:
                    seen = stop
                cost += 1 if short and kind & 0xFF == DATA else 1 + _WORTH_OF_H2
            at = stop
        self._settle(data[seen:at])
        self._rest = data[at:]
        return share is None or cost < share

    def _goes_short(self, kind: int, flags: int, stream_id: int, payload: bytes) -> bool:
        """Take a frame of one of these types, before which everything is settled. False where it is for h2."""
        if kind == HEADERS:
            return self._takes_headers(stream_id, flags, payload)
        if kind == WINDOW_UPDATE:
            self._weigh(kind, 1)
            return self._opens_window(stream_id, payload)
        if not flags & ~END_STREAM and (payload or not flags) and self._takes(stream_id):
            self._stream_id = stream_id
            self._run.append(payload)
            if flags:
                self._deliver()
                self._tell([end_input(self._h2, self._h2.streams[stream_id])])
            return True
        if self._forgets(stream_id):
            self._forget(stream_id, len(payload))
            return True
        return False

    @property
    def _in_order(self) -> bool:
        """Whether the connection is open, and nothing of a longer block of headers is awaited."""
        h2 = self._h2
        return h2.state_machine.state in _CONNECTED and not h2.incoming_buffer._headers_buffer

    def _takes_headers(self, stream_id: int, flags: int, block: bytes) -> bool:
        if self._headers is None or not self._in_order:
            return False
        events = self._headers.take(stream_id, flags, block)
        if events is None:
            return False
        self._tell(events)
        return True

    def _opens_window(self, stream_id: int, payload: bytes) -> bool:
        window: H2Connection | H2Stream | None = self._h2.streams.get(stream_id) if stream_id else self._h2
        if window is None or not self._in_order or len(payload) != 4:
            return False
        more = int.from_bytes(payload, "big")
        if not 0 < more <= LARGEST_WINDOW - window.outbound_flow_control_window:
            return False
        window.outbound_flow_control_window += more
        self._tell([event_of(WindowUpdated, stream_id)])
        return True

    def _begin(self, data: bytes) -> bytes:
        """Give h2 the client's preamble; return what follows it."""
        size = min(len(data), self._preamble)
        self._feed(data[:size])
        self._preamble -= size
        return data[size:]

    def _settle(self, frames: bytes) -> bool:
        """Deliver the run, or give h2 the frames: there is never both. False when the connection has ended."""
        if self._run:
            self._deliver()
        if frames:
            self._feed(frames)
        return not self.connection.is_closing()

    def _feed(self, frames: bytes) -> None:
        events = self.connection.feed(frames)
        self._flush()
        self._tell(events)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.__class__ in getattr(self.processor, "processors", ()):  # none once it is closed
                self.processor.process(event)

    def _takes(self, stream_id: int) -> bool:
        """Whether `_deliver` does everything that a plain DATA frame of this stream needs."""
        inner: H2Stream | None = self._h2.streams.get(stream_id)
        if inner is None or stream_id not in self.processor.streams:
            return False
        machine = inner.state_machine
        return (
            machine.state in _RECEIVING
            and bool(machine.headers_received)
            and inner._expected_content_length is None
            and self._in_order
        )

    def _forgets(self, stream_id: int) -> bool:
        """Whether a DATA frame of this stream counts against the window of the connection, and for nothing else.

        h2 would take its time over each, and old ones would not give the room back.
        """
        return self._h2.was_reset_here(stream_id) and self._in_order

    def _forget(self, stream_id: int, size: int) -> None:
        self._h2._inbound_flow_control_window_manager.window_consumed(size)
        self._unread += size
        self._unread_of = stream_id

    def _give_back(self) -> None:
        """Open the window of the connection again by what was forgotten."""
        size, self._unread = self._unread, 0
        if size and not self.connection.is_closing():
            self.connection.ack(self._unread_of, size)

    def _deliver(self) -> None:
        """Hand a run of frames to its stream, as one piece."""
        run, stream_id = self._run, self._stream_id & ~RESERVED
        data = run[0] if len(run) == 1 else b"".join(run)
        size = len(data)
        if size < len(run):
            self._weigh(DATA, run.count(b""))
        run.clear()
        if not size:
            return
        stream: Stream = self.processor.streams[stream_id]
        self._h2._inbound_flow_control_window_manager.window_consumed(size)
        self._h2.streams[stream_id]._inbound_window_manager.window_consumed(size)
        stream.buffer.add(data, size)
        tidy(stream.buffer)
        stream.data_received += size
        self.connection.data_received += size
        self.connection.last_data_received = time.monotonic()

    def _fail(self, error: ProtocolError) -> None:
        """Tell the peer what it has done wrong, and close the connection."""
        if self._h2.state_machine.state is not ConnectionState.CLOSED:
            self._h2._terminate_connection(error.error_code)
        self._flush()
        text = str(error)  # of some errors of h2 it is the number of a stream, or nothing
        words = text if " " in text else f"{type(error).__name__} {text}".rstrip()
        self.processor.close(f"{self.peer} has broken the rules of HTTP/2: {words}")

    def _flush(self) -> None:
        if not self.connection.is_closing():
            self.connection.flush()
