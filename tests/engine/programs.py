"""Random programs of appends, deletes and tombstones over a few streams, ids and versions."""

from __future__ import annotations

from functools import partial

from hypothesis import strategies as st

from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.append import Rule
from esdb_lite.server.engine.model import ANY, EXISTS, NO_STREAM, ProposedEvent

STREAMS = ("s", "t", "$$s", "$$t", "$$$$s")
_DOCUMENTS = (
    b"{}",
    b"[]",
    b'{"$tb":1}',
    b'{"$maxCount":2,"a":1}',
    b'{"$tb":9223372036854775807,"b":2}',
    b'{"$maxAge":1}',
)

streams = st.sampled_from(STREAMS)
versions = st.sampled_from([ANY, NO_STREAM, EXISTS]) | st.integers(0, 6)
ids = st.integers(1, 8).map(lambda number: bytes([number]) * 16)
events = st.builds(ProposedEvent, ids, st.just("T"), st.booleans(), st.sampled_from(_DOCUMENTS), st.just(b"m"))


def _append(stream: str, expected: int, events: list[ProposedEvent]) -> Rule:
    return partial(appending.append, stream=stream, expected=expected, events=events)


def _delete(stream: str, expected: int) -> Rule:
    return partial(appending.delete, stream=stream, expected=expected)


def _tombstone(stream: str, expected: int) -> Rule:
    return partial(appending.tombstone, stream=stream, expected=expected)


appends = st.builds(_append, streams, versions, st.lists(events, max_size=4))
deletes = st.builds(_delete, streams, versions)
tombstones = st.builds(_tombstone, streams, versions)
rules: st.SearchStrategy[Rule] = st.one_of(appends, appends, appends, deletes, deletes, tombstones)
programs = st.lists(rules, max_size=25)
