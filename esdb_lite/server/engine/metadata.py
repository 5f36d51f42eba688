"""Stream metadata: what the last event of `$$stream` says about the stream, and how a deletion is undone in it.

Owns: reading and rewriting of metadata documents, the limits they put on reads. Must not know: where they are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from esdb_lite._json import Json
from esdb_lite.positions import LARGEST
from esdb_lite.server.engine import relaxed_json
from esdb_lite.server.engine.parsed import Remembered
from esdb_lite.server.storage import TOMBSTONE, Record

TICKS_PER_SECOND = 10_000_000
_MAX_AGE_LIMIT = LARGEST // TICKS_PER_SECOND

DELETED = b'{"$tb":9223372036854775807}'
"""The metadata that a soft delete writes."""


class Acl(NamedTuple):
    """Who may do what: roles or user names for each action; None = not said (the default applies)."""

    read: tuple[str, ...] | None = None
    write: tuple[str, ...] | None = None
    delete: tuple[str, ...] | None = None
    metadata_read: tuple[str, ...] | None = None
    metadata_write: tuple[str, ...] | None = None


class StreamRules(NamedTuple):
    """The known keys of a metadata document; None = absent or without effect."""

    max_count: int | None = None
    max_age: int | None = None
    """Seconds."""
    truncate_before: int | None = None
    cache_control: int | None = None
    """Seconds."""
    temporary: bool | None = None
    acl: Acl | None = None

    @property
    def soft_deleted(self) -> bool:
        """Whether the stream counts as not found until it is written again."""
        return self.truncate_before == TOMBSTONE


EMPTY = StreamRules()
METASTREAM = StreamRules(max_count=1)
"""What holds for every `$$stream`: only the newest event is readable there."""


class _Malformed(ValueError):
    """The document breaks a rule, so all of it counts as empty."""


def parse(data: bytes, *, is_json: bool = True) -> StreamRules:
    """Read a metadata document; whatever is malformed makes the whole of it empty."""
    if not is_json:
        return EMPTY
    try:
        return _from_document(relaxed_json.parse_first(data))
    except ValueError:
        return EMPTY


def of_record(record: Record | None) -> StreamRules:
    """The metadata that the last event of `$$stream` (None: there is none) gives to its stream."""
    return EMPTY if record is None else _remembered(record)


_remembered = Remembered(lambda record: parse(record.data, is_json=record.is_json))


def _from_document(document: Json) -> StreamRules:
    if not isinstance(document, dict):
        raise _Malformed("not an object")
    return StreamRules(
        max_count=_positive(_integer(document, "$maxCount")),
        max_age=_positive(_integer(document, "$maxAge", limit=_MAX_AGE_LIMIT)),
        truncate_before=_not_negative(_integer(document, "$tb")),
        cache_control=_positive(_integer(document, "$cacheControl", limit=_MAX_AGE_LIMIT)),
        temporary=_boolean(document, "$tmp"),
        acl=acl_from(document["$acl"]) if "$acl" in document else None,
    )


def _integer(document: Mapping[str, Json], key: str, *, limit: int = LARGEST) -> int | None:
    if key not in document:
        return None
    value = document[key]
    if type(value) is not int or not -limit - 1 <= value <= limit:
        raise _Malformed(key)
    return value


def _boolean(document: Mapping[str, Json], key: str) -> bool | None:
    if key not in document:
        return None
    value = document[key]
    if not isinstance(value, bool):
        raise _Malformed(key)
    return value


def _positive(value: int | None) -> int | None:
    return value if value is not None and value > 0 else None


def _not_negative(value: int | None) -> int | None:
    return value if value is not None and value >= 0 else None


_ACL_FIELDS = {"$r": "read", "$w": "write", "$d": "delete", "$mr": "metadata_read", "$mw": "metadata_write"}


def acl_from(value: Json) -> Acl:
    """Read one access list. Raises ValueError for what is none."""
    if not isinstance(value, dict) or not value.keys() <= _ACL_FIELDS.keys():
        raise _Malformed("$acl")
    return Acl(**{_ACL_FIELDS[key]: _roles(roles) for key, roles in value.items()})


def _roles(value: Json) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise _Malformed("$acl")
    roles = tuple(role for role in value if isinstance(role, str))
    if len(roles) != len(value):
        raise _Malformed("$acl")
    return roles


def with_truncate_before(data: bytes, revision: int) -> bytes | None:
    """The document with `$tb` set (in its place, or last), as compact JSON; None when it is not a JSON object."""
    try:
        document = relaxed_json.parse_whole(data)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    document["$tb"] = revision
    try:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    except RecursionError:
        return None


def min_readable(metadata: StreamRules, last_revision: int) -> int:
    """The lowest revision that can be read from the stream, whatever its age."""
    lowest = max(0, metadata.truncate_before or 0)
    if metadata.max_count is not None:
        lowest = max(lowest, last_revision - metadata.max_count + 1)
    return lowest


def oldest_readable(metadata: StreamRules, now: int) -> int | None:
    """The creation time (ticks) before which events have expired; None = they do not expire."""
    return None if metadata.max_age is None else now - metadata.max_age * TICKS_PER_SECOND
