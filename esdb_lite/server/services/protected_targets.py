"""Links into the server's own streams: who may not read the target sees the link alone.

Owns: which targets are looked at. Must not know: how links are resolved, what access lists mean, how events are sent.

A real server shows the target of a link to all who may read the link. This one asks about targets in streams whose
names begin with `$`: passwords are kept there, and anybody can write a link. Where the target may not be read, the
link looks like one whose target is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from esdb_lite.server.engine.access import Action, Principal, allowed
from esdb_lite.server.engine.links import Resolved
from esdb_lite.server.storage import Reader

T = TypeVar("T")


def is_protected(stream: str) -> bool:
    """Whether a stream is one of those that links do not open."""
    return stream.startswith("$")


def without_protected(reader: Reader, principal: Principal, found: Sequence[T]) -> Sequence[T | Resolved]:
    """Return what was found, without the targets that somebody may not read. Raises StorageError."""
    streams = {each.event.stream for each in found if isinstance(each, Resolved) and each.event is not None}
    if not streams or principal.is_admin:
        return found
    closed = unreadable(reader, principal, filter(is_protected, streams))
    return found if not closed else [_without(each, closed) for each in found]


def unreadable(reader: Reader, principal: Principal, streams: Iterable[str]) -> frozenset[str]:
    """Return those of the streams that somebody may not read. Raises StorageError."""
    return frozenset(stream for stream in streams if not allowed(reader, principal, stream, Action.READ))


def _without(found: T, closed: frozenset[str]) -> T | Resolved:
    if isinstance(found, Resolved) and found.event is not None and found.event.stream in closed:
        return found._replace(event=None)
    return found
