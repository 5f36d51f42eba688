"""Every method of every service, tried by nobody, an ordinary user, ops and admin.

Refused is refused whatever the request says, so the requests are as empty as they can be: what matters is whether a
caller gets past the door. `yes` stands for anything but PERMISSION_DENIED and UNAUTHENTICATED.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import betterproto.lib.google.protobuf as betterproto_lib
import pytest
from esdb_lite_protos.esdb_lite import imports
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier, Uuid, monitoring, projections, streams, users
from esdb_lite_protos.event_store.client import persistent_subscriptions as groups
from esdb_lite_protos.kurrentdb.protocol.registry.v2 import SchemaRegistryServiceBase
from esdb_lite_protos.kurrentdb.protocol.v2 import indexes
from esdb_lite_protos.kurrentdb.protocol.v2 import streams as v2
from esdb_lite_protos.tags import (
    PATH_DIRECTORY_LIST,
    PATH_IMPORTS_IMPORT_EVENTS,
    PATH_INDEXES_SERVICE_CREATE,
    PATH_INDEXES_SERVICE_DELETE,
    PATH_INDEXES_SERVICE_GET,
    PATH_INDEXES_SERVICE_LIST,
    PATH_INDEXES_SERVICE_START,
    PATH_INDEXES_SERVICE_STOP,
    PATH_STREAMS_SERVICE_APPEND_RECORDS,
    PATH_STREAMS_SERVICE_APPEND_SESSION,
)

from esdb_lite import AccessDenied, AsyncEsdbClient, EmbeddedServer, GrpcError, NewEvent, StreamAcl, StreamMetadata
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._status import StatusCode
from esdb_lite._status.projections import projection_error
from esdb_lite._wire.framing import MessageSplitter, frame
from esdb_lite.server.services.authorization import NEEDS, Permission
from tests.security.conftest import basic

LOGINS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "nobody": (),
    "user": basic("user", "pw"),
    "ops": basic("ops", "changeit"),
    "admin": basic("admin", "changeit"),
}
P = "/event_store.client."
REDACTION = "/kurrent.client.redaction.Redaction/"


def identifier(stream: str) -> StreamIdentifier:
    return StreamIdentifier(stream_name=stream.encode())


def path(method: str) -> str:
    """Where a method of the table is called: most are of one package."""
    return method if method.startswith("/") else P + method


def record(stream: str) -> v2.AppendRecord:
    schema = v2.SchemaInfo(format=v2.SchemaFormat.JSON, name="T")
    return v2.AppendRecord(stream=stream, record_id=ID, data=b"{}", schema=schema)


def session(stream: str) -> bytes:
    return bytes(v2.AppendRequest(stream=stream, records=[record(stream)]))


def records(*names: str) -> bytes:
    return bytes(v2.AppendRecordsRequest(records=[record(name) for name in names]))


def read(stream: str) -> bytes:
    options = streams.ReadReqOptions(
        count=1, uuid_option=streams.ReadReqOptionsUuidOption(string=Empty()), no_filter=Empty()
    )
    if stream == "$all":
        options.all = streams.ReadReqOptionsAllOptions(start=Empty())
    else:
        options.stream = streams.ReadReqOptionsStreamOptions(stream_identifier=identifier(stream), start=Empty())
    return bytes(streams.ReadReq(options=options))


def subscribe(stream: str) -> bytes:
    request = streams.ReadReq().parse(read(stream))
    request.options.subscription = streams.ReadReqOptionsSubscriptionOptions()
    return bytes(request)


def append(stream: str) -> bytes:
    options = streams.AppendReqOptions(stream_identifier=identifier(stream), any=Empty())
    return bytes(streams.AppendReq(options=options))


def delete(stream: str) -> bytes:
    return bytes(streams.DeleteReq(options=streams.DeleteReqOptions(stream_identifier=identifier(stream), any=Empty())))


def batch(stream: str) -> bytes:
    options = streams.BatchAppendReqOptions(stream_identifier=identifier(stream), any=betterproto_lib.Empty())
    return bytes(streams.BatchAppendReq(correlation_id=Uuid(string=ID), options=options, is_final=True))


def imported(*names: str) -> bytes:
    return bytes(imports.ImportReq(streams=[*names], expected=[-2] * len(names)))


def create(mode: str) -> bytes:
    options = projections.CreateReqOptions(query="fromAll()")
    if mode == "transient":
        options.transient = projections.CreateReqOptionsTransient(name="p")
    else:
        options.continuous = projections.CreateReqOptionsContinuous(name="p")
    return bytes(projections.CreateReq(options=options))


def projection(kind: str, name: str = "$by_category") -> bytes:
    options = getattr(projections, f"{kind}ReqOptions")(name=name)
    if kind == "Update":
        options.no_emit_options = Empty()
    return bytes(getattr(projections, f"{kind}Req")(options=options))


def consume(stream: str) -> bytes:
    options = groups.ReadReqOptions(group_name="g", buffer_size=1, uuid_option=groups.ReadReqOptionsUuidOption())
    options.uuid_option.string = Empty()
    if stream == "$all":
        options.all = Empty()
    else:
        options.stream_identifier = identifier(stream)
    return bytes(groups.ReadReq(options=options))


CHANGE = bytes(
    users.ChangePasswordReq(
        options=users.ChangePasswordReqOptions(login_name="ops", current_password="changeit", new_password="changeit")
    )
)
STATS = bytes(monitoring.StatsReq(refresh_time_period_in_ms=60_000))
ID = "0c5e4c5e-2b1f-4a53-9c7f-5d2f8f6f0001"
S, G, U, OPS, PR = (
    "streams.Streams/",
    "persistent_subscriptions.PersistentSubscriptions/",
    "users.Users/",
    "operations.Operations/",
    "projections.Projections/",
)
TABLE = [
    ("gossip.Gossip/Read", b"", "yes yes yes yes"),
    ("server_features.ServerFeatures/GetSupportedMethods", b"", "yes yes yes yes"),
    ("monitoring.Monitoring/Stats", STATS, "yes yes yes yes"),
    (S + "Read", read("order"), "no yes yes yes"),
    (S + "Read", read("$$order"), "no yes yes yes"),
    (S + "Read", read("$sys"), "no no no yes"),
    (S + "Read", read("$users"), "no no no yes"),
    (S + "Read", read("$user-admin"), "no no no yes"),
    (S + "Read", read("$$$sys"), "no no no yes"),
    (S + "Read", read("$all"), "no no no yes"),
    (S + "Read", read("closed"), "no no no yes"),
    (S + "Read", read("of-team"), "no yes no yes"),
    (S + "Read", subscribe("order"), "no yes yes yes"),
    (S + "Read", subscribe("$all"), "no no no yes"),
    (S + "Read", subscribe("closed"), "no no no yes"),
    (S + "Append", append("order"), "no yes yes yes"),
    (S + "Append", append("$$order"), "no yes yes yes"),
    (S + "Append", append("$sys"), "no no no yes"),
    (S + "Append", append("$all"), "no no no no"),
    (S + "Append", append(""), "no no no no"),
    (S + "Append", append("closed"), "no no no yes"),
    (S + "BatchAppend", batch("order"), "no yes yes yes"),  # it refuses inside its answers
    (S + "BatchAppend", batch("$$order"), "no yes yes yes"),
    (S + "BatchAppend", batch("$sys"), "no no no yes"),
    (S + "BatchAppend", batch("$all"), "no no no no"),
    (S + "BatchAppend", batch(""), "no no no no"),
    (S + "BatchAppend", batch("closed"), "no no no yes"),
    (PATH_IMPORTS_IMPORT_EVENTS, imported("order"), "no yes yes yes"),  # it does so, too
    (PATH_IMPORTS_IMPORT_EVENTS, imported("order", "$$order"), "no yes yes yes"),
    (PATH_IMPORTS_IMPORT_EVENTS, imported("order", "$sys"), "no no no yes"),
    (PATH_IMPORTS_IMPORT_EVENTS, imported("$all", "order"), "no no no no"),
    (PATH_IMPORTS_IMPORT_EVENTS, imported("order", ""), "no no no no"),
    (PATH_IMPORTS_IMPORT_EVENTS, imported("order", "closed"), "no no no yes"),
    (S + "Delete", delete("order"), "no yes yes yes"),
    (S + "Delete", delete("$sys"), "no no no yes"),
    (S + "Delete", delete("$$order"), "no no no no"),
    (S + "Delete", delete("$all"), "no no no no"),
    (S + "Tombstone", delete("order-gone"), "no yes yes yes"),
    (S + "Tombstone", delete("$sys-gone"), "no no no yes"),
    (S + "Tombstone", delete("$$order"), "no no no no"),
    (G + "Read", consume("order"), "no yes yes yes"),
    (G + "Read", consume("$all"), "no no no yes"),
    (G + "Read", consume("$sys"), "no no no yes"),
    (G + "GetInfo", b"", "no yes yes yes"),
    (G + "List", b"", "no yes yes yes"),
    (G + "Create", b"", "no no yes yes"),
    (G + "Update", b"", "no no yes yes"),
    (G + "Delete", b"", "no no yes yes"),
    (G + "ReplayParked", b"", "no no yes yes"),
    (G + "TruncateParked", b"", "no no yes yes"),
    (G + "RestartSubsystem", b"", "no no yes yes"),
    (U + "Details", b"", "no yes yes yes"),
    (U + "ChangePassword", CHANGE, "no yes yes yes"),
    *((U + name, b"", "no no no yes") for name in ("Create", "Update", "Delete", "Enable", "Disable", "ResetPassword")),
    *(
        (OPS + name, b"", "no no yes yes")
        for name in (
            "StartScavenge",
            "StopScavenge",
            "MergeIndexes",
            "ResignNode",
            "SetNodePriority",
            "RestartPersistentSubscriptions",
        )
    ),
    (PR + "Statistics", b"", "no yes yes yes"),
    (PR + "State", projection("State"), "no yes yes yes"),
    (PR + "Result", projection("Result"), "no yes yes yes"),
    (PR + "Create", create("transient"), "no yes yes yes"),
    (PR + "Create", create("continuous"), "no no yes yes"),
    *((PR + kind, projection(kind), "no no yes yes") for kind in ("Update", "Enable", "Disable", "Reset", "Delete")),
    (PR + "Disable", projection("Disable", "mine"), "no yes yes yes"),  # it is not found
    (PR + "RestartSubsystem", b"", "no no yes yes"),
    (REDACTION + "GetEventPositions", b"", "no no no yes"),
    (REDACTION + "SwitchChunks", b"", "no no no yes"),
    (PATH_STREAMS_SERVICE_APPEND_SESSION, session("order"), "no yes yes yes"),
    (PATH_STREAMS_SERVICE_APPEND_SESSION, session("$sys"), "no no no yes"),
    (PATH_STREAMS_SERVICE_APPEND_SESSION, session("closed"), "no no no yes"),
    (PATH_STREAMS_SERVICE_APPEND_RECORDS, records("order"), "no yes yes yes"),
    (PATH_STREAMS_SERVICE_APPEND_RECORDS, records("order", "$sys"), "no no no yes"),
    (PATH_STREAMS_SERVICE_APPEND_RECORDS, records("closed", "order"), "no no no yes"),
    (PATH_STREAMS_SERVICE_APPEND_RECORDS, records("of-team"), "no yes yes yes"),
    (PATH_INDEXES_SERVICE_CREATE, bytes(indexes.CreateIndexRequest(name="n", filter="rec => true")), "no no yes yes"),
    (PATH_INDEXES_SERVICE_START, bytes(indexes.StartIndexRequest(name="none")), "no no yes yes"),
    (PATH_INDEXES_SERVICE_STOP, bytes(indexes.StopIndexRequest(name="none")), "no no yes yes"),
    (PATH_INDEXES_SERVICE_DELETE, bytes(indexes.DeleteIndexRequest(name="none")), "no no yes yes"),
    (PATH_INDEXES_SERVICE_LIST, b"", "no yes yes yes"),
    (PATH_INDEXES_SERVICE_GET, bytes(indexes.GetIndexRequest(name="none")), "no yes yes yes"),
    (PATH_DIRECTORY_LIST, b"", "no no no yes"),
    *((path, b"", "no yes yes yes") for path in SchemaRegistryServiceBase().__mapping__()),
    (OPS + "Shutdown", b"", "no no yes yes"),
]  # fmt: skip


async def answer(node: ConnectionPool, method: str, request: bytes, who: str) -> str:
    """The status that one caller gets for one call, wherever it is; what is no proper refusal is told in full."""
    async with ClientCall(node, path(method), deadline=Deadline(20), metadata=LOGINS[who]) as call:
        try:
            await call.send(frame((request,)), end=True)
            data = await call.receive()
        except GrpcError as error:
            trailers = dict(error.trailers)
            if "Projections/" in method and isinstance(projection_error(error, "p"), AccessDenied):
                return "PERMISSION_DENIED"  # which real servers, too, say in a text, with the code UNKNOWN
            proper = error.code.name != "PERMISSION_DENIED" or isinstance(error, AccessDenied)
            return error.code.name if proper else f"{error!r}, {trailers}"
    if method.endswith("BatchAppend"):
        (message,) = MessageSplitter().feed(data)
        response = streams.BatchAppendResp().parse(bytes(message))
        return StatusCode(int(response.error.code)).name if response.is_set("error") else "OK"
    if method == PATH_IMPORTS_IMPORT_EVENTS:
        (message,) = MessageSplitter().feed(data)
        response = imports.ImportResp().parse(bytes(message)).refusal
        return StatusCode(int(response.error.code)).name if response.is_set("error") else "OK"
    return "OK"


def gets_in(status: str) -> str:
    """`yes` or `no`: whether somebody got past the door."""
    if status in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return "no"
    return "yes" if status in StatusCode.__members__ else status


@pytest.fixture
def run_projections() -> str:
    """With as many methods as there can be."""
    return "system"


@pytest.fixture
async def prepared(user: AsyncEsdbClient, admin: AsyncEsdbClient) -> None:
    await admin.append_events("order", None, NewEvent("T", b"{}"))
    await admin.set_stream_metadata("closed", StreamMetadata(acl=StreamAcl(read=(), write=())))
    await admin.set_stream_metadata("of-team", StreamMetadata(acl=StreamAcl(read=("team",))))


@pytest.mark.usefixtures("prepared")
async def test_table(node: ConnectionPool) -> None:
    wrong = []
    for method, request, expected in TABLE:
        # Who gets in to Shutdown ends the server: only the others try. The others: below.
        callers = ["nobody", "user"] if method.endswith("/Shutdown") else [*LOGINS]
        statuses = [await answer(node, method, request, who) for who in callers]
        print(method, request, statuses)
        got = [*map(gets_in, statuses)]
        if got != expected.split()[: len(got)]:
            wrong.append(f"{method} {request!r}: {statuses}, expected {expected}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("who", ["ops", "admin"])
async def test_who_may_end_the_server(server: EmbeddedServer, node: ConnectionPool, who: str) -> None:
    assert await answer(node, OPS + "Shutdown", b"", who) == "OK"
    await asyncio.wait_for(server.wait_stopped(), 20)


async def test_every_method_is_in_the_tables(server: EmbeddedServer) -> None:
    assert server._node is not None
    served = set(server._node._handlers())
    older = {P + "redaction.Redaction/GetEventPositions", P + "redaction.Redaction/SwitchChunks"}
    assert served == NEEDS.keys() - older
    assert served == {path(method) for method, _, _ in TABLE}
    assert set(NEEDS.values()) == set(Permission)
    assert len(served) == 67


async def answered(call: ClientCall) -> None:
    await call.send(frame((b"",)), end=True)
    await call.receive()


@pytest.mark.parametrize("method", [method for method, _, _ in TABLE if not method.endswith("Shutdown")][::4])
async def test_wrong_passwords_are_refused_everywhere(node: ConnectionPool, method: str) -> None:
    async with ClientCall(node, path(method), deadline=Deadline(20), metadata=basic("admin", "wrong")) as call:
        with pytest.raises(GrpcError) as caught:
            await answered(call)
    assert (caught.value.code.name, caught.value.details) == ("UNAUTHENTICATED", "Unauthenticated")
    assert "exception" not in dict(caught.value.trailers)
