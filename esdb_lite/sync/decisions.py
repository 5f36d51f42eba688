"""Decisions, as calls of the client for threads.

Owns: `DecisionApi`, the part of the client that makes decisions. Must not know: what they consist of.
Their functions are called on the thread that wants the decision, and so are the calls that they need.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from esdb_lite.client.decisions.calls import AsyncDecisionApi
from esdb_lite.sync.blocking import Face, unsuspended

if TYPE_CHECKING:
    from esdb_lite._checks import Seconds
    from esdb_lite.client.decisions.means import Means
    from esdb_lite.settings import CredentialsLike


class DecisionApi(Face):
    """Decisions."""

    load_state = unsuspended(AsyncDecisionApi.load_state)
    decide = unsuspended(AsyncDecisionApi.decide)
    decide_across = unsuspended(AsyncDecisionApi.decide_across)

    def _means(self, timeout: Seconds | None, credentials: CredentialsLike) -> Means:
        from esdb_lite.client.decisions.means import Means

        return Means(self, self._live().client._core.settings, time.sleep, timeout, credentials)
