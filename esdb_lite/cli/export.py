"""`export`: events into a file.

Owns: where it begins and ends, and what is said about it. Must not know: the format of a line, files.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator

from esdb_lite import AsyncEsdbClient, InvalidPosition, RecordedEvent
from esdb_lite.cli import OK, CommandFailed
from esdb_lite.cli.event_files import STREAM, Kept, mend, writing
from esdb_lite.cli.lines import BEGINNING, LineError, commit_of, line_of
from esdb_lite.cli.selection import OfStream, excluded_by, moved
from esdb_lite.cli.session import with_client
from esdb_lite.cli.terminal import Output, ProgressLine, progress

_TOLD = 512


def export(options: argparse.Namespace) -> int:
    """Write events to a file."""
    resumes = options.resume and options.file != STREAM and os.path.exists(options.file)
    kept = mend(options.file, BEGINNING) if resumes else Kept()
    chosen = OfStream(options) if options.stream is not None else None

    async def work(client: AsyncEsdbClient) -> int:
        end = await client.get_commit_position(timeout=options.timeout)
        events = _Following(options, kept, chosen)
        written, size = 0, 0
        with writing(options.file, append=resumes) as file, progress("exporting") as shows:
            async for event in events.of(client):
                line = line_of(event)
                file.write(line)
                written, size = written + 1, size + len(line)
                if written % _TOLD == 0:
                    shows.at(written, 100 * (event.commit_position or 0) / max(1, end))
                if written == options.limit:
                    break
            shows.done = written
        _say(f"exported {written:,} events" + (f" to the {kept.lines:,} there were" if kept.lines else ""), size, shows)
        if options.json and options.file != STREAM:
            Output(as_json=True).one({"exported": written, "known": kept.lines})
        return OK

    return OK if options.limit == 0 else with_client(options, work)


class _Following:
    """The events that are still to be written."""

    def __init__(self, options: argparse.Namespace, kept: Kept, chosen: OfStream | None) -> None:
        """Raises CommandFailed."""
        self._options = options
        self._chosen = chosen
        self._filter = None if chosen is not None else moved(options)
        self._start: int | None = options.start
        self._known: str | None = None
        if kept.last is not None:
            try:
                commit, position, self._known = commit_of(kept.last)
            except LineError as error:
                raise CommandFailed(f"{options.file}: its last line is not an event: {error}") from None
            self._start = position if chosen is not None else commit

    async def of(self, client: AsyncEsdbClient) -> AsyncIterator[RecordedEvent]:
        """Those behind the last one that the file has; it comes first, and is left out."""
        options = self._options
        if self._chosen is not None:
            events = client.read_stream_events(options.stream, self._start, timeout=options.timeout)
        else:
            exclude = excluded_by(self._filter)
            events = client.read_all_events(
                self._start, filter_exclude=exclude, filter=self._filter, timeout=options.timeout
            )
        try:
            async with events:
                while batch := await events.next_batch():
                    for event in batch:
                        if self._known is not None:
                            self._check(event)
                        elif self._chosen is None or self._chosen.wants(event):
                            yield event
        except InvalidPosition:
            if self._known is None:
                raise
        if self._known is not None:
            raise CommandFailed(self._another())

    def _check(self, first: RecordedEvent) -> None:
        if str(first.id) != self._known:
            raise CommandFailed(self._another())
        self._known = None

    def _another(self) -> str:
        return f"{self._options.file} is of another server or database: its last event is not where it was"


def _say(what: str, size: int, shows: ProgressLine) -> None:
    print(f"{what}, {size / 1e6:,.1f} MB ({shows.rate:,.0f} events/s)", file=sys.stderr)
