"""The services of the server: they translate between messages and the database.

Owns: requests, answers, and which refusal is which status. Must not know: grpclib, SQLite, the rules themselves.
"""
