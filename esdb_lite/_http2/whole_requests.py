"""A request that has come whole, on the server, for as long as it can be answered whole.

Owns: what can be done with such a request. Must not know: gRPC, who answers.

A stream of h2, one of grpclib, its events and its waiters cost more than such a call does otherwise. Until it is
answered, or something comes that concerns its stream, neither knows of the request; then it is made a stream like
others, as if it had been one from the beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite._http2.quick_headers import Pairs

if TYPE_CHECKING:
    from esdb_lite._http2.server import ServerProtocol


class WholeRequest:
    """One of them."""

    __slots__ = ("_protocol", "data", "number", "window")

    def __init__(self, protocol: ServerProtocol, number: int, data: bytes, window: int) -> None:
        self._protocol = protocol
        self.number = number
        """Of its stream."""
        self.data = data
        """All that was sent."""
        self.window = window
        """By how much the client has opened the window of its stream."""

    @property
    def room(self) -> int:
        """How many bytes of an answer window and socket take now."""
        return self._protocol.room_for_answer

    def answer(self, headers: Pairs, data: bytes, trailers: Pairs) -> bool:
        """Send a whole answer, and be done; False, and nothing is sent: there is no room for it.

        `headers` and `trailers` are short, and of a call that succeeds.
        """
        return self._protocol.answer(self, headers, data, trailers)

    def adopt(self) -> None:
        """Make it a stream with everything in it, which the handler of the connection gets by `adopted`."""
        self._protocol.adopt(self)

    def drop(self) -> None:
        """Leave it: it is answered, or nobody waits for an answer. Idempotent."""
        self._protocol.drop(self)
