"""What is measured: each contender does the same with a client of its own, and says what it took.

    python -m tests.benchmarks.contenders NAME PORT

Prints one line of JSON. A contender runs in a process of its own, so that none suffers from another's garbage.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Reader = Callable[[int], Awaitable[int]]

STREAM = "order-1f0a9b7e-aaaa-bbbb-cccc-1234567890ab"


async def esdb_lite_wire(port: int) -> int:
    """No client at all: bytes from the connection, decoded."""
    from esdb_lite._rpc.deadline import Deadline
    from esdb_lite._rpc.node import Node
    from esdb_lite._rpc.streams import ServerStream
    from esdb_lite._wire.reading import ReadDecoder

    node, decoder, count = Node("127.0.0.1", port), ReadDecoder(), 0
    path = "/event_store.client.streams.Streams/Read"
    async with ServerStream(node, path, deadline=Deadline(None)) as call:
        await call.request(b"")
        while data := await call.receive_data():
            for event in decoder.feed(data):
                touch(event)
                count += 1
    node.close()
    return count


async def esdb_lite_async(port: int) -> int:
    from esdb_lite import AsyncEsdbClient  # type: ignore[attr-defined]

    count = 0
    async with AsyncEsdbClient(f"esdb://127.0.0.1:{port}?tls=false") as client:
        async for event in client.read_stream_events(STREAM):
            touch(event)
            count += 1
    return count


async def esdb_lite_sync(port: int) -> int:
    from esdb_lite import EsdbClient  # type: ignore[attr-defined]

    def run() -> int:
        count = 0
        with EsdbClient(f"esdb://127.0.0.1:{port}?tls=false") as client:
            for event in client.read_stream_events(STREAM):
                touch(event)
                count += 1
        return count

    return await asyncio.to_thread(run)


async def kurrentdbclient_async(port: int) -> int:
    from kurrentdbclient import AsyncKurrentDBClient

    client = AsyncKurrentDBClient(f"esdb://127.0.0.1:{port}?Tls=false")
    await client.connect()
    count = 0
    async for event in await client.read_stream(STREAM):
        touch(event)
        count += 1
    await client.close()
    return count


async def kurrentdbclient_sync(port: int) -> int:
    from kurrentdbclient import KurrentDBClient

    def run() -> int:
        client = KurrentDBClient(f"esdb://127.0.0.1:{port}?Tls=false")
        count = 0
        for event in client.read_stream(STREAM):
            touch(event)
            count += 1
        client.close()
        return count

    return await asyncio.to_thread(run)


def touch(event: Any) -> None:
    """Look at everything that a program would want of an event."""
    _ = event.type, event.data, event.metadata, event.stream_position, event.commit_position


CONTENDERS: dict[str, Reader] = {
    "kurrentdbclient sync": kurrentdbclient_sync,
    "kurrentdbclient async": kurrentdbclient_async,
    "esdb_lite sync": esdb_lite_sync,
    "esdb_lite async": esdb_lite_async,
    "esdb_lite, no client": esdb_lite_wire,
}


async def measure(name: str, port: int) -> dict[str, float]:
    read = CONTENDERS[name]
    wall, cpu = time.perf_counter(), time.process_time()
    count = await read(port)
    return {
        "events": count,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    try:
        print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
