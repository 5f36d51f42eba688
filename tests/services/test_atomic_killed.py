"""Atomic appends survive kill -9: each is there whole and once, or not at all, and everything acknowledged is there."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from pathlib import Path

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    ConsistencyError,
    NewRecord,
    OutcomeUnknown,
    RecordedEvent,
    RetryPolicy,
    ServiceUnavailable,
    StreamCheck,
    StreamState,
)
from tests.support import ServeProcess, start_serve

KILLS = 8
STREAMS = ("a", "b", "c", "d")
ONCE = RetryPolicy(attempts=1)


class Writer:
    """Appends to random streams, with expectations of all kinds, and knows what must be there."""

    def __init__(self, chance: random.Random) -> None:
        self.written: dict[int, list[NewRecord]] = {}
        """By number of the append: what was acknowledged."""
        self.refused: dict[int, list[NewRecord]] = {}
        self.last = dict.fromkeys(STREAMS, -1)
        self._chance = chance
        self._numbers = itertools.count()

    async def append(self, client: AsyncEsdbClient) -> None:
        """Make one append. Raises OutcomeUnknown; then it is to be settled."""
        number = next(self._numbers)
        streams = self._chance.sample(STREAMS, self._chance.randint(1, 3))
        names = [self._chance.choice(streams) for _ in range(self._chance.randint(1, 4))]
        records = [NewRecord(name, "T", b"%d" % number, {"of": len(names)}) for name in names]
        checks = [self._check(name) for name in self._chance.sample(STREAMS, self._chance.randint(0, 2))]
        await self.settle(client, number, records, checks)

    async def settle(
        self, client: AsyncEsdbClient, number: int, records: list[NewRecord], checks: list[StreamCheck]
    ) -> None:
        """Make an append for the first time, or again. Raises Doubt."""
        try:
            result = await client.append_records(records, checks=checks)
        except ConsistencyError:
            self.refused[number] = records
        except (OutcomeUnknown, ServiceUnavailable) as error:
            raise Doubt(number, records, checks) from error
        else:
            self.written[number] = records
            self.last |= result.stream_positions

    def _check(self, stream: str) -> StreamCheck:
        last = self.last[stream]
        right = StreamCheck(stream, last if last >= 0 else None)
        return self._chance.choice(
            [right, right, right, StreamCheck(stream, StreamState.EXISTS), StreamCheck(stream, last + 7)]
        )


class Doubt(Exception):
    """Nobody knows whether an append was written."""


async def until_killed(writer: Writer, server: ServeProcess, client: AsyncEsdbClient, appends: int) -> Doubt:
    """Append, and kill the server while something is under way."""
    for _ in range(appends):
        await writer.append(client)
    killing = asyncio.get_running_loop().run_in_executor(None, server.kill)
    try:
        while True:
            await writer.append(client)
    except Doubt as doubt:
        await killing
        return doubt


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_all_or_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    writer = Writer(chance)
    server = start_serve("--db", "events.db", folder=tmp_path)
    port = server.address.rpartition(":")[2]
    async with AsyncEsdbClient(server.uri, retry=ONCE) as client:
        for _ in range(KILLS):
            doubt = await until_killed(writer, server, client, chance.randint(0, 40))
            server = start_serve("--db", "events.db", "--port", port, folder=tmp_path)
            await writer.settle(client, *doubt.args)
        check(writer, [event async for event in client.read_all_events() if isinstance(event, RecordedEvent)])
    server.stop()


def check(writer: Writer, events: list[RecordedEvent]) -> None:
    """Each append that was acknowledged is there whole, in one piece, once; nothing else is."""
    found: dict[int, list[RecordedEvent]] = defaultdict(list)
    for event in events:
        found[int(event.data)].append(event)
    assert found.keys() == writer.written.keys()
    for number, records in writer.written.items():
        assert [(event.stream_name, event.id) for event in found[number]] == [(r.stream_name, r.id) for r in records]
    assert [int(event.data) for event in events] == [number for number, many in found.items() for _ in many]
    for stream in STREAMS:
        assert [e.stream_position for e in events if e.stream_name == stream] == list(range(writer.last[stream] + 1))
