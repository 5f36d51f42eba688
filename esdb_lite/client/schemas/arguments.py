"""What the calls about schemas take.

Owns: the checks of their arguments. Must not know: how they are sent. The values are imported when there are some: few
programs need them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from esdb_lite._checks import checked_int, checked_items, checked_text
from esdb_lite._event_fields import checked_bytes
from esdb_lite.errors import InvalidArgument, WrongArgumentType

if TYPE_CHECKING:
    from esdb_lite.records import SchemaFormat
    from esdb_lite.schemas import CompatibilityMode

_MOST = 2**31 - 1


def checked_schema(argument: str, value: str) -> str:
    """The name of a schema. Raises InvalidArgument."""
    if not checked_text(argument, value):
        raise InvalidArgument(argument, value, "must not be empty")
    from esdb_lite.records import checked_schema_name

    return checked_schema_name(value, argument)


def checked_definition(value: bytes | str) -> bytes:
    """The definition of a version. Raises InvalidArgument."""
    content = (
        checked_text("definition", value).encode() if isinstance(value, str) else checked_bytes("definition", value)
    )
    if not content:
        raise InvalidArgument("definition", value, "must not be empty")
    return content


def checked_format(value: SchemaFormat | None) -> SchemaFormat:
    """What a definition is; None: JSON. Raises WrongArgumentType."""
    from esdb_lite.records import SchemaFormat

    if value is None:
        return SchemaFormat.JSON
    if not isinstance(value, SchemaFormat):
        raise WrongArgumentType("format", value, "must be a SchemaFormat")
    return value


def checked_mode(value: CompatibilityMode | None) -> CompatibilityMode:
    """What is asked of new versions; None: nothing. Raises WrongArgumentType."""
    from esdb_lite.schemas import CompatibilityMode

    if value is None:
        return CompatibilityMode.NONE
    if not isinstance(value, CompatibilityMode):
        raise WrongArgumentType("compatibility", value, "must be a CompatibilityMode")
    return value


def checked_tags(value: Mapping[str, str] | None) -> dict[str, str]:
    """Tags, which may be none. Raises InvalidArgument."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise WrongArgumentType("tags", value, "must be a mapping from str to str")
    return {checked_text("tags", name): checked_text("tags", text) for name, text in value.items()}


def checked_version_id(value: UUID, argument: str = "version_id") -> UUID:
    """The id of a version. Raises InvalidArgument."""
    if not isinstance(value, UUID):
        raise WrongArgumentType(argument, value, "must be a uuid.UUID")
    if not value.int:
        raise InvalidArgument(argument, value, "must not be the nil UUID")
    return value


def checked_number(argument: str, value: int) -> int:
    """The number of a version. Raises InvalidArgument."""
    return checked_int(argument, value, 1, _MOST)


def checked_numbers(value: int | Iterable[int]) -> list[int]:
    """Numbers of versions, at least one. Raises InvalidArgument."""
    given = checked_items("numbers", [value] if isinstance(value, int) else value, int, "must be an int or several")
    if not given:
        raise InvalidArgument("numbers", value, "must not be empty")
    return [checked_number("numbers", number) for number in given]
