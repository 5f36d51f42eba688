"""The Streams service: its methods by path.

Owns: the paths. Must not know: what the methods do.
"""

from __future__ import annotations

from collections.abc import Mapping

from esdb_lite.server.handlers import Handler
from esdb_lite.server.services.append import Appending
from esdb_lite.server.services.batch_append import BatchAppending
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.read import ReadService

SERVICE = "event_store.client.streams.Streams"


def handlers(context: Context) -> Mapping[str, Handler]:
    """Return the handlers by path."""
    appending = Appending(context)
    return {
        f"/{SERVICE}/Read": ReadService(context).handle,
        f"/{SERVICE}/Append": appending.append,
        f"/{SERVICE}/Delete": appending.delete,
        f"/{SERVICE}/Tombstone": appending.tombstone,
        f"/{SERVICE}/BatchAppend": BatchAppending(context).handle,
    }
