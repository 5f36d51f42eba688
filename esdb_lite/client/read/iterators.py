"""Reads and subscriptions: asking, taking what comes in batches, and handing it out.

Owns: `ReadCall`, which is one call; `AsyncReadResponse` and `AsyncSubscription`; what of an answer is an event, an
error or the end. Must not know: how bytes become events, what is done when a call fails (`resuming`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, cast

from typing_extensions import Self

from esdb_lite._convert.requests import READ, ReadRequest
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.shapes import ServerStream
from esdb_lite._wire.controls import LastStreamPosition, StreamMissing, SubscriptionConfirmed
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.read_response import ReadItem
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.client.topology.choosing import Need
from esdb_lite.errors import ClientClosed, ProtocolError, StreamNotFound, Unauthenticated
from esdb_lite.events import CaughtUp, Checkpoint, FellBehind, Reconnected, RecordedEvent

if TYPE_CHECKING:
    from esdb_lite._rpc.pool import ConnectionPool
    from esdb_lite.client.core import ClientCore
    from esdb_lite.client.read.resuming import HealingReading, HealingSubscription
    from esdb_lite.settings import CredentialsLike

SubscriptionItem = Union[RecordedEvent, Checkpoint, CaughtUp, FellBehind, Reconnected]  # noqa: UP007
"""What a subscription hands out with `include_control=True`."""

T_co = TypeVar("T_co", covariant=True)
_CONTROL = (Checkpoint, CaughtUp, FellBehind, Reconnected)


class ReadCall:
    """One Read call as batches of items, from its first use to its end."""

    def __init__(
        self,
        session: ClientCore,
        request: ReadRequest,
        deadline: Deadline,
        credentials: CredentialsLike,
        need: Need = Need.PREFERRED,
    ) -> None:
        self._session = session
        self._request = request
        self._deadline = deadline
        self._credentials = credentials
        self._need = need
        self.node: ConnectionPool | None = None
        """Who serves it, once it has been opened."""
        self._decoder = ReadDecoder()
        self._stream: ServerStream | None = None
        self._begun = False
        self._closed = False
        self.last_stream_position: int | None = None
        """Number of the last event of the stream, when the server has told it."""

    async def open(self) -> None:
        """Send the request."""
        node = self.node = await self._session.node(self._deadline, self._need)
        metadata = await self._session.metadata(node, self._credentials, self._deadline, self._need)
        stream = ServerStream(node, READ, deadline=self._deadline, metadata=metadata)
        try:
            await stream.open()
            await stream.request(self._request.encode())
        except BaseException:
            stream.close()
            raise
        self._stream = stream

    @property
    def heard(self) -> float | None:
        """When something has come last on the connection, on the clock of the loop; None before it is there."""
        return None if self._stream is None else self._stream.heard

    @property
    def connected(self) -> bool:
        """Whether the connection is there that it was made on, whether it has ended or not."""
        return self._stream is not None and self._stream.connected

    @property
    def only_events(self) -> bool:
        """Whether the last batch had nothing but events."""
        return not self._decoder.controls

    async def batch(self) -> Sequence[ReadItem]:
        """Return the next items; none at the end. Raises StreamNotFound."""
        if self._stream is None:
            await self.open()
        while data := await self._receive():
            try:
                items = self._decoder.feed(data)
            except WireError as error:
                raise ProtocolError(str(error)) from error
            if self._decoder.controls:
                items = self._without_notes(items)
            if items:
                return items
        if not self._decoder.complete:
            raise ProtocolError("the answer was cut off in the middle of a message")
        return ()

    async def _receive(self) -> bytes:
        """Return what comes next; the first time, a token that is refused is replaced once."""
        assert self._stream is not None
        if self._begun:
            return await self._stream.receive_data()
        self._begun = True
        try:
            return await self._stream.receive_data()
        except Unauthenticated:
            if not self._session.renew(self._credentials):
                raise
        self._stream.close()
        await self.open()
        if self._closed:
            self._stream.close()
            raise ClientClosed("it was closed")
        return await self._stream.receive_data()

    def close(self) -> None:
        """End the call."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    def _without_notes(self, items: list[ReadItem]) -> list[ReadItem]:
        """Take note of what is not handed out."""
        kept: list[ReadItem] = []
        for item in items:
            if isinstance(item, StreamMissing):
                raise stream_not_found(item.stream_name)
            if isinstance(item, LastStreamPosition):
                self.last_stream_position = item.stream_position
            elif isinstance(item, (RecordedEvent, SubscriptionConfirmed, *_CONTROL)):
                kept.append(item)
        return kept


class AsyncEventIterator(Generic[T_co]):
    """Hands out what a call brings, one by one, without waiting while something is there.

    Works in `async with`. The call ends when the iterator is exhausted, fails, is closed or is dropped.
    """

    def __init__(self, reading: HealingReading | None, first: Sequence[T_co] = ()) -> None:
        self._reading = reading
        self._items: Iterator[T_co] = iter(first)
        self._fetching = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        for item in self._items:
            return item
        batch = await self._fetch()
        if not batch:
            raise StopAsyncIteration
        self._items = iter(batch)
        return next(self._items)

    async def next_batch(self) -> Sequence[T_co]:
        """Return all items that are there, after waiting for one; none at the end."""
        return list(self._items) or await self._fetch()

    async def close(self) -> None:
        """End the call and the iteration. Idempotent."""
        self._end()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        reading = getattr(self, "_reading", None)
        if reading is not None:
            reading.abandon()

    async def _fetch(self) -> Sequence[T_co]:
        """Return the next batch; none, and everything closed, at the end. Being cancelled loses nothing."""
        if self._fetching:
            raise RuntimeError("two tasks or threads iterate over the same object")
        self._fetching = True
        try:
            while self._reading is not None:
                reading = self._reading
                items = await reading.batch()
                if not items:
                    self._end()
                    break
                if batch := self._select(items, reading.only_events):
                    return batch
            return ()
        except Exception:
            if self._reading is None:  # closed by another task meanwhile
                return ()
            self._end()
            raise
        finally:
            self._fetching = False

    def _select(self, items: Sequence[object], all_events: bool) -> Sequence[T_co]:
        """Choose what is handed out."""
        chosen = items if all_events else [item for item in items if isinstance(item, RecordedEvent)]
        return cast("Sequence[T_co]", chosen)

    def _end(self) -> None:
        reading, self._reading = self._reading, None
        self._items = iter(())
        if reading is not None:
            reading.close()


class AsyncReadResponse(AsyncEventIterator[RecordedEvent]):
    """The events that a read finds. Reading begins when the first one is asked for."""


class AsyncSubscription(AsyncEventIterator[T_co]):
    """Stored events, then new ones as they are appended, without end.

    When the connection is lost, another node leads, or the server calls it too slow, the subscription resumes after
    the last event it handed out: nothing is missing, and nothing comes twice.
    """

    def __init__(self, reading: HealingSubscription, first: Sequence[T_co], control: bool) -> None:
        super().__init__(reading, first)
        self._subscription = reading
        self._control = control

    @property
    def subscription_id(self) -> str:
        """The server's name for the subscription; it changes when the subscription is resumed."""
        return self._subscription.subscription_id

    @property
    def last_activity(self) -> datetime | None:
        """When the server was last heard, answers to keep-alive pings included; None while there is no connection.

        In UTC, by the clock of this machine.
        """
        return self._subscription.last_activity

    def _select(self, items: Sequence[object], all_events: bool) -> Sequence[T_co]:
        return cast("Sequence[T_co]", select(items, control=self._control, all_events=all_events))


async def subscribe(reading: HealingSubscription, *, control: bool) -> AsyncSubscription[Any]:
    """Open a subscription; returns when the server has confirmed it."""
    try:
        items = await reading.batch()
    except BaseException:
        reading.close()
        raise
    return AsyncSubscription(reading, select(items, control=control, all_events=False), control)


def select(items: Sequence[object], *, control: bool, all_events: bool) -> Sequence[object]:
    """Choose what a subscription hands out."""
    if all_events:
        return items
    kinds = (RecordedEvent, *_CONTROL) if control else (RecordedEvent,)
    return [item for item in items if isinstance(item, kinds)]


def stream_not_found(stream_name: str) -> StreamNotFound:
    """Return the exception for a stream without events."""
    error = StreamNotFound(f"stream {stream_name!r} does not exist")
    error.stream_name = stream_name
    return error
