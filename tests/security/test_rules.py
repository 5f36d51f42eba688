"""The rules of access as callers meet them: the order of checks, defaults for all streams, names of all kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import betterproto.lib.google.protobuf as betterproto_lib
import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier, Uuid, streams

from esdb_lite import (
    AccessDenied,
    AsyncEsdbClient,
    ExpectedPositionError,
    GrpcError,
    NewEvent,
    RecordedEvent,
    StreamAcl,
    StreamMetadata,
    SubscriptionSettings,
    UserConflict,
    UserNotFound,
)
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._status import StatusCode
from esdb_lite._wire.framing import MessageSplitter, frame
from tests.contract.faces import drain
from tests.security.conftest import basic

S = "/event_store.client.streams.Streams/"
SETTINGS = "$settings"
BEYOND = 2**63 + 5
"""A revision that no stream can have."""


def event() -> NewEvent:
    return NewEvent("T", b"{}")


# --- the order of checks ---


async def refusal(node: ConnectionPool, method: str, *requests: bytes, user: bool = False) -> str:
    """The status of a call by nobody, or by an ordinary user."""
    async with ClientCall(
        node, S + method, deadline=Deadline(20), metadata=basic("user", "pw") if user else ()
    ) as call:
        try:
            await call.send(frame(requests), end=True)
            data = await call.receive()
        except GrpcError as error:
            return error.code.name
    (message,) = MessageSplitter().feed(data)
    return StatusCode(int(streams.BatchAppendResp().parse(bytes(message)).error.code)).name


def append(stream: str | None, **expected: Any) -> bytes:
    options = streams.AppendReqOptions(**expected)
    if stream is not None:
        options.stream_identifier = StreamIdentifier(stream.encode())
    return bytes(streams.AppendReq(options=options))


def delete(stream: str | None, **expected: Any) -> bytes:
    options = streams.DeleteReqOptions(**expected)
    if stream is not None:
        options.stream_identifier = StreamIdentifier(stream.encode())
    return bytes(streams.DeleteReq(options=options))


def batch(stream: str | None, **expected: Any) -> bytes:
    options = streams.BatchAppendReqOptions(**expected)
    if stream is not None:
        options.stream_identifier = StreamIdentifier(stream.encode())
    correlation_id = Uuid(string="0c5e4c5e-2b1f-4a53-9c7f-5d2f8f6f0001")
    return bytes(streams.BatchAppendReq(correlation_id=correlation_id, options=options, is_final=True))


NO_TYPE = bytes(streams.AppendReq(proposed_message=streams.AppendReqProposedMessage(data=b"{}")))


async def test_only_an_append_without_expectation_is_told_before_who_may(
    node: ConnectionPool, user: AsyncEsdbClient
) -> None:
    assert await refusal(node, "Append", append("s")) == "INVALID_ARGUMENT"
    assert await refusal(node, "Append", append("$sys"), user=True) == "INVALID_ARGUMENT"
    for faulty in (append(None, any=Empty()), append("s", revision=BEYOND), append("", any=Empty())):
        assert await refusal(node, "Append", faulty) == "PERMISSION_DENIED"
    assert await refusal(node, "Append", append("s", any=Empty()), NO_TYPE) == "PERMISSION_DENIED"
    assert await refusal(node, "Append", append("$sys", any=Empty()), NO_TYPE, user=True) == "PERMISSION_DENIED"
    assert await refusal(node, "Append", append("$sys", revision=BEYOND), user=True) == "PERMISSION_DENIED"
    assert await refusal(node, "Append", append("s", any=Empty()), NO_TYPE, user=True) == "INVALID_ARGUMENT"
    assert await refusal(node, "Append", append("s", revision=BEYOND), user=True) == "INVALID_ARGUMENT"


async def test_deleting_says_nothing_to_nobody(node: ConnectionPool, user: AsyncEsdbClient) -> None:
    for method in ("Delete", "Tombstone"):
        for faulty in (b"", delete("s"), delete(None, any=Empty()), delete("s", revision=BEYOND)):
            assert await refusal(node, method, faulty) == "PERMISSION_DENIED"
        assert await refusal(node, method, delete("$sys", revision=BEYOND), user=True) == "PERMISSION_DENIED"
        assert await refusal(node, method, delete("s", revision=BEYOND), user=True) == "INVALID_ARGUMENT"


async def test_batches_say_nothing_to_nobody(node: ConnectionPool, user: AsyncEsdbClient) -> None:
    anything = betterproto_lib.Empty()
    for faulty in (batch("s"), batch(None, any=anything), batch("s", stream_position=BEYOND), batch("", any=anything)):
        assert await refusal(node, "BatchAppend", faulty) == "PERMISSION_DENIED"
    assert await refusal(node, "BatchAppend", batch("$sys"), user=True) == "PERMISSION_DENIED"
    assert await refusal(node, "BatchAppend", batch("s"), user=True) == "INVALID_ARGUMENT"


# --- defaults for all streams ---


async def permitted(client: AsyncEsdbClient, stream: str) -> dict[str, bool]:
    """What somebody may do with a stream that exists."""
    tries = {
        "$r": client.get_stream_position(stream),
        "$w": client.append_events(stream, 1_000_000, event()),
        "$mr": client.get_stream_metadata(stream),
        "$mw": client.set_stream_metadata(stream, {}, expected_position=1_000_000),
        "$d": client.delete_stream(stream, 1_000_000),
    }
    found = {}
    for name, call in tries.items():
        try:
            await call
            found[name] = True
        except AccessDenied:
            found[name] = False
        except ExpectedPositionError:
            found[name] = True
    return found


ALL = {"$r", "$w", "$mr", "$mw", "$d"}


@pytest.mark.parametrize("field", sorted(ALL))
async def test_settings(admin: AsyncEsdbClient, user: AsyncEsdbClient, field: str) -> None:
    """What `$settings` says of one action holds for that one, where a stream itself says nothing of it."""
    for stream in ("ordinary", "own", "$system"):
        await admin.append_events(stream, None, event())
    await admin.set_stream_metadata("own", {"$acl": {field: "user"}})
    kinds = ("ordinary", "own", "$system")
    assert [await permitted(user, stream) for stream in kinds] == [
        dict.fromkeys(ALL, True),
        dict.fromkeys(ALL, True),
        dict.fromkeys(ALL, False),
    ]
    defaults = NewEvent.json("settings", {"$userStreamAcl": {field: "$admins"}, "$systemStreamAcl": {field: "team"}})
    await admin.append_events(SETTINGS, None, defaults)
    assert [await permitted(user, stream) for stream in kinds] == [
        {name: name != field for name in ALL},
        dict.fromkeys(ALL, True),
        {name: name == field for name in ALL},
    ]
    await admin.append_events(SETTINGS, 0, NewEvent.json("settings", {}))  # the last one counts
    assert await permitted(user, "ordinary") == dict.fromkeys(ALL, True)
    assert await permitted(user, "$system") == dict.fromkeys(ALL, False)


async def test_settings_that_are_gone(admin: AsyncEsdbClient, user: AsyncEsdbClient) -> None:
    await admin.append_events("s", None, event())
    await admin.append_events(SETTINGS, None, NewEvent.json("settings", {"$userStreamAcl": {"$r": []}}))
    with pytest.raises(AccessDenied):
        await user.get_stream_position("s")
    await admin.delete_stream(SETTINGS)
    assert await user.get_stream_position("s") == 0


async def test_the_log_and_its_metadata(admin: AsyncEsdbClient, user: AsyncEsdbClient) -> None:
    await admin.append_events("s", None, event())
    for call in (user.get_commit_position, lambda: user.get_stream_metadata("$all")):
        with pytest.raises(AccessDenied):
            await call()
    await admin.set_stream_metadata("$all", StreamMetadata(acl=StreamAcl(read=("team",), write=("team",))))
    assert await user.get_commit_position() > 0
    with pytest.raises(AccessDenied):
        await user.get_stream_metadata("$all")  # to read what is in the log is not to read what is said of it
    for client in (user, admin):
        with pytest.raises(AccessDenied):
            await client.append_events("$all", -2, event())  # nobody may, whatever is said of it


async def test_a_link_shows_its_target(admin: AsyncEsdbClient, user: AsyncEsdbClient) -> None:
    """As on a real server: who may read a link may read what it leads to."""
    await admin.append_events("closed", None, NewEvent("Secret", b"{}"))
    await admin.set_stream_metadata("closed", StreamMetadata(acl=StreamAcl(read=())))
    await admin.append_events("open", None, NewEvent("$>", b"0@closed", content_type="application/octet-stream"))
    with pytest.raises(AccessDenied):
        await drain(user.read_stream_events("closed"))
    (found,) = await drain(user.read_stream_events("open", resolve_links=True))
    assert (found.stream_name, found.type) == ("closed", "Secret")


def protected_links() -> list[NewEvent]:
    return [NewEvent("$>", data, content_type="application/octet-stream") for data in (b"0@$user-admin", b"0@open")]


async def test_a_link_does_not_open_a_stream_of_the_server(admin: AsyncEsdbClient, user: AsyncEsdbClient) -> None:
    """There are the hashes of passwords, and everybody may write a link. Unlike on a real server."""
    await admin.append_events("open", None, event())
    async with await user.subscribe_stream_events("links", resolve_links=True) as live:
        await user.append_events("links", None, protected_links())
        followed = [await live.__anext__(), await live.__anext__()]
    await admin.set_stream_metadata("$all", StreamMetadata(acl=StreamAcl(read=("team",))))
    async with await user.subscribe_all_events(resolve_links=True, filter_exclude=()) as subscription:
        found = [item async for item in _links_of(subscription, 2)]
    read = await drain(user.read_stream_events("links", resolve_links=True))
    backwards = await drain(user.read_stream_events("links", resolve_links=True, backwards=True))
    all_of_it = [e for e in await drain(user.read_all_events(resolve_links=True, filter_exclude=())) if _is_link(e)]
    for some in (read, followed, found, backwards[::-1], all_of_it):
        assert [(each.stream_name, each.type) for each in some] == [("links", "$>"), ("open", "T")]
    secret, _ = await drain(admin.read_stream_events("links", resolve_links=True))
    assert secret.stream_name == "$user-admin"


async def test_a_group_does_not_open_a_stream_of_the_server(admin: AsyncEsdbClient, user: AsyncEsdbClient) -> None:
    await admin.append_events("open", None, event())
    await user.append_events("links", None, protected_links())
    await admin.create_subscription("g", "links", settings=SubscriptionSettings(resolve_links=True))
    async with await user.read_subscription("g", "links") as consumer:
        first, second = [await consumer.__anext__() for _ in range(2)]
        assert [(each.stream_name, each.type) for each in (first, second)] == [("links", "$>"), ("open", "T")]
        for each in (first, second):
            await consumer.ack(each)
    async with await admin.read_subscription("g", "links") as consumer:
        await user.append_events("links", 1, protected_links())
        assert (await consumer.__anext__()).stream_name == "$user-admin"


async def test_a_link_into_a_stream_of_the_server_that_one_may_read(
    admin: AsyncEsdbClient, user: AsyncEsdbClient
) -> None:
    await admin.set_stream_metadata("$user-admin", StreamMetadata(acl=StreamAcl(read=("team",))))
    await user.append_events("links", None, protected_links()[:1])
    (found,) = await drain(user.read_stream_events("links", resolve_links=True))
    assert found.stream_name == "$user-admin"


def _is_link(event: RecordedEvent) -> bool:
    return event.link is not None or event.type == "$>"


async def _links_of(subscription: Any, count: int) -> AsyncIterator[RecordedEvent]:
    async for item in subscription:
        if isinstance(item, RecordedEvent) and _is_link(item):
            yield item
            count -= 1
            if not count:
                return


# --- names of all kinds ---


async def test_names_that_are_not_ascii(server: Any, admin: AsyncEsdbClient) -> None:
    """A real server answers with a bare HTTP 500 where a name does not fit into a header."""
    with pytest.raises(UserNotFound) as missing:
        await admin.get_user("jürgen ☃")
    assert "jürgen ☃" in str(missing.value)
    await admin.create_user("jürgen", "pässwörd ☃:x", groups=["verkäufer"])
    with pytest.raises(UserConflict):
        await admin.create_user("jürgen", "other")
    await admin.set_stream_metadata("bestellung-ü", StreamMetadata(acl=StreamAcl(read=("verkäufer",), write=())))
    async with AsyncEsdbClient(server.uri, credentials=("jürgen", "pässwörd ☃:x")) as client:
        assert await client.get_stream_position("bestellung-ü") is None
        with pytest.raises(AccessDenied):
            await client.append_events("bestellung-ü", -2, event())


@pytest.mark.parametrize("login", ["$admins", "$ops", "$all", "system", " admin", "admin ", "ADMIN"])
async def test_logins_that_look_like_somebody_else(server: Any, admin: AsyncEsdbClient, login: str) -> None:
    await admin.append_events("$sys", None, event())
    await admin.set_stream_metadata("for-ops", StreamMetadata(acl=StreamAcl(read=("$ops",))))
    await admin.create_user(login, "pw")
    async with AsyncEsdbClient(server.uri, credentials=(login, "pw")) as client:
        for call in (
            client.get_stream_position("$sys"),
            client.get_stream_position("for-ops"),
            client.create_user("another", "pw"),
            client.get_commit_position(),
        ):
            with pytest.raises(AccessDenied):
                await asyncio.wait_for(call, 20)
