"""SchemaRegistryService: schemas and their versions.

Owns: the checks in their order and the answers (section B.7 of the notes on KurrentDB; its texts are not recorded).
Must not know: how schemas are kept and compared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from datetime import datetime, timedelta, timezone
from typing import TypeVar
from uuid import UUID

import betterproto
from esdb_lite_protos.kurrentdb.protocol.registry import v2

from esdb_lite._status import RpcError, StatusCode, typed_refusals
from esdb_lite.records import SchemaFormat
from esdb_lite.schemas import CompatibilityMode
from esdb_lite.server.engine.model import is_too_long
from esdb_lite.server.engine.records.requests import nonzero_uuid, wrong_with_schema_name
from esdb_lite.server.schemas.catalogue import RuleBroken, SchemaMissing, SchemaRegistry, SchemaThere
from esdb_lite.server.schemas.state import PREFIX, RegistrySchema, StoredVersion
from esdb_lite.server.services.unary import current_call, encoded_list

T = TypeVar("T")
Violation = tuple[str, str]

_FORMATS = {each.value for each in SchemaFormat}
_MODES = {each.value for each in CompatibilityMode}
_DESCRIPTION, _TAGS, _COMPATIBILITY = "Details.Description", "Details.Tags", "Details.Compatibility"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TICKS = 10


class SchemaService(v2.SchemaRegistryServiceBase):
    """The methods of the service."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry

    async def create_schema(self, create_schema_request: v2.CreateSchemaRequest) -> v2.CreateSchemaResponse:
        """Create a schema."""
        _permit("create-schema")
        request, said = create_schema_request, create_schema_request.details
        name, definition = request.schema_name or "", request.schema_definition or b""
        _check(*_name(name), *_details(said), *_definition(definition))
        schema = RegistrySchema(
            name,
            SchemaFormat(int(said.data_format or 0)),
            CompatibilityMode(int(said.compatibility or 0)),
            said.description or "",
            dict(said.tags),
            created=0,
        )
        version = await _done(self._registry.create(schema, definition))
        return v2.CreateSchemaResponse(str(version.id), version.number)

    async def update_schema(self, update_schema_request: v2.UpdateSchemaRequest) -> v2.UpdateSchemaResponse:
        """Change a schema."""
        _permit("update-schema")
        request, changes = update_schema_request, update_schema_request.details
        name, paths = request.schema_name or "", list(request.update_mask.paths)
        wrong = [] if _COMPATIBILITY not in paths else list(_mode(changes))
        _check(*_name(name), *wrong)
        unknown = [path for path in paths if path not in (_DESCRIPTION, _TAGS, _COMPATIBILITY)]
        if unknown or not paths:
            what = f"has fields that cannot be updated: {', '.join(unknown)}" if unknown else "is empty"
            raise RpcError(StatusCode.FAILED_PRECONDITION, f"The update mask {what}")
        await _done(
            self._registry.update(
                name,
                description=(changes.description or "") if _DESCRIPTION in paths else None,
                tags=dict(changes.tags) if _TAGS in paths else None,
                mode=CompatibilityMode(int(changes.compatibility or 0)) if _COMPATIBILITY in paths else None,
            )
        )
        return v2.UpdateSchemaResponse()

    async def delete_schema(self, delete_schema_request: v2.DeleteSchemaRequest) -> v2.DeleteSchemaResponse:
        """Delete a schema."""
        _permit("delete-schema")
        name = delete_schema_request.schema_name or ""
        _check(*_name(name))
        await _done(self._registry.delete(name))
        return v2.DeleteSchemaResponse()

    async def get_schema(self, get_schema_request: v2.GetSchemaRequest) -> v2.GetSchemaResponse:
        """Return a schema."""
        _permit("get-schema")
        name = get_schema_request.schema_name or ""
        _check(*_name(name))
        return v2.GetSchemaResponse(_schema(await _done(self._registry.get(name))))

    async def list_schemas(self, list_schemas_request: v2.ListSchemasRequest) -> v2.ListSchemasResponse:
        """Return schemas."""
        _permit("list-schemas")
        request = list_schemas_request
        found = await self._registry.all(request.schema_name_prefix or "", request.schema_tags)
        return await encoded_list(v2.ListSchemasResponse, found, _schema)

    async def lookup_schema_name(
        self, lookup_schema_name_request: v2.LookupSchemaNameRequest
    ) -> v2.LookupSchemaNameResponse:
        """Return the name of the schema that has a version."""
        _permit("lookup-schema-name")
        id = _version_id(lookup_schema_name_request.schema_version_id)
        schema, _ = await _done(self._registry.find(id))
        return v2.LookupSchemaNameResponse(schema.name)

    async def register_schema_version(
        self, register_schema_version_request: v2.RegisterSchemaVersionRequest
    ) -> v2.RegisterSchemaVersionResponse:
        """Give a schema a version."""
        _permit("register-schema-version")
        request = register_schema_version_request
        name, definition = request.schema_name or "", request.schema_definition or b""
        _check(*_name(name), *_definition(definition))
        version = await _done(self._registry.register(name, definition))
        return v2.RegisterSchemaVersionResponse(str(version.id), version.number)

    async def delete_schema_versions(
        self, delete_schema_versions_request: v2.DeleteSchemaVersionsRequest
    ) -> v2.DeleteSchemaVersionsResponse:
        """Take versions from a schema."""
        _permit("delete-schema-versions")
        request = delete_schema_versions_request
        name = request.schema_name or ""
        none = [] if request.versions else [("Versions", "Versions must not be empty.")]
        _check(*_name(name), *none, *(each for number in request.versions for each in _number(number)))
        await _done(self._registry.delete_versions(name, list(request.versions)))
        return v2.DeleteSchemaVersionsResponse()

    async def get_schema_version(
        self, get_schema_version_request: v2.GetSchemaVersionRequest
    ) -> v2.GetSchemaVersionResponse:
        """Return a version."""
        _permit("get-schema-version")
        name, number = get_schema_version_request.schema_name or "", get_schema_version_request.version_number
        _check(*_name(name), *([] if number is None else _number(number)))
        return v2.GetSchemaVersionResponse(_version(*await _done(self._registry.version(name, number)), full=True))

    async def get_schema_version_by_id(
        self, get_schema_version_by_id_request: v2.GetSchemaVersionByIdRequest
    ) -> v2.GetSchemaVersionByIdResponse:
        """Return a version."""
        _permit("get-schema-version-by-id")
        id = _version_id(get_schema_version_by_id_request.schema_version_id)
        return v2.GetSchemaVersionByIdResponse(_version(*await _done(self._registry.find(id)), full=True))

    async def list_schema_versions(
        self, list_schema_versions_request: v2.ListSchemaVersionsRequest
    ) -> v2.ListSchemaVersionsResponse:
        """Return the versions of a schema."""
        _permit("list-schema-versions")
        name, full = list_schema_versions_request.schema_name or "", list_schema_versions_request.include_definition
        _check(*_name(name))
        schema = await _done(self._registry.get(name))
        return v2.ListSchemaVersionsResponse([_version(schema, each, full=bool(full)) for each in schema.versions])

    async def list_registered_schemas(
        self, list_registered_schemas_request: v2.ListRegisteredSchemasRequest
    ) -> v2.ListRegisteredSchemasResponse:
        """Return schemas with a version."""
        _permit("list-registered-schemas")
        request = list_registered_schemas_request
        found = [
            (each, each.latest)
            for each in await self._registry.all(request.schema_name_prefix or "", request.schema_tags)
        ]
        if request.schema_version_id is not None:
            id = _version_id(request.schema_version_id)
            found = [(each, version) for each, _ in found for version in each.versions if version.id == id]
        full = bool(request.include_definition)
        return await encoded_list(v2.ListRegisteredSchemasResponse, found, lambda each: _registered(*each, full=full))

    async def check_schema_compatibility(
        self, check_schema_compatibility_request: v2.CheckSchemaCompatibilityRequest
    ) -> v2.CheckSchemaCompatibilityResponse:
        """Tell whether a definition could become a version."""
        _permit("check-schema-compatibility")
        request = check_schema_compatibility_request
        which, identifier = betterproto.which_one_of(request, "schema_identifier")
        definition, format = request.definition or b"", int(request.data_format or 0)
        name = [] if which == "schema_version_id" else _name(identifier or "")
        _check(*name, *_definition(definition), *_one_of("DataFormat", format, _FORMATS))
        schema = _version_id(identifier) if which == "schema_version_id" else str(identifier)
        found = await _done(self._registry.check(schema, definition, SchemaFormat(format)))
        if found.compatible:
            id = None if found.version_id is None else str(found.version_id)
            return v2.CheckSchemaCompatibilityResponse(success=v2.CheckSchemaCompatibilityResponseSuccess(id))
        errors = [
            v2.SchemaCompatibilityError(
                v2.SchemaCompatibilityErrorKind(each.kind.value),
                each.details,
                each.property_path,
                each.original_type,
                each.new_type,
            )
            for each in found.problems
        ]
        return v2.CheckSchemaCompatibilityResponse(failure=v2.CheckSchemaCompatibilityResponseFailure(errors))


def _permit(operation: str) -> None:
    """Any user may do everything, and nobody else anything."""
    principal = current_call().principal
    if not (principal.known or principal.trusted):
        raise typed_refusals.schema_access_denied(f"schemas:{operation}")


async def _done(command: Awaitable[T]) -> T:
    try:
        return await command
    except SchemaMissing as error:
        raise typed_refusals.schema_not_found(str(error)) from None
    except SchemaThere as error:
        raise typed_refusals.schema_already_exists(str(error)) from None
    except RuleBroken as error:
        raise RpcError(StatusCode.FAILED_PRECONDITION, str(error)) from None


def _check(*violations: Violation) -> None:
    if violations:
        raise typed_refusals.invalid_schema_request(violations)


def _name(name: str) -> Iterator[Violation]:
    if is_too_long(PREFIX + name):
        yield "SchemaName", "Schema name is too long."
    else:
        yield from (("SchemaName", text) for text in wrong_with_schema_name(name))


def _definition(definition: bytes) -> list[Violation]:
    return [] if definition else [("SchemaDefinition", "Schema definition must not be empty.")]


def _details(details: v2.SchemaDetails) -> Iterator[Violation]:
    yield from _one_of("Details.DataFormat", int(details.data_format or 0), _FORMATS)
    yield from _mode(details)


def _mode(details: v2.SchemaDetails) -> Iterator[Violation]:
    return _one_of("Details.Compatibility", int(details.compatibility or 0), _MODES)


def _one_of(field: str, value: int, known: set[int]) -> Iterator[Violation]:
    if value not in known:
        yield field, f"{field} must be specified." if value == 0 else f"{field} must be one of those that there are."


def _number(number: int) -> list[Violation]:
    return [] if number >= 1 else [("VersionNumber", "Version number must be at least 1.")]


def _version_id(text: str | None) -> UUID:
    found = nonzero_uuid(text or "")
    if found is None:
        raise typed_refusals.invalid_schema_request(
            [("SchemaVersionId", "Schema version ID must be a valid and non-empty UUID.")]
        )
    return UUID(bytes=found)


def _time(ticks: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ticks // _TICKS)


def _schema(schema: RegistrySchema) -> v2.Schema:
    made = v2.Schema(schema.name, _said(schema), schema.latest.number, _time(schema.created))
    if schema.updated is not None:
        made.updated_at = _time(schema.updated)
    return made


def _said(schema: RegistrySchema) -> v2.SchemaDetails:
    format, mode = v2.SchemaDataFormat(schema.format.value), v2.CompatibilityMode(schema.mode.value)
    return v2.SchemaDetails(format, mode, schema.description or None, dict(schema.tags))


def _version(schema: RegistrySchema, version: StoredVersion, *, full: bool) -> v2.SchemaVersion:
    return v2.SchemaVersion(
        str(version.id),
        version.number,
        version.definition if full else None,
        v2.SchemaDataFormat(schema.format.value),
        _time(version.registered),
    )


def _registered(schema: RegistrySchema, version: StoredVersion, *, full: bool) -> v2.RegisteredSchema:
    said = _said(schema)
    return v2.RegisteredSchema(
        schema.name,
        str(version.id),
        version.number,
        version.definition if full else None,
        said.data_format,
        said.compatibility,
        dict(schema.tags),
        _time(version.registered),
    )
