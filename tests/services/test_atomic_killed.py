"""Atomic appends survive kill -9: each is there whole and once, or not at all, and everything acknowledged is there."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import defaultdict
from contextlib import suppress
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
    StreamDeleted,
    StreamNotFound,
    StreamState,
)
from tests.support import ServeProcess, free_port, start_serve

KILLS = 8
STREAMS = ("a", "b", "c", "d")
ONCE = RetryPolicy(attempts=1)


class Writer:
    """Appends to random streams, with expectations of all kinds, and knows what must be there."""

    def __init__(self, chance: random.Random) -> None:
        self.written: dict[int, list[NewRecord]] = {}
        """By number of the append: what was acknowledged."""
        self.refused: dict[int, list[NewRecord]] = {}
        self.unknown: dict[int, list[NewRecord]] = {}
        """What nobody can tell, because a deleted stream does not show what has been written to it."""
        self.last = dict.fromkeys(STREAMS, -1)
        self.chance = chance
        self._numbers = itertools.count()

    async def append(self, client: AsyncEsdbClient, *, large: bool = False) -> None:
        """Make one append. `large`: one that takes long to be written. Raises Doubt; then it is to be settled."""
        number = next(self._numbers)
        streams = self.chance.sample(STREAMS, self.chance.randint(1, 3))
        names = [self.chance.choice(streams) for _ in range(self.chance.randint(1, 4) * (20 if large else 1))]
        data = b"%d" % number + b" " * (20_000 if large else 0)
        records = [NewRecord(name, "T", data, {"of": len(names)}) for name in names]
        checks = [self._check(name) for name in self.chance.sample(STREAMS, self.chance.randint(0, 2))]
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

    async def change_state(self, client: AsyncEsdbClient) -> None:
        """Delete a stream, now and then for good: appends to it, or checks of it, may be refused from now on."""
        delete = client.delete_stream if self.chance.random() < 0.8 else client.tombstone_stream
        with suppress(StreamDeleted, StreamNotFound):
            await delete(self.chance.choice(STREAMS[1:]))

    def _check(self, stream: str) -> StreamCheck:
        last = self.last[stream]
        right = StreamCheck(stream, last if last >= 0 else None)
        states = (StreamState.EXISTS, StreamState.DELETED, StreamState.TOMBSTONED, last + 7)
        return self.chance.choice([right, right, right, StreamCheck(stream, self.chance.choice(states))])


class Doubt(Exception):
    """Nobody knows whether an append was written."""


def kill_after(server: ServeProcess, seconds: float) -> None:
    """Kill a server at any moment of one of the next appends, such as in the middle of writing it."""
    time.sleep(seconds)
    server.kill()


async def until_killed(writer: Writer, server: ServeProcess, client: AsyncEsdbClient, appends: int) -> Doubt:
    """Append, and kill the server while something is under way."""
    for _ in range(appends):
        await writer.append(client)
    await writer.change_state(client)
    killing = asyncio.get_running_loop().run_in_executor(None, kill_after, server, writer.chance.uniform(0, 0.2))
    try:
        while True:
            await writer.append(client, large=True)
    except Doubt as doubt:
        await killing
        return doubt


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_all_or_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    writer = Writer(chance)
    port = str(free_port())
    server = start_serve("--db", "events.db", "--port", port, folder=tmp_path)
    async with AsyncEsdbClient(server.uri, retry=ONCE) as client:
        for _ in range(KILLS):
            doubt = await until_killed(writer, server, client, chance.randint(0, 40))
            server = start_serve("--db", "events.db", "--port", port, folder=tmp_path)
            try:
                await writer.settle(client, *doubt.args)
            except Doubt:
                writer.unknown[doubt.args[0]] = doubt.args[1]
        check(writer, [event async for event in client.read_all_events() if isinstance(event, RecordedEvent)])
    server.stop()


def check(writer: Writer, events: list[RecordedEvent]) -> None:
    """Each append that was acknowledged is there whole, in one piece, once; nothing else is."""
    found: dict[int, list[RecordedEvent]] = defaultdict(list)
    for event in events:
        found[int(event.data)].append(event)
    assert writer.written.keys() <= found.keys() <= writer.written.keys() | writer.unknown.keys()
    for number in found:
        records = writer.written.get(number) or writer.unknown[number]
        assert [(event.stream_name, event.id) for event in found[number]] == [(r.stream_name, r.id) for r in records]
    assert [int(event.data) for event in events] == [number for number, many in found.items() for _ in many]
    for stream in STREAMS:
        positions = [event.stream_position for event in events if event.stream_name == stream]
        assert positions == list(range(len(positions)))
        assert len(positions) > writer.last[stream]
