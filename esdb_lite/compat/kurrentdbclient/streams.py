"""What reads and catch-up subscriptions hand out, under the names of kurrentdbclient.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient._reads import AsyncCatchupSubscription as AsyncCatchupSubscription
from esdb_lite.compat.kurrentdbclient._reads import AsyncReadResponse as AsyncReadResponse
from esdb_lite.compat.kurrentdbclient._reads import CatchupSubscription as CatchupSubscription
from esdb_lite.compat.kurrentdbclient._reads import ReadResponse as ReadResponse
