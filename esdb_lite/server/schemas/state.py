"""What a schema is, and how what happens to it is written down.

Owns: the state of a schema, the events that lead to it (section A.4 of the notes on KurrentDB), both directions.
Must not know: databases, what may happen.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import gmtime, strftime
from uuid import UUID

from esdb_lite._json import parse_json
from esdb_lite._wire.values import Value
from esdb_lite.records import SchemaFormat
from esdb_lite.schemas import CompatibilityMode
from esdb_lite.server.engine.records.properties import rendered
from esdb_lite.server.storage import Record

PREFIX = "$registry/schemas/"
"""How the streams of schemas begin."""
CREATED = "$registry-schema-created"
VERSION_REGISTERED = "$registry-schema-version-registered"
VERSIONS_DELETED = "$registry-schema-versions-deleted"
DELETED = "$registry-schema-deleted"
MODE_CHANGED = "$registry-schema-compatibility-mode-changed"
TAGS_UPDATED = "$registry-schema-tags-updated"
DESCRIPTION_UPDATED = "$registry-schema-description-updated"
_FORMAT, _MODE = "SCHEMA_DATA_FORMAT_", "COMPATIBILITY_MODE_"
_TICKS = 10_000_000


@dataclass(frozen=True)
class StoredVersion:
    """A version of a schema."""

    id: UUID
    number: int
    definition: bytes
    registered: int
    """100-ns ticks since 1970."""


@dataclass(frozen=True)
class RegistrySchema:
    """A schema as its events have made it."""

    name: str
    format: SchemaFormat
    mode: CompatibilityMode
    description: str
    tags: Mapping[str, str]
    created: int
    """100-ns ticks since 1970."""
    updated: int | None = None
    versions: tuple[StoredVersion, ...] = field(default=())
    """Those that are left, in order."""
    numbered: int = 1
    """The highest number that a version has had."""
    deleted: bool = False

    @property
    def latest(self) -> StoredVersion:
        """The newest version that is left."""
        return self.versions[-1]


def created_data(schema: RegistrySchema) -> bytes:
    """The data of the event that makes a schema, which has its first version."""
    return _data(
        {
            "schemaName": schema.name,
            "description": schema.description,
            "dataFormat": _FORMAT + schema.format.name,
            "compatibility": _MODE + schema.mode.name,
            "tags": dict(schema.tags),
            **_version(schema.latest),
            "createdAt": timestamp(schema.created),
        }
    )


def registered_data(schema: RegistrySchema, version: StoredVersion) -> bytes:
    """The data of the event that gives a schema a version."""
    return _data(
        {
            **_version(version),
            "schemaName": schema.name,
            "dataFormat": _FORMAT + schema.format.name,
            "registeredAt": timestamp(version.registered),
        }
    )


def versions_deleted_data(schema: RegistrySchema, ids: tuple[UUID, ...], latest: StoredVersion, now: int) -> bytes:
    """The data of the event that takes versions away."""
    return _data(
        {
            "schemaName": schema.name,
            "versions": [str(id) for id in ids],
            "latestSchemaVersionId": str(latest.id),
            "latestSchemaVersionNumber": latest.number,
            "deletedAt": timestamp(now),
        }
    )


def deleted_data(name: str, now: int) -> bytes:
    """The data of the event that deletes a schema."""
    return _data({"schemaName": name, "deletedAt": timestamp(now)})


def mode_data(name: str, mode: CompatibilityMode, now: int) -> bytes:
    """The data of the event that changes the mode."""
    return _data({"schemaName": name, "compatibility": _MODE + mode.name, "changedAt": timestamp(now)})


def tags_data(name: str, tags: Mapping[str, str], now: int) -> bytes:
    """The data of the event that replaces the tags."""
    return _data({"schemaName": name, "tags": dict(tags), "updatedAt": timestamp(now)})


def description_data(name: str, description: str, now: int) -> bytes:
    """The data of the event that replaces the description."""
    return _data({"schemaName": name, "description": description, "updatedAt": timestamp(now)})


def _data(document: Mapping[str, Value]) -> bytes:
    return rendered(document).encode()


def _version(version: StoredVersion) -> dict[str, Value]:
    return {
        "schemaVersionId": str(version.id),
        "schemaDefinition": base64.b64encode(version.definition).decode(),
        "versionNumber": version.number,
    }


def timestamp(ticks: int) -> str:
    """A time as protobuf writes it in JSON."""
    seconds, rest = divmod(ticks, _TICKS)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{rest:07}00Z"


def after(schema: RegistrySchema | None, record: Record) -> RegistrySchema | None:
    """Return a schema as it is after an event; one that cannot be understood changes nothing."""
    try:
        document = parse_json(record.data)
        if not isinstance(document, dict):
            return schema
        if record.type == CREATED:
            return _created(document, record.created)
        return None if schema is None else _changed(schema, record, document)
    except (ValueError, KeyError, TypeError, binascii.Error):
        return schema


def _created(document: Mapping[str, object], time: int) -> RegistrySchema:
    return RegistrySchema(
        str(document["schemaName"]),
        SchemaFormat[str(document["dataFormat"]).removeprefix(_FORMAT)],
        CompatibilityMode[str(document["compatibility"]).removeprefix(_MODE)],
        str(document["description"]),
        _tags(document),
        time,
        versions=(_read_version(document, time),),
    )


def _changed(schema: RegistrySchema, record: Record, document: Mapping[str, object]) -> RegistrySchema:
    changed = replace(schema, updated=record.created)
    if record.type == VERSION_REGISTERED:
        version = _read_version(document, record.created)
        return replace(changed, versions=(*schema.versions, version), numbered=version.number)
    if record.type == VERSIONS_DELETED:
        gone = document["versions"]
        ids = {str(each) for each in gone} if isinstance(gone, list) else set()
        return replace(changed, versions=tuple(each for each in schema.versions if str(each.id) not in ids))
    if record.type == MODE_CHANGED:
        return replace(changed, mode=CompatibilityMode[str(document["compatibility"]).removeprefix(_MODE)])
    if record.type == TAGS_UPDATED:
        return replace(changed, tags=_tags(document))
    if record.type == DESCRIPTION_UPDATED:
        return replace(changed, description=str(document["description"]))
    return replace(changed, deleted=True) if record.type == DELETED else schema


def _read_version(document: Mapping[str, object], time: int) -> StoredVersion:
    number = document["versionNumber"]
    if not isinstance(number, (int, float)):
        raise TypeError("a number is wanted")
    definition = base64.b64decode(str(document["schemaDefinition"]))
    return StoredVersion(UUID(str(document["schemaVersionId"])), int(number), definition, time)


def _tags(document: Mapping[str, object]) -> dict[str, str]:
    found = document["tags"]
    return {name: str(text) for name, text in found.items()} if isinstance(found, dict) else {}
