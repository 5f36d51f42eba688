"""The log, page by page, for all projections that read it: each page is read, checked and resolved once.

Owns: the one listener at the end of the log, and the pages that were read last. Must not know: who reads, what is
written for events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.feed import Listener
from esdb_lite.server.engine.links import LINK_TYPE, Resolved, parse_link, resolve
from esdb_lite.server.engine.visibility import window_unless_tombstoned
from esdb_lite.server.projections.pace import LinkPace
from esdb_lite.server.projections.seen import Seen, as_arrived, as_written, is_taken
from esdb_lite.server.projections.stretches import LinkStretches
from esdb_lite.server.storage import Reader, Record
from esdb_lite.server.storage.errors import StorageError

_PAGE_BYTES = 256 * 1024
_PAGES_KEPT = 4
_WINDOW_BYTES = 4 * 1024 * 1024
"""Of the log, that are looked through at once."""
_LIVE_EVENTS_KEPT = 4096
"""So many events may wait for projections at the end of the log; with more they are read from storage again."""


class Page(NamedTuple):
    """What projections see of a part of the log, which ends before `next`."""

    next: int
    written: Sequence[Seen]
    """Links as they stand, for those that catch up."""
    arrived: Sequence[Seen]
    """Links resolved as they arrive, for those that run."""

    def since(self, start: int) -> Sequence[Seen]:
        """What is seen by one to which events have arrived since a position."""
        if self.written is self.arrived:
            return self.written
        return [seen for seen in self.written if seen.at.position < start] + [
            seen for seen in self.arrived if seen.at.position >= start
        ]


class LogPages:
    """Everything is called on the loop of the database."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        """`now`: ticks."""
        self._database = database
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None
        self._arrived = asyncio.Event()
        self._rest: Sequence[Record] = ()
        self._tail = 0
        """Where the events begin that the listener has, or will get; what lies before is in storage."""
        self._looking = False
        """Whether events are on their way from the listener to a page."""
        self._at_tail: asyncio.Task[Page] | None = None
        self._pages: dict[int, asyncio.Task[Page]] = {}
        self._pace = LinkPace()
        self._stretches = LinkStretches()

    def page(self, position: int) -> asyncio.Task[Page]:
        """The page that begins at a position, for all who ask: to be shielded, not to be cancelled.

        It waits at the end of the log. It may be empty. Raises, when it is awaited: StorageError.
        """
        self._listen()
        known = self._pages.get(position)
        if known is not None and _is_good(known, position):
            return known
        self._pace.ask(self._loop.time(), self._database.appends)
        if position < self._tail:
            return self._keep(position, self._loop.create_task(self._stored(position)))
        if self._at_tail is None or self._at_tail.done():
            self._at_tail = self._keep(position, self._loop.create_task(self._coming()))
        return self._at_tail

    def is_at_end(self, page: asyncio.Task[Page]) -> bool:
        """Whether nothing is left to be seen by one that waits for a page."""
        waits = page is self._at_tail and not page.done() and not self._looking
        return waits and not self._rest and not self._arrived.is_set()

    def skip(self, links: range) -> None:
        """Take note of a part of the log that holds nothing but what one of those who read here has written."""
        self._stretches.add(links)

    async def close(self) -> None:
        """Stop listening; waiters are cancelled. Idempotent."""
        if self._listener is not None:
            self._listener.close()
            self._listener, self._rest = None, ()
        pages, self._pages = [*self._pages.values()], {}
        for page in pages:
            page.cancel()
        for page in pages:
            with suppress(asyncio.CancelledError, StorageError):
                await page

    def _keep(self, position: int, page: asyncio.Task[Page]) -> asyncio.Task[Page]:
        self._pages.pop(position, None)
        self._pages[position] = page
        for first in [first for first, kept in self._pages.items() if kept.done()]:
            if len(self._pages) <= _PAGES_KEPT:
                break
            del self._pages[first]
        return page

    # --- the end of the log ---

    def _listen(self) -> None:
        if self._listener is None or (self._listener.overflowed and not self._rest):
            self._listener = self._database.listen(self._arrived.set, stream=None, limit=_LIVE_EVENTS_KEPT)
            self._arrived.clear()
            self._tail = self._listener.registered_at
            # Who still waits for a page of the listener before is not at the end: his page leads to storage.
            self._at_tail = None

    async def _coming(self) -> Page:
        """The next events, as soon as there are any of users; nothing, when they are in storage by now."""
        position = self._tail
        # Meanwhile there may be a new listener, which begins elsewhere.
        while position == self._tail:
            records = await self._next()
            if not records:
                break
            position = self._tail = records[-1].position + 1
            seen = await self._look(records)
            if seen.written or seen.arrived:
                self._pace.hand_out(self._loop.time())
                return seen
        return Page(position, (), ())

    async def _next(self) -> Sequence[Record]:
        """Take what has arrived, a page at most; nothing: too much has come, read it from storage."""
        if self._rest:
            await self._let_others()
        else:
            listener = self._listener
            await self._arrived.wait()
            if listener is None or listener is not self._listener or listener.overflowed:
                return ()
            self._arrived.clear()
            self._rest = listener.take(_PAGE_BYTES)
            if any(is_taken(record.stream) for record in self._rest):
                self._pace.arrive(self._loop.time())
                await self._let_others()
                self._rest = [*self._rest, *listener.take(_PAGE_BYTES)]
            if listener.holds or listener.overflowed:
                self._arrived.set()
        most = self._pace.page_events
        records, self._rest = self._rest[:most], self._rest[most:]
        return records

    async def _let_others(self) -> None:
        """Pause where that is due."""
        left = self._pace.left(self._loop.time())
        if left > 0:
            await asyncio.sleep(left)

    # --- storage ---

    async def _stored(self, position: int) -> Page:
        """The next events of users in storage, or nothing up to where the listener begins."""
        while (position := min(self._stretches.behind(position), self._tail)) < self._tail:
            page = await self._read(position)
            if page.written or page.arrived:
                await self._let_others()
                self._pace.hand_out(self._loop.time())
                return page
            position = page.next
        return Page(position, (), ())

    async def _read(self, position: int) -> Page:
        # Not too much of what is not seen at once: the links that projections have written, for the most part.
        end = self._stretches.before(position, min(self._tail, position + _WINDOW_BYTES))
        most = self._pace.page_events
        found = await self._database.read(lambda reader: reader.log_of_users(position, end, most))
        return await self._seen(found) if found else Page(end, (), ())

    # --- what is seen ---

    async def _look(self, records: Sequence[Record]) -> Page:
        self._looking = True
        try:
            return await self._seen(records)
        finally:
            self._looking = False

    async def _seen(self, records: Sequence[Record]) -> Page:
        taken = [record for record in records if is_taken(record.stream)]
        following = records[-1].position + 1 if records else 0
        written = [seen for seen in map(as_written, taken) if seen is not None]
        links = [record for record in taken if record.type == LINK_TYPE]
        if not links:
            return Page(following, written, written)
        resolved = await self._database.read(lambda reader: _resolve(reader, links, self._now()))
        by_position = {seen.at.position: seen for seen in written if seen.at.type != LINK_TYPE}
        by_position.update((seen.at.position, seen) for seen in resolved)
        return Page(following, written, [by_position[position] for position in sorted(by_position)])


def _is_good(page: asyncio.Task[Page], position: int) -> bool:
    """Whether a page is worth being asked for again: it is to come, or it leads on."""
    return not page.done() or (not page.cancelled() and page.exception() is None and page.result().next > position)


def _resolve(reader: Reader, links: Sequence[Record], now: int) -> list[Seen]:
    """See links as they arrive; not at all those into streams that are not there, nor those to what is no JSON."""
    found: list[Seen] = []
    for link, event in zip(links, resolve(reader, links, now), strict=True):
        if not isinstance(event, Resolved):
            seen = as_written(link)
        elif event.event is None and _is_gone(reader, link, now):
            seen = None
        else:
            seen = as_arrived(link, event.event)
        if seen is not None:
            found.append(seen)
    return found


def _is_gone(reader: Reader, link: Record, now: int) -> bool:
    target = parse_link(link.data)
    if target is None or not target.stream:
        return False
    return window_unless_tombstoned(reader, target.stream, now) is None
