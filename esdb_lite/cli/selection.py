"""Which events a command is about.

Owns: filters out of arguments. Must not know: what is done with the events.
"""

from __future__ import annotations

import argparse
import re

from esdb_lite import ESDB_EVENTS_REGEX, Filter, RecordedEvent
from esdb_lite.cli import CommandFailed

_OF_USERS = r"^(?:[^$]|\$\$[^$])"
"""Streams that are not the server's own, and those of their metadata."""


def filter_of(options: argparse.Namespace) -> Filter | None:
    """Return the filter for reading all events; None: all of them. Raises CommandFailed."""
    chosen = [name for name in ("types", "category", "filter", "stream_filter") if getattr(options, name)]
    if len(chosen) > 1:
        names = ", ".join("--" + name.replace("types", "type").replace("_", "-") for name in chosen)
        raise CommandFailed(f"a server filters by one thing at a time, and these are given: {names}")
    if options.types:
        return Filter.by_event_type(include=[re.escape(name) for name in options.types])
    if options.category:
        return Filter.by_stream_name(prefixes=[f"{name}-" for name in options.category])
    if options.filter:
        return Filter.by_event_type(regex=options.filter)
    if options.stream_filter:
        return Filter.by_stream_name(regex=options.stream_filter)
    return None if options.system else Filter.by_event_type(exclude=[ESDB_EVENTS_REGEX])


def moved(options: argparse.Namespace) -> Filter | None:
    """Return the filter for moving events elsewhere: with the metadata of streams. Raises CommandFailed."""
    if options.category:
        names = [f"{name}-" for name in options.category]
        filter_of(options)  # refuses what cannot be combined
        return Filter.by_stream_name(prefixes=[*names, *(f"$${name}" for name in names)])
    if options.types or options.filter or options.stream_filter or options.system:
        return filter_of(options)
    return Filter.by_stream_name(regex=_OF_USERS)


def excluded_by(filter: Filter | None) -> tuple[str, ...]:
    """Return what reads exclude beside a filter: without one, nothing."""
    return () if filter is None else (ESDB_EVENTS_REGEX,)


class OfStream:
    """Which events of one stream are wanted: servers do not filter those."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises CommandFailed."""
        for name in ("category", "filter", "stream_filter"):
            if getattr(options, name):
                option = "--" + name.replace("_", "-")
                raise CommandFailed(f"{option} is for all events; of one stream, --type chooses")
        self._types = frozenset(options.types or ())

    def wants(self, event: RecordedEvent) -> bool:
        """Whether an event is wanted."""
        return not self._types or event.type in self._types
