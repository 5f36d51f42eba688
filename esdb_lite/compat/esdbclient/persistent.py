"""Persistent subscriptions of esdbclient: those of kurrentdbclient.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite.compat.kurrentdbclient._consumers import AsyncPersistentSubscription as AsyncPersistentSubscription
from esdb_lite.compat.kurrentdbclient._consumers import PersistentSubscription as PersistentSubscription
from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient.persistent import ConnectionInfo as ConnectionInfo
from esdb_lite.compat.kurrentdbclient.persistent import ConsumerStrategy as ConsumerStrategy
from esdb_lite.compat.kurrentdbclient.persistent import Measurement as Measurement
from esdb_lite.compat.kurrentdbclient.persistent import SubscriptionInfo as SubscriptionInfo

if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
