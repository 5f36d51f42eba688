"""What `serve` does for a client whose windows are small: npm's `@eventstore/db-client` reads a stream.

    python -m tests.benchmarks.windows [EVENTS]                 (default 40,000)

Needs node, and npm, which gets the package into a folder of its own. The server runs in this process, so that its waits
for the client's windows can be counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from esdb_lite._http2 import streams
from esdb_lite._http2.streams import Stream
from esdb_lite.server.node import ServerNode, ServerSettings
from tests.benchmarks.contenders import DATA, METADATA, STREAM

EVENTS, TIMES = 40_000, 5
PACKAGE = "@eventstore/db-client"
VERSION = "6.2.1"
HERE = Path(__file__).resolve().parent


class SmallWindows(NamedTuple):
    """What reading a stream took: medians of some times."""

    rate: float
    """Events a second."""
    waits: float
    """How often the server waited for a window or the socket, for the whole stream."""
    server: float
    """Seconds of the server's CPU for an event."""
    client: float
    """The same of the client's."""


class _Waits:
    """Counts what is waited for before data is sent."""

    def __init__(self) -> None:
        self.number = 0
        self._room = streams._room

    async def __call__(self, stream: Stream, needed: bool) -> int:
        self.number += needed and streams.room_at_once(stream) <= 0
        return await self._room(stream, needed)


def installed(folder: Path) -> Path | None:
    """Get the package; returns the folder with the modules, None where there is no node or no package to be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    command = [
        npm,
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel=error",
        f"{PACKAGE}@{VERSION}",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return folder / "node_modules" if done.returncode == 0 else None


async def measure(modules: Path, path: Path, events: int = EVENTS) -> SmallWindows:
    """Serve a file in which there is such a stream, and have it read."""
    from esdb_lite import AsyncEsdbClient, NewEvent

    node = await ServerNode.start(ServerSettings(path=path), lambda: None)
    try:
        async with AsyncEsdbClient(f"127.0.0.1:{node.port}") as client:
            for _ in range(0, events, 500):
                batch = [NewEvent("OrderCreated", DATA, METADATA) for _ in range(500)]
                await client.append_events(STREAM, -2, batch)
        waits, cpu = _Waits(), time.process_time()
        streams._room = waits
        taken = await _read(modules, node.port, events)
        cpu = time.process_time() - cpu
    finally:
        await node.stop()
    seen = len(taken) * events
    rate = median(each["events"] / each["seconds"] for each in taken)
    return SmallWindows(rate, waits.number / len(taken), cpu / seen, median(each["cpu"] for each in taken) / events)


async def _read(modules: Path, port: int, events: int) -> list[dict[str, float]]:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "reading.js"),
        *(PACKAGE, f"esdb://127.0.0.1:{port}?tls=false", STREAM, str(events), str(TIMES)),
        env={**os.environ, "NODE_PATH": str(modules), "NODE_NO_WARNINGS": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    taken: list[dict[str, float]] = json.loads(output)
    assert {each["events"] for each in taken} == {events}
    return taken


def small_windows(events: int = EVENTS) -> SmallWindows | None:
    """Measure it; None where it cannot be."""
    with tempfile.TemporaryDirectory() as name:
        modules = installed(Path(name))
        return None if modules is None else asyncio.run(measure(modules, Path(name) / "read.db", events))


if __name__ == "__main__":
    found = small_windows(*map(int, sys.argv[1:]))
    if found is None:
        raise SystemExit(f"node is not on this machine, or npm cannot install {PACKAGE}")
    print(
        f"{found.rate:,.0f} events/s, {found.waits:.0f} waits; CPU of an event: {found.server * 1e6:.1f} us of the",
        end="",
    )
    print(f" server, {found.client * 1e6:.1f} us of the client")
