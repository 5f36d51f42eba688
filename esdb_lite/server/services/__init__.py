"""The services of the server: between messages on one side, the database and the rules on the other.

Owns: requests and answers, what belongs to a running call (open batches, followed subscriptions, access lists to
watch), and which refusal is which status. Must not know: grpclib, SQLite, the rules themselves.
"""
