"""Random histories: what the system projections write is what a naive model of each says, whatever stops them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.links import parse_link
from esdb_lite.server.engine.model import ANY, Outcome, ProposedEvent
from esdb_lite.server.engine.visibility import StreamTombstoned, window_of
from esdb_lite.server.projections.manager import ProjectionManager
from esdb_lite.server.storage import Reader, Record
from tests.projections.naive import RULES, Arrival, Naive, of_users
from tests.projections.support import caught_up, running, written_by
from tests.storage.support import log

STREAMS = ("cat-1", "cat-2", "dog-x-y", "plain", "-odd", "cat-")
Step: TypeAlias = "Callable[[World], Awaitable[None]]"

data = st.sampled_from([b"{}", b'{"a":1}', b"{broken", b"", b"17", b'{"a":1,}', b"\xff"])
metadata = st.sampled_from([
    b"", b"{}", b'{"$correlationId":"c1"}', b'{"$correlationId":"","x":1}', b'{"$correlationId":7}', b"no json",
])  # fmt: skip
events = st.builds(
    lambda type, is_json, data, metadata: (type, is_json, data, metadata),
    st.sampled_from(["T", "U", "$streamDeleted"]), st.booleans(), data, metadata,
)  # fmt: skip
limits = st.sampled_from(['{"$tb":2}', '{"$maxCount":1}', "{}", '{"$tb":9223372036854775807}', "[]"])
streams = st.sampled_from(STREAMS)


class World:
    """A database with running projections, and what they are to write."""

    def __init__(self, database: Database, manager: ProjectionManager) -> None:
        self.database = database
        self.manager = manager
        self.naive = Naive()
        self._seen = 0

    async def append(self, stream: str, *proposed: ProposedEvent) -> None:
        await self._noted(self.database.append(stream, ANY, proposed))

    async def delete(self, stream: str) -> None:
        await self._noted(self.database.delete(stream, ANY))

    async def tombstone(self, stream: str) -> None:
        await self._noted(self.database.tombstone(stream, ANY))

    async def _noted(self, change: Awaitable[Outcome]) -> None:
        await change
        records = [record for record in await log(self.database, self._seen) if of_users(record)]
        self._seen = self.database.log_end
        for record in records:
            self.naive.arrivals.append(await self.database.read(lambda reader, record=record: _arrival(reader, record)))


def _arrival(reader: Reader, record: Record) -> Arrival:
    """Resolve a link as it arrives."""
    target = parse_link(record.data) if record.type == "$>" else None
    if target is None:
        return Arrival(record, record)
    if not target.stream:
        return Arrival(record, None)
    try:
        window = window_of(reader, target.stream, 0)
    except StreamTombstoned:
        window = None
    if window is None:
        return Arrival(record, None, ignored=True)
    revision = window.last if target.revision == -1 else target.revision
    found = reader.at(target.stream, [revision]).get(revision)
    return Arrival(record, found if found is not None and window.shows(found) else None)


def _event(type: str, is_json: bool, data: bytes, metadata: bytes) -> ProposedEvent:
    return ProposedEvent(uuid.uuid4().bytes, type, is_json, data, metadata)


def appending(stream: str, events: list[tuple[str, bool, bytes, bytes]]) -> Step:
    return lambda world: world.append(stream, *[_event(*event) for event in events])


def linking(stream: str, target: str, is_json: bool, metadata: bytes) -> Step:
    async def step(world: World) -> None:
        await caught_up(world.manager)
        await world.append(stream, _event("$>", is_json, target.encode(), metadata))
        await caught_up(world.manager)

    return step


def limiting(stream: str, document: str) -> Step:
    return lambda world: world.append("$$" + stream, _event("$metadata", True, document.encode(), b""))


targets = st.one_of(
    st.builds(lambda number, stream: f"{number}@{stream}", st.integers(-1, 4), st.sampled_from([*STREAMS, "nowhere"])),
    st.sampled_from(["5", "0@", "x@cat-1", ""]),
)
changes: st.SearchStrategy[Step] = st.one_of(
    st.builds(appending, streams, st.lists(events, min_size=1, max_size=3)),
    st.builds(appending, streams, st.lists(events, min_size=1, max_size=3)),
    st.builds(lambda stream: lambda world: world.delete(stream), streams),
    st.builds(lambda stream: lambda world: world.tombstone(stream), streams),
    st.builds(limiting, streams, limits),
)
links: st.SearchStrategy[Step] = st.builds(linking, streams, targets, st.booleans(), st.sampled_from([b"", b"{}"]))


async def _stopped(world: World) -> None:
    await world.manager.stop()
    await world.manager.start()


def disabling(name: str, checkpoint: bool) -> Step:
    async def step(world: World) -> None:
        await world.manager.disable(name, checkpoint=checkpoint)
        await asyncio.sleep(0)
        await world.manager.enable(name)

    return step


def resetting(name: str) -> Step:
    return lambda world: world.manager.reset(name)


interruptions: st.SearchStrategy[Step] = st.one_of(
    st.just(_stopped),
    st.builds(disabling, st.sampled_from(sorted(RULES)), st.booleans()),
    st.builds(resetting, st.sampled_from(sorted(RULES))),
    st.just(lambda world: asyncio.sleep(0)),
)


async def _agrees(steps: list[Step]) -> None:
    async with running() as (database, manager):
        world = World(database, manager)
        for step in steps:
            await step(world)
        await caught_up(manager)
        for name in RULES:
            written, expected = await written_by(database, name), world.naive.written(name)
            # What is left of a stream after a reset is what has been written since.
            assert {stream: events for stream, events in written.items() if events} == expected, name
            assert manager.statistics(name)[0].status == "Running"


@given(st.lists(st.one_of(changes, links), max_size=20))
def test_links_are_seen_as_they_arrive(steps: list[Step]) -> None:
    asyncio.run(_agrees(steps))


@given(st.lists(st.one_of(changes, changes, interruptions), max_size=30))
def test_whatever_stops_them(steps: list[Step]) -> None:
    asyncio.run(_agrees(steps))
