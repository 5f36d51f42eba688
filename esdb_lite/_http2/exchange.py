"""A request that is sent whole and its answer, for as long as nothing about that is unusual.

Owns: taking the frames of such an answer: headers and trailers that have come before, and a little data in between.
Must not know: gRPC, who waits for the answer.

A stream of grpclib for each call, its events and its waiters cost more than such a call does otherwise. With the first
frame that is unusual, whoever asked makes it a stream like others, which has what has come so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from h2.stream import H2Stream

from esdb_lite._http2.quick_headers import END_HEADERS, END_STREAM, HEADERS, Pairs, QuickHeaders

if TYPE_CHECKING:
    from esdb_lite._http2.client import ExchangeWatcher

_MOST = 65_536
"""Bytes of an answer that are kept here: what is more does not come at once."""


class UsualAnswer(NamedTuple):
    """What an answer is made of, as it came before: where it comes again, these are the same objects."""

    headers: Pairs
    trailers: Pairs


class Exchange:
    """One of them, with what has come of the answer."""

    __slots__ = ("answered", "data", "stream_id", "usual", "watcher")

    def __init__(self, stream_id: int, watcher: ExchangeWatcher, usual: UsualAnswer) -> None:
        self.stream_id = stream_id
        self.watcher = watcher
        self.usual = usual
        self.answered = False
        """The headers have come."""
        self.data = b""

    def takes(self, known: QuickHeaders, inner: H2Stream, kind: int, flags: int, payload: bytes) -> bool:
        """Take a frame of the answer: headers, data, or trailers. False, and nothing is taken: it is unusual."""
        if kind == HEADERS:
            return self._takes_headers(known, inner, flags, payload)
        if flags or not payload or not self.answered or len(self.data) + len(payload) > _MOST:
            return False
        inner._inbound_window_manager.window_consumed(len(payload))
        self.data += payload
        return True

    def _takes_headers(self, known: QuickHeaders, inner: H2Stream, flags: int, block: bytes) -> bool:
        machine, headers = inner.state_machine, known.recall(block)
        if self.answered:
            if flags != END_HEADERS | END_STREAM or headers is not self.usual.trailers:
                return False
            machine.trailers_received = True
        else:
            if flags != END_HEADERS or headers is not self.usual.headers:
                return False
            machine.headers_received = self.answered = True
        return True
