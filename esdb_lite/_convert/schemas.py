"""SchemaRegistryService: its calls, requests from arguments, values from answers.

Owns: the translation. Must not know: connections, which schemas there are, what failures mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from uuid import UUID

import betterproto
from betterproto.lib.google.protobuf import FieldMask
from esdb_lite_protos.kurrentdb.protocol.registry import v2
from esdb_lite_protos.kurrentdb.protocol.registry.v2 import SchemaRegistryServiceStub

from esdb_lite.errors import ProtocolError
from esdb_lite.records import SchemaFormat
from esdb_lite.schemas import (
    CompatibilityCheck,
    CompatibilityMode,
    Incompatibility,
    IncompatibilityKind,
    RegisteredSchema,
    RegisteredVersion,
    SchemaInfo,
    SchemaVersion,
)

if TYPE_CHECKING:
    from grpclib.client import Channel

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


async def create(channel: Channel, name: str, definition: bytes, info: v2.SchemaDetails) -> RegisteredVersion:
    """Create a schema."""
    answer = await SchemaRegistryServiceStub(channel).create_schema(v2.CreateSchemaRequest(name, info, definition))
    return _registered(answer.schema_version_id, answer.version_number)


def details(
    format: SchemaFormat, compatibility: CompatibilityMode, description: str, tags: Mapping[str, str]
) -> v2.SchemaDetails:
    """What a new schema says beside its definition."""
    return v2.SchemaDetails(
        v2.SchemaDataFormat(format.value), v2.CompatibilityMode(compatibility.value), description, dict(tags)
    )


async def update(
    channel: Channel,
    name: str,
    *,
    description: str | None,
    tags: Mapping[str, str] | None,
    compatibility: CompatibilityMode | None,
) -> None:
    """Change what is not None."""
    changes = v2.SchemaDetails()
    paths = []
    if description is not None:
        changes.description = description
        paths.append("Details.Description")
    if tags is not None:
        changes.tags = dict(tags)
        paths.append("Details.Tags")
    if compatibility is not None:
        changes.compatibility = v2.CompatibilityMode(compatibility.value)
        paths.append("Details.Compatibility")
    await SchemaRegistryServiceStub(channel).update_schema(v2.UpdateSchemaRequest(name, changes, FieldMask(paths)))


async def delete(channel: Channel, name: str) -> None:
    """Delete a schema."""
    await SchemaRegistryServiceStub(channel).delete_schema(v2.DeleteSchemaRequest(name))


async def get(channel: Channel, name: str) -> SchemaInfo:
    """Return a schema."""
    return _info((await SchemaRegistryServiceStub(channel).get_schema(v2.GetSchemaRequest(name))).schema)


async def all_of_them(channel: Channel, prefix: str, tags: Mapping[str, str]) -> list[SchemaInfo]:
    """Return the schemas with a prefix and tags."""
    answer = await SchemaRegistryServiceStub(channel).list_schemas(v2.ListSchemasRequest(prefix, dict(tags)))
    return [_info(schema) for schema in answer.schemas]


async def name_of(channel: Channel, version_id: UUID) -> str:
    """Return the name of the schema that has a version."""
    request = v2.LookupSchemaNameRequest(str(version_id))
    return (await SchemaRegistryServiceStub(channel).lookup_schema_name(request)).schema_name or ""


async def register(channel: Channel, name: str, definition: bytes) -> RegisteredVersion:
    """Register a version."""
    request = v2.RegisterSchemaVersionRequest(name, definition)
    answer = await SchemaRegistryServiceStub(channel).register_schema_version(request)
    return _registered(answer.schema_version_id, answer.version_number)


async def delete_versions(channel: Channel, name: str, numbers: Sequence[int]) -> list[int]:
    """Delete versions, and return those that the server could not delete."""
    request = v2.DeleteSchemaVersionsRequest(name, list(numbers))
    answer = await SchemaRegistryServiceStub(channel).delete_schema_versions(request)
    return [error.version_number or 0 for error in answer.errors]


async def version(channel: Channel, name: str, number: int | None) -> SchemaVersion:
    """Return a version; None: the newest."""
    request = v2.GetSchemaVersionRequest(name, number)
    return _version((await SchemaRegistryServiceStub(channel).get_schema_version(request)).version)


async def version_by_id(channel: Channel, version_id: UUID) -> SchemaVersion:
    """Return a version."""
    request = v2.GetSchemaVersionByIdRequest(str(version_id))
    return _version((await SchemaRegistryServiceStub(channel).get_schema_version_by_id(request)).version)


async def versions(channel: Channel, name: str, *, definitions: bool) -> list[SchemaVersion]:
    """Return all versions of a schema."""
    request = v2.ListSchemaVersionsRequest(name, definitions)
    return [
        _version(each) for each in (await SchemaRegistryServiceStub(channel).list_schema_versions(request)).versions
    ]


async def registered(
    channel: Channel, version_id: UUID | None, prefix: str, tags: Mapping[str, str], *, definitions: bool
) -> list[RegisteredSchema]:
    """Return schemas with their versions."""
    request = v2.ListRegisteredSchemasRequest(
        None if version_id is None else str(version_id), prefix or None, dict(tags), definitions
    )
    answer = await SchemaRegistryServiceStub(channel).list_registered_schemas(request)
    return [_with_version(schema) for schema in answer.schemas]


async def check(channel: Channel, schema: str | UUID, definition: bytes, format: SchemaFormat) -> CompatibilityCheck:
    """Ask whether a definition is compatible with a schema, or with one of its versions."""
    sent = v2.SchemaDataFormat(format.value)
    request = (
        v2.CheckSchemaCompatibilityRequest(schema_version_id=str(schema), definition=definition, data_format=sent)
        if isinstance(schema, UUID)
        else v2.CheckSchemaCompatibilityRequest(schema_name=schema, definition=definition, data_format=sent)
    )
    answer = await SchemaRegistryServiceStub(channel).check_schema_compatibility(request)
    which, _ = betterproto.which_one_of(answer, "result")
    if which == "failure":
        found = tuple(_problem(error) for error in answer.failure.errors)
        # a refusal is one, also without a reason
        return CompatibilityCheck(found or (_problem(v2.SchemaCompatibilityError()),), None)
    text = answer.success.schema_version_id
    return CompatibilityCheck((), _id(text) if text else None)


def _registered(id: str | None, number: int | None) -> RegisteredVersion:
    return RegisteredVersion(_id(id), number or 0)


def _id(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:
        raise ProtocolError(f"the server has sent {text!r} as the id of a version of a schema") from None


def _format(value: v2.SchemaDataFormat | None) -> SchemaFormat:
    try:
        return SchemaFormat(int(value or 0))
    except ValueError:
        raise ProtocolError(f"the server has sent {int(value or 0)} as the format of a schema") from None


def _mode(value: v2.CompatibilityMode | None) -> CompatibilityMode:
    try:
        return CompatibilityMode(int(value or 0))
    except ValueError:
        raise ProtocolError(f"the server has sent {int(value or 0)} as the compatibility of a schema") from None


def _info(schema: v2.Schema) -> SchemaInfo:
    said = schema.details
    return SchemaInfo(
        schema.schema_name or "",
        _format(said.data_format),
        _mode(said.compatibility),
        said.description or "",
        dict(said.tags),
        schema.latest_schema_version or 0,
        schema.created_at,
        None if schema.updated_at == _EPOCH else schema.updated_at,
    )


def _version(version: v2.SchemaVersion) -> SchemaVersion:
    return SchemaVersion(
        _id(version.schema_version_id),
        version.version_number or 0,
        version.schema_definition or b"",
        _format(version.data_format),
        version.registered_at,
    )


def _with_version(schema: v2.RegisteredSchema) -> RegisteredSchema:
    version = SchemaVersion(
        _id(schema.schema_version_id),
        schema.version_number or 0,
        schema.schema_definition or b"",
        _format(schema.data_format),
        schema.registered_at,
    )
    return RegisteredSchema(schema.schema_name or "", _mode(schema.compatibility), dict(schema.tags), version)


def _problem(error: v2.SchemaCompatibilityError) -> Incompatibility:
    known = {kind.value: kind for kind in IncompatibilityKind}
    return Incompatibility(
        known.get(int(error.kind or 0), IncompatibilityKind.UNKNOWN),
        error.details or "",
        error.property_path or "",
        error.original_type or "",
        error.new_type or "",
    )
