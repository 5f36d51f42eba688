"""Handshakes that must fail, each with its reason; certificates that are replaced; what the client keeps to itself."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import ssl
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme

from esdb_lite import (
    AccessDenied,
    AsyncEsdbClient,
    BearerToken,
    CredentialsUnavailable,
    EmbeddedServer,
    InvalidArgument,
    NewEvent,
    ServiceUnavailable,
    Unauthenticated,
)
from esdb_lite.server.errors import CertificateUnusable
from esdb_lite.server.tls import DevCertificate, ServerTls


def server_of(ca: trustme.CA, folder: Path, *names: str, expired: bool = False) -> EmbeddedServer:
    """A server with a certificate of this authority."""
    end = datetime.now(timezone.utc) - timedelta(days=1) if expired else None
    issued = ca.issue_cert(*names, not_after=end)
    certificate, key = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return EmbeddedServer(certificate_file=certificate, certificate_private_key_file=key)


async def refusal(uri: str, authority: bytes | None = None) -> str:
    """Why a connection was not made."""
    async with AsyncEsdbClient(uri, root_certificates=authority) as client:
        with pytest.raises(ServiceUnavailable) as caught:
            await client.get_stream_position("s", timeout=10)
    return str(caught.value)


async def test_reasons(tmp_path: Path, server: EmbeddedServer) -> None:
    ca = trustme.CA()
    assert "not of an authority that is trusted" in await refusal(f"esdb://localhost:{server.port}")
    assert "expects TLS" in await refusal(f"esdb://localhost:{server.port}?tls=false")
    async with EmbeddedServer() as plain:
        assert "does not speak TLS" in await refusal(f"esdb://localhost:{plain.port}")
    async with server_of(ca, tmp_path, "127.0.0.1", expired=True) as other:
        assert "has expired" in await refusal(f"esdb://127.0.0.1:{other.port}", ca.cert_pem.bytes())
    async with server_of(ca, tmp_path, "db.example.org") as other:
        assert "for another host" in await refusal(f"esdb://127.0.0.1:{other.port}", ca.cert_pem.bytes())


async def test_old_versions_of_tls(server: EmbeddedServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(server.host, server.port, ssl=context)


async def test_a_certificate_is_replaced_without_a_restart(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    server = server_of(old, tmp_path, "127.0.0.1")
    async with server:
        uri = f"esdb://127.0.0.1:{server.port}"
        server_of(new, tmp_path, "127.0.0.1")
        server.reload_certificate()
        async with AsyncEsdbClient(uri, root_certificates=new.cert_pem.bytes()) as client:
            await client.connect(timeout=10)
        (tmp_path / "server.key").write_text("no key")
        with pytest.raises(CertificateUnusable):
            server.reload_certificate()
        async with AsyncEsdbClient(uri, root_certificates=new.cert_pem.bytes()) as client:
            await client.connect(timeout=10)


async def test_certificates_of_clients(tmp_path: Path, certificate: DevCertificate) -> None:
    trusted, stranger = trustme.CA(), trustme.CA()
    (tmp_path / "roots.pem").write_bytes(trusted.cert_pem.bytes())
    files = {"dev_certificate": Path(certificate.authority).parent, "trusted_root_certificates_path": tmp_path}
    async with EmbeddedServer(**files) as server:  # type: ignore[arg-type]
        for authority, welcome in ((trusted, True), (stranger, False)):
            shown = authority.issue_cert("me@example.org")
            client = AsyncEsdbClient(
                server.uri,
                credentials=("admin", "changeit"),
                certificate_chain=shown.cert_chain_pems[0].bytes(),
                private_key=shown.private_key_pem.bytes(),
            )
            async with client:
                if welcome:
                    assert await client.list_users(timeout=10)
                else:
                    with pytest.raises(Exception, match=r".") as caught:
                        await client.list_users(timeout=10)
                    assert not isinstance(caught.value, (AccessDenied, Unauthenticated))


def roots_of(folder: Path, certificate: DevCertificate) -> ServerTls:
    return ServerTls(replace(certificate.files, trusted_roots=str(folder)))


def test_a_folder_of_trusted_certificates_may_hold_other_files(tmp_path: Path, certificate: DevCertificate) -> None:
    """Tools for certificates put the key of an authority beside its certificate."""
    one, two = trustme.CA(), trustme.CA(organization_name="another")
    (tmp_path / "ca.crt").write_bytes(one.cert_pem.bytes())
    (tmp_path / "other.DER").write_bytes(ssl.PEM_cert_to_DER_cert(two.cert_pem.bytes().decode()))
    (tmp_path / "ca.key").write_bytes(one.private_key_pem.bytes())
    (tmp_path / "notes.txt").write_text("do not lose the key")
    (tmp_path / ".hidden").write_bytes(b"\0")
    (tmp_path / "below").mkdir()
    assert len(roots_of(tmp_path, certificate).context.get_ca_certs()) == 2


@pytest.mark.parametrize("what", ["nothing", "no certificate", "a link to nothing", "a certificate of an authority"])
def test_a_folder_of_trusted_certificates_that_is_of_no_use(
    what: str, tmp_path: Path, certificate: DevCertificate
) -> None:
    authority = trustme.CA()
    if what == "no certificate":
        (tmp_path / "ca.crt").write_text("no certificate")
    elif what == "a link to nothing":
        (tmp_path / "ca.crt").symlink_to(tmp_path / "nothing")
    elif what == "a certificate of an authority":
        (tmp_path / "ca.crt").write_bytes(authority.issue_cert("localhost").cert_chain_pems[0].bytes())
    else:
        (tmp_path / "ca.key").write_bytes(authority.private_key_pem.bytes())
    with pytest.raises(CertificateUnusable, match=str(tmp_path) if what == "nothing" else r"ca\.crt"):
        roots_of(tmp_path, certificate)


def test_an_authority_below_another_is_no_root(tmp_path: Path, certificate: DevCertificate) -> None:
    (tmp_path / "ca.pem").write_bytes(trustme.CA().create_child_ca().cert_pem.bytes())
    with pytest.raises(CertificateUnusable, match=r"ca\.pem.*not the self-signed"):
        roots_of(tmp_path, certificate)


def test_files_that_are_of_no_use(tmp_path: Path, certificate: DevCertificate) -> None:
    with (
        pytest.raises(CertificateUnusable, match=r"missing\.pem"),
        EmbeddedServer(
            certificate_file=tmp_path / "missing.pem", certificate_private_key_file=tmp_path / "missing.key"
        ),
    ):
        pass
    with (
        pytest.raises(CertificateUnusable, match=r"there is no \S+missing\.key$"),
        EmbeddedServer(
            certificate_file=certificate.files.certificate, certificate_private_key_file=tmp_path / "missing.key"
        ),
    ):
        pass
    shutil.copy(certificate.authority, tmp_path / "ca.pem")
    with pytest.raises(CertificateUnusable, match="only some"), EmbeddedServer(dev_certificate=tmp_path):
        pass
    with pytest.raises(ValueError, match="together"):
        EmbeddedServer(certificate_file="x")
    assert os.stat(certificate.files.private_key).st_mode & 0o077 == 0


async def test_a_token_that_is_not_refused_is_asked_for_once(server: EmbeddedServer, admin: AsyncEsdbClient) -> None:
    """This server takes no tokens: it treats who sends one like nobody."""
    asked: list[str] = []

    async def provider() -> str:
        asked.append("")
        return "secret-token"

    async with AsyncEsdbClient(server.uri, credentials=BearerToken(provider)) as client:
        for _ in range(3):
            with pytest.raises(AccessDenied):
                await client.list_users()
    assert len(asked) == 1


async def test_a_provider_that_fails(server: EmbeddedServer) -> None:
    def provider() -> str:
        raise OSError("secret")

    async with AsyncEsdbClient(server.uri, credentials=BearerToken(provider)) as client:
        with pytest.raises(CredentialsUnavailable) as caught:
            await client.list_users()
        with pytest.raises(CredentialsUnavailable):
            await client.append_events("s", None, NewEvent("T", b""), credentials=BearerToken("two words"))
    assert "secret" not in str(caught.value)


async def test_secrets_are_not_shown(server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with AsyncEsdbClient(server.uri, credentials=("admin", "top-secret")) as client:
        with pytest.raises(Unauthenticated) as caught:
            await client.list_users()
        assert "top-secret" not in f"{caught.value!r}{caught.value}{client!r}"
    assert "top-secret" not in caplog.text
    assert "top-secret" not in repr(BearerToken("top-secret"))


def test_arguments() -> None:
    with pytest.raises(InvalidArgument, match="root_certificates"):
        AsyncEsdbClient("localhost:2113", root_certificates=b"-----BEGIN CERTIFICATE-----")
    with pytest.raises(InvalidArgument, match="not the name of a file"):
        AsyncEsdbClient("esdb://localhost", root_certificates="ca.pem")
    with pytest.raises(InvalidArgument, match="together"):
        AsyncEsdbClient("esdb://localhost", private_key="-----BEGIN PRIVATE KEY-----")
