"""An event of the log as the system projections see it.

Owns: which events they see, what an event deletes, and what links carry of its identity (section 3 of the notes on
projections). Must not know: what is written for it, how links are looked up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from esdb_lite._json import check_depth
from esdb_lite.server.engine.links import LINK_TYPE
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
_CORRELATION = CORRELATION.encode()
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

    __slots__ = ("_identity", "_metadata", "_place", "_target", "at", "deletes", "event", "of")

    def __init__(self, at: Record, event: Record | None) -> None:
        self.at = at
        """The record in the log."""
        self.event = event
        """The same, or what it points to if it is a link; None: there is nothing where it points to."""
        self.of = original_of(at.stream) if is_metastream(at.stream) else at.stream
        """The stream that it is in, or whose metadata it is."""
        self.deletes = self.of if event is not None and _deletes(at, event) else None
        """The stream that is deleted by it."""
        # Made when first asked for: up to five projections ask.
        self._identity: str | None = None
        self._metadata: Mapping[str, object] | None = None
        self._place: str | None = None
        self._target: bytes | None = None

    @property
    def is_link(self) -> bool:
        """Whether it points elsewhere: to an event, or to nothing."""
        return self.event is not self.at

    @property
    def identity(self) -> str:
        """The end of the metadata of what is written for it: what has caused it, and the closing bracket."""
        if self._identity is None:
            self._identity = "}" if self.event is None else self._identity_of(self.event)
        return self._identity

    def _identity_of(self, event: Record) -> str:
        hex = event.id.hex()
        caused_by = f',"$causedBy":"{hex[:8]}-{hex[8:12]}-{hex[12:16]}-{hex[16:20]}-{hex[20:]}"'
        correlation = self._correlation(event) if event.is_json and event.metadata else None
        return f'{caused_by},"{CORRELATION}":{quoted(correlation)}}}' if correlation else caused_by + "}"

    def _correlation(self, event: Record) -> str | None:
        """The correlation id that links to the event carry; of two, the first."""
        metadata = event.metadata
        if metadata.count(_CORRELATION) > 1 or b"\\" in metadata:
            value = member(metadata, CORRELATION, first=True)
        else:
            value = self.member(CORRELATION)
        text = None if value is None else text_of(value)
        return None if text is None or is_too_long(text) else text

    @property
    def place(self) -> str:
        """Its position in the log as members of a JSON object."""
        if self._place is None:
            position = self.at.position
            self._place = f'"$c":{position},"$p":{position}'
        return self._place

    @property
    def target(self) -> bytes:
        """What links to it say: a link's own target, not the link."""
        if self._target is None:
            self._target = _target(self.event)
        return self._target

    def member(self, key: str) -> object:
        """A member of the event's metadata; see `member`."""
        if self.event is None or not _mentions(self.event.metadata, key):
            return None
        if self._metadata is None:
            self._metadata = _members(self.event.metadata)
        return self._metadata.get(key)


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


def _target(event: Record | None) -> bytes:
    if event is None:
        return b"-1@"
    return event.data if event.type == LINK_TYPE else f"{event.revision}@{event.stream}".encode("utf-8", "replace")


def member(document: bytes, key: str, *, first: bool = False) -> object:
    """A member of a JSON object; of two that have the name, the last or the first. None where there is none."""
    return _members(document, first=first).get(key) if _mentions(document, key) else None


def _mentions(document: bytes, key: str) -> bool:
    """Whether there is anything to be parsed for a member; names can be written with escapes."""
    return key.encode() in document or b"\\" in document


def _members(document: bytes, *, first: bool = False) -> Mapping[str, object]:
    try:
        text = document.decode("utf-8", "replace")
        check_depth(text)
        found = (_decode_first if first else _decode)(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _first(members: Sequence[tuple[str, object]]) -> dict[str, object]:
    return dict(reversed(members))


_decode = json.JSONDecoder().decode
_decode_first = json.JSONDecoder(object_pairs_hook=_first).decode


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
