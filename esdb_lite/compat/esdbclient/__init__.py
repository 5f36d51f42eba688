"""The names of esdbclient 1.1 over our client: `from esdb_lite.compat.esdbclient import EventStoreDBClient`.

Owns: the names, and what is otherwise than in kurrentdbclient, which esdbclient became. Must not know: how anything is
done.
"""

from __future__ import annotations

from esdb_lite.compat.esdbclient.asyncio_client import AsyncEventStoreDBClient, AsyncioEventStoreDBClient
from esdb_lite.compat.esdbclient.client import (
    DEFAULT_EXCLUDE_FILTER,
    ESDB_PERSISTENT_CONFIG_EVENTS_REGEX,
    ESDB_SYSTEM_EVENTS_REGEX,
    ESDBClient,
    EventStoreDBClient,
)
from esdb_lite.compat.esdbclient.events import CaughtUp, Checkpoint, ContentType, NewEvent, RecordedEvent
from esdb_lite.compat.esdbclient.persistent import AsyncPersistentSubscription, PersistentSubscription
from esdb_lite.compat.esdbclient.streams import (
    AsyncCatchupSubscription,
    AsyncReadResponse,
    CatchupSubscription,
    ReadResponse,
    StreamState,
)

__version__ = "1.1"

__all__ = [
    "DEFAULT_EXCLUDE_FILTER",
    "ESDB_PERSISTENT_CONFIG_EVENTS_REGEX",
    "ESDB_SYSTEM_EVENTS_REGEX",
    "AsyncCatchupSubscription",
    "AsyncEventStoreDBClient",
    "AsyncPersistentSubscription",
    "AsyncReadResponse",
    "AsyncioEventStoreDBClient",
    "CatchupSubscription",
    "CaughtUp",
    "Checkpoint",
    "ContentType",
    "ESDBClient",
    "EventStoreDBClient",
    "NewEvent",
    "PersistentSubscription",
    "ReadResponse",
    "RecordedEvent",
    "StreamState",
]
