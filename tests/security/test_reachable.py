"""Who reaches a server at all: without TLS from elsewhere, and servers that a client has started for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from esdb_lite import AccessDenied, AsyncEsdbClient, EmbeddedServer, InvalidArgument, NewEvent
from esdb_lite.server.tls import DevCertificate
from tests.contract.faces import drain
from tests.serving.raw import connected
from tests.support import run_command

HERE = ["127.0.0.1", "127.0.0.2", "::1", "localhost"]
ELSEWHERE = ["0.0.0.0", "::", "", "192.0.2.1", "db.example.org"]


@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_server_without_tls_is_not_reachable_from_elsewhere_unless_that_is_meant(
    host: str, certificate: DevCertificate
) -> None:
    with pytest.raises(InvalidArgument, match="whoever reaches it may do everything") as caught:
        EmbeddedServer(host=host)
    assert caught.value.argument == "insecure"
    assert EmbeddedServer(host=host, insecure=True).host == host
    assert EmbeddedServer(host=host, dev_certificate=Path(certificate.authority).parent).host == host


@pytest.mark.parametrize("host", HERE)
def test_addresses_of_this_machine_are_reachable(host: str) -> None:
    assert EmbeddedServer(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_serve_refuses_it_in_one_line(host: str) -> None:
    done = run_command("serve", "--port", "0", "--host", host)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "may do everything" in done.err
    assert "--insecure" in done.err


async def test_a_server_that_a_client_has_started_serves_no_others(tmp_path: Path) -> None:
    """Others of the machine reach the port, also where they may not read the file."""
    async with AsyncEsdbClient(f"esdb+embedded://{tmp_path}/private.db") as client:
        await client.append_events("s", None, NewEvent("T", b""))
        assert len(await drain(client.read_stream_events("s"))) == 1
        await client.create_subscription("g", "s")
        async with await client.read_subscription("g", "s") as consumer:
            await consumer.ack(await consumer.__anext__())
        running = client._core._server
        assert running is not None
        assert running._node is not None
        async with AsyncEsdbClient(f"esdb://{running.host}:{running.port}?tls=false") as stranger:
            for refused in (
                stranger.append_events("s", 0, NewEvent("T", b"")),
                stranger.tombstone_stream("s"),
                stranger.get_commit_position(),
                stranger.list_subscriptions(),
            ):
                with pytest.raises(AccessDenied, match="for itself"):
                    await refused
        async with connected(running.port) as raw:
            for path in running._node._server._routes:
                for more in ([], [("esdb-lite-token", "x" * 64)], [("esdb-lite-token", "")]):
                    stream = raw.open(path, more=more, end=True)
                    assert (await raw.ended(stream)).status[0] == "7", path
