"""A server that died recognises what was written before, whatever end of the stream a repeat asks for."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from esdb_lite import AsyncEsdbClient, NewEvent, NewRecord, StreamCheck, StreamState
from tests.support import PATIENCE, command, environment

EVENTS = [NewEvent("T", b"1"), NewEvent("T", b"2")]
RECORDS = [NewRecord("s", "T", b"1"), NewRecord("s", "T", b"2"), NewRecord("t", "T", b"3")]

Way = Callable[[AsyncEsdbClient, StreamState], Awaitable[object]]


async def by_batch_append(client: AsyncEsdbClient, expected: StreamState) -> object:
    return await client.append_events("s", expected, EVENTS)


async def by_append(client: AsyncEsdbClient, expected: StreamState) -> object:
    return await client.append_events("s", expected, EVENTS, credentials=("admin", "changeit"))


async def by_records(client: AsyncEsdbClient, expected: StreamState) -> object:
    checked = () if expected is StreamState.ANY else ("s", "t")  # ANY is no check
    return await client.append_records(RECORDS, checks=[StreamCheck(stream, expected) for stream in checked])


@contextmanager
def killed(path: Path, compatibility: str) -> Iterator[str]:
    """A server of its own process, which gets SIGKILL in the end; yields how to connect."""
    arguments = command("serve", "--db", path, "--port", "0", "--compatibility", compatibility)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            yield next(word for word in said.split() if word.startswith("esdb://"))
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("expected", [StreamState.ANY, StreamState.EXISTS])
@pytest.mark.parametrize(
    ("way", "compatibility"),
    [(by_batch_append, "24.10"), (by_append, "24.10"), (by_records, "25.1"), (by_records, "26.1")],
    ids=["BatchAppend", "Append", "AppendSession", "AppendRecords"],
)
async def test_a_repeat_after_sigkill(tmp_path: Path, way: Way, compatibility: str, expected: StreamState) -> None:
    """Each client is a new one, which does not know that the events were sent before."""
    path = tmp_path / "events.db"
    with killed(path, compatibility) as uri:
        async with AsyncEsdbClient(uri) as client:
            first = await way(client, StreamState.ANY)
            await client.append_events("s", 1, NewEvent("T", b"another"))
    with killed(path, compatibility) as uri:
        async with AsyncEsdbClient(uri) as client:
            assert await way(client, expected) == first
            assert await client.get_stream_position("s") == 2
