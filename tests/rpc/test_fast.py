"""The shorter way for DATA frames does what h2 would do, and leaves to h2 what is not its own."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable

import pytest
from grpclib.protocol import H2Protocol
from h2.connection import H2Connection
from h2.events import DataReceived
from h2.settings import SettingCodes
from h2.stream import StreamState
from hypothesis import given, settings
from hypothesis import strategies as st

from esdb_lite._http2 import protocol
from esdb_lite._http2.protocol import FastProtocol, write_data
from esdb_lite._http2.streams import receive_data
from tests.rpc.pair import TRAILERS, Pair, noise

# --- without what it has to know --------------------------------------------------------------------------------------


async def test_without_the_names_that_it_needs_everything_goes_to_h2(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "short_way_is_known", lambda: False)
    monkeypatch.setattr(FastProtocol, "_receive", None)
    pair = Pair()
    stream = await pair.open()
    pair.send(stream, b"abc")
    assert await receive_data(stream) == b"abc"
    assert not write_data(pair.protocol.connection, stream.id, b"abc")


# --- what is not allowed --------------------------------------------------------------------------------------------


def frame(size: int, kind: int, flags: int, stream_id: int, payload: bytes | None = None) -> bytes:
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + (payload or b"\0" * size)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(16_385, 0, 0, 1, b"\0"), 6),  # FRAME_SIZE_ERROR, before the frame is there
        (frame(16_385, 77, 0, 0, b"\0"), 6),
        (frame(5, 0, 0, 0), 1),  # data without a stream
        (frame(5, 0, 0, 7), 1),  # data on a stream that was never opened
        (frame(10_000, 0, 0, 1) * 11, 3),  # FLOW_CONTROL_ERROR
        (frame(3, 9, 4, 1), 1),  # a continuation of nothing
        (frame(1, 1, 0, 1, b"\x88") + frame(5, 0, 0, 1), 1),  # data amid a block of headers
    ],
)
async def test_a_peer_that_breaks_the_protocol_is_told_and_left(sent: bytes, code: int):
    pair = Pair(window=100_000, connection=200_000)
    await pair.open()
    pair.protocol.data_received(sent)
    assert pair.wire.closed
    goaway = bytes(pair.wire.written)[-17:]
    assert goaway[3] == 7
    assert goaway[-4:] == code.to_bytes(4, "big")
    pair.protocol.data_received(frame(5, 0, 0, 1))  # is ignored


async def test_frames_of_a_kind_that_nobody_knows_are_ignored():
    pair = Pair()
    stream = await pair.open()
    pair.protocol.data_received(frame(3, 77, 5, 0) + frame(2, 0, 0, 1, b"ab") + frame(3, 77, 5, 1))
    assert await receive_data(stream) == b"ab"
    assert not pair.wire.closed


@pytest.mark.skipif(importlib.metadata.version("h2") < "4", reason="h2 takes such data before version 4")
async def test_data_before_headers_is_refused():
    pair = Pair()
    await pair.open(answered=False)
    pair.protocol.data_received(frame(5, 0, 0, 1))
    assert pair.wire.closed


# --- the shortcut does what h2 does ---------------------------------------------------------------------------------

Action = Callable[[H2Connection, int], None]


def goes_on(h2: H2Connection, stream_id: int) -> bool:
    stream = h2.streams.get(stream_id)
    return stream is not None and stream.state_machine.state is StreamState.OPEN


ACTIONS: list[Action] = [
    lambda h2, id: h2.send_data(id, noise(300, id)),
    lambda h2, id: h2.send_data(id, noise(3, id) * 1000),
    lambda h2, id: h2.send_data(id, b""),
    lambda h2, id: h2.send_data(id, noise(30, id), pad_length=9),
    lambda h2, id: h2.send_data(id, noise(30, id), end_stream=True),
    lambda h2, id: h2.send_headers(id, TRAILERS, end_stream=True),
    lambda h2, id: h2.reset_stream(id, 8),
    lambda h2, id: h2.ping(b"12345678"),
    lambda h2, id: h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 70_000 + id}),
    lambda h2, id: h2.increment_flow_control_window(1000 + id),
    lambda h2, id: h2.increment_flow_control_window(1000 + id, id),
]


async def conversation(kind: type[H2Protocol], script: list[tuple[int, int]], cuts: list[int]) -> list[object]:
    """Play a script of (stream, action) to a connection, in pieces of these sizes; return all that can be seen."""
    pair = Pair(kind, window=2**20, connection=2**22)
    streams = [await pair.open() for _ in range(3)]
    ids = [stream.id or 0 for stream in streams]
    for which, action in script:
        if goes_on(pair.peer, ids[which]):
            ACTIONS[action](pair.peer, ids[which])
    data = pair.peer.data_to_send()
    at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        pair.protocol.data_received(data[at : at + size])
        at, turn = at + size, turn + 1
    seen: list[object] = []
    for stream in streams:
        received = b""
        while any(chunk.data for chunk in stream.buffer._unacked._queue):  # type: ignore[attr-defined]
            received += await receive_data(stream)
        inner = pair.protocol.connection._connection.streams.get(stream.id or 0)
        window = None if inner is None or inner.closed else inner._inbound_window_manager.current_window_size
        seen += [received, stream.buffer._eof, stream.trailers, window, stream.data_received]
        seen.append(stream.window_updated.is_set())
    h2 = pair.protocol.connection._connection
    seen += [h2._inbound_flow_control_window_manager.current_window_size, h2.outbound_flow_control_window]
    seen += [pair.wire.closed, bytes(pair.wire.written)]
    return seen


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, len(ACTIONS) - 1)), max_size=40),
    st.lists(st.sampled_from([1, 2, 8, 9, 10, 100, 313, 5000, 100_000]), min_size=1, max_size=5),
)
def test_the_shortcut_changes_nothing(script: list[tuple[int, int]], cuts: list[int]):
    async def both() -> None:
        assert await conversation(FastProtocol, script, cuts) == await conversation(H2Protocol, script, cuts)

    asyncio.run(both())


async def test_the_shortcut_is_taken(monkeypatch: pytest.MonkeyPatch):
    pair = Pair()
    stream = await pair.open()
    monkeypatch.setattr(FastProtocol, "_feed", None)
    for at in range(30):
        pair.peer.send_data(stream.id, noise(1000, at))
    data = pair.peer.data_to_send()
    for at in range(0, len(data), 700):
        pair.protocol.data_received(data[at : at + 700])
    assert await receive_data(stream) == b"".join(noise(1000, at) for at in range(30))


# --- what comes for a stream that was given up ------------------------------------------------------------------------


def kinds(data: bytes) -> list[int]:
    """The types of the frames in what was written."""
    found, at = [], 0
    while at < len(data):
        found.append(data[at + 3])
        at += 9 + int.from_bytes(data[at : at + 3], "big")
    return found


@pytest.mark.parametrize("how", ["data", "padded", "end", "trailers"])
async def test_a_stream_is_reset_no_more_than_once(how: str):
    """RFC 9113, section 5.4.2; and what comes still does not take room in the window of the connection for ever."""
    pair = Pair(window=2**20, connection=2**20)
    stream = await pair.open()
    stream.reset_nowait()
    for at in range(50):  # the peer does not know yet
        pair.peer.send_data(stream.id, noise(10_000, at), pad_length=5 if how == "padded" else None)
    if how == "end":
        pair.peer.end_stream(stream.id)
    elif how == "trailers":
        pair.peer.send_headers(stream.id, TRAILERS, end_stream=True)
    sent = pair.peer.data_to_send()
    for at in range(0, len(sent), 7000):
        pair.protocol.data_received(sent[at : at + 7000])
    written = pair.wire.take()
    assert kinds(written).count(3) == 1
    assert pair.protocol.connection._connection.inbound_flow_control_window >= 2**19
    pair.peer.receive_data(written)
    other = await pair.open()
    pair.send(other, b"abc")
    assert await receive_data(other) == b"abc"


async def test_data_for_a_stream_that_was_given_up_does_not_go_through_h2(monkeypatch: pytest.MonkeyPatch):
    pair = Pair()
    stream = await pair.open()
    stream.reset_nowait()
    pair.peer.send_data(stream.id, noise(10_000))
    monkeypatch.setattr(FastProtocol, "_feed", None)
    pair.protocol.data_received(pair.peer.data_to_send())


async def test_more_than_the_window_of_the_connection_is_refused_for_such_streams_too():
    pair = Pair(window=2**20, connection=70_000)
    stream = await pair.open()
    stream.reset_nowait()
    pair.protocol.data_received(frame(16_000, 0, 0, stream.id or 0) * 6)
    assert pair.wire.closed


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 300, 16_384, 16_385, 50_000])
async def test_data_is_written_as_h2_writes_it(size: int):
    seen = []
    for quick in (True, False):
        pair = Pair()
        stream = await pair.open()
        h2, data = pair.protocol.connection._connection, noise(size)
        h2.ping(b"whatever")  # h2 has something to say, which comes first
        if quick:
            assert write_data(pair.protocol.connection, stream.id, data)
        else:
            for at in range(0, size, 16_384):
                h2.send_data(stream.id, data[at : at + 16_384])
            pair.protocol.connection.flush()
        written = bytes(pair.wire.written)
        windows = h2.outbound_flow_control_window, h2.local_flow_control_window(stream.id)
        got = b"".join(event.data for event in pair.exchange() if isinstance(event, DataReceived))
        assert got == data
        seen.append((written, windows))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("ended_by", ["us", "reset", "goaway", "nobody"])
async def test_what_h2_would_refuse_is_left_to_h2(ended_by: str):
    pair = Pair()
    stream = await pair.open()
    h2, id = pair.protocol.connection._connection, stream.id
    if ended_by == "us":
        h2.end_stream(id)
    elif ended_by == "reset":
        pair.peer.reset_stream(id)
        pair.exchange()
    elif ended_by == "goaway":
        h2.close_connection()
    else:
        id = 77  # there is no such stream
    pair.protocol.connection.flush()
    before = bytes(pair.wire.written)
    assert not write_data(pair.protocol.connection, id, b"data")
    assert bytes(pair.wire.written) == before
