"""What reads and catch-up subscriptions hand out, under the names of kurrentdbclient.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient._reads import AsyncCatchupSubscription as AsyncCatchupSubscription
from esdb_lite.compat.kurrentdbclient._reads import AsyncReadResponse as AsyncReadResponse
from esdb_lite.compat.kurrentdbclient._reads import CatchupSubscription as CatchupSubscription
from esdb_lite.compat.kurrentdbclient._reads import ReadResponse as ReadResponse

if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
