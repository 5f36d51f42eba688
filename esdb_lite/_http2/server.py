"""A server's end of a connection.

Owns: HTTP/2 after the preface, streams for those who serve them, goodbyes. Must not know: gRPC, who serves.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Sized
from typing import cast

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Connection, EventsProcessor, Stream
from h2.config import H2Configuration
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from esdb_lite._http2.engine import Http2Engine
from esdb_lite._http2.flood import UNCOUNTED, FloodVerdict, FloodWatch, Traffic
from esdb_lite._http2.frames import (
    DATA,
    END_STREAM,
    FRAME,
    HEADERS,
    WINDOW_UPDATE,
    WINDOW_UPDATE_SIZE,
    last_frame,
    window_update,
)
from esdb_lite._http2.gathering import Deaf, GatheringTransport
from esdb_lite._http2.heartbeat import HeartbeatProtocol
from esdb_lite._http2.pieces import tidy
from esdb_lite._http2.protocol import QuickConnection
from esdb_lite._http2.quick_headers import Pairs
from esdb_lite._http2.streams import owe
from esdb_lite._http2.whole_requests import WholeRequest

__all__ = ["MAX_CONCURRENT_STREAMS", "PREFACE", "Crowd", "RequestHandler", "ServerProtocol"]

log = logging.getLogger("esdb_lite.server")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client that speaks HTTP/2 begins with."""

MAX_CONCURRENT_STREAMS = 256
"""Calls at once on a connection. (A real server takes 100, and clients let the 101st wait without a word.)"""

SHARE, LEAST = 512, 16
"""What is done in a turn of the loop for those connections that have more to do than fits into one, and at least for
each of them: 512 pieces of data, or 32 frames of any other kind; 16 pieces, or one frame."""

_ANSWERS = 256 * 1024
"""Bytes that may wait for a client to take them before nothing more is read from it. Data waits elsewhere: what is
here beyond the few bytes of one turn are answers to pings and the like."""

LAST_WORDS = 1.0
"""Seconds that a client gets to hear why it is cut off. What it sends meanwhile is thrown away."""

TAKES_NOTHING = 20.0
"""Seconds after which a client is cut off that takes nothing of what is sent to it."""

_END = (DATA, END_STREAM)
"""What a whole request ends with."""

_STREAM_WINDOW, _CONNECTION_WINDOW = 2**20, 8 * 2**20
"""Bytes that a client may send on one call, and on all its calls together, before the server takes them."""

# A GOAWAY frame: length (its third byte is 0), type, flags, stream; last stream, code.
_GO_AWAY = struct.Struct(">xHBBLLL")
_ALL_STREAMS = 2**31 - 1

_H2_CONFIGURATION = H2Configuration(
    client_side=False,
    header_encoding="latin-1",  # decodes whatever comes
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)
_CONFIGURATION = Configuration(
    http2_connection_window_size=_CONNECTION_WINDOW, http2_stream_window_size=_STREAM_WINDOW
).__for_server__()


class RequestHandler(AbstractHandler):
    """Serves the streams of one connection: `accept`, `cancel`, and `close` when it is lost."""

    def accept_whole(self, request: WholeRequest, headers: Pairs) -> bool:
        """A request has come whole: take it. False: it is to be accepted as a stream."""
        return False

    def adopted(self, stream: Stream, release_stream: Callable[[], None]) -> None:
        """A request that was accepted whole has been made a stream, with all that has come in it."""


class EnhanceYourCalm(ProtocolError):
    """A client sends more of what carries nothing than is good for others."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class _ServerEvents(EventsProcessor):
    """Says goodbye before closing, and does not mind events that are of no interest."""

    def __init__(self, handler: AbstractHandler, connection: Connection, requests: Sized) -> None:
        """`requests`: those that are no streams."""
        super().__init__(handler, connection)
        self._requests = requests

    def process(self, event: Event) -> None:
        if hasattr(self, "processors") and event.__class__ in self.processors:
            super().process(event)

    def process_data_received(self, event: DataReceived) -> None:
        super().process_data_received(event)
        if (stream := self.streams.get(event.stream_id)) is not None:
            tidy(stream.buffer)

    def process_connection_terminated(self, event: ConnectionTerminated) -> None:
        """A client that says goodbye opens no more streams; those that are open go on until it closes."""
        if not self.streams and not self._requests:
            super().process_connection_terminated(event)

    def close(self, reason: str = "Connection closed") -> None:
        if not self.connection.is_closing():
            self.connection.flush()
        super().close(reason)


class Crowd:
    """The connections that have more to do than fits into a turn of the loop: they divide it among them."""

    def __init__(self) -> None:
        self.number = 0

    @property
    def share(self) -> int:
        """What each of them gets."""
        return max(LEAST, SHARE // max(1, self.number))


class ServerProtocol(HeartbeatProtocol):
    """A connection of a client. Subclasses decide when HTTP/2 begins: with `connection_made`."""

    def __init__(self, handler: RequestHandler, crowd: Crowd) -> None:
        super().__init__(handler, _CONFIGURATION, _H2_CONFIGURATION)
        self.handler: RequestHandler
        self._requests: dict[int, WholeRequest] = {}
        """Those that have come whole, have no answer, and are no streams."""
        self._crowd = crowd
        self._loop = asyncio.get_running_loop()
        self._floods = FloodWatch(self._loop.time())
        self._begun = 0
        """Requests, in all."""
        self._next_turn: asyncio.Handle | None = None
        self._missed_turn = False
        self._stalled: asyncio.TimerHandle | None = None
        self._taken = self._taken_at_sign = 0
        self._cut_off = False

    @property
    def _socket(self) -> GatheringTransport:
        return cast(GatheringTransport, self.connection._transport)

    def _events(self) -> EventsProcessor:
        return _ServerEvents(self.handler, self.connection, self._requests)

    def _settings(self) -> dict[SettingCodes | int, int]:
        return {**super()._settings(), SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS}

    def _begin_h2(self) -> Http2Engine:
        h2 = super()._begin_h2()
        # h2 says so with the first headers, and until then they would have to go its way
        h2.state_machine.state = ConnectionState.SERVER_OPEN
        return h2

    # --- requests that have come whole ---

    def _takes_whole(self, data: bytes, at: int, stop: int) -> int:
        quick = self._headers
        if quick is None or not self._in_order:
            return 0
        _, flags, stream_id = FRAME.unpack_from(data, at)
        window = window_update(data, stop, stream_id)  # grpcio opens that of every call
        begin = stop + WINDOW_UPDATE_SIZE if window else stop
        last = last_frame(data, begin, stream_id, self._h2.max_inbound_frame_size, _END)
        if last is None or not quick.may_open(window):
            return 0
        body = b"".join((*last.before, last.payload)) if last.before else last.payload
        if len(body) > self._h2.inbound_flow_control_window:
            return 0
        headers = quick.read_ahead(stream_id, flags, data[at + FRAME.size : stop], len(self._requests))
        if headers is None:
            return 0
        request = WholeRequest(self, stream_id, body, window)
        self._begun += 1
        if window:
            self._weigh(WINDOW_UPDATE, 1)
        if not self.handler.accept_whole(request, headers):
            return 0
        quick.begun(stream_id, len(body))
        self._requests[stream_id] = request
        owe(self.connection, stream_id, len(body))
        self.connection.data_received += len(body)
        return last.stop

    def _goes_short(self, kind: int, flags: int, stream_id: int, payload: bytes) -> bool:
        if kind == HEADERS:
            self._begun += 1
        if self._requests:
            if kind == HEADERS:  # h2 counts what is open
                for request in [*self._requests.values()]:
                    self.adopt(request)
            else:
                self._make_known(stream_id)
        return super()._goes_short(kind, flags, stream_id, payload)

    def _make_known(self, stream_id: int) -> None:
        request = self._requests.get(stream_id)
        if request is not None:
            self.adopt(request)

    def adopt(self, request: WholeRequest) -> None:
        """Make a stream of a request."""
        assert self._headers is not None
        del self._requests[request.number]
        size = len(request.data)
        self._headers.known(request.number, size, request.window)
        stream = self.connection.create_stream(stream_id=request.number)
        release = self.processor.register(stream)
        owe(self.connection, request.number, -size)
        stream.buffer.add(request.data, size)
        stream.buffer.eof()
        stream.data_received += size
        self.handler.adopted(stream, release)

    @property
    def room_for_answer(self) -> int:
        """How many bytes of an answer to a whole request window and socket take now."""
        connection = self.connection
        if self._headers is None or not connection.write_ready.is_set() or connection.is_closing():
            return 0
        return self._headers.room

    def answer(self, request: WholeRequest, headers: Pairs, data: bytes, trailers: Pairs) -> bool:
        """See `WholeRequest.answer`."""
        if self._headers is None or request.number not in self._requests or len(data) > self.room_for_answer:
            return False
        written = self._headers.answer_whole(request.number, headers, data, trailers)
        if not written:
            return False
        del self._requests[request.number]
        self._socket.write(written)
        self.connection.data_sent += len(data)
        if isinstance(self.connection, QuickConnection):
            self.connection.pieces += -(-len(data) // self._h2.max_outbound_frame_size)
        return True

    def drop(self, request: WholeRequest) -> None:
        """See `WholeRequest.drop`."""
        self._requests.pop(request.number, None)

    def gather(self) -> None:
        """What is sent from now on is written by `push`, or sooner if it is much."""
        if not self.connection.is_closing():
            self._socket.cork()

    def push(self) -> None:
        """Write what waits."""
        if not self.connection.is_closing():
            self._socket.uncork()

    # --- no more than its share ---

    def data_received(self, data: bytes) -> None:
        """Take what has come, in this turn of the loop and in others."""
        if self._cut_off:
            return
        if self._next_turn is not None:  # it was on its way when reading stopped
            self._rest += data
            return
        super().data_received(data)
        if not self.connection.is_closing() and self._socket.get_write_buffer_size() > _ANSWERS:
            self._socket.stop_reading(Deaf.ANSWERS)

    @property
    def _share(self) -> int | None:
        return self._crowd.share

    def _postpone(self) -> None:
        self._socket.stop_reading(Deaf.TURN)
        self._wait_for_a_turn()

    def _wait_for_a_turn(self) -> None:
        self._crowd.number += 1
        self._next_turn = self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        self._crowd.number -= 1
        if self._socket.is_deaf_beside(Deaf.TURN):
            self._missed_turn = True
            return
        self._next_turn = None
        if not self.connection.is_closing():
            self._socket.read_again(Deaf.TURN)
            self.data_received(b"")

    def _catch_up(self) -> None:
        """Go on with what has come, where its turn was missed."""
        if self._missed_turn:
            self._missed_turn = False
            self._wait_for_a_turn()

    def _weigh(self, kind: int, number: int) -> None:
        if kind in UNCOUNTED:
            return
        pieces = self.connection.pieces if isinstance(self.connection, QuickConnection) else 0
        traffic = Traffic(self._begun, pieces, self.connection.data_sent)
        seen = self._floods.frames(kind, number, traffic, self._loop.time())
        if seen is FloodVerdict.TOO_MUCH:
            log.warning("a client is cut off that floods the server with frames of type %d", kind)
            raise EnhanceYourCalm("too many frames that carry nothing")

    def hold(self) -> None:
        """Neither read nor write, until `go_on`."""
        self._socket.hold()
        self.stop_heartbeat()
        self.connection.pause_writing()

    def go_on(self) -> None:
        """Do all that is to be done since `hold`."""
        self._socket.go_on()
        self.connection.resume_writing()
        self._catch_up()

    def hold_back(self) -> None:
        """Read no more requests, until `take_more`: too many are ending."""
        self._socket.stop_reading(Deaf.CALLS)

    def take_more(self) -> None:
        """Read requests again."""
        if not self.connection.is_closing():
            self._socket.read_again(Deaf.CALLS)
            self._catch_up()

    def _fail(self, error: ProtocolError) -> None:
        if not isinstance(error, EnhanceYourCalm):
            super()._fail(error)
            return
        # A socket that is closed with something unread in it is reset, and the client would not hear the reason.
        self._cut_off = True
        self._rest = b""
        self._h2.close_connection(error.error_code)
        self._flush()
        self.handler.close()
        self._loop.call_later(LAST_WORDS, self.processor.close)

    # --- clients that do not read ---

    def last_sign(self, now: float) -> float:
        """Return when the client has shown that it is there: also by taking a part of what waits for it, behind which
        it does not see what it is asked. One that is not read from is not silent; `_look` sees to it.
        """
        before, self._taken_at_sign = self._taken_at_sign, self._socket.taken
        takes = self._taken_at_sign > before and self._socket.untaken > 0
        return now if takes or self._socket.is_deaf else self.heard

    def pause_writing(self) -> None:
        """The socket does not take more for now."""
        super().pause_writing()
        self._taken = self._socket.taken
        if self._stalled is None:
            self._stalled = self._loop.call_later(TAKES_NOTHING, self._look)

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self._forget_stall()
        if not self.connection.is_closing() and not self._socket.held:
            super().resume_writing()
            self._socket.read_again(Deaf.ANSWERS)
            self._catch_up()

    def _look(self) -> None:
        """See whether anything was taken since the last look."""
        self._stalled = None
        if self.connection.is_closing():
            return
        taken = self._socket.taken
        if taken <= self._taken:
            log.info("a client is cut off that has taken nothing for %g seconds", TAKES_NOTHING)
            self._socket.abort()
            return
        self._taken = taken
        self._stalled = self._loop.call_later(TAKES_NOTHING, self._look)

    def _forget_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""
        self._forget_stall()
        self.stop_heartbeat()
        if self._next_turn is not None and not self._missed_turn:
            self._crowd.number -= 1
            self._next_turn.cancel()
            self._next_turn = None
        super().connection_lost(exc)

    # --- goodbyes ---

    def retire(self, code: int) -> None:
        """Tell the client to open no more streams; those that are open go on."""
        if not self.connection.is_closing():
            self.connection.flush()
            self.connection._transport.write(_GO_AWAY.pack(8, 7, 0, 0, _ALL_STREAMS, code))

    def say_goodbye(self) -> None:
        """Tell the client that the connection ends now."""
        if not self.connection.is_closing():
            self._h2.close_connection()
            self.connection.flush()
