"""The words of gRPC's answers: status codes, and a status with its text and trailers.

Owns: `StatusCode` and `RpcError`. Must not know: grpclib, asyncio, sockets, what the conditions are.
"""

from __future__ import annotations

from collections.abc import Iterable

from esdb_lite.errors import StatusCode as StatusCode

DETAILS_TRAILER = "grpc-status-details-bin"
"""Has a `google.rpc.Status`, which names the reason and has details."""


class RpcError(Exception):
    """A call ends with this status, text and trailers (the server's side of the table)."""

    def __init__(self, code: StatusCode, message: str = "", trailers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.trailers = tuple(trailers)
