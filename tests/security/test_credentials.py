"""What the client says of itself, to whom, and that it says it to nobody else."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import ssl
import threading
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from esdb_lite import (
    AsyncEsdbClient,
    BearerToken,
    Credentials,
    CredentialsUnavailable,
    EmbeddedServer,
    EsdbClient,
    EsdbClientException,
    InvalidArgument,
    InvalidUri,
    NewEvent,
    Unauthenticated,
    WrongArgumentType,
)
from esdb_lite._wire.batch_append import BatchRequest
from esdb_lite._wire.read_response_encode import encode_confirmation
from esdb_lite.server.tls import DevCertificate
from tests.contract.faces import drain
from tests.rpc.fake import FakeCall, FakeServer, fake_server
from tests.rpc.streams_service import StreamsService, subscription
from tests.security.faces import KINDS, client_of

UNAUTHENTICATED = 16


def event() -> NewEvent:
    return NewEvent("T", b"{}")


# --- tokens ---


@dataclass
class Tokens:
    """A provider of tokens that grow old, and a server that takes the newest one only."""

    newest: int = 1
    asked: int = 0
    service: StreamsService = field(default_factory=StreamsService)
    refused: list[str] = field(default_factory=list)

    def plain(self) -> str:
        """The provider as a function."""
        self.asked += 1
        return f"token-{self.newest}"

    async def waiting(self) -> str:
        """The provider as a coroutine function."""
        await asyncio.sleep(0)
        return self.plain()

    def __post_init__(self) -> None:
        self.service.on_batch = self.look_again

    def is_good(self, call: FakeCall) -> bool:
        """Whether a call has the newest token."""
        return call.headers.get("authorization") == f"Bearer token-{self.newest}"

    async def look_again(self, call: FakeCall, _: BatchRequest) -> bool:
        """A call on which one append comes after the other ends when its token has grown old."""
        if self.is_good(call):
            return False
        self.refused.append(call.method)
        call.finish([("grpc-status", str(UNAUTHENTICATED)), ("grpc-message", "Unauthenticated")])
        return True

    async def serve(self, call: FakeCall) -> None:
        """Serve a call of somebody whose token is good."""
        if not self.is_good(call):
            self.refused.append(call.method)
            call.fail(UNAUTHENTICATED, "Unauthenticated")
        elif call.method == "Details":
            await call.read()
            call.answer()
        elif call.headers[":path"].startswith("/event_store.client.persistent_subscriptions."):
            call.begin()
            call.send(encode_confirmation("s::g"))
            await asyncio.shield(call.reset_by_client)
        elif call.method == "Read" and self.service.events == 0:
            await subscription(call)
        else:
            await self.service(call)


@asynccontextmanager
async def token_server(tokens: Tokens) -> AsyncIterator[tuple[FakeServer, bytes]]:
    """A server with TLS, and its authority."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("localhost").configure_cert(context)
    async with fake_server(tokens.serve, tls=context) as server:
        yield server, authority.cert_pem.bytes()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which client."""
    return str(request.param)


@pytest.fixture(params=["function", "coroutine function"])
async def tokens(request: pytest.FixtureRequest, kind: str) -> AsyncIterator[tuple[Tokens, Any]]:
    """Tokens, and a client that has them."""
    tokens = Tokens()
    provider = tokens.plain if request.param == "function" else tokens.waiting
    async with token_server(tokens) as (server, authority):
        uri = f"esdb://localhost:{server.port}"
        async with client_of(kind, uri, root_certificates=authority, credentials=BearerToken(provider)) as client:
            yield tokens, client


CALLS: dict[str, Callable[[Any], Any]] = {
    "a call": lambda client: client.list_users(),
    "append": lambda client: client.append_events("s", -2, event()),
    "a large append": lambda client: client.append_events("s", -2, NewEvent("T", bytes(900_000))),
    "read": lambda client: drain(client.read_stream_events("s")),
    "position": lambda client: client.get_commit_position(),
}


@pytest.mark.parametrize("what", CALLS)
async def test_a_refused_token_is_asked_for_again(tokens: tuple[Tokens, Any], what: str) -> None:
    provider, client = tokens
    for _ in range(3):
        await CALLS[what](client)
    assert (provider.asked, provider.refused) == (1, [])
    provider.newest = 2  # the server has had enough of the first one
    for _ in range(3):
        await CALLS[what](client)
    assert provider.asked == 2
    assert len(provider.refused) == 1


async def test_a_subscription_asks_again(tokens: tuple[Tokens, Any]) -> None:
    provider, client = tokens
    provider.service.events = 0
    async with await client.subscribe_stream_events("s"):
        pass
    provider.newest = 2
    async with await client.subscribe_stream_events("s"):
        pass
    assert (provider.asked, provider.refused) == (2, ["Read"])


async def test_a_consumer_of_a_group_asks_again(tokens: tuple[Tokens, Any]) -> None:
    provider, client = tokens
    for newest in (1, 2):
        provider.newest = newest
        consumer = await client.read_subscription("g", "s")
        await consumer.close()
    assert (provider.asked, provider.refused) == (2, ["Read"])


async def test_once_more_and_no_longer(kind: str) -> None:
    """A server that takes none of the tokens ends the call, and the next one tries again."""
    tokens = Tokens(newest=-1)
    async with token_server(tokens) as (server, authority):
        provider = BearerToken(lambda: f"old-{tokens.plain()}")
        client = client_of(kind, f"esdb://localhost:{server.port}", root_certificates=authority, credentials=provider)
        async with client:
            for number in range(1, 3):
                with pytest.raises(Unauthenticated):
                    await client.list_users()
                assert len(tokens.refused) == 2 * number
            assert tokens.asked == 3  # on first use, and once for each refusal that could be mended


async def test_a_token_that_is_a_text_is_tried_once(kind: str) -> None:
    tokens = Tokens()
    async with token_server(tokens) as (server, authority):
        client = client_of(
            kind, f"esdb://localhost:{server.port}", root_certificates=authority, credentials=BearerToken("token-0")
        )
        async with client:
            with pytest.raises(Unauthenticated):
                await client.list_users()
            await client.list_users(credentials=BearerToken("token-1"))
    assert tokens.refused == ["Details"]


async def test_many_calls_share_one_question(kind: str) -> None:
    tokens = Tokens()
    asking = threading.Event()

    async def slow() -> str:
        asking.set()
        await asyncio.sleep(0.05)
        return tokens.plain()

    async with token_server(tokens) as (server, authority):
        client = client_of(
            kind, f"esdb://localhost:{server.port}", root_certificates=authority, credentials=BearerToken(slow)
        )
        async with client:
            await asyncio.gather(*(client.list_users() for _ in range(10)))
    assert asking.is_set()
    assert tokens.asked == 1


# --- without TLS ---


@pytest.mark.parametrize("where", ["uri", "client", "call"])
async def test_without_tls_nothing_is_sent_and_that_is_said_once(
    kind: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = StreamsService()
    async with fake_server(service) as server:
        place = f"127.0.0.1:{server.port}?tls=false"
        uri = f"esdb://admin:changeit@{place}" if where == "uri" else f"esdb://{place}"
        options = {"credentials": ("admin", "changeit")}
        with caplog.at_level(logging.DEBUG):
            async with client_of(kind, uri, **(options if where == "client" else {})) as client:
                for _ in range(3):
                    more = options if where == "call" else {}
                    await client.append_events("s", -2, event(), **more)
                    await drain(client.read_stream_events("s", **more))
        assert len(server.calls) >= 4
        assert not any("authorization" in call.headers for call in server.calls)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "not sent" in warnings[0]


@pytest.mark.parametrize(
    ("option", "arguments"),
    [("", {"send_credentials_insecurely": True}), ("&sendCredentialsInsecurely=true", {})],
    ids=["argument", "option"],
)
async def test_unless_that_is_asked_for(
    kind: str, caplog: pytest.LogCaptureFixture, option: str, arguments: dict[str, bool]
) -> None:
    async with fake_server(StreamsService()) as server:
        uri = f"esdb://admin:changeit@127.0.0.1:{server.port}?tls=false{option}"
        async with client_of(kind, uri, **arguments) as client:
            await drain(client.read_stream_events("s"))
        (call,) = server.calls
        assert call.headers["authorization"] == "Basic " + b64encode(b"admin:changeit").decode()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_usual_connection_string_works_without_tls(kind: str) -> None:
    async with EmbeddedServer() as server:
        uri = f"esdb://admin:changeit@localhost:{server.port}?tls=false"
        async with client_of(kind, uri) as client:
            assert await client.append_events("s", None, event())


# --- never shown ---

SECRET = "p4ss/wörd+secret"
TOKEN = "t0ken.secret.value"


def forms(secret: str) -> list[bytes]:
    """How a secret can look where it should not be."""
    found = {secret, repr(secret)[1:-1], secret.encode().decode("latin-1"), *secret.split("/")}
    for login in ("admin", "user"):
        found.add(b64encode(f"{login}:{secret}".encode()).decode())
    return [form.encode() for form in found]


class Everything:
    """All that the package says: logs of every library, texts, reprs, tracebacks and pickles of what it raises."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []

    def keep(self, where: str, what: object) -> None:
        """Keep how something looks."""
        for text in (str(what), repr(what), f"{what!s:.500}"):
            self.said.append((where, text.encode("utf-8", "backslashreplace")))

    def keep_error(self, where: str, error: BaseException) -> None:
        """Keep all that an exception shows, and whatever has caused it."""
        seen: BaseException | None = error
        while seen is not None:
            self.keep(where, seen)
            self.keep(where, vars(seen))
            seen = seen.__cause__ or seen.__context__
        # The lines of a test hold the secret, those of the package do not.
        lines = [line for line in traceback.format_exception(error) if "/tests/" not in line]
        self.keep(where, "".join(lines))
        self.said.append((where, pickle.dumps(error)))

    def leaks(self, *secrets: str) -> list[str]:
        """Where a secret has been shown."""
        wanted = [form for secret in secrets for form in forms(secret)]
        return sorted({f"{where}: {said[:300]!r}" for where, said in self.said for form in wanted if form in said})


async def test_secrets_are_shown_nowhere(
    kind: str, server: EmbeddedServer, certificate: DevCertificate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("hpack", "h2", "grpclib", "asyncio", "esdb_lite"):
        caplog.set_level(logging.DEBUG, logger=name)
    kept = Everything()

    async def trying(where: str, call: Any) -> None:
        try:
            kept.keep(where, await call)
        except EsdbClientException as error:
            kept.keep_error(where, error)

    async with client_of(kind, server.uri, credentials=("admin", "changeit")) as admin:
        await trying("create", admin.create_user("user", SECRET))
        await trying("again", admin.create_user("user", SECRET + "2"))
        await trying("reset", admin.reset_password("user", SECRET))
        await trying("missing", admin.reset_password("nobody", SECRET))
        await trying("change", admin.change_password("user", SECRET, SECRET))
        await trying("wrong", admin.change_password("user", SECRET + "2", SECRET))
        await trying("get", admin.get_user("user"))
        await trying("list", admin.list_users())
    for credentials in (Credentials("user", SECRET), Credentials("admin", SECRET), BearerToken(TOKEN)):
        kept.keep("credentials", credentials)
        async with client_of(kind, server.uri, credentials=credentials) as client:
            kept.keep("client", client)
            await trying("users", client.list_users())
            await trying("append", client.append_events("s", -2, event()))
            await trying("one append", client.append_events("s", -2, event(), credentials=credentials))
            await trying("read", drain(client.read_stream_events("s")))
            await trying("subscribe", client.subscribe_all_events())
            await trying("group", client.read_subscription("g", "s"))
    kept.keep("server", server)
    for record in caplog.records:
        kept.keep(f"log {record.name}", record.getMessage())
        kept.keep(f"log {record.name}", vars(record))
    assert {record.name.partition(".")[0] for record in caplog.records} & {"hpack", "h2"}  # they were listened to
    assert not kept.leaks(SECRET, TOKEN)


async def test_secrets_are_not_shown_when_nobody_answers(kind: str) -> None:
    kept = Everything()
    async with fake_server(StreamsService()) as server:
        pass  # gone
    for uri in (f"esdb://admin:p4ss%2Fw%C3%B6rd%2Bsecret@localhost:{server.port}", f"esdb://localhost:{server.port}"):
        client = client_of(kind, uri, **({} if "@" in uri else {"credentials": ("admin", SECRET)}))
        async with client:
            with pytest.raises(EsdbClientException) as caught:
                await client.list_users(timeout=5)
            kept.keep_error(uri[:12], caught.value)
            kept.keep("client", client)
    assert not kept.leaks(SECRET, "p4ss%2Fw%C3%B6rd%2Bsecret")


@pytest.mark.parametrize(
    "uri",
    [
        "esdb://admin:zqx//vjk@",
        "esdb://admin:zqx//vjk@host:port",
        "esdb://admin:zqx?vjk@host",
        "esdb://admin:zqx?vjk=x&tls=vjk@host",
        "esdb://admin:zqx@vjk@host:x",
        "admin:zqx//vjk@host:port",
        "esdb+embedded://admin:zqxvjk@host",
        "nosql://admin:zqxvjk@host",
        "esdb+nothing://admin:zqxvjk@host",
        "esdb://admin:zqxvjk@host?tls=perhaps",
        "esdb://admin:zqxvjk@host?userCertFile=x",
        "esdb://:zqxvjk@host",
    ],
)
def test_connection_strings_that_are_none_do_not_show_passwords(uri: str) -> None:
    kept = Everything()
    for kind in (AsyncEsdbClient, EsdbClient):
        with pytest.raises(InvalidUri) as caught:
            kind(uri)
        kept.keep_error("uri", caught.value)
    assert not [said for where, said in kept.said if b"zqx" in said or b"vjk" in said]


def test_arguments_that_are_none_do_not_show_passwords() -> None:
    with pytest.raises(InvalidArgument) as refused:
        EsdbClient("localhost", credentials=("admin", "secret\ud800"))
    told = Everything()
    told.keep_error("argument", refused.value)
    assert not told.leaks("secret")
    for wrong in (("admin", b"secret"), ("admin", "secret", "x"), b"admin:secret", {"admin": "secret"}):
        with pytest.raises(WrongArgumentType) as caught:
            EsdbClient("localhost", credentials=wrong)  # type: ignore[arg-type]
        kept = Everything()
        kept.keep_error("argument", caught.value)
        assert not kept.leaks("secret")
    with pytest.raises(WrongArgumentType) as caught:
        EsdbClient(b"esdb://admin:secret@localhost")  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


async def test_a_client_takes_its_secrets_nowhere(kind: str) -> None:
    client = client_of(kind, "esdb://localhost", credentials=("admin", SECRET))
    inner = client if kind == "async" else client._inner
    for take_along in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            take_along(inner)
    async with client:
        pass


async def test_a_token_of_a_provider_that_is_none(kind: str) -> None:
    for answer in ("", "two words", "line\nbreak", "wörd", "t" * 16_400, b"token-1", None):
        async with client_of(
            kind,
            "esdb://localhost:1",
            credentials=BearerToken(lambda answer=answer: answer),  # type: ignore[misc]
        ) as client:
            with pytest.raises(CredentialsUnavailable) as caught:
                await client.list_users()
        assert not answer or str(answer) not in str(caught.value)
