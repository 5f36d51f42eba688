"""gRPC statuses and the table of server-side errors, in one place and in both directions.

Owns: which status, text and trailers stand for which condition. The server raises `RpcError`s made here;
the client turns a status with its trailers into an exception of `esdb_lite.errors` here.
Must not know: grpclib, asyncio, sockets.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable


class StatusCode(enum.IntEnum):
    """The status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call ends with this status, text and trailers (the server's side of the table)."""

    def __init__(self, code: StatusCode, message: str = "", trailers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.trailers = tuple(trailers)
