"""Appending events that come from elsewhere: in their order, with their ids, and again without doing it twice.

Owns: what is appended together, what is expected of streams, what is there already. Must not know: files.

Events are sent without waiting for answers: the server writes them in the order in which they are sent, so that the
order of all events stays. Where the server has events already, the last event of each stream says how far an earlier
run has come; a stream whose last event is not among those to come is left alone, with its metadata. The server writes
metadata of its own, and shows the last ones only: where those are not among the ones to come, the last of these count.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from esdb_lite import (
    AccessDenied,
    AsyncEsdbClient,
    ExpectedPosition,
    NewEvent,
    StreamDeleted,
    StreamNotFound,
    StreamState,
)
from esdb_lite.cli.lines import TOMBSTONE, FileEvent

_EVENTS = 1000
"""That are sent together."""
_IN_FLIGHT = 4
"""Of these parts."""
_LOOKUPS = 32
_METADATA = "$$"
"""So the names of streams begin that have the metadata of others."""


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

    __slots__ = ("deleted", "held", "known", "last", "waits")

    def __init__(self, last: int = -1, known: UUID | None = None, *, deleted: bool = False) -> None:
        self.last = last
        """Position of the last event that is there, or on its way."""
        self.known = known
        """Its id, until the same event has come: up to there, nothing is to be appended."""
        self.held = 0
        """Events that have come before it: they are there, too, if it comes."""
        self.waits: FileEvent | None = None
        """The last of these, where they are metadata."""
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
        if self._by_stream:
            events = _by_stream(events)
        for start in range(0, len(events), _EVENTS):
            part = _ImportPart()
            for event in events[start : start + _EVENTS]:
                if event.event.type == TOMBSTONE:
                    await self._append(part)
                    part = _ImportPart()
                    await self._tombstone(event)
                elif self._is_wanted(event):
                    part.add(event, self._streams[event.stream])
            await self._append(part)

    async def finish(self) -> None:
        """Wait for all answers, and take note of streams that were not as expected."""
        await self._land(0)
        conflicts: dict[str, None] = {}
        for name, stream in self._streams.items():
            if stream.held and self._streams[_subject(name)].known is not None:
                conflicts[_subject(name)] = None
                self.counts.left_out += stream.held
            elif stream.waits is not None:
                last = stream.waits
                await self._client.append_events(name, StreamState.ANY, last.event, timeout=self._timeout)
                self.counts.appended += 1
                self.counts.known += stream.held - 1
        self.counts.conflicts += conflicts

    async def stop(self) -> None:
        """Wait for nothing any more."""
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)

    # --- what is there ---

    async def _look_up(self, events: Iterable[FileEvent]) -> None:
        asked = dict.fromkeys(name for event in events for name in (event.stream, _subject(event.stream)))
        new = [name for name in asked if name not in self._streams]
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
        try:
            events = self._client.read_stream_events(name, backwards=True, limit=1, timeout=self._timeout)
            last = [event async for event in events]
        except StreamNotFound:
            return _Stream()
        except AccessDenied:
            if not name.startswith(_METADATA):
                raise
            return _Stream()
        except StreamDeleted:
            return _Stream(deleted=True)
        return _Stream(last[0].stream_position, last[0].id) if last else _Stream()

    # --- appending ---

    def _is_wanted(self, event: FileEvent) -> bool:
        """Whether an event is not there."""
        stream = self._streams[event.stream]
        if stream.deleted:
            self.counts.known += 1
            return False
        wanted = stream.known is None and self._streams[_subject(event.stream)].known is None
        if not wanted:
            stream.held += 1
            stream.waits = event if event.stream.startswith(_METADATA) else None
        if wanted or event.event.id == stream.known:
            self.counts.known += stream.held
            stream.known, stream.waits, stream.held = None, None, 0
        return wanted

    async def _append(self, part: _ImportPart) -> None:
        if part.events:
            await self._land(_IN_FLIGHT - 1)
            self.counts.renumbered += part.renumbered
            self._flying.append(asyncio.ensure_future(self._send(part)))

    async def _send(self, part: _ImportPart) -> int:
        await self._client.import_events(part.events, part.expected, timeout=self._timeout)
        return len(part.events)

    async def _tombstone(self, event: FileEvent) -> None:
        """That is no append, and would not wait for those before it."""
        if self._is_wanted(event):
            self._streams[event.stream].deleted = True
            await self._land(0)
            await self._client.tombstone_stream(event.stream, timeout=self._timeout)
            self.counts.appended += 1

    async def _land(self, left: int) -> None:
        """Wait for answers, the oldest first, until no more than so many are missing."""
        while len(self._flying) > left:
            await asyncio.wait({self._flying[0]})  # given up here, they all are: never the first one alone
            self.counts.appended += self._flying.popleft().result()


class _ImportPart:
    """Events that are sent together, and where their streams are expected to end."""

    def __init__(self) -> None:
        self.events: list[tuple[str, NewEvent]] = []
        self.expected: dict[str, ExpectedPosition] = {}
        self.renumbered = False
        """Some have another position in their stream now."""

    def add(self, event: FileEvent, stream: _Stream) -> None:
        name = event.stream
        if not name.startswith(_METADATA):  # the server writes there, too
            self.expected.setdefault(name, stream.last if stream.last >= 0 else None)
            stream.last += 1
            self.renumbered |= stream.last != event.position
        self.events.append((name, event.event))


def _subject(name: str) -> str:
    """The stream that a stream belongs to: the one that its metadata are about, or itself."""
    return name.removeprefix(_METADATA) or name


def _by_stream(events: Sequence[FileEvent]) -> list[FileEvent]:
    """Put those of a stream together, with its metadata in between: they may say that it is deleted."""
    streams: dict[str, list[FileEvent]] = {}
    for event in events:
        streams.setdefault(_subject(event.stream), []).append(event)
    return [event for some in streams.values() for event in some]
