"""`append`, `metadata`, `delete`, `tombstone`: commands that write.

Owns: events and expectations out of arguments and lines. Must not know: how anything is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID

from esdb_lite import AsyncEsdbClient, JsonValue, NewEvent, StreamState
from esdb_lite.cli import CommandFailed
from esdb_lite.cli.lines import LineError, content_of
from esdb_lite.cli.session import uses_client, with_client
from esdb_lite.cli.terminal import Output, shown

_STATES = {"any": StreamState.ANY, "none": StreamState.NO_STREAM, "exists": StreamState.EXISTS}
_LONGEST = 256 * 1024 * 1024
"""Bytes of stdin: all of it becomes one append."""


def append(options: argparse.Namespace) -> int:
    """Append events: one from arguments, or all lines of stdin together."""
    events = _from_stdin() if options.type is None else [_from_arguments(options)]
    if not events:
        raise CommandFailed("stdin has no events")

    async def work(client: AsyncEsdbClient) -> None:
        result = await client.append_events(options.stream, _expected(options), events, timeout=options.timeout)
        output = Output(as_json=options.json)
        done = {"appended": len(events), "stream": options.stream, "position": result.stream_position}
        output.record({**done, "commit": result.commit_position})

    return with_client(options, work)


def _expected(options: argparse.Namespace) -> int | StreamState:
    return _STATES[options.expect] if isinstance(options.expect, str) else int(options.expect)


def _from_arguments(options: argparse.Namespace) -> NewEvent:
    if options.data is None:
        raise CommandFailed("DATA is missing")
    is_json = not options.text and _is_json(options.data)
    if not (is_json or options.text) and _looks_like_json(options.data):
        raise CommandFailed(f"DATA looks like JSON, but is not valid; --text stores it as it is: {shown(options.data)}")
    if options.metadata is not None and not _is_json(options.metadata):
        raise CommandFailed(f"--metadata: not JSON: {shown(options.metadata)}")
    return NewEvent(
        options.type,
        options.data.encode("utf-8", "surrogateescape"),
        (options.metadata or "").encode(),
        "application/json" if is_json else "application/octet-stream",
        None if options.id is None else _id("--id", options.id),
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _looks_like_json(text: str) -> bool:
    text = text.strip()
    return text.startswith("{") or (text.startswith("[") and text.endswith("]"))


def _id(where: str, text: object) -> UUID:
    try:
        return UUID(str(text))
    except ValueError:
        raise CommandFailed(f"{where}: not a UUID: {shown(str(text))}") from None


def _from_stdin() -> list[NewEvent]:
    text = sys.stdin.buffer.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise CommandFailed("stdin has more than one append can take; `esdb-lite import` takes any number of events")
    lines = text.splitlines()
    return [_from_line(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _from_line(number: int, line: bytes) -> NewEvent:
    where = f"line {number}"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise CommandFailed(f"{where}: not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise CommandFailed(f'{where}: not an object with a "type"')
    kind = found.get("content_type")
    try:
        data, metadata = content_of(found, "data"), content_of(found, "metadata")
    except LineError as error:
        raise CommandFailed(f"{where}: {error}") from None
    return NewEvent(
        found["type"],
        data,
        metadata,
        str(kind) if kind is not None else "application/json" if "data" in found else "application/octet-stream",
        None if found.get("id") is None else _id(where, found["id"]),
    )


@uses_client
async def metadata(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Show the metadata of a stream, or replace it."""
    output = Output(as_json=options.json)
    if options.value is not None:
        value = _json_object(options.value)
        result = await client.set_stream_metadata(options.stream, value, timeout=options.timeout)
        output.record({"stream": options.stream, "position": result.stream_position})
        return
    found = await client.get_stream_metadata(options.stream, timeout=options.timeout)
    acl = found.acl
    output.record(
        {
            "max_count": found.max_count,
            "max_age": None if found.max_age is None else found.max_age.total_seconds(),
            "truncate_before": found.truncate_before,
            "cache_control": None if found.cache_control is None else found.cache_control.total_seconds(),
            "acl": None if acl is None else {name: vars(acl)[name] for name in sorted(vars(acl))},
            "custom": found.custom or None,
            "position": found.position,
        }
    )


def _json_object(text: str) -> dict[str, JsonValue]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CommandFailed(f"the metadata is not a JSON object: {shown(text)}")
    return cast("dict[str, JsonValue]", found)


@uses_client
async def delete(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Delete a stream."""
    await _end(client.delete_stream, options)


@uses_client
async def tombstone(client: AsyncEsdbClient, options: argparse.Namespace) -> None:
    """Delete a stream for ever."""
    await _end(client.tombstone_stream, options)


async def _end(call: Callable[..., Awaitable[int | None]], options: argparse.Namespace) -> None:
    if options.expect == "none":
        raise CommandFailed("--expect: a stream that does not exist cannot be deleted")
    commit = await call(options.stream, _expected(options), timeout=options.timeout)
    Output(as_json=options.json).record({"stream": options.stream, "commit": commit})
