"""What is measured: each contender does the same with a client of its own, and says what it took.

    python -m tests.benchmarks.contenders CONTENDER TASK PORT NUMBER

Prints one line of JSON. A contender runs in a process of its own, so that none suffers from another's garbage. Its
connection is made before the clock runs. What reads looks at type, data, metadata and both positions of every event.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

STREAM = "order-1f0a9b7e-aaaa-bbbb-cccc-1234567890ab"
IN_FLIGHT = 50
BATCH = 500
FEW = 20
DATA = b'{"padding": "' + b"x" * 225 + b'"}'
METADATA = b'{"$correlationId":"abc","user":"me"}'

Figures = dict[str, float]


def touch(event: Any) -> None:
    """Look at everything that a program would want of an event."""
    _ = event.type, event.data, event.metadata, event.stream_position, event.commit_position


def look(event: Any) -> None:
    """Look at what programs look at: at that, at id and time, and at the JSON."""
    touch(event)
    _ = event.id, event.recorded_at
    if hasattr(event, "json"):
        _ = event.json(), event.metadata_json()
    else:
        _ = json.loads(event.data), json.loads(event.metadata)


class LiteSync:
    """esdb_lite without asyncio."""

    def __init__(self, port: int) -> None:
        from esdb_lite import EsdbClient, NewEvent

        self.event = NewEvent
        self.client: Any = EsdbClient(f"esdb://127.0.0.1:{port}?tls=false")
        self.client.connect()
        self.close = self.client.close

    def stream(self) -> Any:
        return self.client.read_stream_events(STREAM)

    def all(self) -> Any:
        return self.client.read_all_events()

    def catchup(self) -> Any:
        return self.client.subscribe_all_events()

    def few(self) -> Any:
        return self.client.read_stream_events(STREAM, limit=FEW)

    def live(self) -> Any:
        return self.client.subscribe_stream_events(STREAM, from_end=True)

    def append(self, stream: str, number: int) -> Any:
        events = [self.event("OrderCreated", DATA, METADATA) for _ in range(number)]
        return self.client.append_events(stream, -2, events)


class KurrentSync:
    """kurrentdbclient without asyncio."""

    def __init__(self, port: int) -> None:
        from kurrentdbclient import KurrentDBClient, NewEvent, StreamState

        self.event, self.any = NewEvent, StreamState.ANY
        self.client: Any = KurrentDBClient(f"esdb://127.0.0.1:{port}?Tls=false")
        self.close = self.client.close

    def stream(self) -> Any:
        return self.client.read_stream(STREAM)

    def all(self) -> Any:
        return self.client.read_all()

    def catchup(self) -> Any:
        return self.client.subscribe_to_all()

    def few(self) -> Any:
        return self.client.read_stream(STREAM, limit=FEW)

    def live(self) -> Any:
        return self.client.subscribe_to_stream(STREAM, from_end=True)

    def append(self, stream: str, number: int) -> Any:
        events = [self.event(type="OrderCreated", data=DATA, metadata=METADATA) for _ in range(number)]
        new = events if number > 1 else events[0]
        return self.client.append_to_stream(stream, current_version=self.any, events=new)


class LiteAsync(LiteSync):
    """esdb_lite with asyncio: the same calls, of which some are awaited."""

    def __init__(self, port: int) -> None:
        from esdb_lite import AsyncEsdbClient, NewEvent

        self.event = NewEvent
        self.client = AsyncEsdbClient(f"esdb://127.0.0.1:{port}?tls=false")
        self.connect, self.close = self.client.connect, self.client.close

    async def opened(self, name: str) -> Any:
        found = getattr(self, name)()
        return await found if name in ("catchup", "live") else found


class KurrentAsync(KurrentSync):
    """kurrentdbclient with asyncio: the same calls, all of which are awaited."""

    def __init__(self, port: int) -> None:
        from kurrentdbclient import AsyncKurrentDBClient, NewEvent, StreamState

        self.event, self.any = NewEvent, StreamState.ANY
        self.client = AsyncKurrentDBClient(f"esdb://127.0.0.1:{port}?Tls=false")
        self.connect, self.close = self.client.connect, self.client.close

    async def opened(self, name: str) -> Any:
        return await getattr(self, name)()


CONTENDERS: dict[str, Callable[[int], Any]] = {
    "kurrentdbclient sync": KurrentSync,
    "kurrentdbclient async": KurrentAsync,
    "esdb_lite sync": LiteSync,
    "esdb_lite async": LiteAsync,
}
APPENDS = ("one", "flight", "batches")


# --- without asyncio --------------------------------------------------------------------------------------------------


def read_sync(client: Any, task: str, number: int) -> int:
    if task == "few":
        for _ in range(number):
            assert len([*client.few()]) == FEW
        return number
    count, use = 0, look if task == "looked" else touch
    for event in getattr(client, "stream" if task == "looked" else task)():
        use(event)
        count += 1
        if count == number:
            break
    return count


def append_sync(client: Any, task: str, number: int) -> int:
    if task == "flight":
        return _in_threads(client, number)
    stream, size = f"stream-{uuid4()}", BATCH if task == "batches" else 1
    for _ in range(number // size):
        client.append(stream, size)
    return number // size * size


def _in_threads(client: Any, number: int) -> int:
    each = number // IN_FLIGHT
    done: list[int] = []

    def appends() -> None:
        stream = f"stream-{uuid4()}"
        for _ in range(each):
            client.append(stream, 1)
        done.append(each)

    threads = [threading.Thread(target=appends) for _ in range(IN_FLIGHT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def measure_sync(name: str, task: str, port: int, number: int) -> Figures:
    client = CONTENDERS[name](port)
    try:
        if task in APPENDS or task == "idle":
            client.append(f"warm-{uuid4()}", 1)
        if task == "few":
            read_sync(client, task, 1)
        if task == "idle":
            idle, subscriptions = _resident(), [client.live()]
            before = _resident()
            subscriptions += [client.live() for _ in range(number)]
            return _idle_figures(idle, before, number)
        clock = _Clock()
        return clock.figures((append_sync if task in APPENDS else read_sync)(client, task, number))
    finally:
        client.close()


# --- with asyncio -----------------------------------------------------------------------------------------------------


async def read_async(client: Any, task: str, number: int) -> int:
    if task == "few":
        for _ in range(number):
            assert len([event async for event in await client.opened("few")]) == FEW
        return number
    count, use = 0, look if task == "looked" else touch
    async for event in await client.opened("stream" if task == "looked" else task):
        use(event)
        count += 1
        if count == number:
            break
    return count


async def append_async(client: Any, task: str, number: int) -> int:
    if task == "flight":
        return sum(await asyncio.gather(*(_appends(client, number // IN_FLIGHT, 1) for _ in range(IN_FLIGHT))))
    size = BATCH if task == "batches" else 1
    return await _appends(client, number // size, size)


async def _appends(client: Any, times: int, size: int) -> int:
    stream = f"stream-{uuid4()}"
    for _ in range(times):
        await client.append(stream, size)
    return times * size


async def measure_async(name: str, task: str, port: int, number: int) -> Figures:
    client = CONTENDERS[name](port)
    await client.connect()
    try:
        if task in APPENDS or task == "idle":
            await client.append(f"warm-{uuid4()}", 1)
        if task == "few":
            await read_async(client, task, 1)
        if task == "idle":
            idle, subscriptions = _resident(), [await client.opened("live")]
            before = _resident()
            subscriptions += [await client.opened("live") for _ in range(number)]
            return _idle_figures(idle, before, number)
        run: Callable[[Any, str, int], Awaitable[int]] = append_async if task in APPENDS else read_async
        clock = _Clock()
        return clock.figures(await run(client, task, number))
    finally:
        await client.close()


class _Clock:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._memory = _peak()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def figures(self, number: int) -> Figures:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        peak = _peak()
        return {"number": number, "wall": wall, "cpu": cpu, "peak_mb": peak, "grown_mb": peak - self._memory}


def _idle_figures(idle: float, before: float, number: int) -> Figures:
    """What a process with a connected client takes, and what each of so many subscriptions has added."""
    return {"number": number, "idle_mb": idle, "subscription_kb": (_resident() - before) * 1024 / number}


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, task: str, port: int, number: int) -> Figures:
    if name.endswith(" sync"):
        return measure_sync(name, task, port, number)
    return asyncio.run(measure_async(name, task, port, number))


if __name__ == "__main__":
    try:
        print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
