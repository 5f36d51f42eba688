"""A server with TLS and users, a certificate authority, and callers of every kind."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite.server.tls import DevCertificate, dev_certificate

pytest.importorskip("trustme", reason="trustme is not installed")


def basic(login: str, password: str) -> tuple[tuple[str, str], ...]:
    """Headers with a login."""
    return (("authorization", "Basic " + b64encode(f"{login}:{password}".encode()).decode()),)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> DevCertificate:
    """A certificate for this machine."""
    return dev_certificate(str(tmp_path_factory.mktemp("certificate")))


@pytest.fixture
def run_projections() -> str:
    """Which projections the server has."""
    return "none"


@pytest.fixture
async def server(certificate: DevCertificate, run_projections: str) -> AsyncIterator[EmbeddedServer]:
    """A fresh server that asks who is calling."""
    folder = Path(certificate.authority).parent
    async with EmbeddedServer(dev_certificate=folder, run_projections=run_projections) as running:
        yield running


@pytest.fixture
async def admin(server: EmbeddedServer) -> AsyncIterator[AsyncEsdbClient]:
    """A client that may do everything."""
    async with AsyncEsdbClient(server.uri, credentials=("admin", "changeit")) as client:
        yield client


@pytest.fixture
async def user(server: EmbeddedServer, admin: AsyncEsdbClient) -> AsyncIterator[AsyncEsdbClient]:
    """A client of an ordinary user, `user` with the password `pw` in the group `team`."""
    await admin.create_user("user", "pw", groups=["team"])
    async with AsyncEsdbClient(server.uri, credentials=("user", "pw")) as client:
        yield client


@pytest.fixture
async def node(server: EmbeddedServer, certificate: DevCertificate) -> AsyncIterator[ConnectionPool]:
    """The server, for calls that are made by hand."""
    context = ssl.create_default_context(cafile=certificate.authority)
    context.set_alpn_protocols(["h2"])
    made = ConnectionPool(server.host, server.port, tls=context)
    yield made
    await made.close()
