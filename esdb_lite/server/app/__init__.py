"""The gRPC server: handlers by path, over HTTP/2 on one port; and what else is served there.

Owns: listening, connections, calls and their endings. Must not know: what the handlers do, the database.
"""

from esdb_lite.server.app.plain import PlainHttp
from esdb_lite.server.app.quick import Route
from esdb_lite.server.app.server import RpcServer

__all__ = ["PlainHttp", "Route", "RpcServer"]
