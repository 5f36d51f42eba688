"""The client for asyncio.

Owns: what an application calls, and the rules behind it. Must not know: threads, grpclib, the embedded server's inside.
"""
