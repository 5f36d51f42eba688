"""The four shapes of gRPC calls, in messages of bytes.

Owns: framing, and what each shape promises about the number of messages. Must not know: what the messages mean.
All are used as `async with`; leaving it ends the call, whatever its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.exchange import CallExchange, begin_exchange, exchange
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._wire.framing import MessageSplitter, frame
from esdb_lite._wire.primitives import WireError
from esdb_lite.errors import ProtocolError

if TYPE_CHECKING:
    from typing_extensions import Self

Metadata = Iterable[tuple[str, str]]


class _Shape:
    _long = False

    def __init__(self, pool: ConnectionPool, method: str, *, deadline: Deadline, metadata: Metadata = ()) -> None:
        self._pool = pool
        self._call = ClientCall(pool, method, deadline=deadline, metadata=metadata, long=self._long)

    async def open(self) -> Self:
        """Open the call, for those who do not use `async with`."""
        await self._call.__aenter__()
        return self

    @property
    def heard(self) -> float | None:
        """When something has come last on the connection, on the clock of the loop; None where there is none."""
        return self._call.heard

    @property
    def server_time(self) -> datetime | None:
        """What time it was by the clock of the server when it answered; None where it has not said it."""
        return self._call.server_time

    def close(self) -> None:
        """End the call whatever its state. Idempotent, and never waits."""
        self._call.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        self.close()


class ServerStream(_Shape):
    """One request, any number of answers."""

    _long = True
    _exchange: CallExchange | None = None
    _whole = False

    async def request(self, message: bytes) -> None:
        """Send the request."""
        await self._call.send(frame((message,)), end=True)

    async def ask(self, message: bytes) -> None:
        """Open the call and send the request. The answer may be short."""
        request = frame((message,))
        self._exchange = await begin_exchange(self._pool, self._call, request)
        if self._exchange is None:
            await self.open()
            await self._call.send(request, end=True)

    async def receive_data(self) -> bytes:
        """Return what has arrived, in pieces as it came; b"" at the end of a call that ended with OK."""
        begun = self._exchange
        if begun is not None:
            answer = await begun.answer()
            if self._exchange is begun:  # it was not closed meanwhile
                self._exchange = None
                if answer is not None:
                    self._whole = True
                    return answer
        return b"" if self._whole else await self._call.receive()

    @property
    def taken(self) -> bool:
        """Whether it is known that nothing more comes, and that it has ended with OK."""
        return self._whole or self._call.taken

    def close(self) -> None:
        """End the call whatever its state. Idempotent, and never waits."""
        begun, self._exchange = self._exchange, None
        if begun is not None:
            begun.unusual()
            begun.end()
        super().close()


class ClientStream(_Shape):
    """Any number of requests, one answer."""

    async def send(self, messages: Iterable[bytes], *, end: bool = False) -> None:
        """Send some of the requests. Raises the server's refusal as soon as it is there."""
        await self._call.send(frame(messages), end=end)

    async def finish(self) -> bytes:
        """Return the answer, after the last request was sent with `end`."""
        return await only_message(self._call)


class BidiStream(_Shape):
    """Requests and answers in both directions, for as long as both sides like."""

    _long = True

    def __init__(self, pool: ConnectionPool, method: str, *, deadline: Deadline, metadata: Metadata = ()) -> None:
        super().__init__(pool, method, deadline=deadline, metadata=metadata)
        self._splitter = MessageSplitter()

    async def open(self) -> Self:
        """Open the call and let the server know of it."""
        await super().open()
        self._call.flush()
        return self

    async def send(self, messages: Iterable[bytes], *, end: bool = False) -> None:
        """Send requests."""
        await self._call.send(frame(messages), end=end)

    def send_at_once(self, messages: Iterable[bytes]) -> bool:
        """Send requests if that needs no waiting; False, and nothing is sent, where it does. Not during a `send`."""
        return self._call.send_at_once(frame(messages))

    def deliver(self, take: Callable[[list[bytes]], None]) -> None:
        """Give messages to a function from now on as soon as they arrive; `receive` then waits for the end.

        To be called in the same turn of the loop in which `receive` has returned. What `take` may raise is
        ProtocolError, with which the call then fails.
        """

        def arrived(data: bytes) -> None:
            try:
                if messages := split(self._splitter, data):
                    take(messages)
            except ProtocolError as error:
                self._call.fail(error)

        self._call.deliver(arrived)

    async def receive_data(self) -> bytes:
        """Return what has arrived, in pieces as it came; b"" at the end of a call that ended with OK.

        For those who take messages apart themselves; not to be mixed with `receive`.
        """
        return await self._call.receive()

    async def receive(self) -> list[bytes]:
        """Return the messages that have arrived, waiting for one; [] at the end of a call that ended with OK."""
        while data := await self._call.receive():
            if messages := split(self._splitter, data):
                return messages
        return []


async def unary(
    pool: ConnectionPool, method: str, message: bytes, deadline: Deadline, metadata: Metadata = ()
) -> bytes:
    """Send one message and return the one that comes back."""
    call = ClientCall(pool, method, deadline=deadline, metadata=metadata)
    request = frame((message,))
    try:
        answer = await exchange(pool, call, request)
        if answer is None:
            if call.new:
                await call.open()
                if not call.send_at_once(request, end=True):
                    await call.send(request, end=True)
            answer = await call.receive_whole()
        if answer is None:
            return await only_message(call)
    finally:
        call.close()
    splitter = MessageSplitter()
    return _only_one(_all_of(splitter, split(splitter, answer)))


async def only_message(call: ClientCall) -> bytes:
    """Return the one message that comes back."""
    return _only_one(await all_messages(call, most=1))


async def all_messages(call: ClientCall, most: int | None = None) -> list[bytes]:
    """Return all messages that come back, which are few. Behind the `most`th the server has to end the call."""
    splitter = MessageSplitter()
    messages: list[bytes] = []
    while data := await call.receive():
        messages += split(splitter, data)
        if len(messages) == most:
            call.expect_end()
    return _all_of(splitter, messages)


def _all_of(splitter: MessageSplitter, messages: list[bytes]) -> list[bytes]:
    if not splitter.complete:
        raise ProtocolError("the answer was cut off in the middle of a message")
    return messages


def _only_one(messages: list[bytes]) -> bytes:
    if len(messages) != 1:
        raise ProtocolError(f"one message was expected, and there are {len(messages)}")
    return messages[0]


def split(splitter: MessageSplitter, data: bytes) -> list[bytes]:
    """Return the messages that are complete. Raises ProtocolError for what is none."""
    try:
        return splitter.feed(data)
    except WireError as error:
        raise ProtocolError(str(error)) from error
