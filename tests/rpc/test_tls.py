"""Connections with TLS: who is believed, and what is sent only there."""

from __future__ import annotations

import logging
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from esdb_lite import AsyncEsdbClient, InvalidUri, NewEvent, ServiceUnavailable, TlsError
from tests.rpc.fake import FakeServer, fake_server
from tests.rpc.streams_service import StreamsService

E = NewEvent("T", b"{}")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@asynccontextmanager
async def tls_server(certificate: trustme.LeafCert, ca: trustme.CA | None = None) -> AsyncIterator[FakeServer]:
    """Run a server with TLS; with `ca` it wants to see certificates of clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    certificate.configure_cert(context)
    if ca is not None:
        ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    async with fake_server(StreamsService(), tls=context) as server:
        yield server


async def test_the_file_of_the_authority(authority: trustme.CA, ca_file: Path) -> None:
    async with tls_server(authority.issue_cert("localhost", "127.0.0.1")) as server:
        for host in ("localhost", "127.0.0.1"):
            async with AsyncEsdbClient(f"esdb://{host}:{server.port}?tlsCaFile={ca_file}") as client:
                assert await client.append_events("s", None, E)
        assert server.calls[0].headers[":scheme"] == "https"


async def test_an_authority_that_nobody_knows(authority: trustme.CA) -> None:
    async with (
        tls_server(authority.issue_cert("localhost")) as server,
        AsyncEsdbClient(f"esdb://localhost:{server.port}") as client,
    ):
        with pytest.raises(TlsError, match="not of an authority that is trusted") as caught:
            await client.append_events("s", None, E)
        assert isinstance(caught.value, ServiceUnavailable)
        assert (caught.value.host, caught.value.port) == ("localhost", server.port)


async def test_another_host(authority: trustme.CA, ca_file: Path) -> None:
    async with (
        tls_server(authority.issue_cert("elsewhere.example")) as server,
        AsyncEsdbClient(f"esdb://localhost:{server.port}?tlsCaFile={ca_file}") as client,
    ):
        with pytest.raises(TlsError, match="localhost"):
            await client.append_events("s", None, E)


async def test_without_verification(authority: trustme.CA, caplog: pytest.LogCaptureFixture) -> None:
    async with tls_server(authority.issue_cert("elsewhere.example")) as server:
        with caplog.at_level(logging.WARNING, "esdb_lite"):
            async with AsyncEsdbClient(f"esdb://localhost:{server.port}?tlsVerifyCert=false") as client:
                assert await client.append_events("s", None, E)
        assert "not verified" in caplog.text


async def test_certificates_of_clients(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    mine = authority.issue_cert("client")
    mine.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    options = f"tlsCaFile={ca_file}&userCertFile={tmp_path}/cert.pem&userKeyFile={tmp_path}/key.pem"
    async with (
        tls_server(authority.issue_cert("localhost"), authority) as server,
        AsyncEsdbClient(f"esdb://localhost:{server.port}?{options}") as client,
    ):
        assert await client.append_events("s", None, E)


async def test_credentials_are_sent(authority: trustme.CA, ca_file: Path) -> None:
    async with tls_server(authority.issue_cert("localhost")) as server:
        uri = f"esdb://admin:s%C3%A9cret@localhost:{server.port}?tlsCaFile={ca_file}"
        async with AsyncEsdbClient(uri) as client:
            await client.append_events("s", None, E)
            await client.append_events("s", None, E, credentials=("other", "word"))
        sent = [call.headers.get("authorization") for call in server.calls]
    mine, other = (f"Basic {b64encode(text.encode()).decode()}" for text in ("admin:sécret", "other:word"))
    assert sent == [mine, mine, other]


async def test_a_server_without_tls() -> None:
    async with (
        fake_server(StreamsService()) as server,
        AsyncEsdbClient(f"esdb://localhost:{server.port}") as client,
    ):
        with pytest.raises(ServiceUnavailable, match=f"localhost:{server.port}"):
            await client.append_events("s", None, E, timeout=10)


async def test_a_client_without_tls(authority: trustme.CA) -> None:
    async with (
        tls_server(authority.issue_cert("localhost")) as server,
        AsyncEsdbClient(f"localhost:{server.port}") as client,
    ):
        with pytest.raises(ServiceUnavailable, match=f"localhost:{server.port}"):
            await client.append_events("s", None, E, timeout=10)


async def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name in ("missing.pem", "empty.pem"):
        async with AsyncEsdbClient(f"esdb://localhost?tlsCaFile={tmp_path}/{name}") as client:
            with pytest.raises(InvalidUri, match=name):
                await client.connect()
