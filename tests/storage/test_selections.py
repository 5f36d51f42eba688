"""Searching for a category or a type in SQL, against the rule applied to every record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.indexes import is_selected
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.storage import LogSelection, Reader, Record, selections

NAMES = ("a-1", "a-2", "a", "aa-1", "é-1", "-a", "$a-1", "a%-1", "A-1")
TYPES = ("T", "t", "$T", "T é")
LOOKED_AT = 7


async def filled(events: list[tuple[str, str]]) -> Database:
    database = await Database.open()
    for number, (stream, type) in enumerate(events):
        await database.append(stream, ANY, [ProposedEvent(number.to_bytes(16, "big"), type, True, b"{}")])
    return database


def searched(reader: Reader, selection: LogSelection, start: int, limit: int, *, backwards: bool) -> list[Record]:
    found: list[Record] = []
    place: int | None = start
    search = reader.selected_backward if backwards else reader.selected_forward
    while place is not None:
        records, place = search(selection, place, limit)
        assert len(records) <= limit
        found += records
    return found


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(TYPES)), max_size=25),
    st.builds(LogSelection, st.sampled_from([None, "a", "é", "", "a%", "A", "a-1"]), st.sampled_from([None, "T", "x"])),
    st.integers(0, 4000),
    st.integers(1, 5),
)
def test_nothing_is_missing_and_nothing_comes_twice(
    events: list[tuple[str, str]], selection: LogSelection, start: int, limit: int
) -> None:
    import asyncio

    async def check() -> None:
        database = await filled(events)
        try:
            every = await database.read(lambda reader: reader.log_forward(0, 1000))
            chosen = [record for record in every if is_selected(selection, record)]
            forward = await database.read(lambda reader: searched(reader, selection, start, limit, backwards=False))
            backward = await database.read(lambda reader: searched(reader, selection, start, limit, backwards=True))
        finally:
            await database.close()
        assert forward == [record for record in chosen if record.position >= start]
        assert backward == [record for record in reversed(chosen) if record.position <= start]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selections, "LOOKED_AT", LOOKED_AT)
        asyncio.run(check())


async def test_events_at_positions() -> None:
    database = await filled([("a", "T"), ("b", "T"), ("c", "T")])
    try:
        every = await database.read(lambda reader: reader.log_forward(0, 1000))
        asked = [every[-1].position, every[-1].position + 1, every[-3].position]
        assert await database.read(lambda reader: reader.log_at(asked)) == [every[-1], every[-3]]
    finally:
        await database.close()
