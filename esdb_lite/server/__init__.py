"""The embedded server: the EventStoreDB protocol on SQLite.

Owns: `EmbeddedServer`. What it consists of is imported when one is started.
"""

from esdb_lite.server._embedded import EmbeddedServer

__all__ = ["EmbeddedServer"]
