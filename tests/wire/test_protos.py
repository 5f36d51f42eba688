"""The generated code offers what servers offer: every path, with the right kind of call and the right messages.

The lists here say everything once more, on purpose: a slip in the .proto files would show nowhere else, since the
generated code follows them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import betterproto
import pytest
from betterproto.compile.naming import pythonize_class_name
from betterproto.lib.google import protobuf as well_known
from esdb_lite_protos import tags
from esdb_lite_protos.esdb_lite import directory, imports
from esdb_lite_protos.event_store import client
from esdb_lite_protos.event_store.client import (
    gossip,
    monitoring,
    operations,
    persistent_subscriptions,
    projections,
    server_features,
    streams,
    users,
)
from esdb_lite_protos.google import rpc
from esdb_lite_protos.kurrent import rpc as kurrent_rpc
from esdb_lite_protos.kurrentdb.protocol.registry import v2 as registry
from esdb_lite_protos.kurrentdb.protocol.v2 import indexes
from esdb_lite_protos.kurrentdb.protocol.v2 import streams as v2_streams
from esdb_lite_protos.kurrentdb.protocol.v2.indexes import errors as indexes_errors
from esdb_lite_protos.kurrentdb.protocol.v2.streams import errors as v2_streams_errors
from grpclib.const import Cardinality

GENERATED = Path(__file__).parents[2] / "generated"
SERVICES = (
    directory.DirectoryBase,
    gossip.GossipBase,
    imports.ImportsBase,
    indexes.IndexesServiceBase,
    monitoring.MonitoringBase,
    operations.OperationsBase,
    persistent_subscriptions.PersistentSubscriptionsBase,
    projections.ProjectionsBase,
    registry.SchemaRegistryServiceBase,
    server_features.ServerFeaturesBase,
    streams.StreamsBase,
    users.UsersBase,
    v2_streams.StreamsServiceBase,
)
MODULES = (
    client,
    directory,
    gossip,
    imports,
    indexes,
    indexes_errors,
    kurrent_rpc,
    monitoring,
    operations,
    persistent_subscriptions,
    projections,
    registry,
    rpc,
    server_features,
    streams,
    users,
    v2_streams,
    v2_streams_errors,
)
GENERATED_METHODS = {path: handler for service in SERVICES for path, handler in service().__mapping__().items()}
ONE, ANSWERS = Cardinality.UNARY_UNARY, Cardinality.UNARY_STREAM
REQUESTS, BOTH = Cardinality.STREAM_UNARY, Cardinality.STREAM_STREAM
V1, V2, INDEX = "{}Req {}Resp", "{}Request {}Response", "{}IndexRequest {}IndexResponse"
# Of each service: methods with the same kind of call and messages of the same pattern.
METHODS: dict[str, tuple[tuple[str, Cardinality, str], ...]] = {
    "event_store.client.streams.Streams": (
        ("Read", ANSWERS, V1),
        ("Append", REQUESTS, V1),
        ("Delete Tombstone", ONE, V1),
        ("BatchAppend", BOTH, V1),
    ),
    "event_store.client.persistent_subscriptions.PersistentSubscriptions": (
        ("Create Update Delete GetInfo ReplayParked TruncateParked List", ONE, V1),
        ("Read", BOTH, V1),
        ("RestartSubsystem", ONE, "Empty Empty"),
    ),
    "event_store.client.projections.Projections": (
        ("Create Update Delete Disable Enable Reset State Result", ONE, V1),
        ("Statistics", ANSWERS, V1),
        ("RestartSubsystem", ONE, "Empty Empty"),
    ),
    "event_store.client.users.Users": (
        ("Create Update Delete Disable Enable ChangePassword ResetPassword", ONE, V1),
        ("Details", ANSWERS, V1),
    ),
    "event_store.client.operations.Operations": (
        ("StartScavenge StopScavenge", ONE, "{}Req ScavengeResp"),
        ("Shutdown MergeIndexes ResignNode RestartPersistentSubscriptions", ONE, "Empty Empty"),
        ("SetNodePriority", ONE, "{}Req Empty"),
    ),
    "event_store.client.gossip.Gossip": (("Read", ONE, "Empty ClusterInfo"),),
    "event_store.client.monitoring.Monitoring": (("Stats", ANSWERS, V1),),
    "event_store.client.server_features.ServerFeatures": (("GetSupportedMethods", ONE, "Empty SupportedMethods"),),
    "esdb_lite.directory.Directory": (("List", ONE, V1),),
    "esdb_lite.imports.Imports": (("ImportEvents", BOTH, "ImportReq ImportResp"),),
    "kurrentdb.protocol.v2.streams.StreamsService": (
        ("AppendSession", REQUESTS, "AppendRequest {}Response"),
        ("AppendRecords", ONE, V2),
    ),
    "kurrentdb.protocol.v2.indexes.IndexesService": (
        ("Create Start Stop Delete Get", ONE, INDEX),
        ("List", ONE, "ListIndexesRequest ListIndexesResponse"),
    ),
    "kurrentdb.protocol.registry.v2.SchemaRegistryService": (
        (
            "CreateSchema UpdateSchema DeleteSchema GetSchema ListSchemas LookupSchemaName RegisterSchemaVersion"
            " DeleteSchemaVersions GetSchemaVersion GetSchemaVersionById ListSchemaVersions ListRegisteredSchemas"
            " CheckSchemaCompatibility",
            ONE,
            V2,
        ),
    ),
}
ROWS = [
    (f"/{service}/{method}", kind, *messages.replace("{}", method).split())
    for service, rows in METHODS.items()
    for methods, kind, messages in rows
    for method in methods.split()
]
# Of each enum a client or a server depends on: every number with its name, in the order of the .proto files.
ENUMS: dict[type[betterproto.Enum], str] = {
    streams.ReadReqOptionsReadDirection: "Forwards Backwards",
    persistent_subscriptions.ReadReqNackAction: "Unknown Park Retry Skip Stop",
    persistent_subscriptions.CreateReqConsumerStrategy: "DispatchToSingle RoundRobin Pinned",
    persistent_subscriptions.UpdateReqConsumerStrategy: "DispatchToSingle RoundRobin Pinned",
    directory.ListReqKind: "Streams Categories EventTypes",
    operations.ScavengeRespScavengeResult: "Started InProgress Stopped",
    gossip.MemberInfoVNodeState: (
        "Initializing DiscoverLeader Unknown PreReplica CatchingUp Clone Follower PreLeader Leader Manager"
        " ShuttingDown Shutdown ReadOnlyLeaderless PreReadOnlyReplica ReadOnlyReplica ResigningLeader"
    ),
    rpc.Code: (
        "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED"
        " RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE"
        " DATA_LOSS UNAUTHENTICATED"
    ),
    v2_streams.SchemaFormat: "UNSPECIFIED JSON PROTOBUF AVRO BYTES",
    indexes.IndexState: "UNSPECIFIED STARTED STOPPED DELETED",
    registry.SchemaDataFormat: "UNSPECIFIED JSON PROTOBUF AVRO BYTES",
    registry.CompatibilityMode: "UNSPECIFIED BACKWARD FORWARD FULL BACKWARD_ALL FORWARD_ALL FULL_ALL NONE",
    registry.SchemaCompatibilityErrorKind: (
        "UNSPECIFIED MISSING_REQUIRED_PROPERTY INCOMPATIBLE_TYPE_CHANGE OPTIONAL_TO_REQUIRED NEW_REQUIRED_PROPERTY"
        " REMOVED_PROPERTY ARRAY_TYPE_INCOMPATIBILITY DATA_FORMAT_MISMATCH"
    ),
}
# Enums with gaps, or with numbers below zero.
SPARSE_ENUMS: dict[type[betterproto.Enum], str] = {
    v2_streams.ExpectedRevisionConstants: "EXISTS=-4 ANY=-2 NO_STREAM=-1 SINGLE_EVENT=0",
    v2_streams_errors.StreamsError: (
        "UNSPECIFIED=0 STREAM_NOT_FOUND=1 STREAM_ALREADY_EXISTS=2 STREAM_DELETED=3 STREAM_TOMBSTONED=4"
        " STREAM_REVISION_CONFLICT=5 APPEND_RECORD_SIZE_EXCEEDED=6 APPEND_TRANSACTION_SIZE_EXCEEDED=7"
        " STREAM_ALREADY_IN_APPEND_SESSION=8 APPEND_SESSION_NO_REQUESTS=9 APPEND_CONSISTENCY_VIOLATION=14"
    ),
    kurrent_rpc.ServerError: (
        "UNSPECIFIED=0 ACCESS_DENIED=1 BAD_REQUEST=2 NOT_LEADER_NODE=5 OPERATION_TIMEOUT=6 SERVER_NOT_READY=7"
        " SERVER_OVERLOADED=8 SERVER_MALFUNCTION=9 SERVER_SHUTTING_DOWN=10"
    ),
    indexes.IndexFieldType: "UNSPECIFIED=0 STRING=1 DOUBLE=2 INT_32=4 INT_64=5",
    indexes_errors.IndexesError: (
        "UNSPECIFIED=0 INDEX_NOT_FOUND=1 INDEX_ALREADY_EXISTS=2 INDEXES_NOT_READY=3 SECONDARY_INDEXING_DISABLED=4"
    ),
}
# Messages whose numbers are easy to get wrong -> their bytes.
ODDITIES: list[tuple[betterproto.Message, str]] = [
    (client.StreamIdentifier(stream_name=b"s"), "1a0173"),
    (client.Uuid(structured=client.UuidStructured(-1, 1)), "0a0d 08ffffffffffffffffff01 1001"),
    (monitoring.StatsReq(use_metadata=True, refresh_time_period_in_ms=1), "0801 2001"),
    (persistent_subscriptions.ReadReqOptions(all=client.Empty()), "2a00"),
    (persistent_subscriptions.CreateReqSettings(consumer_strategy="P"), "820101 50"),
    (persistent_subscriptions.GetInfoReqOptions(group_name="g"), "1a0167"),
    (streams.ReadResp(last_stream_position=0), "3000"),
    (streams.ReadRespCaughtUp(stream_revision=0), "1000"),
    (streams.BatchAppendReqOptions(any=well_known.Empty()), "2200"),
    (v2_streams.AppendRequest(stream="", expected_revision=-1), "0a00 1801"),
    (
        v2_streams.AppendRecord(properties={"p": well_known.Value(number_value=1.0)}),
        "120e 0a0170 1209 11000000000000f03f",
    ),
    (v2_streams_errors.StreamRevisionConflictErrorDetails("s", -1, 0), "0a0173 1001"),
    (indexes.CreateIndexRequest(start=False), "2800"),
    (rpc.Status(code=rpc.Code.from_string("UNAUTHENTICATED")), "0810"),
]


@pytest.mark.parametrize(("path", "cardinality", "request_name", "reply_name"), ROWS, ids=[row[0] for row in ROWS])
def test_method(path: str, cardinality: Cardinality, request_name: str, reply_name: str) -> None:
    handler = GENERATED_METHODS[path]
    assert handler.cardinality is cardinality
    assert handler.request_type.__name__ == request_name
    assert handler.reply_type.__name__ == reply_name


def test_no_other_methods() -> None:
    assert GENERATED_METHODS.keys() == {row[0] for row in ROWS}


def test_fields() -> None:
    """fields.txt lists every message: NUMBER:NAME:TYPE and, where there is one, the oneof or "optional"."""
    lines = [line.split() for line in (Path(__file__).parent / "fields.txt").read_text(encoding="utf-8").splitlines()]
    assert {name: sorted(fields) for name, *fields in lines} == {name: generated_fields(name) for name, *_ in lines}


def test_no_other_messages() -> None:
    lines = (Path(__file__).parent / "fields.txt").read_text(encoding="utf-8").splitlines()
    kinds = {kind for module in MODULES for kind in vars(module).values() if is_message(kind, module.__name__)}
    assert kinds == {generated_class(line.split()[0]) for line in lines}


def is_message(kind: object, module: str) -> bool:
    """Whether something in a generated module is a message, and one of its own."""
    return isinstance(kind, type) and issubclass(kind, betterproto.Message) and kind.__module__ == module


def generated_class(name: str) -> type[betterproto.Message]:
    """The class of a message: nested messages are flattened, a.b.ReadReq.Options is ReadReqOptions."""
    package = [part for part in name.split(".") if part.islower()]
    module = sys.modules[".".join(["esdb_lite_protos", *package])]
    found: type[betterproto.Message] = getattr(module, pythonize_class_name("_".join(name.split(".")[len(package) :])))
    return found


def generated_fields(name: str) -> list[str]:
    """What the generated class says of its fields, in the words of fields.txt; the names are in snake case there."""
    metadata: Any = generated_class(name)._betterproto
    listed = []
    for field, meta in metadata.meta_by_field_name.items():
        presence = [meta.group] if meta.group else ["optional"] if meta.optional else []
        listed.append(":".join([str(meta.number), field.rstrip("_"), meta.proto_type, *presence]))
    return sorted(listed)


@pytest.mark.parametrize(("kind", "names"), ENUMS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_enum(kind: type[betterproto.Enum], names: str) -> None:
    by_number: list[betterproto.Enum] = sorted(kind, key=int)
    assert [int(member) for member in by_number] == list(range(len(by_number)))
    assert " ".join(str(member) for member in by_number) == names


@pytest.mark.parametrize(("kind", "members"), SPARSE_ENUMS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_sparse_enum(kind: type[betterproto.Enum], members: str) -> None:
    assert " ".join(f"{member}={int(member)}" for member in sorted(kind, key=int)) == members


@pytest.mark.parametrize(("message", "wire"), ODDITIES, ids=lambda value: type(value).__name__)
def test_field_numbers(message: betterproto.Message, wire: str) -> None:
    assert bytes(message) == bytes.fromhex(wire)


TAG_PREFIXES = {
    "esdb_lite.imports": "IMPORTS",
    "event_store.client": "SHARED",
    "event_store.client.persistent_subscriptions": "PERSISTENT",
    "event_store.client.projections": "PROJECTIONS",
    "event_store.client.server_features": "FEATURES",
    "event_store.client.streams": "STREAMS",
    "google.rpc": "RPC",
    "kurrent.rpc": "KURRENT",
    "kurrentdb.protocol.v2.streams": "V2",
    "kurrentdb.protocol.v2.streams.errors": "V2_ERRORS",
}
WIRE_TYPES = {"string": 2, "bytes": 2, "message": 2, "map": 2, "float": 5, "double": 1, "sfixed64": 2, "fixed32": 2}
"""Of numbers that are repeated and come together, where they have a fixed size."""
WRITTEN_TAGS = {name: value for name, value in vars(tags).items() if name.isupper() and isinstance(value, int)}


def test_tags() -> None:
    """Every tag in tags.py says what fields.txt says; those of maps and of google.protobuf are written out here."""
    expected = {}
    for line in (Path(__file__).parent / "fields.txt").read_text(encoding="utf-8").splitlines():
        name, *fields = line.split()
        package = [part for part in name.split(".") if part.islower()]
        prefix = TAG_PREFIXES.get(".".join(package))
        for number, field, kind, *_ in (field.split(":") for field in fields if prefix):
            message = betterproto.casing.snake_case("_".join(name.split(".")[len(package) :])).upper()
            expected[f"{prefix}_{message}_{field.upper()}"] = int(number) << 3 | WIRE_TYPES.get(kind, 0)
    others = {name: tag for name, tag in WRITTEN_TAGS.items() if name not in expected}
    assert {name: expected[name] for name in WRITTEN_TAGS.keys() - others.keys()} == {
        name: tag for name, tag in WRITTEN_TAGS.items() if name not in others
    }
    assert {name.partition("_")[0] for name in others if "_ENTRY_" not in name} == {"PROTOBUF"}
    assert {tag for name, tag in others.items() if name.endswith("_ENTRY_KEY")} == {0x0A}
    assert {tag for name, tag in others.items() if name.endswith("_ENTRY_VALUE")} == {0x12}
    assert (tags.PROTOBUF_VALUE_NULL_VALUE, tags.PROTOBUF_VALUE_NUMBER_VALUE) == (0x08, 0x11)
    assert (tags.PROTOBUF_VALUE_STRING_VALUE, tags.PROTOBUF_VALUE_BOOL_VALUE) == (0x1A, 0x20)
    assert (tags.PROTOBUF_VALUE_STRUCT_VALUE, tags.PROTOBUF_VALUE_LIST_VALUE) == (0x2A, 0x32)
    assert (tags.PROTOBUF_ANY_TYPE_URL, tags.PROTOBUF_ANY_VALUE) == (0x0A, 0x12)


def test_hot_messages_have_tags() -> None:
    hot = "STREAMS_READ_REQ STREAMS_READ_RESP STREAMS_APPEND_REQ STREAMS_APPEND_RESP STREAMS_BATCH_APPEND_REQ"
    hot += " STREAMS_BATCH_APPEND_RESP PERSISTENT_READ_REQ PERSISTENT_READ_RESP V2_APPEND_RECORDS_REQUEST RPC_STATUS"
    assert [prefix for prefix in hot.split() if not any(name.startswith(prefix) for name in WRITTEN_TAGS)] == []


def test_paths() -> None:
    assert {value for name, value in vars(tags).items() if name.startswith("PATH_")} == {row[0] for row in ROWS}
    assert tags.PATH_STREAMS_BATCH_APPEND == "/event_store.client.streams.Streams/BatchAppend"


def test_tags_import_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import esdb_lite_protos.tags; print(sorted(set(sys.modules) - before))"
    )
    env = {**os.environ, "PYTHONPATH": str(GENERATED)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "['esdb_lite_protos', 'esdb_lite_protos.tags']\n"


def test_imports_are_quiet_and_light() -> None:
    """No warnings, and neither grpcio nor protobuf: in an interpreter of its own, where no test has been before."""
    modules = sorted({service.__module__ for service in SERVICES} | {client.__name__, rpc.__name__})
    code = (
        f"import sys, {', '.join(modules)}; print(sorted({{'grpc', 'google', 'google.protobuf'}} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": str(GENERATED)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
