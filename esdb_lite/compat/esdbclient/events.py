"""The events of esdbclient: those of kurrentdbclient.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient.events import CaughtUp as CaughtUp
from esdb_lite.compat.kurrentdbclient.events import Checkpoint as Checkpoint
from esdb_lite.compat.kurrentdbclient.events import ContentType as ContentType
from esdb_lite.compat.kurrentdbclient.events import NewEvent as NewEvent
from esdb_lite.compat.kurrentdbclient.events import RecordedEvent as RecordedEvent
