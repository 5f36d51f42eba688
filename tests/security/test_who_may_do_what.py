"""Every method of every service, tried by nobody, an ordinary user, ops and admin.

Refused is refused whatever the request says, so the requests are as empty as they can be: what matters is whether a
caller gets past the door. `yes` stands for anything but PERMISSION_DENIED and UNAUTHENTICATED.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier, streams, users
from esdb_lite_protos.event_store.client import persistent_subscriptions as groups

from esdb_lite import AsyncEsdbClient, EmbeddedServer, GrpcError, NewEvent, StreamAcl, StreamMetadata
from esdb_lite._rpc.call import Call
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.node import Node
from esdb_lite._wire.framing import frame
from esdb_lite.server.services.authorizing import NEEDS, Need
from tests.security.conftest import basic

LOGINS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "nobody": (),
    "user": basic("user", "pw"),
    "ops": basic("ops", "changeit"),
    "admin": basic("admin", "changeit"),
}
P = "/event_store.client."


def identifier(stream: str) -> StreamIdentifier:
    return StreamIdentifier(stream_name=stream.encode())


def read(stream: str) -> bytes:
    options = streams.ReadReqOptions(
        count=1, uuid_option=streams.ReadReqOptionsUuidOption(string=Empty()), no_filter=Empty()
    )
    if stream == "$all":
        options.all = streams.ReadReqOptionsAllOptions(start=Empty())
    else:
        options.stream = streams.ReadReqOptionsStreamOptions(stream_identifier=identifier(stream), start=Empty())
    return bytes(streams.ReadReq(options=options))


def append(stream: str) -> bytes:
    options = streams.AppendReqOptions(stream_identifier=identifier(stream), any=Empty())
    return bytes(streams.AppendReq(options=options))


def delete(stream: str) -> bytes:
    return bytes(streams.DeleteReq(options=streams.DeleteReqOptions(stream_identifier=identifier(stream), any=Empty())))


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
S, G, U, OPS = (
    "streams.Streams/",
    "persistent_subscriptions.PersistentSubscriptions/",
    "users.Users/",
    "operations.Operations/",
)
TABLE = [
    ("gossip.Gossip/Read", b"", "yes yes yes yes"),
    ("server_features.ServerFeatures/GetSupportedMethods", b"", "yes yes yes yes"),
    ("monitoring.Monitoring/Stats", b"", "yes yes yes yes"),
    (S + "Read", read("order"), "no yes yes yes"),
    (S + "Read", read("$$order"), "no yes yes yes"),
    (S + "Read", read("$sys"), "no no no yes"),
    (S + "Read", read("$users"), "no no no yes"),
    (S + "Read", read("$user-admin"), "no no no yes"),
    (S + "Read", read("$$$sys"), "no no no yes"),
    (S + "Read", read("$all"), "no no no yes"),
    (S + "Read", read("closed"), "no no no yes"),
    (S + "Read", read("of-team"), "no yes no yes"),
    (S + "Append", append("order"), "no yes yes yes"),
    (S + "Append", append("$$order"), "no yes yes yes"),
    (S + "Append", append("$sys"), "no no no yes"),
    (S + "Append", append("$all"), "no no no no"),
    (S + "Append", append(""), "no no no no"),
    (S + "Append", append("closed"), "no no no yes"),
    (S + "BatchAppend", b"", "yes yes yes yes"),  # it refuses inside its answers, see test_attempts
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
    ("redaction.Redaction/GetEventPositions", b"", "no no no yes"),
    ("redaction.Redaction/SwitchChunks", b"", "no no no yes"),
    (OPS + "Shutdown", b"", "no no yes yes"),
]  # fmt: skip


async def gets_in(node: Node, method: str, request: bytes, who: str) -> str:
    """`yes` or `no`: what one caller is told."""
    async with Call(node, P + method, deadline=Deadline(20), metadata=LOGINS[who]) as call:
        try:
            await call.send(frame((request,)), end=True)
            await call.receive()
        except GrpcError as error:
            refusal = error.code.name, dict(error.trailers).get("exception")
        else:
            return "yes"
    if refusal[0] not in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return "yes"
    return "no" if refusal == ("PERMISSION_DENIED", "access-denied") else str(refusal)


@pytest.fixture
async def prepared(user: AsyncEsdbClient, admin: AsyncEsdbClient) -> None:
    await admin.append_events("order", None, NewEvent("T", b"{}"))
    await admin.set_stream_metadata("closed", StreamMetadata(acl=StreamAcl(read=(), write=())))
    await admin.set_stream_metadata("of-team", StreamMetadata(acl=StreamAcl(read=("team",))))


@pytest.mark.usefixtures("prepared")
async def test_table(node: Node, server: EmbeddedServer) -> None:
    wrong = []
    for method, request, expected in TABLE:
        # Who gets in to Shutdown ends the server: only the others try.
        callers = ["nobody", "user"] if method.endswith("/Shutdown") else [*LOGINS]
        got = [await gets_in(node, method, request, who) for who in callers]
        if got != expected.split()[: len(got)]:
            wrong.append(f"{method} {request!r}: {got}, expected {expected}")
    assert not wrong, "\n".join(wrong)


async def test_every_method_is_in_the_tables(server: EmbeddedServer) -> None:
    assert server._stack is not None
    served = set(server._stack._handlers())
    assert served == set(NEEDS)
    assert served == {P + method for method, _, _ in TABLE}
    assert set(NEEDS.values()) == set(Need)


async def answered(call: Call) -> None:
    await call.send(frame((b"",)), end=True)
    await call.receive()


@pytest.mark.parametrize("method", [method for method, _, _ in TABLE if not method.endswith("Shutdown")][::4])
async def test_wrong_passwords_are_refused_everywhere(node: Node, method: str) -> None:
    async with Call(node, P + method, deadline=Deadline(20), metadata=basic("admin", "wrong")) as call:
        with pytest.raises(GrpcError) as caught:
            await answered(call)
    assert (caught.value.code.name, caught.value.details) == ("UNAUTHENTICATED", "Unauthenticated")
    assert "exception" not in dict(caught.value.trailers)
