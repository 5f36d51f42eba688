"""What the services have in common: the generated bases made to handlers, and telling what is wrong with a request.

Owns: these few rules. Must not know: any service.
A cold service derives from its generated base, overrides the methods that it serves, and is served by `routes`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import betterproto

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite._wire.messages import decode_message
from esdb_lite._wire.primitives import WireError
from esdb_lite.server.database.loop_share import ROOM, LoopShare
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.services.page_room import PAGE, PageRoom
from esdb_lite.server.sparing_log import SparingLog
from esdb_lite.server.storage.errors import (
    StorageClosed,
    StorageCorrupted,
    StorageError,
    StorageFull,
    StorageLocked,
    StorageReadOnly,
)

T = TypeVar("T")
M = TypeVar("M", bound=betterproto.Message)
E = TypeVar("E", bound=betterproto.Message)

_failures = SparingLog(logging.getLogger("esdb_lite.server"), logging.ERROR)

_call: ContextVar[ServerCall] = ContextVar("call")

MINUS_ONE = 2**64 - 1
"""-1 in a uint64 field."""

_ENCODED_AT_ONCE = 16
"""Messages within an answer: some milliseconds."""


def decoded(decode: Callable[[bytes], T], message: bytes) -> T:
    """Decode a request. Raises RpcError."""
    try:
        return decode(message)
    except WireError as error:
        raise refusals.invalid_argument(f"The request cannot be decoded: {error}.") from error


def parse(kind: type[M], data: bytes) -> M:
    """Decode a request by its generated class. Raises RpcError."""
    return decoded(partial(decode_message, kind), data)


def required(message: M, field: str) -> M:
    """Return a part of a request that must be there. Raises RpcError."""
    if not betterproto.serialized_on_wire(message):
        raise refusals.invalid_argument(f"{field} is missing.")
    return message


def stream_text(name: bytes) -> str:
    """Return a stream's name. Raises RpcError when it is not UTF-8."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise refusals.invalid_argument("stream_identifier.stream_name is not UTF-8.") from None


def encoded(kind: type[M], data: bytes) -> M:
    """Return an answer that is encoded already, for those that are asked for often."""
    return cast("M", _Encoded(data))


async def encoded_list(kind: Callable[[list[E]], M], items: Sequence[T], show: Callable[[T], E]) -> M:
    """Return an answer that is a list of what is shown of items: a few are encoded in a turn of the loop."""
    parts: list[bytes] = []
    for start in range(0, len(items), _ENCODED_AT_ONCE):
        if start:
            await asyncio.sleep(0)
        parts.append(bytes(kind([show(item) for item in items[start : start + _ENCODED_AT_ONCE]])))
    return cast("M", _Encoded(b"".join(parts)))


class _Encoded:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


def current_call() -> ServerCall:
    """Return the call that a method of a generated base serves."""
    return _call.get()


class GeneratedBase(Protocol):
    """A generated base of a service, or what derives from one."""

    def __mapping__(self) -> Mapping[str, Any]:
        """Return grpclib's `const.Handler` of each method by path."""
        ...


def routes(service: GeneratedBase, turns: LoopShare, pages: PageRoom | None = None) -> Mapping[str, Handler]:
    """Return handlers by path for the methods that a service overrides, in the order of the schema.

    They answer one call in a turn of the loop: generated messages take their time, and many may be asked for at once.
    After those that take long, there are turns for others only. `pages`: where large answers are held, until their
    client has taken them.
    """
    handlers: dict[str, Handler] = {}
    for path, about in service.__mapping__().items():
        method = getattr(service, about.func.__name__.removeprefix("__rpc_"))
        if not method.__module__.startswith("esdb_lite_protos."):
            handlers[path] = _handler(
                method, about.request_type, turns, pages or PageRoom(), many=about.cardinality.server_streaming
            )
    return handlers


def refusing(base: Callable[[], GeneratedBase], refusal: Callable[[], RpcError]) -> Mapping[str, Handler]:
    """Return handlers by path for all methods of a service, each of which refuses."""

    async def refuse(_: ServerCall) -> None:
        raise refusal()

    return dict.fromkeys(base().__mapping__(), refuse)


def _handler(
    method: Callable[[M], Any], request_type: type[M], turns: LoopShare, pages: PageRoom, *, many: bool
) -> Handler:
    async def answer(message: bytes) -> bytes:
        return bytes(await method(parse(request_type, message)))

    async def answer_once(call: ServerCall) -> None:
        _call.set(call)
        message = await only_request(call)
        await turns.enter(ROOM)
        while pages.is_full(call.peer):  # it does not take what it has asked for
            async with pages.page(call.peer):
                pass
            await turns.enter(ROOM)
        answered = await turns.metered(answer(message))
        if len(answered) < PAGE:
            await call.send([answered])
            return
        async with pages.page(call.peer) as held:
            held.weigh(len(answered))
            await call.send([answered])

    async def answer_often(call: ServerCall) -> None:
        _call.set(call)
        message = await only_request(call)
        await turns.enter(ROOM)
        async with aclosing(method(parse(request_type, message))) as answers:
            while (answer := await turns.metered(_next(answers))) is not None:
                await call.send([answer])
                await turns.enter(ROOM)

    return answer_often if many else answer_once


async def _next(answers: AsyncGenerator[betterproto.Message, None]) -> bytes | None:
    answer = await anext(answers, None)
    return None if answer is None else bytes(answer)


async def only_request(call: ServerCall) -> bytes:
    """Return the request of a call that has one. Raises RpcError."""
    messages = await call.receive()
    if not messages:
        raise refusals.internal("Incomplete message: the call has no request.")
    return messages[0]


def pipeline(*layers: Callable[[Handler], Handler], handler: Handler) -> Handler:
    """Wrap a handler in layers, named in the order in which a call meets them."""
    for layer in reversed(layers):
        handler = layer(handler)
    return handler


def reporting_storage_errors(handler: Handler) -> Handler:
    """Make a handler that answers with a status where the storage fails."""

    async def handle(call: ServerCall) -> None:
        try:
            await handler(call)
        except StorageError as error:
            raise storage_failure(error) from error

    return handle


def failure_of(error: object) -> RpcError:
    """Return what a call ends with whose work has ended with this exception."""
    if isinstance(error, StorageError):
        return storage_failure(error)
    _failures.log("a write failed: %r", error)
    return refusals.internal("The server failed to handle the request; its log says why.")


_STORAGE_CODES: tuple[tuple[type[StorageError], StatusCode], ...] = (
    (StorageClosed, StatusCode.UNAVAILABLE),
    (StorageFull, StatusCode.RESOURCE_EXHAUSTED),
    (StorageLocked, StatusCode.UNAVAILABLE),
    (StorageReadOnly, StatusCode.FAILED_PRECONDITION),
    (StorageCorrupted, StatusCode.DATA_LOSS),
)


def storage_failure(error: StorageError) -> RpcError:
    """Return what a call ends with when the storage fails; the log is told of it, now and then."""
    if not isinstance(error, StorageClosed):
        _failures.log("the database failed: %s", error)
    code = next((code for kind, code in _STORAGE_CODES if isinstance(error, kind)), StatusCode.INTERNAL)
    return RpcError(code, f"The database failed: {error}")
