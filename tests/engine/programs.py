"""Random programs of appends, deletes and tombstones over a few streams, ids and versions."""

from __future__ import annotations

from functools import partial

from hypothesis import strategies as st

from esdb_lite.records import SchemaFormat
from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.append import Rule
from esdb_lite.server.engine.imports import import_events
from esdb_lite.server.engine.model import ANY, EXISTS, NO_STREAM, SOFT_DELETED, TOMBSTONED, ProposedEvent
from esdb_lite.server.engine.records.decision import append_records
from esdb_lite.server.engine.records.requests import AtomicAppend
from esdb_lite.server.storage import TOMBSTONE, StoredSchema
from tests.engine.naive import NaiveState

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
documents = st.sampled_from(_DOCUMENTS)
plain = st.builds(ProposedEvent, ids, st.just("T"), st.booleans(), documents, st.just(b"m"), st.none())
notes = st.builds(StoredSchema, st.sampled_from(SchemaFormat), st.integers(0, 300))
events = plain | st.builds(lambda event, note: event._replace(is_json=note.format == 1, schema=note), plain, notes)


def after(program: list[Rule]) -> NaiveState:
    state = NaiveState()
    for rule in program:
        state.run(rule)
    return state


def _append(stream: str, expected: int, events: list[ProposedEvent]) -> Rule:
    return partial(appending.append, stream=stream, expected=expected, events=events)


def _delete(stream: str, expected: int) -> Rule:
    return partial(appending.delete, stream=stream, expected=expected)


def _tombstone(stream: str, expected: int) -> Rule:
    return partial(appending.tombstone, stream=stream, expected=expected)


def _atomic(checks: dict[str, int], writes: list[tuple[str, ProposedEvent]]) -> Rule:
    expected = checks | {stream: ANY for stream, _ in writes if stream not in checks}
    return partial(append_records, append=AtomicAppend(expected, writes))


def _import(expected: dict[str, int], writes: list[tuple[str, ProposedEvent]]) -> Rule:
    return partial(
        import_events, append=AtomicAppend({stream: expected.get(stream, ANY) for stream, _ in writes}, writes)
    )


appends = st.builds(_append, streams, versions, st.lists(events, max_size=4))
deletes = st.builds(_delete, streams, versions)
tombstones = st.builds(_tombstone, streams, versions)
states = versions | st.sampled_from([SOFT_DELETED, TOMBSTONED])
atomics = st.builds(
    _atomic, st.dictionaries(streams, states, max_size=3), st.lists(st.tuples(streams, events), min_size=1, max_size=4)
)
imports = st.builds(
    _import,
    st.dictionaries(streams, versions | st.just(TOMBSTONE), max_size=4),
    st.lists(st.tuples(streams, events), max_size=4),
)
rules: st.SearchStrategy[Rule] = st.one_of(
    appends, appends, atomics, atomics, imports, imports, deletes, deletes, tombstones
)
programs = st.lists(rules, max_size=25)
