"""`serve` with TLS, as a process of its own: certificates that change, first passwords, databases with a history."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import trustme

from esdb_lite import (
    AccessDenied,
    AsyncEsdbClient,
    EmbeddedServer,
    EsdbClient,
    NewEvent,
    StreamAcl,
    StreamMetadata,
    TlsError,
    Unauthenticated,
)
from esdb_lite.server.tls import DevCertificate
from tests.support import PATIENCE, ServeProcess, run_command, start_serve

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")


def event() -> NewEvent:
    return NewEvent("T", b"{}")


class Log:
    """The lines that a process writes to its log."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)

    def wait_for(self, text: str) -> str:
        """The next line that has this in it."""
        while text not in (line := self._lines.get(timeout=PATIENCE)):
            pass
        return line

    def close(self) -> None:
        """After the end of the process."""
        self._thread.join(PATIENCE)


def write_certificate(authority: trustme.CA, folder: Path) -> None:
    """Put a new certificate of an authority where the server looks for one."""
    leaf = authority.issue_cert("localhost")
    (folder / "node.key").write_bytes(leaf.private_key_pem.bytes())
    (folder / "node.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))


@pytest.fixture
def renewed(tmp_path: Path) -> Iterator[tuple[ServeProcess, Log, trustme.CA]]:
    """A server with a certificate in files, its log, and the authority."""
    authority = trustme.CA()
    write_certificate(authority, tmp_path)
    files = ["--certificate-file", "node.pem", "--certificate-private-key-file", "node.key"]
    server = start_serve(*files, "--log-level", "info", folder=tmp_path)
    assert server.process.stderr is not None
    log = Log(server.process.stderr)
    yield server, log, authority
    server.process.kill()
    server.process.wait(PATIENCE)
    log.close()
    for stream in (server.process.stdout, server.process.stderr):
        assert stream is not None
        stream.close()


def client_of(server: ServeProcess, authority: trustme.CA) -> EsdbClient:
    port = server.address.rpartition(":")[2]
    roots = authority.cert_pem.bytes()
    return EsdbClient(f"esdb://localhost:{port}", root_certificates=roots, credentials=("admin", "changeit"))


def shows(server: ServeProcess, authority: trustme.CA) -> bool:
    """Whether the server shows a certificate of this authority in a new handshake."""
    with client_of(server, authority) as client:
        try:
            client.connect(timeout=PATIENCE)
        except TlsError:
            return False
        return True


def test_a_hangup_makes_the_server_read_its_certificate_anew(
    renewed: tuple[ServeProcess, Log, trustme.CA], tmp_path: Path
) -> None:
    server, log, old = renewed
    new = trustme.CA()
    with client_of(server, old) as before, before.subscribe_stream_events("s") as subscription:
        write_certificate(new, tmp_path)
        assert not shows(server, new)  # not before it is told
        server.process.send_signal(signal.SIGHUP)
        log.wait_for("the certificate was read again")
        assert shows(server, new)
        assert not shows(server, old)
        # What was open lives on.
        before.append_events("s", None, event())
        assert next(subscription).type == "T"


@pytest.mark.parametrize("broken", ["no certificate", "another key", "missing"])
def test_a_certificate_that_is_of_no_use_changes_nothing(
    renewed: tuple[ServeProcess, Log, trustme.CA], tmp_path: Path, broken: str
) -> None:
    server, log, old = renewed
    new = trustme.CA()
    if broken == "no certificate":
        (tmp_path / "node.pem").write_text("nothing of the kind")
    elif broken == "another key":
        (tmp_path / "node.pem").write_bytes(new.issue_cert("localhost").cert_chain_pems[0].bytes())
    else:
        (tmp_path / "node.pem").unlink()
    with client_of(server, old) as before:
        before.append_events("s", None, event())
        server.process.send_signal(signal.SIGHUP)
        said = log.wait_for("the certificate was not changed")
        assert "ERROR" in said
        assert "node.pem" in said
        assert shows(server, old)
        before.append_events("s", 0, event())
    write_certificate(new, tmp_path)
    server.process.send_signal(signal.SIGHUP)
    log.wait_for("the certificate was read again")
    assert shows(server, new)


# --- first passwords ---


def served(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str | Path, **passwords: str) -> ServeProcess:
    for name, password in passwords.items():
        monkeypatch.setenv(f"ESDB_{name.upper()}_PASSWORD", password)
    return start_serve("--dev-certificate", folder / "certificates", *arguments, folder=folder)


def accepts(server: ServeProcess, login: str, password: str) -> bool:
    with EsdbClient(server.uri, credentials=(login, password)) as client:
        try:
            client.get_user(login)
        except Unauthenticated:
            return False
        return True


def test_first_passwords_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    database = ("--db", tmp_path / "events.db")
    server = served(monkeypatch, tmp_path, *database, admin="first one", ops="second:öne")
    assert accepts(server, "admin", "first one")
    assert accepts(server, "ops", "second:öne")
    assert not accepts(server, "admin", "changeit")
    assert not accepts(server, "ops", "changeit")
    with EsdbClient(server.uri, credentials=("admin", "first one")) as client:
        client.change_password("admin", "first one", "my own")
    assert server.stop().status == 0
    # They are for the first start: later ones change nothing.
    server = served(monkeypatch, tmp_path, *database, admin="third", ops="fourth")
    assert accepts(server, "admin", "my own")
    assert accepts(server, "ops", "second:öne")
    assert not accepts(server, "admin", "third")
    done = server.stop()
    assert done.status == 0
    (refusal,) = done.err.splitlines()  # and nothing else is said
    assert refusal.endswith("a login as 'admin' from 127.0.0.1 was refused")


def test_without_any_they_are_those_of_a_real_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = served(monkeypatch, tmp_path, admin="", ops="only this one")
    assert accepts(server, "admin", "changeit")
    assert accepts(server, "ops", "only this one")
    assert server.stop().err == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", ""])
def test_passwords_that_everybody_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str) -> None:
    """A server that can be reached from elsewhere says which of its users have one, as long as they have it."""
    everywhere = host in ("0.0.0.0", "")
    database = ("--db", tmp_path / "events.db", "--host", host)
    said = served(monkeypatch, tmp_path, *database, ops="its own").stop().err
    assert ("user admin still has the default password" in said) == everywhere
    assert "user ops" not in said
    assert len(said.splitlines()) == everywhere
    server = served(monkeypatch, tmp_path, *database)
    with EsdbClient(server.uri, credentials=("admin", "changeit")) as client:
        client.reset_password("admin", "better")
    assert ("user admin" in server.stop().err) == everywhere  # it was said when it began
    assert served(monkeypatch, tmp_path, *database).stop().err == ""


def test_at_home_they_are_told_of_in_the_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = served(monkeypatch, tmp_path, "--log-level", "info", ops="its own").stop().err
    (line,) = (line for line in said.splitlines() if "default password" in line)
    assert "INFO" in line
    assert "user admin still has the default password" in line


def test_a_server_without_users_says_nothing_about_passwords(tmp_path: Path) -> None:
    assert start_serve("--host", "0.0.0.0", "--insecure", folder=tmp_path).stop().err == ""


# --- databases with a history ---


async def test_a_database_without_users_gets_them(tmp_path: Path, certificate: DevCertificate) -> None:
    path, folder = tmp_path / "events.db", Path(certificate.authority).parent
    async with EmbeddedServer(path) as plain, AsyncEsdbClient(plain.uri) as client:
        await client.append_events("order", None, [event(), event()])
        await client.set_stream_metadata("order", StreamMetadata(acl=StreamAcl(read=("team",))))
        await client.append_events("$mine", None, event())
        await client.create_subscription("g", "order")
        before = [recorded async for recorded in client.read_all_events(filter_exclude=())]
    for _ in range(2):  # they are made once
        async with EmbeddedServer(path, dev_certificate=folder) as secure:
            async with AsyncEsdbClient(secure.uri) as nobody:
                with pytest.raises(AccessDenied):
                    await nobody.get_stream_position("order")
            async with AsyncEsdbClient(secure.uri, credentials=("admin", "changeit")) as admin:
                after = [recorded async for recorded in admin.read_all_events(filter_exclude=())]
                assert after[: len(before)] == before
                assert len(after) == len(before) + 6
                assert [user.login_name for user in await admin.list_users()] == ["admin", "ops"]
                assert (await admin.get_subscription_info("g", "order")).group_name == "g"
            async with AsyncEsdbClient(secure.uri, credentials=("ops", "changeit")) as ops:
                with pytest.raises(AccessDenied):
                    await ops.get_stream_position("order")  # what was written without users counts with them


async def test_users_wait_while_nobody_asks_for_them(tmp_path: Path, certificate: DevCertificate) -> None:
    path, folder = tmp_path / "events.db", Path(certificate.authority).parent
    secure = EmbeddedServer(path, dev_certificate=folder)
    async with secure, AsyncEsdbClient(secure.uri, credentials=("admin", "changeit")) as admin:
        await admin.create_user("anna", "a secret", groups=["team"])
        await admin.set_stream_metadata("order", StreamMetadata(acl=StreamAcl(read=("team",), write=())))
        await admin.delete_user("ops")
    async with EmbeddedServer(path) as plain, AsyncEsdbClient(plain.uri) as everybody:
        await everybody.append_events("order", None, event())  # no list keeps anybody out here
        assert await everybody.get_stream_position("order") == 0
        assert await everybody.get_stream_position("$user-anna") == 0
    async with (
        EmbeddedServer(path, dev_certificate=folder) as again,
        AsyncEsdbClient(again.uri, credentials=("anna", "a secret")) as anna,
    ):
        assert await anna.get_stream_position("order") == 0
        with pytest.raises(AccessDenied):
            await anna.append_events("order", 0, event())
        assert [user.login_name for user in await anna.list_users()] == ["admin", "anna"]  # ops stays deleted


async def test_users_that_were_being_made_when_the_server_was_killed(
    tmp_path: Path, certificate: DevCertificate
) -> None:
    """What is there of them is left, what is missing is added."""
    path, folder = tmp_path / "events.db", Path(certificate.authority).parent
    async with EmbeddedServer(path, dev_certificate=folder, ops_password="kept") as secure:
        pass
    async with EmbeddedServer(path) as plain, AsyncEsdbClient(plain.uri) as client:
        kept = [recorded async for recorded in client.read_all_events(filter_exclude=())]
    whole = [(recorded.stream_name, recorded.type, recorded.data) for recorded in kept][1:]
    assert len(whole) == 6
    for number in range(6):
        part = tmp_path / f"part{number}.db"
        async with EmbeddedServer(part) as plain, AsyncEsdbClient(plain.uri) as client:
            for stream, type_, data in whole[:number]:
                kind = "application/octet-stream" if type_ == "$User" else "application/json"
                await client.append_events(stream, -2, NewEvent(type_, data, content_type=kind))
        async with (
            EmbeddedServer(part, dev_certificate=folder, ops_password="new") as secure,
            AsyncEsdbClient(secure.uri, credentials=("admin", "changeit")) as admin,
        ):
            assert [user.login_name for user in await admin.list_users()] == ["admin", "ops"]
            made = whole[2][0] == "$user-ops" and number >= 3
            await admin.get_user("ops", credentials=("ops", "kept" if made else "new"))


def test_the_environment_is_said_of_in_the_help() -> None:
    said = run_command("serve", "--help").out
    assert "ESDB_ADMIN_PASSWORD" in said
    assert "SIGHUP" in said
