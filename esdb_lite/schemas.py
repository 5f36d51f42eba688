"""Schemas of a schema registry and their versions (KurrentDB 25.1 and later).

Owns: the values of the calls about schemas, and their refusals. Must not know: how they are sent.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from esdb_lite.errors import ServerAnswer, StatusCode
from esdb_lite.records import SchemaFormat

__all__ = [
    "CompatibilityCheck",
    "CompatibilityMode",
    "Incompatibility",
    "IncompatibilityKind",
    "RegisteredSchema",
    "RegisteredVersion",
    "SchemaError",
    "SchemaExists",
    "SchemaInfo",
    "SchemaNotFound",
    "SchemaRefused",
    "SchemaVersion",
]


class CompatibilityMode(enum.Enum):
    """What a new version of a schema must be compatible with. Servers check definitions in JSON only."""

    BACKWARD = 1
    """Who reads by the new version can read what was written by the latest one."""
    FORWARD = 2
    """Who reads by the latest version can read what is written by the new one."""
    FULL = 3
    """Both."""
    BACKWARD_ALL = 4
    """`BACKWARD`, against all versions."""
    FORWARD_ALL = 5
    """`FORWARD`, against all versions."""
    FULL_ALL = 6
    """`FULL`, against all versions."""
    NONE = 7
    """Nothing is checked."""


class IncompatibilityKind(enum.Enum):
    """Why two definitions are not compatible."""

    UNKNOWN = 0
    """The server did not say, or in a word that is not known here."""
    MISSING_REQUIRED_PROPERTY = 1
    INCOMPATIBLE_TYPE_CHANGE = 2
    OPTIONAL_TO_REQUIRED = 3
    NEW_REQUIRED_PROPERTY = 4
    REMOVED_PROPERTY = 5
    ARRAY_TYPE_INCOMPATIBILITY = 6
    DATA_FORMAT_MISMATCH = 7


@dataclass(frozen=True)
class RegisteredVersion:
    """A version that has been registered."""

    id: UUID
    """By which records name it (`NewRecord.schema_id`)."""
    number: int
    """Within its schema, from 1."""


@dataclass(frozen=True)
class SchemaInfo:
    """A schema."""

    name: str
    """The name."""
    format: SchemaFormat
    """What its definitions are."""
    compatibility: CompatibilityMode
    """What is asked of a new version."""
    description: str
    """For people."""
    tags: Mapping[str, str]
    """For programs: `list_schemas` finds schemas by them."""
    latest_version: int
    """Number of the newest version."""
    created_at: datetime
    """When it was created."""
    updated_at: datetime | None
    """When it was changed last, or got or lost a version; None: never."""


@dataclass(frozen=True)
class SchemaVersion:
    """A version of a schema."""

    id: UUID
    """By which records name it (`NewRecord.schema_id`)."""
    number: int
    """Within its schema, from 1."""
    definition: bytes = field(repr=False)
    """What it says; empty where it was not asked for."""
    format: SchemaFormat
    """What the definition is."""
    registered_at: datetime
    """When."""


@dataclass(frozen=True)
class RegisteredSchema:
    """A schema with one of its versions."""

    name: str
    """The name of the schema."""
    compatibility: CompatibilityMode
    """What is asked of a new version."""
    tags: Mapping[str, str]
    """The tags of the schema."""
    version: SchemaVersion
    """The version."""


@dataclass(frozen=True)
class Incompatibility:
    """One reason why a definition is not compatible."""

    kind: IncompatibilityKind
    """In which way."""
    details: str
    """The same for people."""
    property_path: str
    """The property, in the server's spelling."""
    original_type: str
    """The type that it had; empty where that does not matter."""
    new_type: str
    """The type that it would get; empty where that does not matter."""


@dataclass(frozen=True)
class CompatibilityCheck:
    """The result of a compatibility check."""

    problems: tuple[Incompatibility, ...]
    """What is not compatible; empty if everything is."""
    version_id: UUID | None
    """The version that the definition was compared with; None where it is not compatible, or the server did not say."""

    @property
    def compatible(self) -> bool:
        """Whether the definition could be registered."""
        return not self.problems


class SchemaError(ServerAnswer):
    """A refusal that concerns a schema of the schema registry."""

    schema_name: str = ""
    """Name of the schema; empty where it was asked for by the id of a version."""


class SchemaNotFound(SchemaError):
    """There is no such schema or version, or it was deleted."""

    code = StatusCode.NOT_FOUND


class SchemaExists(SchemaError):
    """There is a schema of this name, or there was one that was deleted."""

    code = StatusCode.ALREADY_EXISTS


class SchemaRefused(SchemaError):
    """The registry refuses to change the schema, for example to register a version that is not compatible."""

    code = StatusCode.FAILED_PRECONDITION
