"""Random lives: however a projection is stopped and started, it comes to what it comes to in one go."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esdb_lite.server.engine.visibility import window_of
from esdb_lite.server.storage import Reader, Record
from esdb_lite.testing import Projection, ProjectionOutcome
from tests.projections.test_user_runs import Place

EXAMPLES = int(os.environ.get("ESDB_LITE_EXAMPLES", "25"))

QUERIES = {
    "root": """fromStream('a').when({
        $init: () => ({n: 0}),
        T(s, e) { s.n += e.data.i; emit('out', 'Made', s); if (e.data.i % 3 == 0) emit('out', 'Twice', e.data) },
        U(s, e) { linkTo('links', e); return {n: s.n, u: e.data.i} } }).outputState()""",
    "streams": """fromStreams('a', 'b').when({
        $init: () => [],
        $any(s, e) { s.push(e.streamId + e.sequenceNumber); linkTo('links', e) } }).transformBy(s => s.length)""",
    "parts": """fromStreams('a', 'b').partitionBy(e => e.data.i % 4).when({
        $init: () => ({n: 0}), $created(s, e) { emit('created', 'New', {key: e.partition}) },
        T(s, e) { s.n++; emit('out-' + e.partition, 'Made', s) } }).outputState()""",
    "all": """fromAll().partitionBy(e => e.streamId == 'a' || e.streamId == 'b' ? e.streamId : null).when({
        $init: () => ({n: 0}), T(s, e) { s.n += e.data.i; linkTo('links', e) }, U(s, e) { s.u = true } })""",
    "shared": """fromStreams('a', 'b').partitionBy(e => e.data.i % 3).when({
        $init: () => 0, $initShared: () => ({all: 0}),
        $any([own, shared], e) { shared.all++; return [own + 1, shared] } })""",
}


@dataclass(frozen=True)
class Append:
    """Events are appended."""

    stream: str
    events: list[tuple[str, int]]


@dataclass(frozen=True)
class Command:
    """The projection is told something."""

    name: str


appends = st.builds(
    Append,
    st.sampled_from("ab"),
    st.lists(st.tuples(st.sampled_from("TTUV"), st.integers(0, 9)), min_size=1, max_size=6),
)
commands = st.builds(Command, st.sampled_from(["stop", "abort", "enable", "restart", "update"]))
lives = st.lists(appends | commands, min_size=3, max_size=14)


@pytest.mark.parametrize("query", QUERIES)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=lives)
def test_a_life_comes_to_the_same(query: str, life: list[Append | Command]) -> None:
    asyncio.run(check(QUERIES[query], life))


async def check(query: str, life: list[Append | Command]) -> None:
    place = await Place().open()
    try:
        await place.create("p", query)
        for step in life:
            await do(place, query, step)
        await do(place, query, Command("enable"))
        await place.caught_up("p")
        given = [event for step in life if isinstance(step, Append) for event in given_of(step)]
        await compare(place, Projection(query).run(given))
    finally:
        await place.close()


def given_of(step: Append) -> list[tuple[str, str, dict[str, int]]]:
    return [(step.stream, type, {"i": i}) for type, i in step.events]


async def do(place: Place, query: str, step: Append | Command) -> None:
    manager = place.manager
    if isinstance(step, Append):
        for type, i in step.events:
            await place.append(step.stream, type, data=json.dumps({"i": i}).encode())
    elif step.name in ("stop", "abort"):
        await manager.disable("p", checkpoint=step.name == "stop")
    elif step.name == "enable":
        await manager.enable("p")
    elif step.name == "update":
        await manager.update("p", query, emit_enabled=True)
    else:
        await manager.restart()


async def compare(place: Place, outcome: ProjectionOutcome) -> None:
    assert outcome.fault is None
    assert place.status("p") == "Running"
    assert await place.state("p") == outcome.state
    for partition, state in outcome.states.items():
        assert await place.state("p", partition) == state
    streams = {event.stream for event in outcome.emitted} | {link.stream for link in outcome.linked}
    for stream in streams:
        records = await place.database.read(lambda reader, stream=stream: readable(reader, stream))  # type: ignore[misc]
        links = [record.data.decode() for record in records if record.type == "$>"]
        assert links == outcome.linked_to(stream)
        made = [(record.type, json.loads(record.data)) for record in records if record.type != "$>"]
        assert made == [(event.type, event.data) for event in outcome.emitted_to(stream)]


def readable(reader: Reader, stream: str) -> list[Record]:
    window = window_of(reader, stream, 0)
    return [] if window is None else reader.stream_forward(stream, window.first, 10_000)
