"""The rules of the database as pure functions and state machines.

Owns: what an append, a read or a group does. Must not know: asyncio, protobuf, SQLite, the clock.
"""
