"""The calls about the schema registry, for code without asyncio.

Owns: `SchemaApi`, the part of the client for threads that makes, changes and lists schemas and their versions.
Must not know: how anything is done. A test holds it to the part of the client for asyncio.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from esdb_lite._checks import Seconds
from esdb_lite.client.schemas.arguments import checked_numbers
from esdb_lite.settings import CredentialsLike

if TYPE_CHECKING:
    from esdb_lite.records import SchemaFormat
    from esdb_lite.schemas import (
        CompatibilityCheck,
        CompatibilityMode,
        RegisteredSchema,
        RegisteredVersion,
        SchemaInfo,
        SchemaVersion,
    )
    from esdb_lite.sync.live import Live


class SchemaApi:
    """Schemas of the registry and their versions. Needs KurrentDB 25.1; else every call raises NotSupported."""

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")

    def create_schema(
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
        live = self._live()
        return live.portal.run(
            live.client.create_schema,
            name,
            definition,
            format=format,
            compatibility=compatibility,
            description=description,
            tags=tags,
            timeout=timeout,
            credentials=credentials,
        )

    def update_schema(
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
        live = self._live()
        live.portal.run(
            live.client.update_schema,
            name,
            description=description,
            tags=tags,
            compatibility=compatibility,
            timeout=timeout,
            credentials=credentials,
        )

    def delete_schema(self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Delete a schema with all versions, for good: its name cannot be used again.

        Raises SchemaNotFound; OutcomeUnknown when the request was sent and no answer came.
        """
        live = self._live()
        live.portal.run(live.client.delete_schema, name, timeout=timeout, credentials=credentials)

    def get_schema(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> SchemaInfo:
        """Return a schema. Raises SchemaNotFound."""
        live = self._live()
        return live.portal.run(live.client.get_schema, name, timeout=timeout, credentials=credentials)

    def list_schemas(
        self,
        *,
        prefix: str = "",
        tags: Mapping[str, str] | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[SchemaInfo]:
        """Return the schemas whose names begin with a prefix, and that have all these tags."""
        live = self._live()
        return live.portal.run(
            live.client.list_schemas, prefix=prefix, tags=tags, timeout=timeout, credentials=credentials
        )

    def lookup_schema_name(
        self, version_id: UUID, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> str:
        """Return the name of the schema that has this version. Raises SchemaNotFound."""
        live = self._live()
        return live.portal.run(live.client.lookup_schema_name, version_id, timeout=timeout, credentials=credentials)

    def register_schema_version(
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
        live = self._live()
        return live.portal.run(
            live.client.register_schema_version, name, definition, timeout=timeout, credentials=credentials
        )

    def delete_schema_versions(
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
        given = checked_numbers(numbers)  # here: it may be a generator
        live = self._live()
        return live.portal.run(
            live.client.delete_schema_versions, name, given, timeout=timeout, credentials=credentials
        )

    def get_schema_version(
        self,
        name: str,
        number: int | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> SchemaVersion:
        """Return a version of a schema with its definition (default: the latest). Raises SchemaNotFound."""
        live = self._live()
        return live.portal.run(live.client.get_schema_version, name, number, timeout=timeout, credentials=credentials)

    def get_schema_version_by_id(
        self, version_id: UUID, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> SchemaVersion:
        """Return a version with its definition. Raises SchemaNotFound."""
        live = self._live()
        return live.portal.run(
            live.client.get_schema_version_by_id, version_id, timeout=timeout, credentials=credentials
        )

    def list_schema_versions(
        self,
        name: str,
        *,
        definitions: bool = False,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[SchemaVersion]:
        """Return all versions of a schema; with their `definitions` if asked for. Raises SchemaNotFound."""
        live = self._live()
        return live.portal.run(
            live.client.list_schema_versions, name, definitions=definitions, timeout=timeout, credentials=credentials
        )

    def list_registered_schemas(
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
        live = self._live()
        return live.portal.run(
            live.client.list_registered_schemas,
            version_id=version_id,
            prefix=prefix,
            tags=tags,
            definitions=definitions,
            timeout=timeout,
            credentials=credentials,
        )

    def check_schema_compatibility(
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
        live = self._live()
        return live.portal.run(
            live.client.check_schema_compatibility,
            schema,
            definition,
            format=format,
            timeout=timeout,
            credentials=credentials,
        )
