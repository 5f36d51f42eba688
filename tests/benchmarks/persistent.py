"""Consuming a persistent subscription with acknowledgements: esdb_lite beside kurrentdbclient, against one `serve`.

    python -m tests.benchmarks.persistent [EVENTS]        everything, in one run (default 100000 events)
    python -m tests.benchmarks.persistent one NAME PORT GROUP EVENTS       one contender, in a process of its own
    python -m tests.benchmarks.persistent many PORT GROUP EVENTS          fifty consumers of one group

kurrentdbclient has to be installed for its part. Every contender consumes the same stored events, each through a
group of its own with the same settings, one consumer with the same buffer, every event acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support import ServeProcess, environment, start_serve

STREAM = "orders"
BUFFER = 150
PAYLOAD = 480
MANY = 50


async def esdb_lite_async(port: int, group: str, count: int) -> int:
    from esdb_lite import AsyncEsdbClient

    async with AsyncEsdbClient(uri(port)) as client:
        return await _consumed(await client.read_subscription(group, STREAM, buffer_size=BUFFER), count)


async def kurrentdbclient_async(port: int, group: str, count: int) -> int:
    from kurrentdbclient import AsyncKurrentDBClient

    async with AsyncKurrentDBClient(f"kurrentdb://127.0.0.1:{port}?Tls=false") as client:
        subscription = await client.read_subscription_to_stream(group, STREAM, event_buffer_size=BUFFER)
        return await _consumed(subscription, count)


async def _consumed(opened: Any, count: int) -> int:
    seen = 0
    async with opened as subscription:
        async for event in subscription:
            seen += 1
            await subscription.ack(event)
            if seen == count:
                break
    return seen


async def esdb_lite_sync(port: int, group: str, count: int) -> int:
    from esdb_lite import EsdbClient

    def run() -> int:
        with EsdbClient(uri(port)) as client:
            return _consumed_here(client.read_subscription(group, STREAM, buffer_size=BUFFER), count)

    return await asyncio.to_thread(run)


async def kurrentdbclient_sync(port: int, group: str, count: int) -> int:
    from kurrentdbclient import KurrentDBClient

    def run() -> int:
        with KurrentDBClient(f"kurrentdb://127.0.0.1:{port}?Tls=false") as client:
            return _consumed_here(client.read_subscription_to_stream(group, STREAM, event_buffer_size=BUFFER), count)

    return await asyncio.to_thread(run)


def _consumed_here(opened: Any, count: int) -> int:
    seen = 0
    with opened as subscription:
        for event in subscription:
            seen += 1
            subscription.ack(event)
            if seen == count:
                break
    return seen


async def esdb_lite_handler(port: int, group: str, count: int) -> int:
    from esdb_lite import AsyncEsdbClient, RecordedEvent

    seen = 0
    async with (
        AsyncEsdbClient(uri(port)) as client,
        await client.read_subscription(group, STREAM, buffer_size=BUFFER) as subscription,
    ):

        async def handle(event: RecordedEvent) -> None:
            nonlocal seen
            seen += 1
            if seen == count:
                subscription.stop()

        await subscription.consume(handle)
    return seen


CONTENDERS: dict[str, Callable[[int, str, int], Awaitable[int]]] = {
    "kurrentdbclient sync": kurrentdbclient_sync,
    "kurrentdbclient async": kurrentdbclient_async,
    "esdb_lite sync": esdb_lite_sync,
    "esdb_lite async": esdb_lite_async,
    "esdb_lite consume()": esdb_lite_handler,
}


def uri(port: int) -> str:
    """The connection string."""
    return f"esdb://127.0.0.1:{port}?tls=false"


async def fill(port: int, count: int, groups: list[str]) -> None:
    """Store the events, and make the groups."""
    from esdb_lite import AsyncEsdbClient, NewEvent, SubscriptionSettings

    data = b'{"text": "' + b"x" * PAYLOAD + b'"}'
    async with AsyncEsdbClient(uri(port)) as client:
        for _ in range(count // 500):
            await client.append_events(STREAM, -2, [NewEvent("Placed", data) for _ in range(500)])
        for group in groups:
            await client.create_subscription(group, STREAM, settings=SubscriptionSettings())


async def consume_by_many(port: int, group: str, count: int) -> Counter[int]:
    """How often each event came to one of fifty consumers."""
    from esdb_lite import AsyncEsdbClient

    seen: Counter[int] = Counter()
    async with AsyncEsdbClient(uri(port)) as client:
        subscriptions = [await client.read_subscription(group, STREAM, buffer_size=BUFFER) for _ in range(MANY)]

        async def work(subscription: object) -> None:
            async with subscription:  # type: ignore[attr-defined]
                async for event in subscription:  # type: ignore[attr-defined]
                    seen[event.stream_position] += 1
                    await subscription.ack(event)  # type: ignore[attr-defined]
                    if len(seen) == count:
                        for each in subscriptions:
                            each.stop()

        await asyncio.gather(*map(work, subscriptions))
    return seen


def run_one(name: str, port: int, group: str, count: int) -> None:
    """Measure in this process; prints JSON."""
    cpu, start = time.process_time(), time.perf_counter()
    seen = asyncio.run(_awaited(CONTENDERS[name](port, group, count)))
    wall = time.perf_counter() - start
    print(json.dumps({"events": seen, "wall": wall, "cpu": time.process_time() - cpu, "peak_mb": peak()}))


def run_many(port: int, group: str, count: int) -> None:
    """Count in this process; prints JSON."""
    start = time.perf_counter()
    seen = asyncio.run(consume_by_many(port, group, count))
    wall = time.perf_counter() - start
    twice, missing = sum(times > 1 for times in seen.values()), count - len(seen)
    print(json.dumps({"wall": wall, "twice": twice, "missing": missing, "peak_mb": peak()}))


async def _awaited(result: Awaitable[int]) -> int:
    return await result


def peak() -> float:
    """Most memory this process has used, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_of(server: ServeProcess) -> float:
    """Most memory the server has used, in MB (Linux)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def separately(*arguments: object) -> dict[str, float]:
    """Run this module with arguments in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.persistent", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(count: int) -> None:
    """Everything, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        server = start_serve("--db", "events.db", folder=Path(folder))
        port = int(server.address.rpartition(":")[2])
        try:
            names = [name for name in CONTENDERS if _available(name)]
            asyncio.run(fill(port, count, [*names, "many"]))
            compare(names, port, count)
            before = memory_of(server)
            result = separately("many", port, "many", count)
            print(f"{MANY} consumers: {count / result['wall']:.0f}/s, twice {result['twice']}, missing "
                  f"{result['missing']}, server {before:.0f} -> {memory_of(server):.0f} MB")  # fmt: skip
        finally:
            server.kill()


def compare(names: list[str], port: int, count: int) -> None:
    """One line for each contender, with the ratio to the fastest kurrentdbclient."""
    rates: dict[str, float] = {}
    for name in names:
        result = separately("one", name, port, name, count)
        rates[name] = count / result["wall"]
        others = [rate for other, rate in rates.items() if other.startswith("kurrentdbclient")]
        ratio = f"{rates[name] / max(others):5.2f}x" if others else ""
        print(f"{name:24} {rates[name]:8.0f}/s  cpu {result['cpu'] / count * 1e6:6.1f} us/event  "
              f"{result['peak_mb']:6.0f} MB  {ratio}", flush=True)  # fmt: skip


def _available(name: str) -> bool:
    if not name.startswith("kurrentdbclient"):
        return True
    try:
        import kurrentdbclient  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if sys.argv[1:2] == ["one"]:
        run_one(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    elif sys.argv[1:2] == ["many"]:
        run_many(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
