"""gRPC statuses and the table of server-side errors, in one place and in both directions.

Owns: which status, text and trailers stand for which condition. `codes` has the words, `refusals` is the server's side
(conditions to statuses), `exceptions` is the client's (statuses to exceptions).
Must not know: grpclib, asyncio, sockets.
"""

from esdb_lite._status.codes import RpcError, StatusCode

__all__ = ["RpcError", "StatusCode"]
