"""An event of the log as the system projections see it.

Owns: which events they see, what an event deletes, and what links carry of its identity (section 3 of the notes on
projections). Must not know: what is written for it, how links are looked up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from esdb_lite._json import check_depth
from esdb_lite.server.engine.model import (
    LONGEST_NAME,
    METADATA_TYPE,
    TOMBSTONE_TYPE,
    is_metastream,
    is_too_long,
    original_of,
)
from esdb_lite.server.projections.valid_json import is_valid
from esdb_lite.server.storage import TOMBSTONE, Record

CORRELATION = "$correlationId"
_DELETED = str(TOMBSTONE).encode()
_quoted = json.JSONEncoder(ensure_ascii=False).encode


TOO_LONG = f"has a name of more than {LONGEST_NAME} bytes"


def have_room(*names: str) -> bool:
    """Whether names are short enough for streams, types, partitions."""
    return not any(map(is_too_long, names))


def quoted(text: str) -> str:
    """The text as the real server writes JSON: what JavaScript takes for the end of a line is escaped, too."""
    written = _quoted(text)
    if written.isascii():
        return written
    return written.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def is_taken(stream: str) -> bool:
    """Whether projections look at a stream: those of users, and the metadata of these."""
    return stream[:1] != "$" or (stream[:2] == "$$" and stream[2:3] != "$")


class Seen:
    """An event at its place in the log, and what it is to projections."""

    __slots__ = ("_identity", "at", "deletes", "event", "of")

    def __init__(self, at: Record, event: Record | None) -> None:
        self.at = at
        """The record in the log."""
        self.event = event
        """The same, or what it points to if it is a link; None: there is nothing where it points to."""
        self.of = original_of(at.stream) if is_metastream(at.stream) else at.stream
        """The stream that it is in, or whose metadata it is."""
        self.deletes = self.of if event is not None and _deletes(at, event) else None
        """The stream that is deleted by it."""
        self._identity: str | None = None

    @property
    def is_link(self) -> bool:
        """Whether it points elsewhere: to an event, or to nothing."""
        return self.event is not self.at

    @property
    def identity(self) -> str:
        """The end of the metadata of what is written for it: what has caused it, and the closing bracket."""
        if self._identity is None:
            self._identity = "}" if self.event is None else _identity(self.event)
        return self._identity


def as_written(record: Record) -> Seen | None:
    """What is seen of a record while catching up: links as they stand. None: nothing."""
    return None if record.is_json and not is_valid(record.data) else Seen(record, record)


def as_arrived(record: Record, event: Record | None) -> Seen | None:
    """What is seen of a link that is resolved as it arrives. None: nothing."""
    return None if event is not None and event.is_json and not is_valid(event.data) else Seen(record, event)


def _deletes(at: Record, event: Record) -> bool:
    if event.type == METADATA_TYPE and is_metastream(at.stream):
        return _DELETED in event.data and member(event.data, "$tb") == TOMBSTONE
    return event.type == TOMBSTONE_TYPE and not is_metastream(at.stream)


def _identity(event: Record) -> str:
    hex = event.id.hex()
    caused_by = f',"$causedBy":"{hex[:8]}-{hex[8:12]}-{hex[12:16]}-{hex[16:20]}-{hex[20:]}"'
    correlation = correlation_of(event) if event.is_json and event.metadata else None
    return f'{caused_by},"{CORRELATION}":{quoted(correlation)}}}' if correlation else caused_by + "}"


def correlation_of(event: Record) -> str | None:
    """The correlation id that links to an event carry; of two, the first."""
    value = member(event.metadata, CORRELATION, first=True)
    text = None if value is None else text_of(value)
    return None if text is None or is_too_long(text) else text


def member(document: bytes, key: str, *, first: bool = False) -> object:
    """A member of a JSON object; of two that have the name, the last or the first. None where there is none."""
    # Names can be written with escapes; otherwise there is nothing to be parsed.
    if key.encode() not in document and b"\\" not in document:
        return None
    try:
        text = document.decode("utf-8", "replace")
        check_depth(text)
        found = json.loads(text, object_pairs_hook=_first if first else None)
    except (ValueError, RecursionError):
        return None
    value: object = found.get(key) if isinstance(found, dict) else None
    return value


def _first(members: Sequence[tuple[str, object]]) -> dict[str, object]:
    return dict(reversed(members))


def text_of(value: object) -> str:
    """A JSON value as the text that stands for it in names of streams."""
    if isinstance(value, str):
        # Half a surrogate pair cannot be written: it becomes what stands for such things everywhere.
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e17:
        return str(int(value))
    return text_of(json.dumps(value, separators=(",", ":"), ensure_ascii=False))
