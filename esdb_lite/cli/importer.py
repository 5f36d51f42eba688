"""Appending events that come from elsewhere: in their order, with their ids, and again without doing it twice.

Owns: what is appended together, what is expected of streams, what is there already. Must not know: files.

Appends are sent one behind the other without waiting for answers: the server does them in that order, so that the order
of all events stays. Where the server has events already, the last event of each stream says how far an earlier run has
come; a stream whose last event is not among those to come is left alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from esdb_lite import AsyncEsdbClient, NewEvent, StreamDeleted, StreamNotFound, StreamState
from esdb_lite.cli.lines import TOMBSTONE, FileEvent

_IN_FLIGHT = 256
_EVENTS, _BYTES = 1000, 512 * 1024
"""What one append may have."""
_LOOKUPS = 32


@dataclass
class ImportCounts:
    """What has become of events."""

    appended: int = 0
    known: int = 0
    """They were there."""
    renumbered: int = 0
    """They have another position in their stream now."""
    left_out: int = 0
    """Their streams had other events."""
    conflicts: list[str] = field(default_factory=list)
    """These streams."""


class _Stream:
    """What is known of a stream of the server."""

    __slots__ = ("deleted", "held", "known", "last")

    def __init__(self, last: int = -1, known: UUID | None = None, *, deleted: bool = False) -> None:
        self.last = last
        """Position of the last event that is there, or on its way."""
        self.known = known
        """Its id, until the same event has come: up to there, nothing is to be appended."""
        self.held = 0
        """Events that have come before it: they are there, too, if it comes."""
        self.deleted = deleted


class Importer:
    """Appends events to one server."""

    def __init__(self, client: AsyncEsdbClient, *, by_stream: bool, timeout: float | None) -> None:
        self.counts = ImportCounts()
        self._client = client
        self._by_stream = by_stream
        self._timeout = timeout
        self._streams: dict[str, _Stream] = {}
        self._flying: deque[asyncio.Task[int]] = deque()
        self._empty: bool | None = None

    async def take(self, events: Sequence[FileEvent]) -> None:
        """Append events, some of which may be there; some will be on their way when it returns."""
        await self._look_up(events)
        for run in _runs(events, self._by_stream):
            await self._append(run)

    async def finish(self) -> None:
        """Wait for all answers, and take note of streams that were not as expected."""
        await self._land(0)
        for name, stream in self._streams.items():
            if stream.known is not None:
                self.counts.conflicts.append(name)
                self.counts.left_out += stream.held

    async def stop(self) -> None:
        """Wait for nothing any more."""
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)

    # --- what is there ---

    async def _look_up(self, events: Iterable[FileEvent]) -> None:
        new = [name for name in dict.fromkeys(event.stream for event in events) if name not in self._streams]
        if self._empty is None:
            first = self._client.read_all_events(limit=1, timeout=self._timeout)
            self._empty = not [event async for event in first]
        if self._empty:
            self._streams.update((name, _Stream()) for name in new)
            return
        for start in range(0, len(new), _LOOKUPS):
            names = new[start : start + _LOOKUPS]
            found = await asyncio.gather(*map(self._found, names))
            self._streams.update(zip(names, found, strict=True))

    async def _found(self, name: str) -> _Stream:
        if name.startswith("$$"):
            return _Stream()  # the server writes there, too; it knows events by their ids
        try:
            events = self._client.read_stream_events(name, backwards=True, limit=1, timeout=self._timeout)
            last = [event async for event in events]
        except StreamNotFound:
            return _Stream()
        except StreamDeleted:
            return _Stream(deleted=True)
        return _Stream(last[0].stream_position, last[0].id) if last else _Stream()

    # --- appending ---

    async def _append(self, run: Sequence[FileEvent]) -> None:
        name = run[0].stream
        stream = self._streams[name]
        wanted = self._wanted(stream, run)
        if not wanted:
            return
        if wanted[-1].type == TOMBSTONE:  # that is no append, and would not wait for those before it
            stream.deleted = True
            await self._land(0)
            self.counts.appended += await self._tombstone(name, wanted[:-1], stream.last)
            return
        await self._land(_IN_FLIGHT - 1)
        expected = StreamState.ANY if name.startswith("$$") else _behind(stream.last)
        stream.last += len(wanted)
        self.counts.renumbered += stream.last != run[-1].position and not name.startswith("$$")
        self._flying.append(asyncio.ensure_future(self._send(name, expected, wanted)))

    def _wanted(self, stream: _Stream, run: Sequence[FileEvent]) -> list[NewEvent]:
        """Leave out what is there."""
        if stream.deleted:
            self.counts.known += len(run)
            return []
        if stream.known is None:
            return [each.event for each in run]
        for index, each in enumerate(run):
            if each.event.id == stream.known:
                stream.known = None
                self.counts.known += stream.held + index + 1
                return [each.event for each in run[index + 1 :]]
        stream.held += len(run)
        return []

    async def _send(self, name: str, expected: int | StreamState, events: list[NewEvent]) -> int:
        await self._client.append_events(name, expected, events, timeout=self._timeout)
        return len(events)

    async def _tombstone(self, name: str, before: list[NewEvent], last: int) -> int:
        if before:
            await self._send(name, _behind(last), before)
        await self._client.tombstone_stream(name, timeout=self._timeout)
        return len(before) + 1

    async def _land(self, left: int) -> None:
        """Wait for answers, the oldest first, until no more than so many are missing."""
        while len(self._flying) > left:
            self.counts.appended += await self._flying[0]
            self._flying.popleft()


def _behind(last: int) -> int | StreamState:
    return StreamState.NO_STREAM if last < 0 else last


def _runs(events: Sequence[FileEvent], by_stream: bool) -> Iterable[list[FileEvent]]:
    """Events that are appended together: those of one stream that follow each other, or all of a stream."""
    if by_stream:
        streams: dict[str, list[FileEvent]] = {}
        for event in events:
            streams.setdefault(event.stream, []).append(event)
        events = [event for some in streams.values() for event in some]
    run: list[FileEvent] = []
    size = 0
    for event in events:
        if run and (event.stream != run[0].stream or len(run) >= _EVENTS or size >= _BYTES or _ends(run[-1])):
            yield run
            run, size = [], 0
        run.append(event)
        size += len(event.event.data) + len(event.event.metadata)
    if run:
        yield run


def _ends(event: FileEvent) -> bool:
    return event.event.type == TOMBSTONE
