"""Whether definitions in JSON are compatible: by JSON Schema's types, properties, required ones and items.

Owns: the comparison, and what each mode compares (section B.7 of the notes on KurrentDB). Must not know: schemas and
their versions. Other words of JSON Schema are not looked at; references are followed within a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from esdb_lite._json import parse_json
from esdb_lite.schemas import CompatibilityMode, Incompatibility, IncompatibilityKind

_BACKWARD = frozenset({CompatibilityMode.BACKWARD, CompatibilityMode.BACKWARD_ALL})
_FORWARD = frozenset({CompatibilityMode.FORWARD, CompatibilityMode.FORWARD_ALL})
_FULL = frozenset({CompatibilityMode.FULL, CompatibilityMode.FULL_ALL})
OF_ALL_VERSIONS = frozenset(
    {CompatibilityMode.BACKWARD_ALL, CompatibilityMode.FORWARD_ALL, CompatibilityMode.FULL_ALL},
)
"""Modes in which a version is compared with all before it."""
_ANYTHING = "any"


class NotASchema(ValueError):
    """A definition cannot be compared; the text says why."""


class ComparisonBudget:
    """What may be compared for one question: definitions of strangers can be large, and refer to themselves."""

    def __init__(self, size: int = 4_000_000, parts: int = 50_000) -> None:
        """`size`: bytes of definitions. `parts`: pairs of parts of two definitions."""
        self._size = size
        self._parts = parts

    def spend(self, *, size: int = 0, parts: int = 0) -> None:
        """Take note of what is to be done. Raises NotASchema where that is too much."""
        self._size -= size
        self._parts -= parts
        if self._size < 0 or self._parts < 0:
            raise NotASchema("its versions are too large, or too many")


def incompatibilities(
    mode: CompatibilityMode, new: bytes, old: bytes, budget: ComparisonBudget
) -> list[Incompatibility]:
    """Return what keeps a definition from coming after another. Raises NotASchema."""
    if mode is CompatibilityMode.NONE:
        return []
    budget.spend(size=len(new) + len(old))
    after, before = _parsed(new), _parsed(old)
    found: list[Incompatibility] = []
    try:
        if mode in _BACKWARD | _FULL:
            found += _Comparison(after, before, budget, new_reads=True).differences()
        if mode in _FORWARD | _FULL:
            found += _Comparison(before, after, budget, new_reads=False).differences()
    except RecursionError:
        raise NotASchema("its parts refer to each other too often") from None
    return found


def _parsed(definition: bytes) -> Mapping[str, object]:
    try:
        document = parse_json(definition)
    except ValueError as error:
        raise NotASchema(f"a definition is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise NotASchema("a definition is not a JSON schema: it is not an object")
    return document


class _Comparison:
    """Who reads by one definition, and what is written by the other."""

    def __init__(
        self, reader: Mapping[str, object], writer: Mapping[str, object], budget: ComparisonBudget, *, new_reads: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._new_reads = new_reads
        self._budget = budget
        self._compared: set[tuple[int, int]] = set()

    def differences(self) -> Iterator[Incompatibility]:
        """What cannot be read."""
        return self._at("#", self._reader, self._writer, IncompatibilityKind.INCOMPATIBLE_TYPE_CHANGE)

    def _at(
        self, path: str, reading: object, written: object, wrong_type: IncompatibilityKind
    ) -> Iterator[Incompatibility]:
        self._budget.spend(parts=1)
        reader, writer = _resolved(self._reader, reading), _resolved(self._writer, written)
        if (id(reader), id(writer)) in self._compared:
            return  # a reference leads back here
        self._compared.add((id(reader), id(writer)))
        takes, gets = _types(reader), _types(writer)
        if not _accepts(takes, gets):
            yield self._problem(wrong_type, path, f"the type is {{}}, and was {{}}: {path}", takes, gets)
            return
        yield from self._properties(path, reader, writer)
        if "items" in reader and "items" in writer:
            yield from self._at(
                f"{path}/items",
                reader["items"],
                writer["items"],
                IncompatibilityKind.ARRAY_TYPE_INCOMPATIBILITY,
            )

    def _properties(
        self, path: str, reader: Mapping[str, object], writer: Mapping[str, object]
    ) -> Iterator[Incompatibility]:
        takes, gets = _properties(reader), _properties(writer)
        always = set(_required(writer))
        for name in _required(reader):
            place = f"{path}/properties/{name}"
            if name not in gets:
                kind = (
                    IncompatibilityKind.MISSING_REQUIRED_PROPERTY
                    if self._new_reads
                    else IncompatibilityKind.NEW_REQUIRED_PROPERTY
                )
                yield self._problem(kind, place, f"the required property {name!r} is not in the other definition")
            elif name not in always:
                kind = IncompatibilityKind.OPTIONAL_TO_REQUIRED
                yield self._problem(kind, place, f"the property {name!r} is required, and optional in the other")
        for name in takes:
            if name in gets:
                kind = IncompatibilityKind.INCOMPATIBLE_TYPE_CHANGE
                yield from self._at(f"{path}/properties/{name}", takes[name], gets[name], kind)

    def _problem(
        self,
        kind: IncompatibilityKind,
        path: str,
        text: str,
        takes: Iterable[str] | None = (),
        gets: Iterable[str] | None = (),
    ) -> Incompatibility:
        new, old = (takes, gets) if self._new_reads else (gets, takes)
        original, changed = _shown(old), _shown(new)
        return Incompatibility(kind, text.format(changed, original), path, original, changed)


def _resolved(root: Mapping[str, object], node: object) -> Mapping[str, object]:
    """A part of a definition, behind its references."""
    for _ in range(32):  # so many may follow each other
        if not isinstance(node, dict):
            return {}
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node
        node = _target(root, reference)
    return {}


def _target(root: Mapping[str, object], reference: str) -> object:
    head, _, path = reference.partition("#")
    if head:
        return None  # another document
    found: object = root
    for step in path.split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _types(schema: Mapping[str, object]) -> frozenset[str] | None:
    """The types that values may have; None: any."""
    given = schema.get("type")
    if isinstance(given, str):
        return frozenset({given})
    if isinstance(given, list):
        return frozenset(str(each) for each in given)
    return frozenset({"object"}) if "properties" in schema else frozenset({"array"}) if "items" in schema else None


def _accepts(takes: frozenset[str] | None, gets: frozenset[str] | None) -> bool:
    if takes is None:
        return True
    if gets is None:
        return False
    return all(each in takes or (each == "integer" and "number" in takes) for each in gets)


def _properties(schema: Mapping[str, object]) -> Mapping[str, object]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _required(schema: Mapping[str, object]) -> Sequence[str]:
    found = schema.get("required")
    return [str(name) for name in found] if isinstance(found, list) else []


def _shown(types: Iterable[str] | None) -> str:
    return _ANYTHING if types is None else ", ".join(sorted(types))
