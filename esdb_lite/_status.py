"""gRPC statuses and the table of server-side errors, in one place and in both directions.

Owns: which status, text and trailers stand for which condition. The server raises `RpcError`s made here;
the client turns a status with its trailers into an exception of `esdb_lite.errors` here.
Must not know: grpclib, asyncio, sockets.
"""

from __future__ import annotations

from collections.abc import Iterable

from esdb_lite.errors import StatusCode as StatusCode


class RpcError(Exception):
    """A call ends with this status, text and trailers (the server's side of the table)."""

    def __init__(self, code: StatusCode, message: str = "", trailers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.trailers = tuple(trailers)
