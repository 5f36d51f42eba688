"""`read` and `tail`: events of a stream or of all.

Owns: which call of the client that is. Must not know: how an event is shown.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence

from esdb_lite import AsyncEsdbClient, AsyncSubscription, RecordedEvent
from esdb_lite.cli import UNREACHABLE, CommandFailed
from esdb_lite.cli.events import print_event
from esdb_lite.cli.selection import OfStream, excluded_by, filter_of
from esdb_lite.cli.session import uses_client
from esdb_lite.cli.terminal import Output

ALL = "$all"


@uses_client
async def read(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Show stored events."""
    if options.stream in (None, ALL):
        chosen = filter_of(options)
        events: AsyncIterator[RecordedEvent] = client.read_all_events(
            options.start,
            options.backwards,
            limit=options.limit,
            filter_exclude=excluded_by(chosen),
            filter=chosen,
            resolve_links=options.resolve_links,
            timeout=options.timeout,
        )
    else:
        events = _of_stream(client, options)
    await _show(events, options, Output(as_json=options.json), options.limit)


async def _of_stream(client: AsyncEsdbClient, options: argparse.Namespace) -> AsyncIterator[RecordedEvent]:
    chosen = OfStream(options)
    limit = None if options.types else options.limit
    async for event in client.read_stream_events(
        options.stream,
        options.start,
        options.backwards,
        limit=limit,
        resolve_links=options.resolve_links,
        timeout=options.timeout,
    ):
        if chosen.wants(event):
            yield event


@uses_client
async def tail(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Show events as they come, until there are enough or none has come for long; by default without end."""
    from_end = options.start is None
    if options.limit == 0:
        raise CommandFailed("--limit must be at least 1: tail waits for events")
    if options.stream in (None, ALL):
        chosen = filter_of(options)
        subscription = await client.subscribe_all_events(
            options.start,
            filter_exclude=excluded_by(chosen),
            filter=chosen,
            from_end=from_end,
            resolve_links=options.resolve_links,
        )
    else:
        subscription = await client.subscribe_stream_events(
            options.stream, options.start, from_end=from_end, resolve_links=options.resolve_links
        )
    of_stream = None if options.stream in (None, ALL) else OfStream(options)
    output, left = Output(as_json=options.json), options.limit
    patience = _Patience(options.timeout)
    async with subscription:
        while batch := await patience.next_batch(subscription):
            for event in batch:
                if of_stream is None or of_stream.wants(event):
                    _print(event, options, output)
                    patience.begin()
                    left = None if left is None else left - 1
                    if left == 0:
                        return
            output.flush()  # whoever reads a pipe wants to see it now
    if left is not None and patience.is_over:
        raise CommandFailed(f"no event has come for {options.timeout:g} s; {left:,} are missing", UNREACHABLE)


class _Patience:
    """How long the next event may take."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = 0.0
        self.is_over = False
        self.begin()

    def begin(self) -> None:
        """Begin anew: an event has come."""
        self._end = asyncio.get_running_loop().time() + (self._seconds or 0.0)

    async def next_batch(self, subscription: AsyncSubscription[RecordedEvent]) -> Sequence[RecordedEvent]:
        """Return the next events; none when it is over."""
        if self._seconds is None:
            return await subscription.next_batch()
        try:
            return await asyncio.wait_for(subscription.next_batch(), self._end - asyncio.get_running_loop().time())
        except asyncio.TimeoutError:
            self.is_over = True
            return ()


async def _show(
    events: AsyncIterator[RecordedEvent], options: argparse.Namespace, output: Output, limit: int | None
) -> None:
    left = limit
    if left == 0:
        return
    async for event in events:
        _print(event, options, output)
        left = None if left is None else left - 1
        if left == 0:
            return


def _print(event: RecordedEvent, options: argparse.Namespace, output: Output) -> None:
    if options.raw:
        output.verbatim(event.data)
    else:
        print_event(output, event)
