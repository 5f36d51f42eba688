"""One Read call: asking, and taking what comes in batches.

Owns: the call from its first use to its end; what of an answer is an event, an error or the end. Must not know: how
bytes become events, what is done when a call fails (`resuming`), how items are handed out (`iterators`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.shapes import ServerStream
from esdb_lite._wire.controls import LastStreamPosition, StreamMissing, SubscriptionConfirmed
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.read_request import READ, ReadRequest
from esdb_lite._wire.read_response import ReadItem
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import ClientClosed, ProtocolError, StreamNotFound, Unauthenticated
from esdb_lite.events import CaughtUp, Checkpoint, FellBehind, RecordedEvent

if TYPE_CHECKING:
    from esdb_lite._rpc.pool import ConnectionPool
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike

_HANDED_OUT = (SubscriptionConfirmed, Checkpoint, CaughtUp, FellBehind)


class ReadCall:
    """One Read call as batches of items, from its first use to its end."""

    def __init__(
        self,
        core: ClientCore,
        request: ReadRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        need: Need = Need.PREFERRED,
    ) -> None:
        self._core = core
        self._request = request
        self._deadline = deadline
        self._credentials = credentials
        self._need = need
        self.node: ConnectionPool | None = None
        """Who serves it, once it has been opened."""
        self._decoder = ReadDecoder()
        self.stream: ServerStream | None = None
        """The call itself, once it has been opened."""
        self._begun = False
        self._closed = False
        self.last_stream_position: int | None = None
        """Number of the last event of the stream, when the server was to tell it, and has."""
        self.only_events = False
        """Whether the last batch had nothing but events."""

    @property
    def complete(self) -> bool:
        """Whether it is known that all has been taken, and that nothing is missing."""
        return self.stream is not None and self.stream.taken and self._decoder.complete

    async def open(self) -> None:
        """Send the request."""
        node = self.node = await self._core.node(self._deadline, self._need)
        metadata = await self._core.metadata(node, self._credentials, self._deadline, self._need)
        stream = ServerStream(node, READ, deadline=self._deadline, metadata=metadata)
        try:
            if self._request.limit is None:
                await stream.open()
                await stream.request(self._request.encode())
            else:
                await stream.ask(self._request.encode())
        except BaseException:
            stream.close()
            raise
        self.stream = stream

    async def batch(self) -> Sequence[ReadItem]:
        """Return the next items; none at the end. Raises StreamNotFound."""
        if self.stream is None:
            await self.open()
        while data := await self._receive():
            try:
                items = self._decoder.feed(data)
            except WireError as error:
                raise ProtocolError(str(error)) from error
            self.only_events = not self._decoder.controls
            if not self.only_events:
                items = self._without_notes(items)
            if items:
                return items
        if not self._decoder.complete:
            raise ProtocolError("the answer was cut off in the middle of a message")
        return ()

    async def _receive(self) -> bytes:
        """Return what comes next; the first time, a token that is refused is replaced once."""
        assert self.stream is not None
        if self._begun:
            return await self.stream.receive_data()
        self._begun = True
        try:
            return await self.stream.receive_data()
        except Unauthenticated:
            if not self._core.renew(self._credentials):
                raise
        self.stream.close()
        await self.open()
        if self._closed:
            self.stream.close()
            raise ClientClosed("the read or subscription was closed")
        return await self.stream.receive_data()

    def close(self) -> None:
        """End the call."""
        self._closed = True
        if self.stream is not None:
            self.stream.close()

    def _without_notes(self, items: list[ReadItem]) -> list[ReadItem]:
        """Take note of what is not handed out."""
        kept: list[ReadItem] = []
        self.only_events = True
        for item in items:
            if isinstance(item, RecordedEvent):
                kept.append(item)
            elif isinstance(item, StreamMissing):
                raise stream_not_found(item.stream_name)
            elif isinstance(item, LastStreamPosition):
                self.last_stream_position = item.stream_position
            elif isinstance(item, _HANDED_OUT):
                kept.append(item)
                self.only_events = False
        return kept


def stream_not_found(stream_name: str) -> StreamNotFound:
    """Return the exception for a stream without events."""
    error = StreamNotFound(f"stream {stream_name!r} does not exist")
    error.stream_name = stream_name
    return error
