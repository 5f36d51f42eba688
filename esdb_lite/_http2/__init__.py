"""HTTP/2: the only importer of grpclib and h2, below client and server alike.

Owns: bytes in and out of streams, flow control, what keeps a connection alive. Must not know: gRPC messages, statuses.
"""
