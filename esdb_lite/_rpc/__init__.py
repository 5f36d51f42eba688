"""Calls over gRPC: connections, calls, their four shapes. With `server.app` the only place that knows grpclib.

Owns: how bytes get to a server and back. Must not know: what they mean (`_wire`, `_convert`), or who wants them.
"""
