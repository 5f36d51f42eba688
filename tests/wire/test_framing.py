"""Messages in gRPC's framing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._wire.framing import CompressedMessage, MessageSplitter, MessageTooLong, frame
from esdb_lite._wire.primitives import WireError


def test_the_frame_is_what_grpc_says():
    assert frame([]) == b""
    assert frame([b"abc", b""]) == b"\0\0\0\0\3abc\0\0\0\0\0"


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(1, 30), min_size=1))
def test_messages_come_out_as_they_went_in(messages: list[bytes], cuts: list[int]):
    splitter, whole, found = MessageSplitter(), frame(messages), []
    at = turn = 0
    while at < len(whole):
        size = cuts[turn % len(cuts)]
        found += splitter.feed(whole[at : at + size])
        at, turn = at + size, turn + 1
    assert found == messages
    assert splitter.complete


def test_messages_come_as_soon_as_they_are_complete():
    splitter = MessageSplitter()
    assert splitter.feed(b"\0\0\0\0\1a\0\0\0") == [b"a"]
    assert not splitter.complete
    assert splitter.feed(b"\0") == []
    assert splitter.feed(b"\2b") == []
    assert splitter.feed(b"") == []
    assert splitter.feed(b"c\0") == [b"bc"]
    assert not splitter.complete


def test_what_is_refused():
    with pytest.raises(CompressedMessage):
        MessageSplitter().feed(b"\1\0\0\0\1a")
    with pytest.raises(WireError, match="flags 2"):
        MessageSplitter().feed(b"\2\0\0\0\1a")
    assert MessageSplitter(3).feed(frame([b"abc"])) == [b"abc"]
    with pytest.raises(MessageTooLong, match="4 bytes is longer than 3"):
        MessageSplitter(3).feed(b"\0\0\0\0\4")


def test_a_large_message_in_small_pieces_costs_no_more_than_its_size():
    message = b"x" * 30_000_000
    whole, splitter, found = frame([message]), MessageSplitter(), []
    for at in range(0, len(whole), 4096):
        found += splitter.feed(whole[at : at + 4096])
    assert found == [message]
