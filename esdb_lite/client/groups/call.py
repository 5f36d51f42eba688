"""One call of a consumer of a persistent subscription, from its opening to its end.

Owns: becoming a consumer, taking what the server delivers, leaving a node that leads no more, and in which state all
of that is. Must not know: when answers are sent (`acks`), coming back (`subscription`).

    NEW ──open──▶ OPENING ──confirmed──▶ CONSUMING ──close──▶ ENDED

From everywhere `close` leads to ENDED, where nothing matters any more.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esdb_lite._rpc.shapes import BidiStream
from esdb_lite._rpc.shared import retrieved
from esdb_lite._wire.acks import READ, encode_consumer_options
from esdb_lite._wire.controls import SubscriptionConfirmed
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.read_response import ReadItem
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import (
    CallCancelled,
    ConsumerTooSlow,
    HandlerFailed,
    NotLeader,
    OperationTimedOut,
    ProtocolError,
    ServiceUnavailable,
    SubscriptionDropped,
    Unauthenticated,
)
from esdb_lite.events import RecordedEvent
from esdb_lite.positions import ALL_STREAM

if TYPE_CHECKING:
    from esdb_lite._rpc.deadline import Deadline
    from esdb_lite._rpc.pool import ConnectionPool
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike


COMES_BACK = (
    SubscriptionDropped,
    ServiceUnavailable,
    NotLeader,
    CallCancelled,
    ConsumerTooSlow,
    HandlerFailed,
    OperationTimedOut,
)
"""After these there may be another call."""


@dataclass(frozen=True)
class ConsumerOptions:
    """How a consumer behaves."""

    group_name: str
    stream_name: str | None
    """None: all events."""
    buffer_size: int
    ack_batch_size: int
    ack_delay: float
    """Seconds."""
    reconnect: bool

    @property
    def subscription_id(self) -> str:
        """What the server confirms."""
        return f"{ALL_STREAM if self.stream_name is None else self.stream_name}::{self.group_name}"


class GroupCallState(enum.Enum):
    """How far the call of a consumer has got."""

    NEW = "it is not open yet"
    OPENING = "the server was asked, and has not confirmed it"
    CONSUMING = "the server delivers events, and takes answers"
    ENDED = "it was ended here"


TRANSITIONS: Mapping[GroupCallState, frozenset[GroupCallState]] = {
    GroupCallState.NEW: frozenset((GroupCallState.OPENING, GroupCallState.ENDED)),
    # a token that is refused is replaced once, and the server asked again
    GroupCallState.OPENING: frozenset((GroupCallState.OPENING, GroupCallState.CONSUMING, GroupCallState.ENDED)),
    GroupCallState.CONSUMING: frozenset((GroupCallState.ENDED,)),
    GroupCallState.ENDED: frozenset((GroupCallState.ENDED,)),
}
"""What is not in it cannot happen."""


class GroupCall:
    """One call of a consumer. After `close` it is of no use any more."""

    def __init__(
        self,
        core: ClientCore,
        options: ConsumerOptions,
        name: str,
        *,
        deadline: Deadline,
        credentials: CredentialsLike,
    ) -> None:
        """`name` is what the server knows the consumer by."""
        self._core = core
        self._options = options
        self._name = name
        self._deadline = deadline
        self._credentials = credentials
        self._decoder = ReadDecoder(persistent=True)
        self._stream: BidiStream | None = None
        self._arriving: asyncio.Future[bytes] | None = None
        self._unwatch: Callable[[], None] | None = None
        self._moved: str | None = None
        self.node: ConnectionPool | None = None
        """Who serves it, or was asked to."""
        self.state = GroupCallState.NEW

    async def open(self) -> list[RecordedEvent]:
        """Become a consumer: returns when the server has confirmed it, with the events that came with that."""
        try:
            try:
                return await self._open()
            except Unauthenticated:
                if not self._core.renew(self._credentials):
                    raise
                return await self._open()
        except BaseException:
            self.close()
            raise

    async def _open(self) -> list[RecordedEvent]:
        self._to(GroupCallState.OPENING)
        if self._stream is not None:
            self._stream.close()
        self.node = None
        node = self.node = await self._core.node(self._deadline, Need.LEADER)
        who = await self._core.metadata(node, self._credentials, self._deadline, Need.LEADER)
        metadata = (*who, ("connection-name", self._name))
        stream = self._stream = BidiStream(node, READ, deadline=self._deadline, metadata=metadata)
        await stream.open()
        options = self._options
        request = encode_consumer_options(
            stream=options.stream_name, group=options.group_name, buffer_size=options.buffer_size
        )
        await stream.send([request])
        events = await self._confirmed(stream)
        self._to(GroupCallState.CONSUMING)
        self._unwatch = self._core.watch(node, self._leave)
        return events

    async def _confirmed(self, stream: BidiStream) -> list[RecordedEvent]:
        """Wait for the confirmation; return the events that came with it."""
        self._decoder = ReadDecoder(persistent=True)
        items: list[ReadItem] = []
        while not items:
            items.extend(self._decoded(await stream.receive_data()))
        if not isinstance(items[0], SubscriptionConfirmed):
            raise ProtocolError("the server has not confirmed the subscription")
        return [item for item in items if isinstance(item, RecordedEvent)]

    def arrival(self) -> asyncio.Future[bytes]:
        """Return what waits for the next data, which `take` takes when it is done; the same one until then.

        Whoever waits may be cancelled meanwhile: nothing is lost.
        """
        if self._arriving is None:
            assert self._stream is not None
            self._arriving = asyncio.ensure_future(self._stream.receive_data())
            self._arriving.add_done_callback(retrieved)
        return self._arriving

    def take(self, arrival: asyncio.Future[bytes]) -> list[RecordedEvent]:
        """Return the events that have arrived; none if somebody has taken them. Raises what the call has ended with."""
        if arrival is not self._arriving:
            return []
        self._arriving = None
        try:
            data = arrival.result()
        except COMES_BACK as error:
            if self._moved is None or self.node is None:
                raise
            raise self.node.failure(self._moved) from error
        return [item for item in self._decoded(data) if isinstance(item, RecordedEvent)]

    def _decoded(self, data: bytes) -> list[ReadItem]:
        if not data:
            raise CallCancelled("the server has ended the call")
        try:
            return self._decoder.feed(data)
        except WireError as error:
            raise ProtocolError(str(error)) from error

    async def send(self, messages: list[bytes]) -> None:
        """Send answers."""
        assert self._stream is not None
        await self._stream.send(messages)

    def send_at_once(self, messages: list[bytes]) -> bool:
        """Send answers if that needs no waiting; False, and nothing is sent, where it does. Not during a `send`."""
        assert self._stream is not None
        return self._stream.send_at_once(messages)

    def _leave(self, reason: str) -> None:
        """Another node leads: end the call, since a leader that is frozen does not say so."""
        self._moved = reason
        if self._stream is not None:
            self._stream.close()

    def close(self) -> None:
        """End the call without another word. Idempotent."""
        self._to(GroupCallState.ENDED)
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()
        if self._stream is not None:
            self._stream.close()
        if self._arriving is not None:
            self._arriving.cancel()

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """End it when nobody holds it any more: from whatever thread and moment the collector has chosen."""
        with suppress(RuntimeError):  # the loop is closed, and the connection with it
            loop.call_soon_threadsafe(self.close)

    def _to(self, state: GroupCallState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"the call of a consumer cannot become {state.name} while {self.state.value}")
        self.state = state
