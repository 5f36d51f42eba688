"""Figures of a node that are asked for again and again, for code without asyncio.

Owns: the iterator. Must not know: when and how they are asked for.
"""

from __future__ import annotations

from esdb_lite.administration import Statistics
from esdb_lite.sync.read import EventIterator


class StatisticsFeed(EventIterator[Statistics]):
    """The statistics of a node, by name, at regular intervals."""
