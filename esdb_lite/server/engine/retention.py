"""What of a stream can never be read again by its name, so that a scavenge may remove it.

Owns: the limits. Must not know: how events are kept or removed.
"""

from __future__ import annotations

from typing import NamedTuple

from esdb_lite.server.engine.append import LogState
from esdb_lite.server.engine.metadata import METASTREAM, min_readable, oldest_readable
from esdb_lite.server.engine.model import is_metastream, original_of
from esdb_lite.server.storage import TOMBSTONE


class Retention(NamedTuple):
    """Events below `first` go; of the others, those before `end` that were created before `since` go as well."""

    first: int
    since: int | None
    """Ticks; None = none of them."""
    end: int
    """The revision of the last event, which always stays (of a tombstoned stream: the tombstone)."""


def retention(state: LogState, stream: str, now: int) -> Retention:
    """The limits for one stream as its metadata is now."""
    last = state.last_revision(stream)
    if last == TOMBSTONE or (is_metastream(stream) and state.last_revision(original_of(stream)) == TOMBSTONE):
        return Retention(TOMBSTONE, None, TOMBSTONE)
    metadata = METASTREAM if is_metastream(stream) else state.metadata(stream)
    return Retention(min(min_readable(metadata, last), last), oldest_readable(metadata, now), last)
