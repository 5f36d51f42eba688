"""The calls about the schema registry.

Owns: `AsyncSchemaApi`, the part of the asynchronous client that makes, changes and lists schemas and their versions.
Must not know: bytes, connections, what a definition means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from esdb_lite import _convert
from esdb_lite._checks import Seconds, checked_bool, checked_text
from esdb_lite.client.schemas.arguments import (
    checked_definition,
    checked_format,
    checked_mode,
    checked_number,
    checked_numbers,
    checked_schema,
    checked_tags,
    checked_version_id,
)
from esdb_lite.errors import GrpcError, InvalidArgument

if TYPE_CHECKING:
    from grpclib.client import Channel

    from esdb_lite.client.core import ClientCore
    from esdb_lite.records import SchemaFormat
    from esdb_lite.schemas import (
        CompatibilityCheck,
        CompatibilityMode,
        RegisteredSchema,
        RegisteredVersion,
        SchemaInfo,
        SchemaVersion,
    )
    from esdb_lite.settings import CredentialsLike

_NEEDS = "the schema registry needs KurrentDB 25.1 or later"


class AsyncSchemaApi:
    """Schemas of the registry and their versions. Needs KurrentDB 25.1; else every call raises NotSupported."""

    _core: ClientCore

    async def create_schema(
        self,
        name: str,
        definition: bytes | str,
        *,
        format: SchemaFormat | None = None,
        compatibility: CompatibilityMode | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> RegisteredVersion:
        """Create a schema with its first version. Returns the id and the number of that.

        `name`: as the type of a record (`NewRecord.type`). `definition`: what the data of its records is like, such as
        a JSON schema; `format` says which kind it is (None: JSON). `compatibility`: what is asked of its later versions
        (None: nothing); servers check definitions in JSON alone. Raises SchemaExists, also if a schema of this name was
        deleted; OutcomeUnknown when the request was sent and no answer came. The rules are in section B.7 of the notes
        on KurrentDB.
        """
        text = checked_text("description", description)
        details = _convert.schemas.details(
            checked_format(format), checked_mode(compatibility), text, checked_tags(tags)
        )
        content = checked_definition(definition)
        channel = self._schema_calls(checked_schema("name", name), timeout, credentials)
        return await _convert.schemas.create(channel, name, content, details)

    async def update_schema(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        compatibility: CompatibilityMode | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Change what is given; the rest stays. `tags` replace all tags.

        Raises SchemaNotFound; SchemaRefused if nothing would change, or versions are not compatible with each other in
        the new mode; OutcomeUnknown when the request was sent and no answer came.
        """
        if description is None and tags is None and compatibility is None:
            raise InvalidArgument("description", None, "it, tags or compatibility must be given")
        text = None if description is None else checked_text("description", description)
        given = None if tags is None else checked_tags(tags)
        mode = None if compatibility is None else checked_mode(compatibility)
        channel = self._schema_calls(checked_schema("name", name), timeout, credentials)
        await _convert.schemas.update(channel, name, description=text, tags=given, compatibility=mode)

    async def delete_schema(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Delete a schema with all versions, for good: its name cannot be used again.

        Raises SchemaNotFound; OutcomeUnknown when the request was sent and no answer came.
        """
        channel = self._schema_calls(checked_schema("name", name), timeout, credentials)
        await _convert.schemas.delete(channel, name)

    async def get_schema(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> SchemaInfo:
        """Return a schema. Raises SchemaNotFound."""
        channel = self._schema_calls(checked_schema("name", name), timeout, credentials, repeatable=True)
        return await _convert.schemas.get(channel, name)

    async def list_schemas(
        self,
        *,
        prefix: str = "",
        tags: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[SchemaInfo]:
        """Return the schemas whose names begin with a prefix, and that have all these tags."""
        wanted = checked_tags(tags)
        checked_text("prefix", prefix)
        channel = self._schema_calls("", timeout, credentials, repeatable=True)
        return await _convert.schemas.all_of_them(channel, prefix, wanted)

    async def lookup_schema_name(
        self, version_id: UUID, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> str:
        """Return the name of the schema that has this version. Raises SchemaNotFound."""
        id = checked_version_id(version_id)
        channel = self._schema_calls("", timeout, credentials, repeatable=True)
        return await _convert.schemas.name_of(channel, id)

    async def register_schema_version(
        self,
        name: str,
        definition: bytes | str,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> RegisteredVersion:
        """Give a schema a new version. Returns its id and number.

        Raises SchemaNotFound; SchemaRefused if it is the latest version again, or not compatible in the schema's mode;
        OutcomeUnknown when the request was sent and no answer came.
        """
        content = checked_definition(definition)
        channel = self._schema_calls(checked_schema("name", name), timeout, credentials)
        return await _convert.schemas.register(channel, name, content)

    async def delete_schema_versions(
        self,
        name: str,
        numbers: int | Iterable[int],
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[int]:
        """Delete versions of a schema. Returns the numbers of those that the server says it could not delete.

        Raises SchemaNotFound; SchemaRefused if there is no such version, none would be left, or the schema's mode asks
        for it; OutcomeUnknown when the request was sent and no answer came.
        """
        chosen = checked_numbers(numbers)
        channel = self._schema_calls(checked_schema("name", name), timeout, credentials)
        return await _convert.schemas.delete_versions(channel, name, chosen)

    async def get_schema_version(
        self,
        name: str,
        number: int | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> SchemaVersion:
        """Return a version of a schema with its definition (default: the latest). Raises SchemaNotFound."""
        chosen = None if number is None else checked_number("number", number)
        channel = self._schema_calls(checked_schema("name", name), timeout, credentials, repeatable=True)
        return await _convert.schemas.version(channel, name, chosen)

    async def get_schema_version_by_id(
        self, version_id: UUID, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> SchemaVersion:
        """Return a version with its definition. Raises SchemaNotFound."""
        id = checked_version_id(version_id)
        channel = self._schema_calls("", timeout, credentials, repeatable=True)
        return await _convert.schemas.version_by_id(channel, id)

    async def list_schema_versions(
        self,
        name: str,
        *,
        definitions: bool = False,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[SchemaVersion]:
        """Return all versions of a schema; with their `definitions` if asked for. Raises SchemaNotFound."""
        full = checked_bool("definitions", definitions)
        channel = self._schema_calls(checked_schema("name", name), timeout, credentials, repeatable=True)
        return await _convert.schemas.versions(channel, name, definitions=full)

    async def list_registered_schemas(
        self,
        *,
        version_id: UUID | None = None,
        prefix: str = "",
        tags: Mapping[str, str] | None = None,
        definitions: bool = False,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[RegisteredSchema]:
        """Return schemas with their latest version; with its definition if asked for.

        `version_id`: the schema with this version alone, and that version. `prefix` and `tags`: as in `list_schemas`.
        """
        id = None if version_id is None else checked_version_id(version_id)
        wanted = checked_tags(tags)
        checked_text("prefix", prefix)
        full = checked_bool("definitions", definitions)
        channel = self._schema_calls("", timeout, credentials, repeatable=True)
        return await _convert.schemas.registered(channel, id, prefix, wanted, definitions=full)

    async def check_schema_compatibility(
        self,
        schema: str | UUID,
        definition: bytes | str,
        *,
        format: SchemaFormat | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> CompatibilityCheck:
        """Find out whether a definition could be registered as a version of a schema. Registers nothing.

        `schema`: its name, or the id of one of its versions. `format`: what the definition is (None: JSON). Raises
        SchemaNotFound.
        """
        chosen = checked_version_id(schema, "schema") if isinstance(schema, UUID) else checked_schema("schema", schema)
        content = checked_definition(definition)
        kind = checked_format(format)
        channel = self._schema_calls("" if isinstance(schema, UUID) else schema, timeout, credentials, repeatable=True)
        return await _convert.schemas.check(channel, chosen, content, kind)

    def _schema_calls(
        self, name: str, timeout: Seconds | None, credentials: CredentialsLike, *, repeatable: bool = False
    ) -> Channel:
        """A channel, on which a refusal means what it means for a schema."""

        def meaning(error: GrpcError) -> GrpcError:
            from esdb_lite._status.schemas import schema_error

            return schema_error(error, name)

        deadline = self._core.deadline(timeout)
        return self._core.channel(deadline, credentials, repeatable=repeatable, needs=_NEEDS, meaning=meaning)
