"""The schema registry: schemas, their versions, what is compatible, and what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    CompatibilityMode,
    EmbeddedServer,
    IncompatibilityKind,
    InvalidArgument,
    NewRecord,
    NotSupported,
    RegisteredVersion,
    SchemaError,
    SchemaExists,
    SchemaFormat,
    SchemaNotFound,
    SchemaRefused,
    WrongArgumentType,
)
from tests.contract.faces import drain

MODES = CompatibilityMode


@pytest.fixture
def name() -> str:
    """A name for a schema."""
    return f"Order-{uuid4().hex}"


def schema(required: str = "", **properties: str) -> bytes:
    """A JSON schema of an object."""
    document: dict[str, object] = {"type": "object", "properties": {key: {"type": t} for key, t in properties.items()}}
    return json.dumps({**document, "required": required.split()}).encode()


async def test_a_schema_and_its_versions(client: Any, name: str) -> None:
    first = await client.create_schema(name, "{}", description="orders", tags={"team": "sales"})
    assert first == RegisteredVersion(first.id, 1)
    info = await client.get_schema(name)
    assert (info.name, info.format, info.compatibility) == (name, SchemaFormat.JSON, MODES.NONE)
    assert (info.description, info.tags, info.latest_version, info.updated_at) == ("orders", {"team": "sales"}, 1, None)
    second = await client.register_schema_version(name, b"[]")
    assert second.number == 2
    assert await client.lookup_schema_name(second.id) == name
    latest = await client.get_schema_version(name)
    assert (latest.id, latest.number, latest.definition, latest.format) == (second.id, 2, b"[]", SchemaFormat.JSON)
    assert info.created_at <= latest.registered_at == (await client.get_schema(name)).updated_at
    assert (await client.get_schema_version(name, 1)).definition == b"{}"
    assert await client.get_schema_version_by_id(second.id) == latest
    versions = await client.list_schema_versions(name)
    assert [(each.number, each.definition) for each in versions] == [(1, b""), (2, b"")]
    versions = await client.list_schema_versions(name, definitions=True)
    assert [(each.number, each.definition) for each in versions] == [(1, b"{}"), (2, b"[]")]


async def test_lists(client: Any, name: str) -> None:
    await client.create_schema(f"{name}.A", "{}", tags={"a": "1", "b": "2"})
    made = await client.create_schema(f"{name}.B", b"\0", format=SchemaFormat.PROTOBUF, tags={"a": "1"})
    assert [each.name for each in await client.list_schemas(prefix=name)] == [f"{name}.A", f"{name}.B"]
    assert [each.name for each in await client.list_schemas(prefix=name, tags={"b": "2"})] == [f"{name}.A"]
    assert await client.list_schemas(prefix=name, tags={"b": "1"}) == []
    both = await client.list_registered_schemas(prefix=name)
    assert [(each.name, each.version.number, each.version.definition) for each in both] == [
        (f"{name}.A", 1, b""),
        (f"{name}.B", 1, b""),
    ]
    (one,) = await client.list_registered_schemas(version_id=made.id, definitions=True)
    assert (one.name, one.version.definition, one.version.format) == (f"{name}.B", b"\0", SchemaFormat.PROTOBUF)
    assert one.tags == {"a": "1"}


async def test_changes(client: Any, name: str) -> None:
    await client.create_schema(name, schema(a="string"))
    await client.update_schema(name, description="new", tags={"x": "y"}, compatibility=MODES.BACKWARD)
    info = await client.get_schema(name)
    assert (info.description, info.tags, info.compatibility) == ("new", {"x": "y"}, MODES.BACKWARD)
    await client.update_schema(name, tags={})
    assert ((await client.get_schema(name)).tags, (await client.get_schema(name)).description) == ({}, "new")
    with pytest.raises(SchemaRefused):
        await client.update_schema(name, description="new")


async def test_deleting(client: Any, name: str) -> None:
    made = await client.create_schema(name, "{}")
    await client.delete_schema(name)
    for call in (
        client.get_schema(name),
        client.get_schema_version(name),
        client.register_schema_version(name, "[]"),
        client.delete_schema(name),
        client.update_schema(name, description="x"),
        client.list_schema_versions(name),
        client.lookup_schema_name(made.id),
        client.get_schema_version_by_id(made.id),
    ):
        with pytest.raises(SchemaNotFound):
            await call
    with pytest.raises(SchemaExists) as caught:
        await client.create_schema(name, "{}")
    assert caught.value.schema_name == name
    assert await client.list_schemas(prefix=name) == []


async def test_deleting_versions(client: Any, name: str) -> None:
    await client.create_schema(name, "1")
    for number in (2, 3, 4):
        await client.register_schema_version(name, str(number))
    assert await client.delete_schema_versions(name, (number for number in (1, 3))) == []
    assert [each.number for each in await client.list_schema_versions(name)] == [2, 4]
    for numbers in ([1], [2, 4], [9]):
        with pytest.raises(SchemaRefused):
            await client.delete_schema_versions(name, numbers)
    await client.delete_schema_versions(name, 4)
    assert (await client.get_schema(name)).latest_version == 2
    assert (await client.register_schema_version(name, "5")).number == 5
    with pytest.raises(SchemaNotFound):
        await client.get_schema_version(name, 4)


@pytest.mark.parametrize(("mode", "refused"), [(MODES.BACKWARD, [2]), (MODES.FULL, [1, 2]), (MODES.NONE, [])])
async def test_which_versions_stay(client: Any, name: str, mode: CompatibilityMode, refused: list[int]) -> None:
    await client.create_schema(name, schema(), compatibility=mode)
    await client.register_schema_version(name, schema(a="string"))
    for number in refused:
        with pytest.raises(SchemaRefused):
            await client.delete_schema_versions(name, number)
    if 1 not in refused:
        await client.delete_schema_versions(name, 1)


KINDS = IncompatibilityKind


@pytest.mark.parametrize(
    ("mode", "old", "new", "kinds"),
    [
        (MODES.BACKWARD, schema(a="string"), schema(a="string", b="string"), []),
        (MODES.BACKWARD, schema(a="string", b="string"), schema(a="string"), []),
        (MODES.BACKWARD, schema("a", a="string"), schema(a="string"), []),
        (MODES.BACKWARD, schema(a="integer"), schema(a="number"), []),
        (MODES.BACKWARD, schema(a="number"), schema(a="integer"), [KINDS.INCOMPATIBLE_TYPE_CHANGE]),
        (MODES.BACKWARD, schema(a="string"), schema(a="integer"), [KINDS.INCOMPATIBLE_TYPE_CHANGE]),
        (MODES.BACKWARD, schema(), schema("b", b="string"), [KINDS.MISSING_REQUIRED_PROPERTY]),
        (MODES.BACKWARD, schema(b="string"), schema("b", b="string"), [KINDS.OPTIONAL_TO_REQUIRED]),
        (
            MODES.BACKWARD,
            b'{"type":"array","items":{"type":"string"}}',
            b'{"type":"array","items":{"type":"boolean"}}',
            [KINDS.ARRAY_TYPE_INCOMPATIBILITY],
        ),
        (
            MODES.BACKWARD,
            b'{"properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"type":"string"}}}',
            b'{"properties":{"a":{"type":"integer"}}}',
            [KINDS.INCOMPATIBLE_TYPE_CHANGE],
        ),
        (MODES.FORWARD, schema("a", a="string"), schema(), [KINDS.NEW_REQUIRED_PROPERTY]),
        (MODES.FORWARD, schema(), schema("a", a="string"), []),
        (MODES.FULL, schema(), schema("a", a="string"), [KINDS.MISSING_REQUIRED_PROPERTY]),
        (MODES.NONE, schema(a="string"), schema(a="integer"), []),
    ],
)
async def test_what_is_compatible(
    client: Any, name: str, mode: CompatibilityMode, old: bytes, new: bytes, kinds: list[IncompatibilityKind]
) -> None:
    made = await client.create_schema(name, old, compatibility=mode)
    found = await client.check_schema_compatibility(name, new)
    assert [problem.kind for problem in found.problems] == kinds
    assert found.compatible is not kinds
    assert found.version_id == (None if kinds else made.id)
    assert (await client.check_schema_compatibility(made.id, new)).problems == found.problems
    if kinds:
        with pytest.raises(SchemaRefused):
            await client.register_schema_version(name, new)
    else:
        await client.register_schema_version(name, new)


async def test_a_definition_that_refers_to_itself(client: Any, name: str) -> None:
    tree = b'{"type":"object","properties":{"next":{"$ref":"#"},"lost":{"$ref":"#/no"},"far":{"$ref":"x#/y"}}}'
    await client.create_schema(name, tree, compatibility=MODES.FULL_ALL)
    assert (await client.check_schema_compatibility(name, tree)).compatible


async def test_problems_say_where_they_are(client: Any, name: str) -> None:
    await client.create_schema(name, schema(a="string"), compatibility=MODES.BACKWARD)
    (problem,) = (await client.check_schema_compatibility(name, schema(a="integer"))).problems
    assert (problem.property_path, problem.original_type, problem.new_type) == (
        "#/properties/a",
        "string",
        "integer",
    )
    assert "#/properties/a" in problem.details


async def test_all_versions_count_in_some_modes(client: Any, name: str) -> None:
    await client.create_schema(name, schema(a="string"))
    await client.register_schema_version(name, schema())
    again = schema(a="integer")
    await client.update_schema(name, compatibility=MODES.BACKWARD)
    assert (await client.check_schema_compatibility(name, again)).compatible
    await client.update_schema(name, compatibility=MODES.BACKWARD_ALL)
    assert not (await client.check_schema_compatibility(name, again)).compatible


async def test_a_mode_that_the_versions_do_not_keep(client: Any, name: str) -> None:
    await client.create_schema(name, schema(a="string"))
    await client.register_schema_version(name, schema(a="integer"))
    with pytest.raises(SchemaRefused):
        await client.update_schema(name, compatibility=MODES.BACKWARD)
    assert (await client.get_schema(name)).compatibility is MODES.NONE


async def test_other_formats_are_kept_and_not_checked(client: Any, name: str) -> None:
    await client.create_schema(name, b"\1", format=SchemaFormat.AVRO)
    await client.register_schema_version(name, b"\2")
    (problem,) = (await client.check_schema_compatibility(name, b"{}")).problems
    assert problem.kind is KINDS.DATA_FORMAT_MISMATCH
    with pytest.raises(SchemaRefused):
        await client.update_schema(name, compatibility=MODES.BACKWARD)
    other = f"{name}.Other"
    await client.create_schema(other, b"\1", format=SchemaFormat.AVRO, compatibility=MODES.BACKWARD)
    with pytest.raises(SchemaRefused):
        await client.register_schema_version(other, b"\2")


async def test_what_is_refused(client: Any, name: str) -> None:
    with pytest.raises(SchemaNotFound) as caught:
        await client.get_schema(name)
    assert caught.value.schema_name == name
    await client.create_schema(name, "{}")
    with pytest.raises(SchemaExists):
        await client.create_schema(name, "{}")
    with pytest.raises(SchemaRefused, match="has not changed"):
        await client.register_schema_version(name, "{}")
    with pytest.raises(SchemaNotFound):
        await client.lookup_schema_name(uuid4())
    with pytest.raises(SchemaError):
        await client.get_schema_version(name, 2)


async def test_wrong_arguments(client: Any, name: str) -> None:
    for make in (
        lambda: client.create_schema("", "{}"),
        lambda: client.create_schema("a b", "{}"),
        lambda: client.create_schema(name, ""),
        lambda: client.update_schema(name),
        lambda: client.delete_schema_versions(name, []),
        lambda: client.delete_schema_versions(name, 0),
        lambda: client.get_schema_version(name, 0),
        lambda: client.lookup_schema_name(UUID(int=0)),
    ):
        with pytest.raises(InvalidArgument):
            await make()
    for make in (
        lambda: client.create_schema(name, {}),
        lambda: client.create_schema(name, "{}", format="json"),
        lambda: client.create_schema(name, "{}", compatibility="none"),
        lambda: client.create_schema(name, "{}", tags={"a": 1}),
        lambda: client.create_schema(name, "{}", tags=["a"]),
        lambda: client.lookup_schema_name(str(uuid4())),
        lambda: client.check_schema_compatibility(7, "{}"),
        lambda: client.list_schema_versions(name, definitions=1),
    ):
        with pytest.raises(WrongArgumentType):
            await make()


async def test_a_record_names_a_version(client: Any, name: str, stream: str) -> None:
    made = await client.create_schema(name, "{}")
    await client.append_records(NewRecord(stream, name, b"{}", schema_id=made.id))
    (event,) = await drain(client.read_stream_events(stream))
    assert event.schema is not None
    assert (event.schema.name, event.schema.id) == (name, made.id)
    assert await client.lookup_schema_name(event.schema.id) == name


class TestOlderServer:
    """A server that has no registry."""

    @pytest.fixture
    def version(self) -> str:
        return "24.10"

    async def test_it_is_said_which_version_has_one(self, client: Any, name: str) -> None:
        with pytest.raises(NotSupported, match=r"25\.1"):
            await client.create_schema(name, "{}")


async def test_versions_that_are_registered_at_the_same_time(client: Any, name: str) -> None:
    await client.create_schema(name, "{}")
    made = await asyncio.gather(*(client.register_schema_version(name, str(number)) for number in range(20)))
    assert sorted(each.number for each in made) == list(range(2, 22))
    versions = await client.list_schema_versions(name, definitions=True)
    assert {each.id: each.number for each in versions[1:]} == {each.id: each.number for each in made}


async def test_schemas_outlive_the_server(tmp_path: Path, name: str) -> None:
    async with EmbeddedServer(tmp_path / "db") as server, AsyncEsdbClient(server.uri) as client:
        await client.create_schema(name, schema(a="string"), description="é <", tags={"a": "b"})
        await client.register_schema_version(name, schema())
        await client.register_schema_version(name, schema(b="string"))
        await client.delete_schema_versions(name, 2)
        await client.update_schema(name, compatibility=MODES.BACKWARD)
        before = await client.get_schema(name), await client.list_schema_versions(name, definitions=True)
    async with EmbeddedServer(tmp_path / "db") as server, AsyncEsdbClient(server.uri) as client:
        assert (await client.get_schema(name), await client.list_schema_versions(name, definitions=True)) == before
