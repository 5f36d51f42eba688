"""Floods of the calls that are not about streams: projections, groups, schemas, indexes, users, operations, figures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from esdb_lite_protos.event_store.client import Empty, StreamIdentifier, projections, users
from esdb_lite_protos.event_store.client import persistent_subscriptions as groups
from esdb_lite_protos.event_store.client.monitoring import StatsReq
from esdb_lite_protos.event_store.client.operations import StartScavengeReq, StartScavengeReqOptions
from esdb_lite_protos.kurrentdb.protocol.registry import v2 as registry
from esdb_lite_protos.kurrentdb.protocol.v2 import indexes

from esdb_lite import AsyncEsdbClient, CompatibilityMode, NewEvent, StreamState
from esdb_lite._wire.acks import encode_consumer_options
from esdb_lite._wire.framing import frame
from tests.benchmarks.flooding.flood import Flood, asking, in_turn, making
from tests.benchmarks.flooding.on_wire import large_events, login
from tests.benchmarks.flooding.peers import Attack, Caller, Request, with_connections

_PROJECTIONS = "/event_store.client.projections.Projections"
_GROUPS = "/event_store.client.persistent_subscriptions.PersistentSubscriptions"
_USERS = "/event_store.client.users.Users"
_OPERATIONS = "/event_store.client.operations.Operations"
_SCHEMAS = "/kurrentdb.protocol.registry.v2.SchemaRegistryService"
_INDEXES = "/kurrentdb.protocol.v2.indexes.IndexesService"
_EMPTY = Empty()
_ADMIN = login("admin", "changeit")
_JAVASCRIPT = ("--run-projections", "all")
_STATE = 600_000
_SCRIPT = """fromStream('p').when({
    $init: function () {
        var values = [];
        for (var i = 0; i < 50000; i++) values.push('value ' + i);
        return {values: values};
    },
    T: function (state, event) { return state; }
}).outputState()"""
_SLOW_SCRIPT = "fromAll().when({$any: function (s, e) { for (var i = 0; i < 1e9; i++) s.n = i; return s; }})"


def _request(path: str, message: object) -> Request:
    return Request(path, frame([bytes(message)]))  # type: ignore[call-overload]


# --- projections ------------------------------------------------------------------------------------------------------


async def _large_state(client: AsyncEsdbClient) -> None:
    await client.append_events("p", StreamState.ANY, NewEvent("T", b"{}"))
    await client.create_projection("large", _SCRIPT, emit=True)
    await client.wait_for_projection("large", timeout=60)
    assert len(json.dumps(await client.get_projection_state("large"))) > _STATE


async def _many_projections(client: AsyncEsdbClient) -> None:
    for number in range(50):
        await client.create_projection(f"p{number}", "fromStream('p').when({T: function (s, e) { return s; }})")


def _transient(number: int, query: str) -> Request:
    options = projections.CreateReqOptions(
        transient=projections.CreateReqOptionsTransient(name=f"t{os.getpid()}-{number}"), query=query
    )
    return _request(f"{_PROJECTIONS}/Create", projections.CreateReq(options=options))


def _created(number: int) -> Request:
    made = projections.CreateReqOptionsContinuous(name=f"c{number}")
    options = projections.CreateReqOptions(
        continuous=made, query="fromAll().when({$any: function (s, e) { return s; }})"
    )
    return _request(f"{_PROJECTIONS}/Create", projections.CreateReq(options=options))


def _disabled(number: int) -> Request:
    options = projections.DisableReqOptions(name=f"c{number}")
    return _request(f"{_PROJECTIONS}/Disable", projections.DisableReq(options=options))


def _deleted(number: int) -> Request:
    options = projections.DeleteReqOptions(name=f"c{number}")
    return _request(f"{_PROJECTIONS}/Delete", projections.DeleteReq(options=options))


def _untaken(message: object) -> Attack:
    """Calls whose answers nobody takes."""
    request = _request(f"{_PROJECTIONS}/State", message)
    return with_connections(5, lambda tally: Caller(tally, lambda: request, 200, 0))


def _projections() -> Iterator[Flood]:
    state = projections.StateReq(options=projections.StateReqOptions(name="large"))
    result = projections.ResultReq(options=projections.ResultReqOptions(name="large"))
    figures = projections.StatisticsReq(options=projections.StatisticsReqOptions(all=_EMPTY))
    for name, number in (("state", 1), ("state-20", 20)):
        about = f"State of 700 kB, {number} connections" if number > 1 else "State of 700 kB, 200 at a time"
        attack = asking(f"{_PROJECTIONS}/State", state, connections=number, in_flight=200 if number == 1 else 10)
        yield Flood(name, about, attack, _large_state, _JAVASCRIPT)
    yield Flood(
        "state-window-0",
        "1,000 calls of State that take nothing",
        _untaken(state),
        _large_state,
        _JAVASCRIPT,
        memory=200,
    )
    yield Flood("result", "Result of 700 kB", asking(f"{_PROJECTIONS}/Result", result), _large_state, _JAVASCRIPT)
    yield Flood(
        "statistics",
        "Statistics of 50 projections",
        asking(f"{_PROJECTIONS}/Statistics", figures),
        _many_projections,
        _JAVASCRIPT,
    )
    yield Flood(
        "projections",
        "projections that are created, stopped and deleted",
        in_turn(_created, _disabled, _deleted),
        options=_JAVASCRIPT,
    )
    yield Flood(
        "queries",
        "queries that are created without end",
        in_turn(lambda n: _transient(n, "fromAll().outputState()"), in_flight=50),
        options=_JAVASCRIPT,
    )
    yield Flood(
        "slow-queries",
        "queries that go round in circles",
        in_turn(lambda n: _transient(n, _SLOW_SCRIPT), in_flight=50),
        options=_JAVASCRIPT,
    )
    yield Flood(
        "long-queries",
        "queries of 1 MB",
        in_turn(lambda n: _transient(n, "// " + "x" * 1_000_000), in_flight=8),
        options=_JAVASCRIPT,
    )
    yield Flood(
        "restarts",
        "restarts of all 50 projections",
        asking(f"{_PROJECTIONS}/RestartSubsystem", _EMPTY),
        _many_projections,
        _JAVASCRIPT,
    )


# --- groups -----------------------------------------------------------------------------------------------------------


async def _many_groups(client: AsyncEsdbClient) -> None:
    await client.append_events("s", StreamState.ANY, [NewEvent("T", b"{}") for _ in range(500)])
    for number in range(300):
        await client.create_subscription(f"group-{number}", "s")


async def _large_group(client: AsyncEsdbClient) -> None:
    await large_events(client)
    await client.create_subscription("g", "large")


def _group(number: int) -> groups.CreateReq:
    stream = StreamIdentifier(stream_name=b"s")
    settings = groups.CreateReqSettings(
        message_timeout_ms=30_000,
        checkpoint_after_ms=2000,
        min_checkpoint_count=10,
        max_checkpoint_count=1000,
        live_buffer_size=500,
        history_buffer_size=500,
        read_batch_size=20,
    )
    options = groups.CreateReqOptions(
        stream_identifier=stream,
        group_name=f"new-{number}",
        settings=settings,
        stream=groups.CreateReqStreamOptions(stream_identifier=stream, start=_EMPTY),
    )
    return groups.CreateReq(options=options)


def _group_deleted(number: int) -> Request:
    options = groups.DeleteReqOptions(stream_identifier=StreamIdentifier(stream_name=b"s"), group_name=f"new-{number}")
    return _request(f"{_GROUPS}/Delete", groups.DeleteReq(options=options))


def _consumers(stream: str, *, ends: bool, in_flight: int = 200) -> Attack:
    message = encode_consumer_options(stream=stream, group="group-0" if stream == "s" else "g", buffer_size=100)
    return asking(f"{_GROUPS}/Read", message, connections=5, in_flight=in_flight, ends=ends)


def _groups() -> Iterator[Flood]:
    all_groups = groups.ListReq(options=groups.ListReqOptions(list_all_subscriptions=_EMPTY))
    one = groups.GetInfoReq(
        options=groups.GetInfoReqOptions(stream_identifier=StreamIdentifier(stream_name=b"s"), group_name="group-7")
    )
    replay = groups.ReplayParkedReq(
        options=groups.ReplayParkedReqOptions(
            stream_identifier=StreamIdentifier(stream_name=b"s"), group_name="group-7", no_limit=_EMPTY
        )
    )
    yield Flood("groups", "the list of 300 groups", asking(f"{_GROUPS}/List", all_groups), _many_groups)
    yield Flood("group", "what there is to say of a group", asking(f"{_GROUPS}/GetInfo", one), _many_groups)
    yield Flood(
        "replays", "replays of a group's parked events", asking(f"{_GROUPS}/ReplayParked", replay), _many_groups
    )
    yield Flood(
        "new-groups",
        "groups that are created and deleted",
        in_turn(lambda n: _request(f"{_GROUPS}/Create", _group(n)), _group_deleted),
        _many_groups,
    )
    yield Flood("more-groups", "groups that are created without end", making(f"{_GROUPS}/Create", _group, in_flight=50))
    yield Flood("consumers", "consumers that come and go, 1,000 at a time", _consumers("s", ends=True), _many_groups)
    yield Flood("slow-consumers", "1,000 consumers that answer nothing", _consumers("large", ends=False), _large_group)
    yield Flood(
        "group-restarts", "restarts of all 300 groups", asking(f"{_GROUPS}/RestartSubsystem", _EMPTY), _many_groups
    )


# --- schemas and indexes ----------------------------------------------------------------------------------------------


def _definition(parts: int) -> bytes:
    names = {
        f"p{number}": {"properties": {"next": {"$ref": f"#/parts/p{(number + 1) % parts}"}}} for number in range(parts)
    }
    return json.dumps({"properties": {"first": {"$ref": "#/parts/p0"}}, "parts": names}).encode()


_VERSIONS = 20


async def _schema(client: AsyncEsdbClient) -> None:
    await client.create_schema("Round", _definition(700), compatibility=CompatibilityMode.BACKWARD_ALL)
    for number in range(_VERSIONS):
        properties = {f"p{index}": {"type": "string"} for index in range(2000 + number)}
        definition = json.dumps({"properties": properties}).encode()
        if number:
            await client.register_schema_version("Large", definition)
        else:
            await client.create_schema("Large", definition, compatibility=CompatibilityMode.BACKWARD_ALL)


async def _many_schemas(client: AsyncEsdbClient) -> None:
    for number in range(300):
        await client.create_schema(f"S{number}", b"{}", tags={f"tag{index}": "x" * 50 for index in range(10)})


def _check(name: str, definition: bytes) -> registry.CheckSchemaCompatibilityRequest:
    return registry.CheckSchemaCompatibilityRequest(
        schema_name=name, definition=definition, data_format=registry.SchemaDataFormat(1)
    )


def _new_schema(number: int) -> registry.CreateSchemaRequest:
    details = registry.SchemaDetails(registry.SchemaDataFormat(1), registry.CompatibilityMode(1))
    return registry.CreateSchemaRequest(f"new-{number}", details, b"{}")


def _schemas() -> Iterator[Flood]:
    check = f"{_SCHEMAS}/CheckSchemaCompatibility"
    yield Flood(
        "circles",
        "compatibility of definitions that go round",
        asking(check, _check("Round", _definition(701))),
        _schema,
    )
    large = json.dumps({"properties": {f"p{index}": {"type": "string"} for index in range(3000)}}).encode()
    yield Flood(
        "compatibility", "compatibility with 20 versions of 60 kB", asking(check, _check("Large", large)), _schema
    )
    versions = registry.ListSchemaVersionsRequest("Large", include_definition=True)
    yield Flood("versions", "20 versions of 60 kB", asking(f"{_SCHEMAS}/ListSchemaVersions", versions), _schema)
    yield Flood(
        "schemas",
        "the list of 300 schemas",
        asking(f"{_SCHEMAS}/ListSchemas", registry.ListSchemasRequest()),
        _many_schemas,
    )
    registered = registry.ListRegisteredSchemasRequest(include_definition=True)
    yield Flood(
        "registered",
        "300 schemas with definitions",
        asking(f"{_SCHEMAS}/ListRegisteredSchemas", registered),
        _many_schemas,
    )
    yield Flood("new-schemas", "schemas that are created without end", making(f"{_SCHEMAS}/CreateSchema", _new_schema))


async def _some_events(client: AsyncEsdbClient) -> None:
    for _ in range(20):
        await client.append_events("s", StreamState.ANY, [NewEvent.json("T", {"n": 1}) for _ in range(1000)])


async def _many_indexes(client: AsyncEsdbClient) -> None:
    for number in range(50):
        await client.create_index(f"index-{number}", filter="rec => rec.schema.name === 'T'")


def _new_index(number: int) -> indexes.CreateIndexRequest:
    return indexes.CreateIndexRequest(
        name=f"new-{os.getpid()}-{number}", filter="rec => rec.schema.name === 'T'", start=True
    )


def _indexes() -> Iterator[Flood]:
    create, delete = f"{_INDEXES}/Create", f"{_INDEXES}/Delete"
    yield Flood(
        "new-indexes",
        "indexes of 20,000 events that are created and deleted",
        in_turn(
            lambda n: _request(create, _new_index(n)),
            lambda n: _request(delete, indexes.DeleteIndexRequest(name=f"new-{os.getpid()}-{n}")),
        ),
        _some_events,
        _JAVASCRIPT,
    )
    yield Flood(
        "more-indexes",
        "indexes that are created without end",
        making(create, _new_index, in_flight=20),
        _some_events,
        _JAVASCRIPT,
    )
    slow = lambda n: indexes.CreateIndexRequest(name=f"slow-{n}", filter="rec => { while (true) {} }", start=True)  # noqa: E731
    yield Flood(
        "slow-indexes",
        "indexes whose functions never end",
        making(create, slow, in_flight=20),
        _some_events,
        _JAVASCRIPT,
    )
    yield Flood(
        "indexes",
        "the list of 50 indexes",
        asking(f"{_INDEXES}/List", indexes.ListIndexesRequest()),
        _many_indexes,
        _JAVASCRIPT,
    )


# --- users, operations, figures ---------------------------------------------------------------------------------------


def _new_user(number: int) -> users.CreateReq:
    options = users.CreateReqOptions(login_name=f"user-{number}", password=f"password {number}", groups=["$ops"])
    return users.CreateReq(options=options)


async def _many_users(client: AsyncEsdbClient) -> None:
    for number in range(50):
        await client.create_user(f"user-{number}", "a secret", groups=["sales"])


def _others() -> Iterator[Flood]:
    yield Flood(
        "users",
        "the list of 50 users",
        asking(f"{_USERS}/Details", users.DetailsReq(), _ADMIN),
        _many_users,
        secure=True,
    )
    yield Flood(
        "new-users", "users that are created without end", making(f"{_USERS}/Create", _new_user, _ADMIN), secure=True
    )
    scavenge = StartScavengeReq(options=StartScavengeReqOptions(thread_count=1))
    yield Flood(
        "scavenges",
        "scavenges that are started without end",
        asking(f"{_OPERATIONS}/StartScavenge", scavenge),
        _some_events,
    )
    yield Flood("merges", "MergeIndexes", asking(f"{_OPERATIONS}/MergeIndexes", _EMPTY))
    stats, path = StatsReq(refresh_time_period_in_ms=1), "/event_store.client.monitoring.Monitoring/Stats"
    yield Flood("stats", "4,000 streams of Monitoring.Stats", asking(path, stats, connections=20))
    yield Flood("gossip", "Gossip.Read", asking("/event_store.client.gossip.Gossip/Read", _EMPTY))
    yield Flood(
        "features",
        "ServerFeatures",
        asking("/event_store.client.server_features.ServerFeatures/GetSupportedMethods", _EMPTY),
    )


def floods() -> Iterator[Flood]:
    """All of them."""
    yield from _projections()
    yield from _groups()
    yield from _schemas()
    yield from _indexes()
    yield from _others()
