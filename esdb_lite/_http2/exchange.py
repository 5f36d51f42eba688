"""A request that was sent whole and its answer, for as long as nothing about that is unusual.

Owns: finding such an answer in what arrives: headers and trailers that have come before, and data in between.
Must not know: gRPC, who waits for the answer.

A stream of h2, one of grpclib, its events and its waiters cost more than such a call does otherwise. Neither knows of
it until something comes that is unusual: then whoever asked makes it a stream like others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esdb_lite._http2.frames import END_HEADERS, END_STREAM, FRAME, HEADERS, last_frame
from esdb_lite._http2.quick_headers import Pairs, QuickHeaders

if TYPE_CHECKING:
    from esdb_lite._http2.client import ExchangeWatcher

_END = (HEADERS, END_HEADERS | END_STREAM)


class UsualAnswer:
    """What an answer is made of, as it came before: where it comes again, these are the same objects."""

    headers: Pairs | None = None
    """Those of an answer that was one of gRPC."""
    trailers: Pairs | None = None
    """Those of a call that ended with OK."""

    @property
    def known(self) -> bool:
        """Whether there was one."""
        return self.headers is not None and self.trailers is not None


class Exchange(NamedTuple):
    """One of them."""

    stream_id: int
    watcher: ExchangeWatcher
    usual: UsualAnswer
    sent: int
    """Bytes of data."""

    def answer_at(self, data: bytes, at: int, stop: int, known: QuickHeaders, largest: int) -> tuple[bytes, int] | None:
        """Return the data of the answer whose headers are `data[at:stop]`, and where it ends.

        None where not all of it is there, or where it is not as usual.
        """
        if data[at + 4] != END_HEADERS or known.recall(data[at + FRAME.size : stop]) is not self.usual.headers:
            return None
        last = last_frame(data, stop, self.stream_id, largest, _END)
        if last is None or known.recall(last.payload) is not self.usual.trailers:
            return None
        return last.before[0] if len(last.before) == 1 else b"".join(last.before), last.stop
