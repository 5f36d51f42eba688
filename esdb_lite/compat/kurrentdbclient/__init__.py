"""The names of kurrentdbclient 1.3 over our client: `from esdb_lite.compat.kurrentdbclient import KurrentDBClient`.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient._consumers import AsyncPersistentSubscription, PersistentSubscription
from esdb_lite.compat.kurrentdbclient._reads import (
    AsyncCatchupSubscription,
    AsyncReadResponse,
    CatchupSubscription,
    ReadResponse,
)
from esdb_lite.compat.kurrentdbclient.asyncio_client import AsyncKurrentDBClient
from esdb_lite.compat.kurrentdbclient.client import (
    DEFAULT_EXCLUDE_FILTER,
    KDB_PERSISTENT_CONFIG_EVENTS_REGEX,
    KDB_SYSTEM_EVENTS_REGEX,
    KurrentDBClient,
)
from esdb_lite.compat.kurrentdbclient.events import (
    CaughtUp,
    Checkpoint,
    ContentType,
    FellBehind,
    NewEvent,
    NewEvents,
    NewRecord,
    RecordedEvent,
    StreamState,
    StreamStateCheck,
)

__version__ = "1.3.5"

__all__ = [
    "DEFAULT_EXCLUDE_FILTER",
    "KDB_PERSISTENT_CONFIG_EVENTS_REGEX",
    "KDB_SYSTEM_EVENTS_REGEX",
    "AsyncCatchupSubscription",
    "AsyncKurrentDBClient",
    "AsyncPersistentSubscription",
    "AsyncReadResponse",
    "CatchupSubscription",
    "CaughtUp",
    "Checkpoint",
    "ContentType",
    "FellBehind",
    "KurrentDBClient",
    "NewEvent",
    "NewEvents",
    "NewRecord",
    "PersistentSubscription",
    "ReadResponse",
    "RecordedEvent",
    "StreamState",
    "StreamStateCheck",
]
