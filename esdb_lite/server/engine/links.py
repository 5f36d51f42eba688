"""Links: what a `$>` event points to, and whether that can be read.

Owns: reading link data and looking up targets, many at once. Must not know: pages, the wire, the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from esdb_lite.server.engine.visibility import window_unless_tombstoned
from esdb_lite.server.storage import Reader, Record

LINK_TYPE = "$>"
LINKS_AT_ONCE = 32
"""So many are looked up before it is seen how large the events are that they point to."""
_FIRST_LINKS = 2
_ROOM = 256 * 1024
_STREAM = 1_500
"""What it counts to look into one more stream."""
_INT64 = range(-(2**63), 2**63)
_DIGITS = 19


class Resolved(NamedTuple):
    """A link and the event it points to; None when there is no such event to be read."""

    event: Record | None
    link: Record


ReadEvent: TypeAlias = Record | Resolved
"""An event as a reader gets it: as it was stored, or as a link with its target."""


class Target(NamedTuple):
    """What link data names. Revision -1 is the stream's last event; a stream of None is no target at all."""

    revision: int
    stream: str | None


def parse_link(data: bytes) -> Target | None:
    """Read link data, `N@stream`. None when N is no number: such an event is shown as it is, not as a link."""
    number, at, stream = data.decode("utf-8", "replace").partition("@")
    revision = _int64(number)
    return None if revision is None else Target(revision, stream if at else None)


def _int64(text: str) -> int | None:
    text = text.strip(" \t\n\r\f\v")
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    digits = digits.lstrip("0") or "0"
    if len(digits) > _DIGITS:
        return None
    value = -int(digits) if text[0] == "-" else int(digits)
    return value if value in _INT64 else None


def has_links(records: Iterable[Record]) -> bool:
    """Whether there is anything to resolve."""
    return any(record.type == LINK_TYPE for record in records)


def resolve_some(reader: Reader, records: Sequence[Record], now: int) -> Sequence[ReadEvent]:
    """Do what `resolve` does, for as many of the records as make a page: at least for one of them, if there is one."""
    if not has_links(records):
        return records
    resolved: list[ReadEvent] = []
    room, step = _ROOM, _FIRST_LINKS
    while room > 0 and len(resolved) < len(records):
        some = resolve(reader, records[len(resolved) : len(resolved) + step], now)
        room -= _cost(some)
        resolved += some
        step = min(2 * step, LINKS_AT_ONCE)
    return resolved


def _cost(events: Sequence[ReadEvent]) -> int:
    """Bytes of the events that links point to, and what it takes to look into their streams."""
    targets = [event.event for event in events if isinstance(event, Resolved) and event.event is not None]
    size = sum([len(target.data) + len(target.metadata) for target in targets])
    return size + _STREAM * len({target.stream for target in targets})


def resolve(reader: Reader, records: Sequence[Record], now: int) -> Sequence[ReadEvent]:
    """Return the events with their links resolved, one level deep, in the same order."""
    if not has_links(records):
        return records
    targets = {record.position: parse_link(record.data) for record in records if record.type == LINK_TYPE}
    found = _look_up(reader, [target for target in targets.values() if target is not None], now)
    return [_resolved(record, targets, found) for record in records]


def _resolved(record: Record, targets: dict[int, Target | None], found: dict[Target, Record]) -> ReadEvent:
    target = targets.get(record.position)
    return record if target is None else Resolved(found.get(target), record)


def _look_up(reader: Reader, targets: Iterable[Target], now: int) -> dict[Target, Record]:
    by_stream: dict[str, set[Target]] = {}
    for target in targets:
        if target.stream:
            by_stream.setdefault(target.stream, set()).add(target)
    found: dict[Target, Record] = {}
    for stream, wanted in by_stream.items():
        found.update(_in_stream(reader, stream, wanted, now))
    return found


def _in_stream(reader: Reader, stream: str, wanted: set[Target], now: int) -> dict[Target, Record]:
    window = window_unless_tombstoned(reader, stream, now)
    if window is None:
        return {}
    revisions = {target: window.last if target.revision == -1 else target.revision for target in wanted}
    stored = reader.at(stream, sorted(set(revisions.values())))
    return {
        target: stored[revision]
        for target, revision in revisions.items()
        if revision in stored and window.shows(stored[revision])
    }
