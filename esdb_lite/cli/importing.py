"""`import` and `copy`: events from a file, or from another server.

Owns: where events come from, and what is said about them. Must not know: how they are appended.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator, Iterator

from esdb_lite import AsyncEsdbClient, NewEvent, RecordedEvent
from esdb_lite.cli import OK, WRONG, CommandFailed
from esdb_lite.cli.event_files import STREAM, lines_of, reading
from esdb_lite.cli.importer import ImportCounts, Importer
from esdb_lite.cli.lines import FileEvent, LineError, event_of
from esdb_lite.cli.selection import excluded_by, moved
from esdb_lite.cli.session import failures, uri_of, with_client
from esdb_lite.cli.terminal import Output, ProgressLine, progress, shown

_CHUNK, _SORTED_CHUNK = 2_000, 50_000
"""Events that are looked at together; where those of a stream are put together, they are to be many."""
_CHUNK_BYTES = 64 * 1024 * 1024
_NAMED = 5
"""Streams that are named when something is the matter with them."""


def import_file(options: argparse.Namespace) -> int:
    """Append the events of a file."""
    if options.file != STREAM and not os.path.exists(options.file):
        raise CommandFailed(f"{options.file} does not exist")
    whole = 0 if options.file == STREAM else os.path.getsize(options.file)

    async def work(client: AsyncEsdbClient) -> int:
        importer = _importer(client, options)
        with progress("importing") as shows, reading(options.file) as file:
            position = getattr(getattr(file, "fileobj", file), "tell", lambda: 0)
            try:
                for chunk in _chunks(lines_of(file, options.file), options):
                    await importer.take(chunk)
                    share = 100 * position() / whole if whole else None
                    shows.at(shows.done + len(chunk), share)
                await importer.finish()
            finally:
                await importer.stop()
        return _ended(importer.counts, shows, options)

    return with_client(options, work)


def _importer(client: AsyncEsdbClient, options: argparse.Namespace) -> Importer:
    return Importer(client, by_stream=options.by_stream, timeout=options.timeout)


def _chunks(lines: Iterator[bytes], options: argparse.Namespace) -> Iterator[list[FileEvent]]:
    most = _SORTED_CHUNK if options.by_stream else _CHUNK
    chunk: list[FileEvent] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            chunk.append(event_of(line))
        except LineError as error:
            raise CommandFailed(f"{options.file}, line {number:,}: {shown(str(error))}") from None
        size += len(line)
        if len(chunk) >= most or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def copy(options: argparse.Namespace) -> int:
    """Append the events of one server to another."""
    source = uri_of(options.uri)
    if source == options.target:
        raise CommandFailed("a server cannot be copied to itself")

    async def work(target: AsyncEsdbClient) -> int:
        importer = _importer(target, options)
        with failures():
            async with AsyncEsdbClient(source) as client:
                with progress("copying") as shows:
                    try:
                        await _copy(client, importer, options, shows)
                    finally:
                        await importer.stop()
        return _ended(importer.counts, shows, options)

    return with_client(argparse.Namespace(uri=options.target), work)


async def _copy(client: AsyncEsdbClient, importer: Importer, options: argparse.Namespace, shows: ProgressLine) -> None:
    end = await client.get_commit_position(timeout=options.timeout)
    async for batch in _batches(client, options):
        await importer.take([_moved(event) for event in batch])
        shows.at(shows.done + len(batch), 100 * (batch[-1].commit_position or 0) / max(1, end))
    await importer.finish()


async def _batches(client: AsyncEsdbClient, options: argparse.Namespace) -> AsyncIterator[list[RecordedEvent]]:
    chosen = moved(options)
    events = client.read_all_events(
        options.start, filter_exclude=excluded_by(chosen), filter=chosen, timeout=options.timeout
    )
    async with events:
        while batch := await events.next_batch():
            yield list(batch)


def _moved(event: RecordedEvent) -> FileEvent:
    new = NewEvent(event.type, event.data, event.metadata, event.content_type, event.id)
    return FileEvent(event.stream_name, event.stream_position, new)


def _ended(counts: ImportCounts, shows: ProgressLine, options: argparse.Namespace) -> int:
    _say(counts, shows)
    if options.json:
        Output(as_json=True).one(
            {
                "appended": counts.appended,
                "known": counts.known,
                "renumbered": bool(counts.renumbered),
                "left_out": counts.left_out,
                "left_out_streams": counts.conflicts,
            }
        )
    return WRONG if counts.conflicts else OK


def _say(counts: ImportCounts, shows: ProgressLine) -> None:
    known = f", {counts.known:,} were there" if counts.known else ""
    print(f"appended {counts.appended:,} events{known} ({shows.rate:,.0f} events/s)", file=sys.stderr)
    if counts.renumbered:
        print("some events have other positions in their streams now: earlier ones were missing", file=sys.stderr)
    if not counts.conflicts:
        return
    names = ", ".join(map(shown, counts.conflicts[:_NAMED])) + (", ..." if len(counts.conflicts) > _NAMED else "")
    print(
        f"{counts.left_out:,} events were left out: {len(counts.conflicts):,} streams end with other events: {names}",
        file=sys.stderr,
    )
