"""`EventStoreDBClient`: that of kurrentdbclient under its former name, and with its former defaults.

Owns: the differences. Must not know: calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite.compat.esdbclient.persistent import PersistentSubscription
from esdb_lite.compat.kurrentdbclient import _group_calls as group_calls
from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient._faces import opening, with_defaults
from esdb_lite.compat.kurrentdbclient.client import KDB_PERSISTENT_CONFIG_EVENTS_REGEX as _PERSISTENT_CONFIG
from esdb_lite.compat.kurrentdbclient.client import KDB_SYSTEM_EVENTS_REGEX as _SYSTEM
from esdb_lite.compat.kurrentdbclient.client import BaseKurrentDBClient as BaseEventStoreDBClient
from esdb_lite.compat.kurrentdbclient.client import KurrentDBClient

__all__ = [
    "DEFAULT_EXCLUDE_FILTER",
    "ESDB_PERSISTENT_CONFIG_EVENTS_REGEX",
    "ESDB_SYSTEM_EVENTS_REGEX",
    "BaseEventStoreDBClient",
    "ESDBClient",
    "EventStoreDBClient",
]

ESDB_SYSTEM_EVENTS_REGEX = _SYSTEM
ESDB_PERSISTENT_CONFIG_EVENTS_REGEX = _PERSISTENT_CONFIG
DEFAULT_EXCLUDE_FILTER = (ESDB_SYSTEM_EVENTS_REGEX, ESDB_PERSISTENT_CONFIG_EVENTS_REGEX)


class EventStoreDBClient(KurrentDBClient):
    """A client of EventStoreDB and KurrentDB, for programs that were written for esdbclient."""

    read_all = with_defaults(KurrentDBClient.read_all, filter_exclude=DEFAULT_EXCLUDE_FILTER)
    subscribe_to_all = with_defaults(KurrentDBClient.subscribe_to_all, filter_exclude=DEFAULT_EXCLUDE_FILTER)
    get_commit_position = with_defaults(KurrentDBClient.get_commit_position, filter_exclude=DEFAULT_EXCLUDE_FILTER)
    create_subscription_to_all = with_defaults(
        KurrentDBClient.create_subscription_to_all, filter_exclude=DEFAULT_EXCLUDE_FILTER
    )
    read_subscription_to_all = opening(group_calls.read_subscription_to_all, PersistentSubscription)
    read_subscription_to_stream = opening(group_calls.read_subscription_to_stream, PersistentSubscription)


ESDBClient = EventStoreDBClient

if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
