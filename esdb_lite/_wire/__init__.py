"""The codec for the messages of which there are many: reads, appends, answers to persistent subscriptions.

Owns: bytes of protobuf and gRPC's framing, in both directions. Must not know: connections, the rules of the database.
"""
