"""Handshakes of both clients: each that must fail, with its reason, and those that must not."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme

from esdb_lite import (
    AccessDenied,
    EmbeddedServer,
    EsdbClientException,
    InvalidArgument,
    InvalidUri,
    ServiceUnavailable,
    TlsError,
)
from esdb_lite.server.tls import DevCertificate
from tests.rpc.fake import fake_server
from tests.rpc.streams_service import StreamsService
from tests.security.faces import KINDS, client_of

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
BASIC = "Basic YWRtaW46Y2hhbmdlaXQ="


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which client."""
    return str(request.param)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that clients trust."""
    return trustme.CA()


def server_with(leaf: trustme.LeafCert, folder: Path, *, chain: int | None = None) -> EmbeddedServer:
    """A server that shows a certificate, with `chain` certificates of its chain (default: all)."""
    certificate, key = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems[:chain]))
    key.write_bytes(leaf.private_key_pem.bytes())
    return EmbeddedServer(certificate_file=certificate, certificate_private_key_file=key)


async def reason(kind: str, uri: str, authority: trustme.CA | None = None, *, final: bool = True) -> str:
    """Why a connection was not made; `final`: whether no other attempt could succeed."""
    roots = None if authority is None else authority.cert_pem.bytes()
    async with client_of(kind, uri, root_certificates=roots, credentials=("admin", "changeit")) as client:
        with pytest.raises(ServiceUnavailable) as caught:
            await client.list_users(timeout=20)
    assert isinstance(caught.value, TlsError) is final
    host, _, port = uri.partition("://")[2].partition("?")[0].partition(":")
    assert (caught.value.host, caught.value.port) == (host, int(port))
    return str(caught.value)


async def connects(kind: str, uri: str, **options: Any) -> None:
    """A connection is made, and a call answered."""
    async with client_of(kind, uri, credentials=("admin", "changeit"), **options) as client:
        assert len(await client.list_users(timeout=20)) == 2


CERTIFICATES: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"not_before": NOW - 3 * DAY, "not_after": NOW - DAY}, "has expired"),
    "not yet valid": ({"not_before": NOW + DAY, "not_after": NOW + 3 * DAY}, "not valid yet"),
    "wrong host": ({}, "for another host"),
}


@pytest.mark.parametrize("what", CERTIFICATES)
async def test_certificates_that_are_not_right(kind: str, what: str, authority: trustme.CA, tmp_path: Path) -> None:
    options, expected = CERTIFICATES[what]
    leaf = authority.issue_cert("db.example.org" if what == "wrong host" else "localhost", **options)
    async with server_with(leaf, tmp_path) as server:
        assert expected in await reason(kind, f"esdb://localhost:{server.port}", authority)


async def test_an_address_is_a_host_too(kind: str, authority: trustme.CA, tmp_path: Path) -> None:
    async with server_with(authority.issue_cert("localhost"), tmp_path) as server:
        assert "for another host" in await reason(kind, f"esdb://127.0.0.1:{server.port}", authority)
        await connects(kind, f"esdb://localhost:{server.port}", root_certificates=authority.cert_pem.bytes())


async def test_authorities_that_nobody_knows(kind: str, authority: trustme.CA, tmp_path: Path) -> None:
    async with server_with(trustme.CA().issue_cert("localhost"), tmp_path) as server:
        for trusted in (authority, None):
            assert "not of an authority that is trusted" in await reason(
                kind, f"esdb://localhost:{server.port}", trusted
            )


async def test_a_chain(kind: str, authority: trustme.CA, tmp_path: Path) -> None:
    """The certificates between the authority and the server are the server's to show."""
    leaf = authority.create_child_ca().issue_cert("localhost")
    assert len(leaf.cert_chain_pems) == 2
    async with server_with(leaf, tmp_path) as server:
        await connects(kind, f"esdb://localhost:{server.port}", root_certificates=authority.cert_pem.bytes())
    async with server_with(leaf, tmp_path, chain=1) as server:
        assert "not of an authority" in await reason(kind, f"esdb://localhost:{server.port}", authority)


async def test_the_certificate_of_the_server_itself(kind: str, authority: trustme.CA, tmp_path: Path) -> None:
    """As `ssl.get_server_certificate` gets it: it is trusted without its authority, and no other one is."""
    leaf, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    async with server_with(leaf, tmp_path) as server:
        uri = f"esdb://localhost:{server.port}"
        await connects(kind, uri, root_certificates=leaf.cert_chain_pems[0].bytes())
        with pytest.raises(TlsError, match="not of an authority"):
            await connects(kind, uri, root_certificates=other.cert_chain_pems[0].bytes())


async def test_several_authorities_in_one_file(kind: str, authority: trustme.CA, tmp_path: Path) -> None:
    roots = trustme.CA().cert_pem.bytes() + b"# the one that counts\n" + authority.cert_pem.bytes()
    (tmp_path / "roots.pem").write_bytes(roots)
    async with server_with(authority.issue_cert("localhost"), tmp_path) as server:
        await connects(kind, f"esdb://localhost:{server.port}", root_certificates=roots)
        await connects(kind, f"esdb://localhost:{server.port}", root_certificates=roots.decode())
        await connects(kind, f"esdb://localhost:{server.port}?tlsCaFile={tmp_path / 'roots.pem'}")


async def test_without_verification(
    kind: str, authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leaf = authority.issue_cert("elsewhere.example.org", not_after=NOW - DAY, not_before=NOW - 3 * DAY)
    async with server_with(leaf, tmp_path) as server:
        await connects(kind, f"esdb://localhost:{server.port}?tlsVerifyCert=false")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "not verified" in warning


# --- plain text and TLS ---


async def test_plain_text_on_a_port_with_tls(kind: str, server: EmbeddedServer) -> None:
    assert "expects TLS" in await reason(kind, f"esdb://localhost:{server.port}?tls=false", final=False)
    await connects(kind, server.uri)


async def test_tls_on_a_port_with_plain_text(kind: str) -> None:
    async with EmbeddedServer() as server:
        assert "does not speak TLS" in await reason(kind, f"esdb://localhost:{server.port}")


class Listener:
    """Takes down all that clients send, and answers with what it was told to."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with suppress(ConnectionError):
            self.received += await reader.read(65536)
            writer.write(self.answer)
            await writer.drain()
            if self.answer:
                self.received += await reader.read(65536)
        writer.close()


@asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[tuple[Listener, int]]:
    """A port that is no database."""
    listener = Listener(answer)
    server = await asyncio.start_server(listener.serve, "localhost", 0)
    async with server:
        yield listener, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",  # HTTP/2 in plain text
        b"\x15\x03\x03\x00\x02\x02\x46",  # the alert: protocol version
        b"\x15\x03\x03\x00\x02\x02\x28",  # the alert: handshake failure
    ],
)
async def test_there_is_no_way_down_to_plain_text(kind: str, answer: bytes) -> None:
    """Whatever somebody on the way answers: the client speaks TLS, or says nothing at all."""
    async with listening(answer) as (listener, port):
        async with client_of(kind, f"esdb://localhost:{port}", credentials=("admin", "changeit")) as client:
            with pytest.raises(EsdbClientException) as caught:
                await client.list_users(timeout=2)
        assert "changeit" not in str(caught.value)
    assert listener.received[:2] == b"\x16\x03"  # a handshake record
    for shown in (b"PRI * HTTP/2.0", b"authorization", b"Basic", b"changeit", BASIC[6:].encode(), b"list"):
        assert shown not in listener.received


@contextmanager
def handshaking(context: ssl.SSLContext) -> Iterator[tuple[int, list[str]]]:
    """A port on which handshakes are all there is, with OpenSSL's own alerts, and the reasons of those that failed."""
    failed: list[str] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(20)
                with connection, connection.dup() as plain, suppress(OSError):
                    plain.settimeout(20)
                    try:
                        with context.wrap_socket(connection, server_side=True) as secured:
                            secured.recv(65536)
                    except ssl.SSLError as error:
                        failed.append(error.reason or str(error))
                        plain.shutdown(socket.SHUT_WR)
                        while plain.recv(65536):  # what the client sends: a reset would overtake the alert
                            pass

    with socket.create_server(("localhost", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], failed
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def only_old_versions(authority: trustme.CA) -> ssl.SSLContext:
    """A server that has nothing better than TLS 1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("localhost").configure_cert(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


async def test_old_versions_of_tls(kind: str, authority: trustme.CA) -> None:
    context = only_old_versions(authority)
    with handshaking(context) as (port, failed):
        assert "does not speak TLS 1.2 or later" in await reason(kind, f"esdb://localhost:{port}", authority)
    assert failed == ["UNSUPPORTED_PROTOCOL"]
    async with fake_server(StreamsService(), tls=context) as server:  # asyncio's servers give no reason
        text = await reason(kind, f"esdb://localhost:{server.port}", authority, final=False)
        assert "the server has broken it off" in text
        assert not server.calls


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions_of_tls_that_are_spoken(
    server: EmbeddedServer, certificate: DevCertificate, version: Any
) -> None:
    context = ssl.create_default_context(cafile=certificate.authority)
    context.set_alpn_protocols(["http/1.1", "h2"])
    context.minimum_version = context.maximum_version = version
    _, writer = await asyncio.open_connection("localhost", server.port, ssl=context)
    spoken = writer.get_extra_info("ssl_object")
    assert (spoken.version(), spoken.selected_alpn_protocol()) == (version.name.replace("_", "."), "h2")
    assert spoken.compression() is None
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


# --- certificates of clients ---


def demanding(authority: trustme.CA, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server that speaks to those only whose certificate is of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def pem(path: str) -> bytes:
    """What is in a file."""
    return Path(path).read_bytes()


def written(leaf: trustme.LeafCert, folder: Path) -> tuple[str, str]:
    """The files of a client: its certificate, and its key."""
    chain, key = folder / "client.pem", folder / "client.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return str(chain), str(key)


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_server_that_wants_certificates(
    kind: str, version: ssl.TLSVersion, authority: trustme.CA, tmp_path: Path
) -> None:
    mine = authority.create_child_ca().issue_cert("me@example.org")
    chain, key = written(mine, tmp_path)
    roots = authority.cert_pem.bytes()
    passed = {"certificate_chain": pem(chain), "private_key": pem(key).decode()}
    async with fake_server(StreamsService(), tls=demanding(authority, version)) as server:
        for options, more in ((f"?userCertFile={chain}&userKeyFile={key}", {}), ("", passed)):
            uri = f"esdb://localhost:{server.port}{options}"
            async with client_of(kind, uri, root_certificates=roots, **more) as client:
                assert await client.get_commit_position(timeout=20) > 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("shown", "expected", "seen"),
    [
        ("none", "asks for a certificate of the client", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        ("a strange one", "does not accept", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
async def test_a_server_that_does_not_get_the_certificate_it_wants(
    kind: str, version: ssl.TLSVersion, shown: str, expected: str, seen: str, authority: trustme.CA, tmp_path: Path
) -> None:
    chain, key = written(trustme.CA().issue_cert("me@example.org"), tmp_path)
    options = "" if shown == "none" else f"?userCertFile={chain}&userKeyFile={key}"
    with handshaking(demanding(authority, version)) as (port, failed):
        text = await reason(kind, f"esdb://localhost:{port}{options}", authority)
        assert expected in text
    assert set(failed) == {seen}


async def test_a_server_that_takes_certificates(
    kind: str, authority: trustme.CA, certificate: DevCertificate, tmp_path: Path
) -> None:
    """With trusted roots, a certificate may be shown; a strange one is refused; without one a password will do."""
    (tmp_path / "roots.pem").write_bytes(authority.cert_pem.bytes())
    folder = Path(certificate.authority).parent
    async with EmbeddedServer(dev_certificate=folder, trusted_root_certificates_path=tmp_path / "roots.pem") as server:
        await connects(kind, server.uri)
        mine, strange = (ca.issue_cert("me@example.org") for ca in (authority, trustme.CA()))
        chain, key = written(mine, tmp_path)
        await connects(kind, f"{server.uri}&userCertFile={chain}&userKeyFile={key}")
        chain, key = written(strange, tmp_path)
        async with client_of(kind, f"{server.uri}&userCertFile={chain}&userKeyFile={key}") as client:
            with pytest.raises(ServiceUnavailable, match="does not accept"):
                await client.get_commit_position(timeout=20)


async def test_an_authority_that_is_trusted_no_more(
    kind: str, authority: trustme.CA, certificate: DevCertificate, tmp_path: Path
) -> None:
    """Reading the files again takes authorities out, too."""
    roots, folder = tmp_path / "roots.pem", Path(certificate.authority).parent
    roots.write_bytes(authority.cert_pem.bytes())
    chain, key = written(authority.issue_cert("me@example.org"), tmp_path)
    async with EmbeddedServer(dev_certificate=folder, trusted_root_certificates_path=roots) as server:
        shown = f"{server.uri}&userCertFile={chain}&userKeyFile={key}"
        await connects(kind, shown)
        roots.write_bytes(trustme.CA().cert_pem.bytes())
        server.reload_certificate()
        async with client_of(kind, shown) as client:
            with pytest.raises(ServiceUnavailable, match="does not accept"):
                await client.get_commit_position(timeout=20)


async def test_a_certificate_alone_is_no_login(
    kind: str, authority: trustme.CA, certificate: DevCertificate, tmp_path: Path
) -> None:
    (tmp_path / "roots.pem").write_bytes(authority.cert_pem.bytes())
    folder = Path(certificate.authority).parent
    chain, key = written(authority.issue_cert("admin", common_name="admin"), tmp_path)
    server = EmbeddedServer(dev_certificate=folder, trusted_root_certificates_path=tmp_path / "roots.pem")
    async with server, client_of(kind, f"{server.uri}&userCertFile={chain}&userKeyFile={key}") as client:
        with pytest.raises(AccessDenied):
            await client.list_users()


async def test_files_of_the_client_that_are_of_no_use(kind: str, authority: trustme.CA, tmp_path: Path) -> None:
    chain, key = written(authority.issue_cert("me@example.org"), tmp_path)
    (tmp_path / "other.key").write_bytes(authority.issue_cert("other").private_key_pem.bytes())
    for files in ((chain, str(tmp_path / "other.key")), (str(tmp_path / "missing.pem"), key), (key, chain)):
        async with client_of(kind, f"esdb://localhost:1?userCertFile={files[0]}&userKeyFile={files[1]}") as client:
            with pytest.raises(InvalidUri, match="cannot read the certificates"):
                await client.connect(timeout=20)
    wrong = {"certificate_chain": pem(chain), "private_key": (tmp_path / "other.key").read_bytes()}
    async with client_of(kind, "esdb://localhost:1", **wrong) as client:
        with pytest.raises(InvalidArgument, match="certificate_chain: cannot be used with private_key") as caught:
            await client.connect(timeout=20)
    assert "PRIVATE KEY" not in str(caught.value)
