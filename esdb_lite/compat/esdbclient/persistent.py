"""Persistent subscriptions of esdbclient: those of kurrentdbclient, but for answers after the end.

Owns: the difference. Must not know: how anything is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from esdb_lite.compat.kurrentdbclient import _consumers
from esdb_lite.compat.kurrentdbclient._consumers import AsyncPersistentSubscription as AsyncPersistentSubscription
from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient.common import Nack
from esdb_lite.compat.kurrentdbclient.events import RecordedEvent
from esdb_lite.compat.kurrentdbclient.persistent import ConnectionInfo as ConnectionInfo
from esdb_lite.compat.kurrentdbclient.persistent import ConsumerStrategy as ConsumerStrategy
from esdb_lite.compat.kurrentdbclient.persistent import Measurement as Measurement
from esdb_lite.compat.kurrentdbclient.persistent import SubscriptionInfo as SubscriptionInfo


class PersistentSubscription(_consumers.PersistentSubscription):
    """The events of a group for one of its consumers. Answers after `stop()` are ignored, without an exception."""

    def ack(self, item: UUID | RecordedEvent) -> None:
        """Say that an event has been processed."""
        if not self.is_stopped:
            super().ack(item)

    def nack(self, item: UUID | RecordedEvent, action: Nack) -> None:
        """Say that an event could not be processed, and what the server should do with it."""
        if not self.is_stopped:
            super().nack(item, action)


if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
