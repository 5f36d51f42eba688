"""Which files four everyday trips pass: an append, a read, a live event, an acknowledgement.

A profiling hook watches the thread on which a client and a server in memory run. A file counts when it calls on into
another file of the package. What only answers (checks, limits) is a helper and does not count, nor do the values at the
top level, nor the two rooms that belong to no trip: `_wire` (bytes of messages) and `_http2` (frames), which all trips
pass at both ends.
What runs below a frame of `server/` is the server's part, all else the client's. Trips are warm, and repeated: what
happens only now and then (a timer, a full window) does not count.

    python -m tests.trips       prints the lists as `esdb_lite/README.md` has them
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import esdb_lite
from esdb_lite import AsyncEsdbClient, EmbeddedServer, EsdbClient, NewEvent, StreamState

HOUSE = f"{Path(esdb_lite.__file__).parent}/"
COMMON = ("_wire/", "_http2/", "client/arguments.py")
WARM, MEASURED = 5, 5
STREAM = "trips"
FEED = "server/database/feed.py"
APPENDING = "server/services/batch_append.py"

Files = tuple[list[str], list[str]]
"""What a trip passes, in the order in which it is reached: on the client and on the server."""


class Trip:
    """What is called on the way."""

    def __init__(self, *, after: str = "", without: str = "") -> None:
        """`after`: the server's part begins with this file; `without`: leave out what runs below that one alone."""
        self._begun = not after
        self._after, self._without = after, without
        self._order: dict[tuple[bool, str], None] = {}
        self._calling: set[tuple[bool, str]] = set()

    def watch(self, frame: FrameType, event: str, _: object) -> None:
        """The hook."""
        if event != "call" or not frame.f_code.co_filename.startswith(HOUSE):
            return
        stack = list(files_of(frame))
        served = any(file.startswith("server/") for file in stack)
        if served and not self._belongs(stack):
            return
        self._order.setdefault((served, stack[0]))
        caller = next((file for file in stack if file != stack[0]), None)
        if caller is not None and stack[0] != self._after and not self._is_without(stack):
            self._calling.add((served and any(f.startswith("server/") for f in stack[1:]), caller))

    def _belongs(self, stack: list[str]) -> bool:
        if stack[0] == self._after:
            self._begun = True
            return True
        return self._begun and not self._is_without(stack)

    def _is_without(self, stack: list[str]) -> bool:
        return self._without in stack and self._after not in stack[: stack.index(self._without)]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch what this thread does."""
        sys.setprofile(self.watch)
        try:
            yield
        finally:
            sys.setprofile(None)

    def files(self) -> Files:
        """The files that call on, and the one that the server's part begins with."""
        passed = [
            (served, file)
            for served, file in self._order
            if ((served, file) in self._calling and not is_helper(file)) or file == self._after
        ]
        return [file for served, file in passed if not served], [file for served, file in passed if served]


def is_helper(file: str) -> bool:
    """Whether a file is of no trip in particular: a value at the top level, or in one of the common rooms."""
    return "/" not in file or file.startswith(COMMON)


def files_of(frame: FrameType | None) -> Iterator[str]:
    """The files of the package on the stack, innermost first."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(HOUSE):
            yield frame.f_code.co_filename.removeprefix(HOUSE)
        frame = frame.f_back


async def measure(step: Callable[[], Awaitable[object]], **limits: Any) -> Files:
    """What a step passes every time."""
    for _ in range(WARM):
        await step()
    found = []
    for _ in range(MEASURED):
        trip = Trip(**limits)
        with trip.watched():
            await step()
        found.append(trip.files())
    client, server = found[0]
    return (
        [file for file in client if all(file in others for others, _ in found)],
        [file for file in server if all(file in others for _, others in found)],
    )


@asynccontextmanager
async def world() -> AsyncIterator[tuple[EmbeddedServer, AsyncEsdbClient]]:
    """A server and a client on this loop, with a stream that has some events."""
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events(STREAM, StreamState.ANY, [event() for _ in range(20)])
        yield server, client


def event() -> NewEvent:
    """An event to append."""
    return NewEvent.json("Passed", {"by": "here"})


async def append() -> Files:
    """One event is appended; the trip ends with the answer."""
    async with world() as (_, client):
        return await measure(lambda: client.append_events(STREAM, StreamState.ANY, event()))


async def read() -> Files:
    """A stream is read to its end."""
    async with world() as (_, client):

        async def step() -> None:
            assert len([event async for event in client.read_stream_events(STREAM)]) == 20

        return await measure(step)


async def live_event() -> Files:
    """A subscription gets an event that another client appends: on the server, from the commit on."""
    async with world() as (server, client), await client.subscribe_stream_events(STREAM, from_end=True) as following:
        with EsdbClient(server.uri) as other:

            async def step() -> None:
                appending = asyncio.to_thread(other.append_events, STREAM, StreamState.ANY, event())
                await asyncio.gather(appending, following.__anext__())

            return await measure(step, after=FEED, without=APPENDING)


async def acknowledge() -> Files:
    """A consumer acknowledges an event; in its place the server delivers the next one."""
    async with world() as (_, client):
        await client.create_subscription("group", STREAM)
        async with await client.read_subscription("group", STREAM, buffer_size=1, ack_batch_size=1) as subscription:

            async def step() -> None:
                await subscription.ack(await subscription.__anext__())

            return await measure(step)


TRIPS = {"An append": append, "A read": read, "A live event": live_event, "An acknowledgement": acknowledge}


def main() -> None:
    """Print what there is."""
    for title, trip in TRIPS.items():
        client, server = asyncio.run(trip())
        print(f"### {title}\n")
        for side, files in (("client", client), ("server", server)):
            print(f"On the {side}:\n")
            print("\n".join(f"{number}. `{file}`" for number, file in enumerate(files, 1)), end="\n\n")


if __name__ == "__main__":
    main()
