"""A shorter way for the headers of ordinary calls, over which h2 takes ten times as long as it needs.

Owns: HEADERS frames of requests, answers and trailers, both directions, where all that h2 would do with one is to open
a stream or to end a side of it. Must not know: gRPC, sockets.

h2 stays in charge: a stream that begins here is one of its own, in the state in which it would have left it. Whatever
is not quite ordinary is for h2: padding, priorities, blocks in several frames, numbers of streams that are not next,
as many streams as may be open, informational answers, lengths that are said beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, H2Connection, _decode_headers
from h2.events import Event, RequestReceived, ResponseReceived, StreamEnded, TrailersReceived
from h2.stream import H2Stream, StreamClosedBy, StreamState

from esdb_lite._http2.frames import DATA, END_HEADERS, END_STREAM, FRAME, HEADERS, LARGEST_WINDOW, RESERVED
from esdb_lite._http2.header_blocks import LONGEST_BLOCK, BlockMemory

if TYPE_CHECKING:
    from h2.stream import H2StreamStateMachine
    from hpack.struct import Header

_MOST_STREAMS = 256
"""Streams that h2 may know: those that have ended and that it has not looked at since are among them."""

Pairs = Sequence[tuple[str, str]]
E = TypeVar("E", bound=Event)


class _Block(NamedTuple):
    """What has come."""

    raw: Iterable[Header]
    texts: Pairs
    ordinary: bool


def is_ordinary(config: H2Configuration) -> bool:
    """Whether h2 does nothing with headers that is not done here."""
    return config.header_encoding == "latin-1" and not (
        config.validate_inbound_headers
        or config.validate_outbound_headers
        or config.normalize_inbound_headers
        or config.normalize_outbound_headers
    )


def end_output(h2: H2Connection, stream: H2Stream) -> None:
    """We have ended our side of a stream."""
    if stream.state_machine.state is StreamState.OPEN:
        stream.state_machine.state = StreamState.HALF_CLOSED_LOCAL
    else:
        _close(h2, stream, StreamClosedBy.SEND_END_STREAM)


def end_input(h2: H2Connection, stream: H2Stream) -> StreamEnded:
    """The peer has ended its side of a stream."""
    if stream.state_machine.state is StreamState.OPEN:
        stream.state_machine.state = StreamState.HALF_CLOSED_REMOTE
    else:
        _close(h2, stream, StreamClosedBy.RECV_END_STREAM)
    return event_of(StreamEnded, stream.stream_id)


def _close(h2: H2Connection, stream: H2Stream, by: StreamClosedBy) -> None:
    stream.state_machine.state, stream.state_machine.stream_closed_by = StreamState.CLOSED, by
    # h2 would do that when it counts what is open
    del h2.streams[stream.stream_id]
    h2._closed_streams[stream.stream_id] = by


class QuickHeaders:
    """The headers of one connection. To be asked only while it is open, and nothing of a longer block is awaited."""

    def __init__(self, h2: H2Connection) -> None:
        self._h2 = h2
        self._client = h2.config.client_side
        self._read: BlockMemory[bytes, _Block] = BlockMemory(h2.decoder.header_table, self._decode)
        self._ahead: tuple[bytes, _Block] | None = None
        """A block that was read before it is taken: to read it twice would change the table twice."""
        self._written: BlockMemory[Pairs, bytes] = BlockMemory(h2.encoder.header_table, h2.encoder.encode)
        self._most = 0
        self.learn()

    def learn(self) -> None:
        """Ask h2, which takes its time, how many streams may be open: in the beginning, and when the server says."""
        settings = self._h2.remote_settings if self._client else self._h2.local_settings
        self._most = min(settings.max_concurrent_streams, _MOST_STREAMS)

    def _decode(self, block: bytes) -> _Block:
        raw = [*_decode_headers(self._h2.decoder, block)]
        texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
        names = [name for name, _ in texts]
        statuses = [value for name, value in texts if name == ":status"]
        return _Block(raw, texts, "content-length" not in names and statuses in ([], ["200"]))

    # --- receiving ---

    def take(self, stream_id: int, flags: int, block: bytes) -> Sequence[Event] | None:
        """Return what a frame tells; None where it is for h2. Raises ProtocolError."""
        if flags & ~END_STREAM != END_HEADERS or len(block) > LONGEST_BLOCK:
            return None
        inner = self._h2.streams.get(stream_id)
        if self._client:
            if inner is None or not _may_answer(inner.state_machine, ended=bool(flags & END_STREAM)):
                return None
        elif inner is not None or not self._may_begin(stream_id):
            return None
        found = self._found(block)
        if inner is None:
            inner = self._h2._begin_new_stream(stream_id, AllowedStreamIDs.ODD)
        if not found.ordinary:
            return inner.receive_headers(found.raw, bool(flags & END_STREAM), "latin-1")[1]
        events = [self._heard(inner, found.texts)]
        return [*events, end_input(self._h2, inner)] if flags & END_STREAM else events

    def _may_begin(self, stream_id: int, beside: int = 0) -> bool:
        h2 = self._h2
        return (
            h2.highest_inbound_stream_id < stream_id < RESERVED
            and stream_id % 2 == 1
            and len(h2.streams) + beside < self._most
        )

    def read_ahead(self, stream_id: int, flags: int, block: bytes, beside: int) -> Pairs | None:
        """Return the headers of a request that is new, and ordinary; None where they are for `take`.

        `beside`: requests that have begun, and that h2 does not know. Either `begun` is called next, or `take`.
        """
        if flags != END_HEADERS or len(block) > LONGEST_BLOCK or not self._may_begin(stream_id, beside):
            return None
        found = self._read.get(block)
        self._ahead = block, found
        return found.texts if found.ordinary else None

    def _found(self, block: bytes) -> _Block:
        ahead, self._ahead = self._ahead, None
        return ahead[1] if ahead is not None and ahead[0] == block else self._read.get(block)

    def begun(self, stream_id: int, size: int) -> None:
        """Headers were read ahead of a request that is no stream, with so many bytes of data."""
        self._ahead = None
        self._h2.highest_inbound_stream_id = stream_id
        self._h2._inbound_flow_control_window_manager.window_consumed(size)

    def may_open(self, more: int) -> bool:
        """Whether the window of a stream on which nothing was sent can be opened by so much."""
        return more <= LARGEST_WINDOW - self._h2.remote_settings.initial_window_size

    def known(self, stream_id: int, size: int, window: int) -> None:
        """Let h2 know of such a request, and of what has opened the window of its stream."""
        h2, highest = self._h2, self._h2.highest_inbound_stream_id
        h2.highest_inbound_stream_id = stream_id - 1  # as it was
        inner = h2._begin_new_stream(stream_id, AllowedStreamIDs.ODD)
        h2.highest_inbound_stream_id = highest
        self._heard(inner, ())
        inner.outbound_flow_control_window += window
        inner._inbound_window_manager.window_consumed(size)
        end_input(h2, inner)

    def _heard(self, inner: H2Stream, headers: Pairs) -> Event:
        machine = inner.state_machine
        if self._client:
            kind: type[Event] = TrailersReceived if machine.headers_received else ResponseReceived
            machine.trailers_received = machine.headers_received
        else:
            kind = RequestReceived
            machine.client = False
            machine.state = StreamState.OPEN
        machine.headers_received = True
        return event_of(kind, inner.stream_id, headers)

    def recall(self, block: bytes) -> Pairs | None:
        """Return what a block says that has come before, and is ordinary; None: it has to be looked at."""
        found = self._read.recall(block)
        return found.texts if found is not None and found.ordinary else None

    # --- sending ---

    def begin_whole(self, stream_id: int, headers: Pairs, data: bytes, beside: int) -> bool:
        """Write a whole request, to be flushed: its headers, and data that ends it. False where h2 has to, or where the
        windows do not take all of it.

        h2 does not know of it until `sent` tells; nor of others, so many of which have begun (`beside`).
        """
        h2, size = self._h2, len(data)
        if not 0 < size <= min(h2.max_outbound_frame_size, self.room):
            return False
        headers = headers if isinstance(headers, tuple) else tuple(headers)
        if not self._may_send(headers, beside):
            return False
        h2.highest_outbound_stream_id = stream_id
        h2.outbound_flow_control_window -= size
        frames = (
            *self._block(stream_id, END_HEADERS, headers),
            FRAME.pack(size << 8 | DATA, END_STREAM, stream_id),
            data,
        )
        h2._data_to_send += b"".join(frames)
        return True

    def sent(self, stream_id: int, size: int) -> None:
        """Let h2 know of such a request, with so many bytes of data."""
        h2, highest = self._h2, self._h2.highest_outbound_stream_id
        h2.highest_outbound_stream_id = stream_id - 1  # as it was
        inner = self._begin(stream_id)
        h2.highest_outbound_stream_id = highest
        inner.outbound_flow_control_window -= size
        end_output(h2, inner)

    def answered(self, stream_id: int, size: int) -> None:
        """Such a request has been answered whole, with so many bytes of data."""
        self._h2._inbound_flow_control_window_manager.window_consumed(size)
        self._h2._closed_streams[stream_id] = StreamClosedBy.RECV_END_STREAM

    def begin(self, stream_id: int, headers: Pairs) -> bool:
        """Write the headers of a request, which go with what is flushed next. False where h2 has to."""
        headers = headers if isinstance(headers, tuple) else tuple(headers)
        if not self._may_send(headers):
            return False
        self._begin(stream_id)
        self._write(stream_id, END_HEADERS, headers)
        return True

    def _may_send(self, headers: Pairs, beside: int = 0) -> bool:
        h2 = self._h2
        if len(h2.streams) + beside >= self._most:
            return False
        if self._written.recall(headers) is None and not _is_short(headers):
            return False
        return not h2.encoder.header_table.resized  # of which the peer has to hear first

    def _begin(self, stream_id: int) -> H2Stream:
        inner = self._h2._begin_new_stream(stream_id, AllowedStreamIDs.ODD)
        machine = inner.state_machine
        machine.client = machine.headers_sent = True
        machine.state = StreamState.OPEN
        inner.request_method = b"POST"
        return inner

    def answer(self, stream_id: int, headers: Pairs, *, end: bool) -> bool:
        """Write the headers of an answer, or trailers, to be flushed. False where h2 has to."""
        inner = self._h2.streams.get(stream_id)
        if inner is None or self._h2.encoder.header_table.resized or not _is_short(headers):
            return False
        machine = inner.state_machine
        if machine.state not in (StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE) or machine.trailers_sent:
            return False
        if bool(machine.headers_sent) is not end or (headers[0][0] == ":status") is end:
            return False
        if not end and headers[0][1] != "200":
            return False
        machine.trailers_sent = machine.headers_sent
        machine.headers_sent = True
        self._write(stream_id, END_HEADERS | (END_STREAM if end else 0), headers)
        if end:
            end_output(self._h2, inner)
        return True

    @property
    def room(self) -> int:
        """How many bytes the windows take, of a stream on which nothing was sent."""
        return int(min(self._h2.outbound_flow_control_window, self._h2.remote_settings.initial_window_size))

    def answer_whole(self, stream_id: int, headers: Pairs, data: bytes, trailers: Pairs) -> bytes:
        """Return a whole answer to such a request, and all that is to be written before: short headers of success, data
        for which there is room, or none, short trailers. Nothing where h2 has to do it."""
        h2, size = self._h2, len(data)
        if h2.encoder.header_table.resized:
            return b""
        h2.outbound_flow_control_window -= size
        parts = [h2.data_to_send(), *self._block(stream_id, END_HEADERS, headers)]
        largest = h2.max_outbound_frame_size
        for at in range(0, size, largest):
            piece = data if size <= largest else data[at : at + largest]
            parts += (FRAME.pack(len(piece) << 8 | DATA, 0, stream_id), piece)
        parts += self._block(stream_id, END_HEADERS | END_STREAM, trailers)
        h2._closed_streams[stream_id] = StreamClosedBy.SEND_END_STREAM
        return b"".join(parts)

    def _write(self, stream_id: int, flags: int, headers: Pairs) -> None:
        self._h2._data_to_send += b"".join(self._block(stream_id, flags, headers))

    def _block(self, stream_id: int, flags: int, headers: Pairs) -> tuple[bytes, bytes]:
        block = self._written.get(headers if isinstance(headers, tuple) else tuple(headers))
        return FRAME.pack(len(block) << 8 | HEADERS, flags, stream_id), block


def _may_answer(machine: H2StreamStateMachine, *, ended: bool) -> bool:
    """Whether headers of a server are an answer that goes on, or trailers that end it."""
    if machine.state not in (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL):
        return False
    return bool(machine.headers_received) is ended and not machine.trailers_received


def _is_short(headers: Pairs) -> bool:
    """Whether the block fits into a frame however it is coded."""
    return 0 < sum([len(name) + len(value) for name, value in headers]) <= LONGEST_BLOCK


def event_of(kind: type[E], stream_id: int, headers: Pairs | None = None) -> E:
    """Return what h2 tells, with as much of it as is looked at."""
    event = kind.__new__(kind)
    event.stream_id = stream_id  # type: ignore[attr-defined]
    if headers is not None:
        event.headers = headers  # type: ignore[attr-defined]
    return event
