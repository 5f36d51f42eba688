"""The gRPC server: handlers by path, over HTTP/2 on one port.

Owns: listening, connections, calls and their endings. Must not know: what the handlers do, the database.
"""

from esdb_lite.server.app.calls import Route
from esdb_lite.server.app.server import RpcServer

__all__ = ["Route", "RpcServer"]
