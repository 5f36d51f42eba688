"""Random bytes in every stream that a server reads itself, then a restart: everything works afterwards.

The documents are those that belong there, broken at random, and others that are hard on readers. Seeded; each seed is
one database with all of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    EmbeddedServer,
    EsdbClientException,
    IndexNotFound,
    IndexQuery,
    NewEvent,
    SchemaFormat,
    SchemaNotFound,
    StreamMetadata,
    StreamNotFound,
    StreamState,
    SubscriptionSettings,
)
from esdb_lite.groups import ConsumerStrategy

pytest.importorskip("trustme", reason="trustme is not installed")

PROJECTIONS = "system" if find_spec("_quickjs") is None else "all"
SYSTEM_PROJECTIONS = ("$by_category", "$by_event_type", "$stream_by_category", "$streams", "$by_correlation_id")

CONFIG = (
    b'{"version":"2","updated":"2026-01-01T00:00:00Z","updatedBy":"admin","entries":[{"stream":"s","group":"g",'
    b'"messageTimeout":30000,"startFrom":0,"startPosition":"0","liveBufferSize":500,"historyBufferSize":500,'
    b'"maxRetryCount":10,"readBatchSize":20,"checkPointAfter":2000,"namedConsumerStrategy":"PinnedByCorrelation"},'
    b'{"stream":"$all","group":"a","filter":{"context":"streamid","type":"regex","data":"^s","isAllStream":true}}]}'
)
METADATA = b'{"$maxCount":100,"$maxAge":1000000,"$tb":0,"$cacheControl":1,"$acl":{"$r":["$all"],"$w":"$all"},"x":[1]}'
USER = (
    b'{"loginName":"mallory","fullName":"M","groups":["$ops"],"hash":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",'
    b'"salt":"MDEyMzQ1Njc4OTAxMjM0NQ=="}'
)
ACL = b'{"$userStreamAcl":{"$r":"$all","$w":"$all","$d":"$all","$mr":"$all","$mw":"$all"},"$systemStreamAcl":{}}'

INDEX = (
    b'{"name":"i","filter":"rec => true","fields":[{"name":"f","selector":"rec => rec.value.a",'
    b'"type":"INDEX_FIELD_TYPE_DOUBLE"}],"timestamp":"2026-01-01T00:00:00Z"}'
)

PROJECTION = (
    b'{"handlerType":"JS","query":"fromAll().foreachStream().when({$init: () => ({n: 0}), $any(s, e) { s.n++;'
    b' if (e.streamId[0] === \'s\') linkTo(\'out\', e) }}).outputState()","mode":"Continuous","enabled":true,'
    b'"sourceDefinition":{"allEvents":true,"allStreams":true,"byStreams":true,"options":{"definesFold":true}},'
    b'"emitEnabled":true,"trackEmittedStreams":true,"epoch":-1,"version":1,"runAs":{"name":"admin"}}'
)
STANDARD = (
    b'{"handlerType":"native:EventStore.Projections.Core.Standard.CategorizeEventsByStreamPath","query":"first\\r\\n-",'
    b'"mode":"Continuous","enabled":true,"emitEnabled":true,"epoch":1,"version":1,"runAs":{"name":"$system"}}'
)
SCHEMA = (
    b'{"schemaName":"sch","description":"","dataFormat":"SCHEMA_DATA_FORMAT_JSON","tags":{"a":"1"},'
    b'"compatibility":"COMPATIBILITY_MODE_BACKWARD","schemaVersionId":"eed35b57-a65c-42bf-94df-7c0b15126f9f",'
    b'"schemaDefinition":"e30=","versionNumber":1,"createdAt":"2026-11-30T08:29:23.553453500Z"}'
)
SCHEMA_VERSION = (
    b'{"schemaVersionId":"aed35b57-a65c-42bf-94df-7c0b15126f9f","schemaDefinition":"e30=","versionNumber":1,'
    b'"dataFormat":"SCHEMA_DATA_FORMAT_JSON","schemaName":"other","registeredAt":"2026-11-30T08:29:23.5534535Z"}'
)

STORED = {
    "$all-indexes": (INDEX, "$IndexCreated"),
    "$UserIndex-i": (b'{"name":"i"}', "$IndexStarted"),
    "$persistentSubscriptionConfig": (CONFIG, "$PersistentConfig"),
    "$$$persistentSubscriptionConfig": (b'{"$maxCount":2}', "$metadata"),
    "$persistentsubscription-s::g-checkpoint": (b'"2"', "$SubscriptionCheckpoint"),
    "$persistentsubscription-$all::a-checkpoint": (b'"C:100/P:100"', "$SubscriptionCheckpoint"),
    "$persistentsubscription-s::g-parked": (b"1@s", "$>"),
    "$$$persistentsubscription-s::g-parked": (b'{"$tb":1,"$acl":{}}', "$metadata"),
    "$$$persistentsubscription-s::g-checkpoint": (METADATA, "$metadata"),
    "$$s": (METADATA, "$metadata"),
    "$$$all": (METADATA, "$metadata"),
    "$settings": (ACL, "update-default-acl"),
    "$$$settings": (METADATA, "$metadata"),
    "$user-mallory": (USER, "$UserUpdated"),
    "$$$user-mallory": (METADATA, "$metadata"),
    "$users": (b"mallory", "$User"),
    "$users-password-notifications": (b'{"loginName":"mallory"}', "$PasswordChanged"),
    "$projections-$all": (b"mine", "$ProjectionCreated"),
    "$projections-mine": (PROJECTION, "$ProjectionUpdated"),
    "$projections-mine-checkpoint": (b"[]", "$ProjectionCheckpoint"),
    "$projections-mine-s-checkpoint": (b'[{"n":1}]', "$Checkpoint"),
    "$projections-mine-partitions": (b"s", "$partition"),
    "$projections-mine-emittedstreams": (b"out", "$StreamTracked"),
    "$projections-mine-s-result": (b'{"n":1}', "Result"),
    "$projections-mine-result": (b"0@$projections-mine-s-result", "$>"),
    "$projections-$by_category": (STANDARD, "$ProjectionUpdated"),
    "$projections-$by_category-checkpoint": (b'{"s":{"$c":1,"$p":1}}', "$ProjectionCheckpoint"),
    "$registry/schemas/sch": (SCHEMA, "$registry-schema-created"),
    "$registry/schemas/other": (SCHEMA_VERSION, "$registry-schema-version-registered"),
    "out": (b"{}", "Out"),
    "$scavenges": (b"0@$scavenges-1", "$>"),
    "$scavengePoints": (b'{"threshold":0}', "$scavengePoint"),
    "$epoch-information": (b'{"EpochPosition":1}', "$epoch-information"),
    "s": (b'{"a":1}', "T"),
    "links": (b"0@s", "$>"),
}
"""Streams that the server reads for itself, or whose contents mean something to it: a document and its type."""


def nasty(chance: random.Random) -> bytes:
    """Something that is hard on readers of JSON, numbers, texts."""
    return chance.choice(
        (
            b"[" * 100_000,
            b'{"a":' * 30_000,
            b"9" * 5000,
            b"-" + b"0" * 5000 + b"1",
            b'{"entries":[' + b"{}," * 1000 + b"{}]}",
            b'"\\ud800"',
            b'{"$maxCount":' + b"9" * 25 + b"}",
            b"{'$maxCount':" + b"1" * 6000,
            b'{"$acl":{"$r":["\\ud800"]}}',
            b'"C:9999999999999999999/P:1"',
            b"9" * 25 + b"@s",
            b"1@" + b"x" * 10_000,
            b"NaN",
            b"",
            b"\0" * 100,
            chance.randbytes(100),
        )
    )


def broken(chance: random.Random, document: bytes) -> bytes:
    """A document with something wrong in it."""
    found = bytearray(document)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        what = chance.randrange(5)
        if what == 0:
            found[at : at + 1] = chance.randbytes(1)
        elif what == 1:
            del found[at : at + chance.randint(1, 20)]
        elif what == 2:
            found[at:at] = chance.choice(
                (b"\\ud800", b"9" * 400, b"null", b"[[[", b"}", b"\\", b'"', b"-1", b"e999", b"1e400", b"\x1b]0;")
            )
        elif what == 3:
            found = found[:at]
        else:
            found = bytearray(
                found.replace(b"1", chance.choice((b"[1]", b"true", b"{}", b"1e5", b'"1"', b"9" * 30)), 1)
            )
    return bytes(found)


def contents(chance: random.Random, stream: str) -> list[NewEvent]:
    document, type_ = STORED[stream]
    found = []
    for _ in range(chance.randint(1, 4)):
        data = chance.choice((document, broken(chance, document), broken(chance, document), nasty(chance)))
        metadata = chance.choice((b"", b"", b'{"$correlationId":' + nasty(chance) + b"}", nasty(chance)))
        json = chance.random() < 0.8
        content_type = "application/json" if json else "application/octet-stream"
        found.append(NewEvent(chance.choice((type_, type_, type_, "Other")), data, metadata, content_type=content_type))
    return found


@asynccontextmanager
async def served(path: Path, certificates: Path, *, newest: bool) -> AsyncIterator[AsyncEsdbClient]:
    server = EmbeddedServer(
        path, dev_certificate=certificates, run_projections=PROJECTIONS, compatibility="26.1" if newest else "24.10"
    )
    async with server, AsyncEsdbClient(server.uri, credentials=("admin", "changeit")) as client:
        yield client


async def enable_projections(client: AsyncEsdbClient) -> None:
    """As far as their definitions are what they should be."""
    for name in SYSTEM_PROJECTIONS:
        with suppress(EsdbClientException):
            await client.enable_projection(name)


async def write(client: AsyncEsdbClient, chance: random.Random) -> None:
    for stream in chance.sample(sorted(STORED), k=len(STORED)):
        await client.append_events(stream, StreamState.ANY, contents(chance, stream))


async def everything_works(client: AsyncEsdbClient, name: str) -> None:
    """As far as nobody has forbidden it by what was written."""
    await client.append_events(name, None, [NewEvent("T", b"{}")])
    assert len([item async for item in client.read_stream_events(name)]) == 1
    for stream in sorted(STORED):
        for resolve_links in (False, True):
            await _read(client, stream, resolve_links=resolve_links)
    assert [item async for item in client.read_all_events(resolve_links=True, filter_exclude=())]
    async with await client.subscribe_all_events(resolve_links=True) as subscription:
        async for item in subscription:
            if item.stream_name == name:
                break
    await client.list_subscriptions()
    await _consume(client, f"{name}-1", name)
    await _consume(client, f"{name}-2", None)
    await client.create_user(name, "pw", groups=["team"])
    assert (await client.get_user(name, credentials=(name, "pw"))).login_name == name
    await client.list_users()
    await client.set_stream_metadata(name, StreamMetadata(max_count=3))
    assert (await client.get_stream_metadata(name)).max_count == 3
    await client.delete_stream(name, StreamState.ANY)
    if PROJECTIONS == "all":
        await _project(client, name)


async def _project(client: AsyncEsdbClient, name: str) -> None:
    """Projections are told of, and a new one runs to its end of the log, or faults over what is there."""
    for known in await client.list_projections():
        await client.get_projection_state(known.name)
        await client.get_projection_result(known.name)
    await client.append_events(f"{name}-p", None, [NewEvent("T", b"{}")])
    query = f"fromStream('{name}-p').when({{$init: () => ({{n: 0}}), $any(s, e) {{ s.n++ }}}}).outputState()"
    await client.create_projection(name, query)
    await client.wait_for_projection(name, timeout=30)
    assert await client.get_projection_state(name) == {"n": 1}
    await client.disable_projection(name)
    await client.delete_projection(name)


async def newer_services_work(client: AsyncEsdbClient, name: str) -> None:
    """Indexes and schemas, which servers of 26.1 have."""
    await client.list_indexes()
    await client.list_schemas()
    async for _ in client.read_index_events(IndexQuery.all()):
        pass
    for index in ("i", name):
        with suppress(EsdbClientException):
            await client.create_index(index, filter="rec => true")
        with suppress(IndexNotFound):
            async for _ in client.read_index_events(IndexQuery.user(index)):
                pass
    await client.create_schema(name, b"{}", format=SchemaFormat.JSON)
    assert (await client.get_schema(name)).name == name
    for stored in ("sch", "other"):
        with suppress(SchemaNotFound):
            await client.get_schema(stored)


async def _read(client: AsyncEsdbClient, stream: str, *, resolve_links: bool) -> None:
    with suppress(StreamNotFound):
        async for _ in client.read_stream_events(stream, resolve_links=resolve_links):
            pass


async def _consume(client: AsyncEsdbClient, group: str, stream: str | None) -> None:
    settings = SubscriptionSettings(resolve_links=True, strategy=ConsumerStrategy.PINNED_BY_CORRELATION)
    await client.create_subscription(group, stream, settings=settings)
    async with await client.read_subscription(group, stream) as consumer:
        async for item in consumer:
            await consumer.ack(item)
            break


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_stored_the_server_starts_and_works(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(f"stored {seed}")
    began = time.process_time()
    for round_ in range(3):
        async with served(tmp_path / "events.db", tmp_path, newest=seed % 2 == 1) as client:
            await enable_projections(client)
            await everything_works(client, f"before{round_}")
            await write(client, chance)
            await everything_works(client, f"after{round_}")
            if seed % 2 == 1:
                await newer_services_work(client, f"newer{round_}")
    assert time.process_time() - began < 60
    assert not [record for record in caplog.records if record.exc_info]
