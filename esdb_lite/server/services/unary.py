"""What the services have in common: taking the one request of a call, and telling what is wrong with it.

Owns: these few rules. Must not know: any service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite._wire.primitives import WireError
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.storage.errors import (
    StorageClosed,
    StorageCorrupted,
    StorageError,
    StorageFull,
    StorageReadOnly,
)

T = TypeVar("T")

MAX_INT64 = 2**63 - 1
MINUS_ONE = 2**64 - 1
"""-1 in a uint64 field."""


def decoded(decode: Callable[[bytes], T], message: bytes) -> T:
    """Decode a request. Raises RpcError."""
    try:
        return decode(message)
    except WireError as error:
        raise refusals.invalid_argument(f"The request cannot be decoded: {error}.") from error


async def only_request(call: ServerCall) -> bytes:
    """Return the request of a call that has one. Raises RpcError."""
    messages = await call.receive()
    if not messages:
        raise refusals.internal("Incomplete message: the call has no request.")
    return messages[0]


def unary(method: Callable[[bytes], Awaitable[bytes]]) -> Handler:
    """Make a handler of a function from the request to the answer."""

    async def handle(call: ServerCall) -> None:
        await call.send([await method(await only_request(call))])

    return handle


def unary_by_caller(method: Callable[[bytes, str], Awaitable[bytes]]) -> Handler:
    """Make a handler of a function from the request and the caller's name to the answer."""

    async def handle(call: ServerCall) -> None:
        await call.send([await method(await only_request(call), call.principal.name)])

    return handle


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


_STORAGE_CODES: tuple[tuple[type[StorageError], StatusCode], ...] = (
    (StorageClosed, StatusCode.UNAVAILABLE),
    (StorageFull, StatusCode.RESOURCE_EXHAUSTED),
    (StorageReadOnly, StatusCode.FAILED_PRECONDITION),
    (StorageCorrupted, StatusCode.DATA_LOSS),
)


def storage_failure(error: StorageError) -> RpcError:
    """Return what a call ends with when the storage fails."""
    code = next((code for kind, code in _STORAGE_CODES if isinstance(error, kind)), StatusCode.INTERNAL)
    return RpcError(code, f"The database failed: {error}")
