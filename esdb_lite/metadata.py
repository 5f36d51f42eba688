"""What a stream's metadata says, as values and as the JSON that servers keep.

Owns: `StreamMetadata`, `StreamAcl` and both directions of the translation. Must not know: calls, protobuf.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from esdb_lite._checks import OptionalDuration, checked_duration, checked_int
from esdb_lite._json import load_json
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import JsonValue
from esdb_lite.positions import LARGEST

METADATA_TYPE = "$metadata"

Roles = Sequence[str]
_ACL_KEYS = {"read": "$r", "write": "$w", "delete": "$d", "meta_read": "$mr", "meta_write": "$mw"}
_SECONDS = timedelta(seconds=1)


@dataclass(frozen=True)
class StreamAcl:
    """Who may do what with a stream: names of users and groups. None: the server's default; (): only `$admins`.

    Set all five: an entry that is None keeps the default, and for ordinary streams that is every user who has logged
    in. The rules are in section 2.3 of the protocol notes.
    """

    read: tuple[str, ...] | None = None
    """Who may read the stream and subscribe to it."""
    write: tuple[str, ...] | None = None
    """Who may append to it."""
    delete: tuple[str, ...] | None = None
    """Who may delete and tombstone it."""
    meta_read: tuple[str, ...] | None = None
    """Who may read its metadata."""
    meta_write: tuple[str, ...] | None = None
    """Who may replace its metadata, this list included."""

    def __post_init__(self) -> None:
        for name in _ACL_KEYS:
            object.__setattr__(self, name, _roles(name, getattr(self, name)))


@dataclass(frozen=True)
class StreamMetadata:
    """A stream's metadata: retention, access list, and values of your own. What is not set is None.

    Raises InvalidArgument for wrong values. The rules are in section 5 of the protocol notes.
    """

    max_count: int | None = None
    """Only so many of the last events can be read."""
    max_age: OptionalDuration = OptionalDuration(None)
    """Only events that are not older can be read. Whole seconds, from 1."""
    truncate_before: int | None = None
    """Only events from this position on can be read. 2**63 - 1 marks a deleted stream."""
    cache_control: OptionalDuration = OptionalDuration(None)
    """How long the server's HTTP interface lets the stream be cached. Whole seconds, from 1."""
    acl: StreamAcl | None = None
    """Who may do what with the stream."""
    custom: Mapping[str, JsonValue] = field(default_factory=dict)
    """Your own values, and everything else in the metadata."""
    position: int | None = field(default=None, compare=False)
    """Position of the event that holds the metadata; None: there is none. `set_stream_metadata` can expect it."""

    def __post_init__(self) -> None:
        for name, least in (("max_count", 1), ("truncate_before", 0)):
            if getattr(self, name) is not None:
                checked_int(name, getattr(self, name), least, LARGEST)
        for name in ("max_age", "cache_control"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name))
        if self.acl is not None and not isinstance(self.acl, StreamAcl):
            raise WrongArgumentType("acl", self.acl, "must be a StreamAcl")
        if not isinstance(self.custom, Mapping) or not all(isinstance(key, str) for key in self.custom):
            raise WrongArgumentType("custom", self.custom, "must be a mapping with keys of str")


@dataclass(frozen=True)
class DefaultAccess:
    """The default access list: who may do what with streams whose metadata has none. Raises WrongArgumentType."""

    user_streams: StreamAcl = field(default_factory=StreamAcl)
    """For streams whose names do not begin with `$`. An entry that is None: everybody who has logged in."""
    system_streams: StreamAcl = field(default_factory=StreamAcl)
    """For the others. An entry that is None: `$admins`."""

    def __post_init__(self) -> None:
        for name in ("user_streams", "system_streams"):
            if not isinstance(getattr(self, name), StreamAcl):
                raise WrongArgumentType(name, getattr(self, name), "must be a StreamAcl")


def encode_default_access(value: DefaultAccess) -> bytes:
    """Return the JSON of the stream `$settings`."""
    document = {
        "$userStreamAcl": _encode_acl(value.user_streams),
        "$systemStreamAcl": _encode_acl(value.system_streams),
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def decode_default_access(data: bytes) -> DefaultAccess:
    """Read an event of the stream `$settings`. What a server would not understand says nothing."""
    try:
        found = load_json(data)
    except ValueError:
        found = None
    document = found if isinstance(found, dict) else {}
    acls = [_take_acl({"$acl": document.get(key, {})}) for key in ("$userStreamAcl", "$systemStreamAcl")]
    return DefaultAccess(*(acl or StreamAcl() for acl in acls))


def encode_metadata(value: StreamMetadata) -> bytes:
    """Return the JSON for a stream's metadata. Raises InvalidArgument for custom values that are not JSON."""
    document: dict[str, object] = dict(value.custom)
    if value.max_count is not None:
        document["$maxCount"] = value.max_count
    if value.max_age is not None:
        document["$maxAge"] = value.max_age // _SECONDS
    if value.truncate_before is not None:
        document["$tb"] = value.truncate_before
    if value.cache_control is not None:
        document["$cacheControl"] = value.cache_control // _SECONDS
    if value.acl is not None:
        document["$acl"] = _encode_acl(value.acl)
    try:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidArgument("custom", value.custom, f"must be JSON ({error})") from error


def decode_metadata(data: bytes, position: int | None) -> StreamMetadata:
    """Read a stream's metadata. What a server would not understand either is kept among the custom values."""
    try:
        found = load_json(data)
    except ValueError:
        found = None
    document: dict[str, JsonValue] = {**found} if isinstance(found, dict) else {}
    max_age, cache_control = (_take_number(document, key, 1) for key in ("$maxAge", "$cacheControl"))
    return StreamMetadata(
        max_count=_take_number(document, "$maxCount", 1),
        max_age=None if max_age is None else timedelta(seconds=max_age),
        truncate_before=_take_number(document, "$tb", 0),
        cache_control=None if cache_control is None else timedelta(seconds=cache_control),
        acl=_take_acl(document),
        custom=document,
        position=position,
    )


def _encode_acl(acl: StreamAcl) -> dict[str, object]:
    roles = {key: getattr(acl, name) for name, key in _ACL_KEYS.items()}
    return {key: names[0] if len(names) == 1 else list(names) for key, names in roles.items() if names is not None}


def _take_number(document: dict[str, JsonValue], key: str, least: int) -> int | None:
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _most(key):
        return None
    del document[key]
    return value


def _most(key: str) -> int:
    return timedelta.max // _SECONDS if key in ("$maxAge", "$cacheControl") else LARGEST


def _take_acl(document: dict[str, JsonValue]) -> StreamAcl | None:
    value = document.get("$acl")
    if not isinstance(value, dict) or not set(value) <= set(_ACL_KEYS.values()):
        return None
    roles = {name: _names(value[key]) for name, key in _ACL_KEYS.items() if key in value}
    if None in roles.values():
        return None
    del document["$acl"]
    return StreamAcl(**roles)


def _names(value: JsonValue) -> tuple[str, ...] | None:
    """The names in an entry of an access list, which may be a lone one; None where it holds anything else."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        return None
    names = tuple(name for name in value if isinstance(name, str))
    return names if len(names) == len(value) else None


def _roles(argument: str, value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise WrongArgumentType(argument, value, "must be a sequence of names")
    return tuple(value)


def _check_whole(argument: str, value: timedelta) -> None:
    checked_duration(argument, value, _SECONDS, timedelta.max)
    if value % _SECONDS:
        raise InvalidArgument(argument, value, "must be a whole number of seconds, from 1")
