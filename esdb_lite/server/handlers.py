"""What a service sees of one gRPC call, and what is served besides.

Owns: the shape of a call, of a handler and of a page. Must not know: grpclib, protobuf, the database, how
callers are recognised.
`server.app` implements `ServerCall` over grpclib; services and their tests use nothing else of the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import NamedTuple, Protocol

from esdb_lite._status import RpcError
from esdb_lite.server.engine.access import Principal


class CallWatcher(Protocol):
    """Looks at what a call sends."""

    def begin(self) -> None:
        """Look for something more."""
        ...

    def allowed(self, messages: list[bytes]) -> int | None:
        """Return how many messages to send before the connection is cut; None: all, and it is not cut."""
        ...


class ServerCall(Protocol):
    """One gRPC call on the server: messages are bytes, framing and flow control are hidden."""

    principal: Principal
    """Who makes the call. Callers are trusted until authentication says who they are."""
    tap: CallWatcher | None
    """Is asked about everything that is sent, where somebody wants that."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The request headers, names in lower case (`authorization`, `requires-leader`, `connection-name`)."""
        ...

    @property
    def peer(self) -> Hashable:
        """The connection that it comes over, to tell one from another."""
        ...

    @property
    def address(self) -> str:
        """Where that connection comes from, for logs."""
        ...

    async def receive(self) -> list[bytes]:
        """Return all messages that have arrived, waiting for at least one; the empty list after the half-close."""
        ...

    async def send(self, messages: list[bytes]) -> None:
        """Send messages in order; returns when the flow-control window and the socket have taken them."""
        ...

    async def send_framed(self, framed: bytes) -> None:
        """Do the same with messages as they stand in the stream."""
        ...

    def cut(self) -> None:
        """Close the connection after what has been sent, without a word. The call will be cancelled."""
        ...

    def send_at_once(self, messages: list[bytes]) -> bool:
        """Send messages if that needs no waiting; False, and nothing is sent, where it does. Not during a `send`."""
        ...

    def send_with_others(self, framed: bytes) -> bool:
        """Do the same with messages as they stand in the stream, together with what others send in this turn of the
        loop."""
        ...


Handler = Callable[[ServerCall], Awaitable[None]]
"""Serves one call: returning ends it with OK, raising `RpcError` with that status; it is cancelled when the
client goes away, its deadline passes or the server stops."""


QuickAnswer = Callable[[bytes | RpcError], None]
"""Takes the answer to a call, or what it ends with instead; to be called once, on the loop."""


class QuickMethod(Protocol):
    """Serves calls that have one request and one answer without a task for each, where nothing is the matter."""

    def begin(self, request: bytes, answer: QuickAnswer) -> Callable[[], None] | None:
        """Begin to serve a call, and return what gives it up; None, and nothing has begun: its handler is to serve it.

        `commit` is called after one or many of these; `answer` is not called before.
        """
        ...

    def commit(self) -> None:
        """Go on with all that has begun."""
        ...


QuickQuery = Callable[[bytes, int], bytes | None]
"""Answers the only request of a call at once, where nothing is the matter: with messages as they stand in the stream,
of so many bytes at most. None: its handler is to serve it."""

AT_ONCE = 64 * 1024
"""Bytes that such an answer may have."""


class PageBody(NamedTuple):
    """The content of a page."""

    content_type: str
    """Of what kind it is, as in the header of that name."""
    data: bytes
    """What it says."""


Page = Callable[[], PageBody]
"""Makes a page, on the loop."""

Http1Factory = Callable[[], asyncio.Protocol]
"""Makes the protocol of one connection that speaks HTTP/1.1.

It gets `connection_made` with the transport, `data_received` with everything from the first byte on, and so on, as
asyncio has it. The connection counts as one of the server's: it may be closed for others when there are too many, and
it is closed when the server stops.
"""
