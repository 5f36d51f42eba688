"""`AsyncEventStoreDBClient`: that of kurrentdbclient under its former name, and with its former defaults.

Owns: the differences. Must not know: calls.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from esdb_lite.compat.esdbclient.client import DEFAULT_EXCLUDE_FILTER
from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient._faces import with_defaults
from esdb_lite.compat.kurrentdbclient.asyncio_client import AsyncKurrentDBClient


class AsyncEventStoreDBClient(AsyncKurrentDBClient):
    """A client of EventStoreDB and KurrentDB for asyncio, for programs that were written for esdbclient."""

    read_all = with_defaults(AsyncKurrentDBClient.read_all, filter_exclude=DEFAULT_EXCLUDE_FILTER)
    subscribe_to_all = with_defaults(AsyncKurrentDBClient.subscribe_to_all, filter_exclude=DEFAULT_EXCLUDE_FILTER)
    get_commit_position = with_defaults(AsyncKurrentDBClient.get_commit_position, filter_exclude=DEFAULT_EXCLUDE_FILTER)
    create_subscription_to_all = with_defaults(
        AsyncKurrentDBClient.create_subscription_to_all, filter_exclude=DEFAULT_EXCLUDE_FILTER
    )


class _AsyncioEventStoreDBClient(AsyncEventStoreDBClient):
    """What `AsyncioEventStoreDBClient` returns."""


async def AsyncioEventStoreDBClient(
    uri: str, root_certificates: str | bytes | None = None
) -> _AsyncioEventStoreDBClient:
    """Return a client that is connected. Deprecated there: make an `AsyncEventStoreDBClient`, and `connect()` it."""
    warnings.warn(
        "AsyncioEventStoreDBClient is deprecated: make an AsyncEventStoreDBClient, and await its connect()",
        DeprecationWarning,
        stacklevel=2,
    )
    client = _AsyncioEventStoreDBClient(uri, root_certificates)
    await client.connect()
    return client


if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
