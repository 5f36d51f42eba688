"""Attempts that must fail: passwords, headers, users who are gone, floods."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from base64 import b64encode
from contextlib import suppress
from statistics import median
from uuid import uuid4

import betterproto.lib.google.protobuf as betterproto_lib
import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier, Uuid
from esdb_lite_protos.event_store.client.streams import (
    AppendReq,
    AppendReqOptions,
    BatchAppendReq,
    BatchAppendReqOptions,
    BatchAppendReqProposedMessage,
)
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, HeadersFrame, SettingsFrame

from esdb_lite import (
    AccessDenied,
    AsyncEsdbClient,
    EmbeddedServer,
    EsdbClientException,
    GrpcError,
    InvalidArgument,
    InvalidRequest,
    NewEvent,
    ServiceUnavailable,
    StreamAcl,
    StreamMetadata,
    Unauthenticated,
    UserConflict,
    UserNotFound,
)
from esdb_lite._convert import users as convert
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._rpc.shapes import all_messages
from esdb_lite._wire.framing import frame
from esdb_lite.server.database.database import Database
from esdb_lite.server.tls import DevCertificate
from esdb_lite.server.users.authentication import Authenticator, LoginRefused
from esdb_lite.server.users.store import UserStore
from tests.contract.faces import drain
from tests.security.conftest import basic
from tests.support import PATIENCE

BATCH = "/event_store.client.streams.Streams/BatchAppend"
APPEND = "/event_store.client.streams.Streams/Append"
GOSSIP = "/event_store.client.gossip.Gossip/Read"
LIST = "/event_store.client.users.Users/Details"
BAD_LOGINS = int(os.environ.get("ESDB_BAD_LOGINS", "1000"))


def event() -> NewEvent:
    return NewEvent("T", b"{}")


def batch(stream: str) -> bytes:
    """A batch of one event."""
    proposed = BatchAppendReqProposedMessage(
        id=Uuid(string=str(uuid4())), metadata={"type": "T", "content-type": "application/json"}, data=b"{}"
    )
    options = BatchAppendReqOptions(stream_identifier=StreamIdentifier(stream.encode()), any=betterproto_lib.Empty())
    message = BatchAppendReq(
        correlation_id=Uuid(string=str(uuid4())), options=options, proposed_messages=[proposed], is_final=True
    )
    return bytes(message)


async def status(node: ConnectionPool, header: str | None, method: str = LIST) -> str:
    """What a call with this `authorization` ends with."""
    metadata = () if header is None else (("authorization", header),)
    try:
        async with ClientCall(node, method, deadline=Deadline(PATIENCE), metadata=metadata) as call:
            await call.send(frame((b"",)), end=True)
            await all_messages(call)
    except GrpcError as error:
        return error.code.name
    return "OK"


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "PERMISSION_DENIED"),
        ("", "PERMISSION_DENIED"),
        ("Bearer abc", "PERMISSION_DENIED"),
        ("nonsense", "PERMISSION_DENIED"),
        (f"Basic {encoded('no-colon')}", "PERMISSION_DENIED"),
        (f"Basic {encoded('admin:changeit')}", "OK"),
        (f"bAsIc {encoded('admin:changeit')}", "OK"),
        ("Basic", "UNAUTHENTICATED"),
        ("Basic ", "UNAUTHENTICATED"),
        ("Basic !!!", "UNAUTHENTICATED"),
        ("Basic YWRtaW46Y2hhbmdlaXQ", "UNAUTHENTICATED"),  # without padding
        (f"Basic {encoded('admin:wrong')}", "UNAUTHENTICATED"),
        (f"Basic {encoded('admin:')}", "UNAUTHENTICATED"),
        (f"Basic {encoded('admin:changeit ')}", "UNAUTHENTICATED"),
        (f"Basic {encoded('Admin:changeit')}", "UNAUTHENTICATED"),
        (f"Basic {encoded('nobody:x')}", "UNAUTHENTICATED"),
        (f"Basic {encoded(':')}", "UNAUTHENTICATED"),
        (f"Basic {encoded('../admin:changeit')}", "UNAUTHENTICATED"),
        (f"Basic {encoded('x' * 20_000)}", "UNAUTHENTICATED"),
        (f"Basic {encoded('admin:' + 'x' * 5_000)}", "UNAUTHENTICATED"),
    ],
)
async def test_headers(node: ConnectionPool, header: str | None, expected: str) -> None:
    assert await status(node, header) == expected
    # Wrong is wrong, also where nothing is needed.
    assert await status(node, header, GOSSIP) == ("UNAUTHENTICATED" if expected == "UNAUTHENTICATED" else "OK")


async def test_a_header_of_a_megabyte_ends_its_connection_only(
    server: EmbeddedServer, certificate: DevCertificate, admin: AsyncEsdbClient
) -> None:
    assert await admin.list_users()
    context = ssl.create_default_context(cafile=certificate.authority)
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context)
    names = {":method": "POST", ":scheme": "https", ":path": GOSSIP, ":authority": "x", "authorization": "B" * 2**20}
    block = Encoder().encode(names.items(), huffman=False)
    pieces = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize())
    writer.write(HeadersFrame(1, pieces[0]).serialize())
    for number, piece in enumerate(pieces[1:], 2):
        flags = ["END_HEADERS"] if number == len(pieces) else []
        writer.write(ContinuationFrame(1, piece, flags=flags).serialize())
    received = b""
    with suppress(ConnectionError):
        received = await asyncio.wait_for(reader.read(), PATIENCE)  # to its end
    assert b"grpc-status" not in received  # it was not even looked at
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    assert await admin.list_users()


async def test_an_old_password_ends_at_once(server: EmbeddedServer, user: AsyncEsdbClient) -> None:
    await user.append_events("s", None, event())
    async with AsyncEsdbClient(server.uri, credentials=("admin", "changeit")) as admin:
        await admin.reset_password("user", "new")
        with pytest.raises(Unauthenticated):
            await user.get_stream_position("s")
        assert await user.get_stream_position("s", credentials=("user", "new")) == 0
        await user.change_password("user", "new", "newer", credentials=("user", "new"))
        with pytest.raises(Unauthenticated):
            await user.get_stream_position("s", credentials=("user", "new"))
        assert await user.get_stream_position("s", credentials=("user", "newer")) == 0


async def test_also_when_the_user_is_changed_behind_the_back(user: AsyncEsdbClient, admin: AsyncEsdbClient) -> None:
    """Whoever writes the user's stream changes the user; nothing has to be told to anybody."""
    await user.append_events("s", None, event())
    await admin.append_events("$user-user", -2, NewEvent("$UserUpdated", b'{"loginName":"user","hash":"","salt":""}'))
    with pytest.raises(Unauthenticated):
        await user.get_stream_position("s")


async def test_disabled_users(user: AsyncEsdbClient, admin: AsyncEsdbClient) -> None:
    await user.append_events("s", None, event())
    await admin.disable_user("user")
    with pytest.raises(Unauthenticated):
        await user.get_stream_position("s")
    assert (await admin.get_user("user")).disabled
    await admin.enable_user("user")
    assert await user.get_stream_position("s") == 0
    assert not (await admin.get_user("user")).disabled


@pytest.mark.parametrize("how", ["delete", "disable", "password", "groups", "stream"])
async def test_a_subscription_ends_with_its_user(user: AsyncEsdbClient, admin: AsyncEsdbClient, how: str) -> None:
    await admin.append_events("s", None, event())
    subscription = await user.subscribe_stream_events("s")
    await subscription.__anext__()
    changes = {
        "delete": lambda: admin.delete_user("user"),
        "disable": lambda: admin.disable_user("user"),
        "password": lambda: admin.reset_password("user", "new"),
        "groups": lambda: admin.update_user("user", full_name="", groups=[]),
        "stream": lambda: admin.delete_stream("$user-user"),
    }
    await changes[how]()
    with pytest.raises(Unauthenticated):
        await asyncio.wait_for(subscription.__anext__(), PATIENCE)


async def revoked(admin: AsyncEsdbClient, how: str) -> None:
    """Take away from `user` what they came in with."""
    if how == "delete":
        await admin.delete_user("user")
    elif how == "disable":
        await admin.disable_user("user")
    else:
        await admin.reset_password("user", "new")


async def going_on(call: ClientCall) -> None:
    """Append one batch after the other."""
    while True:
        await call.send(frame((batch("s"),)))
        await call.receive()


async def ending(call: ClientCall) -> None:
    """Send the end of the requests, and wait for the answer."""
    await call.send(b"", end=True)
    await call.receive()


REVOCATIONS = ["delete", "disable", "password"]


@pytest.mark.parametrize("how", REVOCATIONS)
async def test_a_consumer_of_a_group_ends_with_its_user(
    user: AsyncEsdbClient, admin: AsyncEsdbClient, how: str
) -> None:
    await admin.append_events("s", None, [event() for _ in range(5)])
    await admin.create_subscription("g", "s")
    consumer = await user.read_subscription("g", "s", buffer_size=2)
    first = await asyncio.wait_for(consumer.__anext__(), PATIENCE)
    await consumer.ack(first)
    await revoked(admin, how)
    with pytest.raises(Unauthenticated):
        await asyncio.wait_for(drain(consumer), PATIENCE)  # what the client has received already may still come
    await consumer.close()
    # The group has lost the consumer, and goes on with others: nothing that was not answered is lost.
    async with await admin.read_subscription("g", "s") as other:
        seen: set[int | None] = set()
        while not seen >= {1, 2, 3, 4}:
            seen.add((await asyncio.wait_for(other.__anext__(), PATIENCE)).stream_position)


@pytest.mark.parametrize("how", REVOCATIONS)
async def test_an_open_batch_append_ends_with_its_user(
    user: AsyncEsdbClient, admin: AsyncEsdbClient, node: ConnectionPool, how: str
) -> None:
    """The call through which all appends of a client go was opened with a password that was right then."""
    await user.append_events("s", None, event())
    async with ClientCall(node, BATCH, deadline=Deadline(PATIENCE), metadata=basic("user", "pw")) as call:
        await call.send(frame((batch("s"),)))
        assert b"BatchAppendReq" not in await call.receive()
        await revoked(admin, how)
        with pytest.raises(GrpcError) as caught:
            await going_on(call)
    assert caught.value.code.name in ("UNAVAILABLE", "UNAUTHENTICATED")
    length = await admin.get_stream_position("s")
    with pytest.raises(Unauthenticated):
        await user.append_events("s", -2, event())
    assert await admin.get_stream_position("s") == length


async def test_an_append_that_has_been_open_for_long_is_looked_at_again(
    user: AsyncEsdbClient, admin: AsyncEsdbClient, node: ConnectionPool
) -> None:
    """What counts is what its user may do when it is written."""
    options = AppendReq(options=AppendReqOptions(stream_identifier=StreamIdentifier(b"s"), any=Empty()))
    async with ClientCall(node, APPEND, deadline=Deadline(PATIENCE), metadata=basic("user", "pw")) as call:
        await call.send(frame((bytes(options),)))
        await user.get_stream_position("s")  # the server has read what was sent before
        await admin.set_stream_metadata("s", StreamMetadata(acl=StreamAcl(write=())))
        with pytest.raises(GrpcError) as caught:
            await ending(call)
    assert caught.value.code.name == "PERMISSION_DENIED"
    assert await admin.get_stream_position("s") is None


async def test_an_append_of_somebody_who_is_gone(
    user: AsyncEsdbClient, admin: AsyncEsdbClient, node: ConnectionPool
) -> None:
    options = AppendReq(options=AppendReqOptions(stream_identifier=StreamIdentifier(b"s"), any=Empty()))
    async with ClientCall(node, APPEND, deadline=Deadline(PATIENCE), metadata=basic("user", "pw")) as call:
        await call.send(frame((bytes(options),)))
        await user.get_stream_position("s")
        await admin.delete_user("user")
        with pytest.raises(GrpcError) as caught:
            await ending(call)
    assert caught.value.code.name in ("UNAVAILABLE", "UNAUTHENTICATED")
    assert await admin.get_stream_position("s") is None


async def test_another_name_ends_nothing(user: AsyncEsdbClient, admin: AsyncEsdbClient) -> None:
    subscription = await user.subscribe_stream_events("s")
    await admin.update_user("user", full_name="Another", groups=["team"])
    await admin.append_events("s", None, event())
    assert (await asyncio.wait_for(subscription.__anext__(), PATIENCE)).stream_position == 0
    await subscription.close()


@pytest.mark.parametrize("governing", ["$$s", "$settings", "deleted"])
async def test_a_subscription_ends_with_its_rights(
    user: AsyncEsdbClient, admin: AsyncEsdbClient, governing: str
) -> None:
    await admin.append_events("s", None, event())
    if governing == "deleted":
        settings = b'{"$userStreamAcl":{"$r":"$admins"}}'
        await admin.set_stream_metadata("s", StreamMetadata(acl=StreamAcl(read=("user",))))
        await admin.append_events("$settings", -2, NewEvent("settings", settings))
    subscription = await user.subscribe_stream_events("s")
    await subscription.__anext__()
    if governing == "$$s":
        await admin.set_stream_metadata("s", StreamMetadata(acl=StreamAcl(read=())))
    elif governing == "$settings":
        await admin.append_events("$settings", -2, NewEvent("settings", b'{"$userStreamAcl":{"$r":"$admins"}}'))
    else:
        await admin.delete_stream("s")  # and with it the list that let the user in
    await admin.append_events("s", -2, event())
    with pytest.raises(AccessDenied):
        await asyncio.wait_for(subscription.__anext__(), PATIENCE)


async def test_subscriptions_to_all_need_the_list_of_all(user: AsyncEsdbClient, admin: AsyncEsdbClient) -> None:
    with pytest.raises(AccessDenied):
        await user.subscribe_all_events()
    await admin.set_stream_metadata("$all", StreamMetadata(acl=StreamAcl(read=("team",))))
    subscription = await user.subscribe_all_events(from_end=True)
    await admin.set_stream_metadata("$all", StreamMetadata())
    with pytest.raises(AccessDenied):
        await asyncio.wait_for(subscription.__anext__(), PATIENCE)


async def test_appends_through_the_shared_call_are_refused_one_by_one(
    user: AsyncEsdbClient, admin: AsyncEsdbClient
) -> None:
    await admin.set_stream_metadata("closed", StreamMetadata(acl=StreamAcl(write=())))
    streams = ["a", "closed", "b", "$sys", "$users", "$user-admin", "$$$user-admin", "$settings", "$$closed"]
    results = await asyncio.gather(*(user.append_events(name, -2, event()) for name in streams), return_exceptions=True)
    refused = [name for name, result in zip(streams, results, strict=True) if isinstance(result, AccessDenied)]
    assert refused == ["closed", "$sys", "$users", "$user-admin", "$$$user-admin", "$settings"]
    assert sum(isinstance(result, int) for result in results) == 3


async def test_names_of_streams_play_no_tricks(user: AsyncEsdbClient) -> None:
    for name in ("$users", "$user-admin", "$$$user-admin", "$persistentSubscriptionConfig", "$settings", "$all"):
        with pytest.raises(AccessDenied):
            await user.get_stream_position(name)
    for name in ("../$users", " $users", "./$user-admin", "x/$users", "%24users"):
        try:
            assert await user.get_stream_position(name) is None
        except AccessDenied:
            assert name.startswith("$")


async def test_nobody_logs_in_with_a_nul(node: ConnectionPool, admin: AsyncEsdbClient) -> None:
    """The hash takes NULs at the end of a password for nothing."""
    for password in ("changeit\0", "changeit\0\0"):
        assert await status(node, basic("admin", password)[0][1]) == "UNAUTHENTICATED"
    assert await status(node, basic("admin", "changeit")[0][1]) == "OK"
    channel = admin._core.channel(deadline=Deadline(10))
    for asked in (
        convert.create(channel, "o\0ne", "pw", "", []),
        convert.create(channel, "one", "pw\0", "", []),
        convert.reset_password(channel, "admin", "changeit\0"),
        convert.change_password(channel, "admin", "changeit", "changeit\0"),
    ):
        with pytest.raises(InvalidRequest, match="has a NUL in it"):
            await asked
    for refused in (
        lambda: admin.create_user("o\0ne", "pw"),
        lambda: admin.create_user("one", "pw\0"),
        lambda: admin.reset_password("admin", "\0"),
        lambda: admin.list_users(credentials=("admin", "changeit\0")),
    ):
        with pytest.raises(InvalidArgument, match="NUL"):
            await refused()


async def test_users_cannot_make_themselves_administrators(user: AsyncEsdbClient) -> None:
    for attempt in (
        user.update_user("user", full_name="", groups=["$admins"]),
        user.create_user("second", "pw", groups=["$admins"]),
        user.reset_password("admin", "mine"),
        user.delete_user("admin"),
        user.change_password("admin", "guess", "mine"),
        user.append_events("$user-user", -2, event()),
    ):
        with pytest.raises(AccessDenied):
            await attempt


async def test_users(admin: AsyncEsdbClient) -> None:
    await admin.create_user("one", "pw", full_name="One", groups=["a", "b"])
    await admin.create_user("one", "pw")  # the same password: nothing happens
    with pytest.raises(UserConflict):
        await admin.create_user("one", "other")
    found = await admin.get_user("one")
    assert (found.full_name, found.groups, found.disabled) == ("One", ("a", "b"), False)
    await admin.delete_user("one")
    with pytest.raises(UserNotFound) as caught:
        await admin.get_user("one")
    assert caught.value.login == "one"
    await admin.create_user("one", "again")
    assert (await admin.get_user("one")).groups == ()
    assert [user.login_name for user in await admin.list_users()] == ["admin", "one", "ops"]
    assert await admin.get_stream_position("$users", credentials=("admin", "changeit")) == 3


async def test_passwords_are_not_kept(user: AsyncEsdbClient, admin: AsyncEsdbClient) -> None:
    kept = [recorded.data async for recorded in admin.read_all_events(filter_exclude=())]
    assert not any(b"changeit" in data or b'"pw"' in data for data in kept)
    hashes = [recorded.json() async for recorded in admin.read_stream_events("$user-user")]
    await admin.reset_password("user", "pw")
    again = [recorded.json() async for recorded in admin.read_stream_events("$user-user")]
    assert hashes[0]["hash"] != again[1]["hash"]  # type: ignore[index,call-overload]


@pytest.mark.slow
async def test_many_bad_logins(node: ConnectionPool, admin: AsyncEsdbClient, user: AsyncEsdbClient) -> None:
    await admin.append_events("s", None, event())
    assert await user.get_stream_position("s") == 0
    slots = asyncio.Semaphore(90)

    async def guess(number: int) -> str:
        async with slots:
            login = "admin" if number % 2 else f"user{number}"
            return await status(node, basic(login, f"guess {number}")[0][1])

    guesses = [asyncio.ensure_future(guess(number)) for number in range(BAD_LOGINS)]
    took: list[float] = []
    while not all(task.done() for task in guesses):
        begun = time.perf_counter()
        assert await user.get_stream_position("s") is not None
        await admin.append_events("s", -2, event())
        assert await user.get_stream_position("s", credentials=("user", "pw")) is not None
        took.append(time.perf_counter() - begun)
        await asyncio.wait(guesses, timeout=0.05)
    outcomes = {task.result() for task in guesses}
    print(f"{len(guesses)} guesses; meanwhile three calls took {median(took):.3f} s, at most {max(took):.3f} s")
    assert outcomes == {"UNAUTHENTICATED", "UNAVAILABLE"}  # some are looked at, the others told to come back
    assert max(took) < 5
    # Who guesses as much is told to come back, and can.
    assert await status(node, basic("ops", "changeit")[0][1]) == "OK"


async def test_who_guesses_over_one_connection_leaves_room_for_others(
    server: EmbeddedServer, node: ConnectionPool, certificate: DevCertificate
) -> None:
    turned_away = asyncio.Event()

    async def guess(number: int) -> None:
        while True:
            if await status(node, basic(f"user{number}", f"guess {uuid4()}")[0][1]) == "UNAVAILABLE":
                turned_away.set()

    guesses = [asyncio.ensure_future(guess(number)) for number in range(80)]
    try:
        await asyncio.wait_for(turned_away.wait(), PATIENCE)
        context = ssl.create_default_context(cafile=certificate.authority)
        context.set_alpn_protocols(["h2"])
        other = ConnectionPool(server.host, server.port, tls=context)
        assert await status(other, basic("ops", "changeit")[0][1]) == "OK"  # a first login, at the first try
        await other.close()
    finally:
        for task in guesses:
            task.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)


@pytest.mark.slow
async def test_who_is_no_user_takes_as_long_as_a_wrong_password() -> None:
    """Nobody learns which users there are from how long a refusal takes: it is the same work."""
    database = await Database.open(None)
    authenticator = Authenticator(database, failure_delay=0)
    store = UserStore(database, authenticator)
    await store.begin({"admin": "changeit", "ops": "changeit"})
    await store.disable("ops")
    spent: dict[str, list[float]] = {"admin": [], "ops": [], "nobody": [], "x" * 3000: []}
    try:
        for number in range(12):
            for login, times in spent.items():
                begun = time.process_time()  # of all threads: others who use the machine do not count
                with pytest.raises(LoginRefused):
                    await authenticator.identify(basic(login, f"guess {number}")[0][1])
                times.append(time.process_time() - begun)
    finally:
        await authenticator.stop()
        await database.close()
    medians = [median(times) for times in spent.values()]
    assert max(medians) < 1.5 * min(medians), medians


async def test_right_passwords_at_the_same_time_are_checked_once(node: ConnectionPool) -> None:
    header = basic("admin", "changeit")[0][1]
    assert set(await asyncio.gather(*(status(node, header) for _ in range(80)))) == {"OK"}


async def test_an_append_that_is_cut_off_says_that_it_may_be_written(
    user: AsyncEsdbClient, admin: AsyncEsdbClient
) -> None:
    """Never a refusal for something that has been written."""
    appending = [asyncio.ensure_future(user.append_events(f"s{n}", None, event())) for n in range(200)]
    await admin.delete_user("user")
    results = await asyncio.gather(*appending, return_exceptions=True)
    for number, result in enumerate(results):
        written = await admin.get_stream_position(f"s{number}") is not None
        if isinstance(result, int):
            assert written
        elif not isinstance(result, ServiceUnavailable):
            assert isinstance(result, EsdbClientException)
            assert not written, result
