"""The five system projections: which link is written for an event, and where.

Owns: their rules and the queries that set them (section 3 of the notes on projections). Must not know: how events are
read, how links are written, that there are other projections.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

from esdb_lite.server.engine.links import LINK_TYPE
from esdb_lite.server.engine.model import is_too_long
from esdb_lite.server.projections.emitting import Emission, Owner
from esdb_lite.server.projections.seen import CORRELATION, Seen, quoted, text_of

STREAM_LINK_TYPE = "$@"
"""Names a stream; nobody resolves it."""
NOTHING_SEEN = -1
"""The position of a projection that has not handled an event."""
_DELETED = ',"$deleted":-1'
_ET = "$et"
_EPOCH = datetime(1970, 1, 1)


class QueryDoesNotFit(Exception):
    """A system projection cannot be set like this."""


Link: TypeAlias = tuple[str, str, bytes, str]
"""What is to be written for an event: stream, type, data, and members of its metadata, behind the position, each after
a comma."""
Rule: TypeAlias = Callable[[Seen], "Link | None"]


class SystemIndex:
    """A system projection at work: events in, links out."""

    def __init__(self, name: str, query: str, owner: Owner) -> None:
        """Raises QueryDoesNotFit."""
        self.handled = NOTHING_SEEN
        """The position of the last event that it has handled."""
        self.events = 0
        """How many it has handled."""
        self._link = _RULES[name](query)
        self._links_too = name not in (BY_EVENT_TYPE, BY_CORRELATION_ID)
        self._marks = name == BY_EVENT_TYPE
        self._stamp = f'{{"$v":"{owner.stamp}",'

    def handle(self, events: Iterable[Seen]) -> list[Emission]:
        """The links for some events, in their order."""
        link_of, stamp, links_too = self._link, self._stamp, self._links_too
        emissions: list[Emission] = []
        add, new = emissions.append, tuple.__new__
        handled, last = 0, None
        for seen in events:
            if not links_too and (seen.is_link or seen.at.type == LINK_TYPE):
                continue
            handled, last = handled + 1, seen
            link = link_of(seen)
            if link is not None:
                stream, type, data, extras = link
                metadata = f"{stamp}{seen.place}{extras}{seen.identity}".encode("utf-8", "replace")
                # this way it takes half as long
                add(new(Emission, (stream, type, False, data, metadata, None, True)))
        if last is not None:
            self.handled = last.at.position
            self.events += handled
        return emissions

    def mark(self) -> list[Emission]:
        """What is written where it starts, and at each checkpoint: by one of them only."""
        if not self._marks:
            return []
        where = position_members(self.handled)
        return [Emission(_ET, "$Checkpoint", True, f"{{{where}}}".encode(), f"{self._stamp}{where}}}".encode())]


def position_members(position: int) -> str:
    """A position in the log as members of a JSON object."""
    return f'"$c":{max(position, 0)},"$p":{position}'


# --- what they write --------------------------------------------------------------------------------------------------


def _streams(query: str) -> Rule:
    _expect_no_query(query)

    def link(seen: Seen) -> Link | None:
        if seen.at.revision != 0:
            return None
        return "$streams", LINK_TYPE, f"0@{seen.at.stream}".encode("utf-8", "replace"), ""

    return link


def _stream_by_category(query: str) -> Rule:
    category_of = _category(query)

    def link(seen: Seen) -> Link | None:
        category = category_of(seen.at.stream) if seen.at.revision == 0 else None
        if category is None:
            return None
        return f"$category-{category}", STREAM_LINK_TYPE, seen.at.stream.encode("utf-8", "replace"), ""

    return link


def _by_category(query: str) -> Rule:
    category_of = _category(query)

    def link(seen: Seen) -> Link | None:
        stream = seen.deletes or seen.at.stream
        category = category_of(stream)
        if category is None:
            return None
        extras = f',"$o":{quoted(stream)}{_DELETED if seen.deletes else ""}'
        return f"$ce-{category}", LINK_TYPE, seen.target, extras

    return link


def _by_event_type(query: str) -> Rule:
    _expect_no_query(query)

    def link(seen: Seen) -> Link | None:
        event, data = seen.at, seen.target
        if seen.of is not event.stream:
            # It names the stream itself for an event of its metadata stream, too, which is another event or none.
            data = f"{event.revision}@{seen.of}".encode("utf-8", "replace")
        if seen.deletes:
            return "$et-$deleted", LINK_TYPE, data, _DELETED
        return f"$et-{event.type}", LINK_TYPE, data, ""

    return link


def _by_correlation_id(query: str) -> Rule:
    name = _correlation_property(query)

    def link(seen: Seen) -> Link | None:
        value = seen.member(name) if seen.at.metadata else None
        stream = "" if value is None else f"$bc-{text_of(value)}"
        if not stream or is_too_long(stream):
            return None
        extras = f',"$eventTimestamp":"{_time(seen.at.created)}"'
        return stream, LINK_TYPE, seen.target, extras

    return link


def _time(ticks: int) -> str:
    seconds, microseconds = divmod(ticks // 10, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06}Z"


@lru_cache
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()


# --- how they are set -------------------------------------------------------------------------------------------------


def _expect_no_query(query: str) -> None:
    if query.strip():
        raise QueryDoesNotFit("This projection takes no query: update it with an empty one.")


def _category(query: str) -> Callable[[str], str | None]:
    """`first` or `last`, and the separator; a separator alone stands for the last one."""
    lines: Sequence[str] = [line.strip() for line in query.strip().splitlines()] or ("first", "-")
    lines = ("last", lines[0]) if len(lines) == 1 else lines
    if len(lines) != 2 or lines[0].lower() not in ("first", "last") or len(lines[1]) != 1:
        raise QueryDoesNotFit(
            "Its query must be `first` or `last`, and on the next line the character that ends a category. "
            "Update it: an empty query stands for `first` and `-`."
        )
    find = str.find if lines[0].lower() == "first" else str.rfind
    separator = lines[1]

    def category(stream: str) -> str | None:
        end = find(stream, separator)
        return stream[:end] if end > 0 and stream[0] != "$" else None

    return category


def _correlation_property(query: str) -> str:
    if not query.strip():
        return CORRELATION
    try:
        found = json.loads(query)
    except (ValueError, RecursionError):
        found = None
    name = found.get("correlationIdProperty") if isinstance(found, dict) else None
    if not isinstance(name, str) or not name:
        raise QueryDoesNotFit(
            "Its query must be a JSON object that names a member of metadata as correlationIdProperty. "
            "Update it: an empty query stands for $correlationId."
        )
    return name


STREAMS = "$streams"
STREAM_BY_CATEGORY = "$stream_by_category"
BY_CATEGORY = "$by_category"
BY_EVENT_TYPE = "$by_event_type"
BY_CORRELATION_ID = "$by_correlation_id"
_RULES: dict[str, Callable[[str], Rule]] = {
    STREAMS: _streams,
    STREAM_BY_CATEGORY: _stream_by_category,
    BY_CATEGORY: _by_category,
    BY_EVENT_TYPE: _by_event_type,
    BY_CORRELATION_ID: _by_correlation_id,
}
