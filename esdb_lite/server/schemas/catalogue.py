"""The schema registry of a server.

Owns: the commands and their rules (section B.7 of the notes on KurrentDB), and in which order they take effect.
Must not know: messages, statuses, who may do what.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar
from uuid import UUID

from esdb_lite.records import SchemaFormat
from esdb_lite.schemas import CompatibilityCheck, CompatibilityMode, Incompatibility, IncompatibilityKind
from esdb_lite.server.database.database import Database
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.database.loop_share import ROOM, LoopShare
from esdb_lite.server.engine.model import NO_STREAM, Appended, ProposedEvent
from esdb_lite.server.schemas import state
from esdb_lite.server.schemas.compatibility import OF_ALL_VERSIONS, ComparisonBudget, NotASchema, incompatibilities
from esdb_lite.server.schemas.state import RegistrySchema, StoredVersion

T = TypeVar("T")
Decision = Callable[["RegistrySchema | None"], tuple[T, Sequence[tuple[str, bytes]]]]
"""From a schema as it is: what a command answers, and the types and the data of the events that it writes."""

_PAGE = 256
_LATEST_STAYS = frozenset({CompatibilityMode.BACKWARD})
_ALL_STAY = frozenset({CompatibilityMode.FORWARD, CompatibilityMode.FULL})


class SchemaMissing(Exception):
    """There is no such schema or version, or the schema was deleted; the text says which one."""


class SchemaThere(Exception):
    """There is a schema of this name, or was one."""


class RuleBroken(Exception):
    """The schema is not in a state for this; the text says why."""


class SchemaRegistry:
    """Everything is called on the loop of the database. Every method raises StorageError."""

    def __init__(self, database: Database, *, now: Callable[[], int]) -> None:
        """`now`: ticks."""
        self._database = database
        self._now = now
        self._schemas: dict[str, RegistrySchema | None] = {}
        self._noted: dict[str, int] = {}
        """Events of each schema's stream that are in `_schemas`."""
        self._comparisons = LoopShare()

    # --- commands ---

    async def create(self, schema: RegistrySchema, definition: bytes) -> StoredVersion:
        """Create a schema, whose times do not count, with its first version. Raises SchemaThere."""

        def decide(found: RegistrySchema | None) -> tuple[StoredVersion, Sequence[tuple[str, bytes]]]:
            if found is not None:
                raise SchemaThere(schema.name)
            now = self._now()
            version = StoredVersion(UUID(bytes=new_id()), 1, definition, now)
            made = replace(schema, created=now, versions=(version,))
            return version, [(state.CREATED, state.created_data(made))]

        return await self._command(schema.name, decide)

    async def register(self, name: str, definition: bytes) -> StoredVersion:
        """Give a schema a version. Raises SchemaMissing, RuleBroken."""

        def decide(found: RegistrySchema | None) -> tuple[StoredVersion, Sequence[tuple[str, bytes]]]:
            schema = _existing(name, found)
            if schema.latest.definition == definition:
                raise RuleBroken(f"Schema definition of '{name}' has not changed")
            if problems := _problems(schema, schema.mode, definition):
                raise RuleBroken(_not_compatible(name, schema.mode, problems))
            version = StoredVersion(UUID(bytes=new_id()), schema.numbered + 1, definition, self._now())
            return version, [(state.VERSION_REGISTERED, state.registered_data(schema, version))]

        return await self._command(name, decide)

    async def update(
        self,
        name: str,
        *,
        description: str | None,
        tags: Mapping[str, str] | None,
        mode: CompatibilityMode | None,
    ) -> None:
        """Change what is not None. Raises SchemaMissing, RuleBroken."""

        def decide(found: RegistrySchema | None) -> tuple[None, Sequence[tuple[str, bytes]]]:
            schema, now = _existing(name, found), self._now()
            events: list[tuple[str, bytes]] = []
            if description is not None and description != schema.description:
                events.append((state.DESCRIPTION_UPDATED, state.description_data(name, description, now)))
            if tags is not None and tags != schema.tags:
                events.append((state.TAGS_UPDATED, state.tags_data(name, tags, now)))
            if mode is not None and mode is not schema.mode:
                _check_mode(schema, mode)
                events.append((state.MODE_CHANGED, state.mode_data(name, mode, now)))
            if not events:
                raise RuleBroken(f"Schema '{name}' has not changed")
            return None, events

        await self._command(name, decide)

    async def delete(self, name: str) -> None:
        """Delete a schema. Raises SchemaMissing."""

        def decide(found: RegistrySchema | None) -> tuple[None, Sequence[tuple[str, bytes]]]:
            _existing(name, found)
            return None, [(state.DELETED, state.deleted_data(name, self._now()))]

        await self._command(name, decide)

    async def delete_versions(self, name: str, numbers: Collection[int]) -> None:
        """Take versions from a schema. Raises SchemaMissing, RuleBroken."""

        def decide(found: RegistrySchema | None) -> tuple[None, Sequence[tuple[str, bytes]]]:
            schema = _existing(name, found)
            _check_numbers(schema, numbers)
            gone = tuple(each.id for each in schema.versions if each.number in numbers)
            latest = [each for each in schema.versions if each.number not in numbers][-1]
            data = state.versions_deleted_data(schema, gone, latest, self._now())
            return None, [(state.VERSIONS_DELETED, data)]

        await self._command(name, decide)

    async def _command(self, name: str, decide: Decision[T]) -> T:
        """Write what a decision asks for, once more where others have changed the schema meanwhile."""
        while True:
            await self._note()
            answer, decided = decide(self._schemas.get(name))
            events = [ProposedEvent(new_id(), type, True, data) for type, data in decided]
            expected = self._noted[name] - 1 if name in self._noted else NO_STREAM
            if isinstance(await self._database.append(state.PREFIX + name, expected, events), Appended):
                return answer

    # --- questions ---

    async def all(self, prefix: str = "", tags: Mapping[str, str] | None = None) -> list[RegistrySchema]:
        """Return the schemas whose names begin so and that have these tags, in order of creation."""
        await self._note()
        wanted = (tags or {}).items()
        found = [schema for schema in self._schemas.values() if schema is not None and not schema.deleted]
        return [each for each in found if each.name.startswith(prefix) and wanted <= each.tags.items()]

    async def get(self, name: str) -> RegistrySchema:
        """Return a schema. Raises SchemaMissing."""
        await self._note()
        return _existing(name, self._schemas.get(name))

    async def version(self, name: str, number: int | None) -> tuple[RegistrySchema, StoredVersion]:
        """Return a version and its schema; None: the latest. Raises SchemaMissing."""
        schema = await self.get(name)
        for version in schema.versions:
            if version.number == number:
                return schema, version
        if number is not None:
            raise SchemaMissing(f"Version {number} of schema '{name}'")
        return schema, schema.latest

    async def find(self, id: UUID) -> tuple[RegistrySchema, StoredVersion]:
        """Return a version and its schema. Raises SchemaMissing."""
        for schema in await self.all():
            for version in schema.versions:
                if version.id == id:
                    return schema, version
        raise SchemaMissing(f"Schema version '{id}'")

    async def check(self, schema: str | UUID, definition: bytes, format: SchemaFormat) -> CompatibilityCheck:
        """Tell whether a definition could become a version. Raises SchemaMissing, RuleBroken."""
        if isinstance(schema, UUID):
            about, version = await self.find(schema)
            versions: Sequence[StoredVersion] = [version]
        else:
            about = await self.get(schema)
            versions = _compared(about, about.mode)
        if format is not about.format:
            text = f"the definition is {format.name}, and the schema {about.format.name}"
            kind = IncompatibilityKind.DATA_FORMAT_MISMATCH
            return CompatibilityCheck((Incompatibility(kind, text, "", about.format.name, format.name),), None)
        budget, problems = ComparisonBudget(), list[Incompatibility]()
        for version in versions:
            compare = partial(_problems, about, about.mode, definition, [version], budget)
            problems += await self._comparisons.costly(compare)
        return CompatibilityCheck(tuple(problems), None if problems else versions[-1].id)

    # --- what there is ---

    async def _note(self) -> None:
        """Take in what has happened, also through others who serve the database."""
        lasts = await self._database.last_revisions(state.PREFIX)
        for stream, last in lasts.items():
            name = stream.removeprefix(state.PREFIX)
            while self._noted.get(name, 0) <= last:
                await self._read_on(name)
        await self._database.turns.enter(ROOM)  # who has waited for the same read would all go on in one turn

    async def _read_on(self, name: str) -> None:
        first = self._noted.get(name, 0)
        page = await self._database.read(lambda reader: reader.stream_forward(state.PREFIX + name, first, _PAGE))
        for record in page:
            # others may have read the same page meanwhile
            if record.revision >= self._noted.get(name, 0):
                self._schemas[name] = state.after(self._schemas.get(name), record)
                self._noted[name] = record.revision + 1


def _existing(name: str, schema: RegistrySchema | None) -> RegistrySchema:
    if schema is None or schema.deleted:
        raise SchemaMissing(f"Schema '{name}'")
    return schema


def _compared(schema: RegistrySchema, mode: CompatibilityMode) -> Sequence[StoredVersion]:
    """The versions with which a new one is compared."""
    return schema.versions if mode in OF_ALL_VERSIONS else schema.versions[-1:]


def _problems(
    schema: RegistrySchema,
    mode: CompatibilityMode,
    definition: bytes,
    versions: Sequence[StoredVersion] | None = None,
    budget: ComparisonBudget | None = None,
) -> list[Incompatibility]:
    """What keeps a definition from becoming a version. Raises RuleBroken where that cannot be told."""
    if mode is CompatibilityMode.NONE:
        return []
    if schema.format is not SchemaFormat.JSON:
        raise RuleBroken(f"Schema '{schema.name}' is {schema.format.name}: only JSON can be checked for compatibility")
    left = budget or ComparisonBudget()
    try:
        return [
            problem
            for version in (_compared(schema, mode) if versions is None else versions)
            for problem in incompatibilities(mode, definition, version.definition, left)
        ]
    except NotASchema as error:
        raise RuleBroken(f"Schema '{schema.name}' cannot be checked for compatibility: {error}") from None


def _check_mode(schema: RegistrySchema, mode: CompatibilityMode) -> None:
    """Refuse a mode in which the versions that there are would not go together. Raises RuleBroken."""
    if problems := _problems(schema, mode, schema.latest.definition, schema.versions[:-1]):
        raise RuleBroken(_not_compatible(schema.name, mode, problems))


def _not_compatible(name: str, mode: CompatibilityMode, problems: Sequence[Incompatibility]) -> str:
    return f"Schema '{name}' is not compatible ({mode.name}): " + "; ".join(each.details for each in problems)


def _check_numbers(schema: RegistrySchema, numbers: Collection[int]) -> None:
    for text in _wrong_with(schema, numbers):
        raise RuleBroken(f"Versions of schema '{schema.name}' cannot be deleted: {text}")


def _wrong_with(schema: RegistrySchema, numbers: Collection[int]) -> Iterator[str]:
    unknown = sorted(set(numbers) - {version.number for version in schema.versions})
    if unknown:
        yield "there is no version " + ", ".join(map(str, unknown))
    if len(set(numbers)) == len(schema.versions):
        yield "none would be left"
    if schema.mode in _ALL_STAY:
        yield f"all of them stay in the mode {schema.mode.name}"
    if schema.mode in _LATEST_STAYS and schema.latest.number in numbers:
        yield f"the latest one stays in the mode {schema.mode.name}"


__all__ = ["RuleBroken", "SchemaMissing", "SchemaRegistry", "SchemaThere"]
