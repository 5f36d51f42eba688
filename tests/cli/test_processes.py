"""The real commands as processes: with TLS and users, ended by Ctrl-C, and with nobody who reads."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from esdb_lite import EmbeddedServer, EsdbClient, NewEvent
from esdb_lite.cli.event_files import reading
from tests.support import PATIENCE, command, environment


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(dev_certificate=tmp_path_factory.mktemp("certificate")) as running:
        yield running


def run(uri: str, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command whose server is named by the environment."""
    env = {**environment(), "ESDB_URI": uri}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, input=stdin, timeout=PATIENCE, env=env, check=False
    )


def test_over_tls(secure: EmbeddedServer, tmp_path: Path) -> None:
    anonymous = secure.uri
    admin = anonymous.replace("esdb://", "esdb://admin:changeit@")
    assert run(admin, "append", "order-1", "Placed", '{"a":1}').returncode == 0
    done = run(admin, "read", "order-1", "--raw")
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"a":1}\n', "")
    denied = run(anonymous, "read", "order-1")
    assert (denied.returncode, denied.stdout, denied.stderr.count("\n")) == (1, "", 1)
    assert run(admin, "users", "create", "ann", "--group", "team", stdin="secret\n").returncode == 0
    assert '"ann"' in run(admin, "users", "list").stdout
    ann = anonymous.replace("esdb://", "esdb://ann:secret@")
    assert run(ann, "read", "order-1", "--raw").stdout == '{"a":1}\n'
    assert run(admin, "users", "password", "ann", stdin="other\n").returncode == 0
    assert run(ann, "ping").returncode == 1
    assert run(admin, "users", "delete", "ann").returncode == 0
    path = tmp_path / "events.jsonl.gz"
    assert run(admin, "export", path).returncode == 0
    assert "1 were there" in run(admin, "import", path).stderr


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running, EsdbClient(running.uri) as client:
        client.append_events("many", None, [NewEvent("T", b'{"x": "%s"}' % (b"y" * 500)) for _ in range(2000)])
        yield running


@contextmanager
def started(server: EmbeddedServer, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    env = {**environment(), "ESDB_URI": server.uri}
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c(server: EmbeddedServer) -> None:
    with started(server, "tail", "many", "--from", "1990") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b'{"stream":"many"')
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (130, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    "arguments",
    [["read", "many"], ["export", "-"], ["streams"], ["info"], ["append", "more", "T", "{}"]],
    ids=lambda arguments: arguments[0],
)
def test_the_output_is_full(server: EmbeddedServer, arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        env = {**environment(), "ESDB_URI": server.uri}
        done = subprocess.run(command(*arguments), stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, env=env)
    said = b"esdb-lite: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files is not limited there")
@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_the_disk_is_full(server: EmbeddedServer, tmp_path: Path, name: str) -> None:
    """A limit stands for the end of the disk."""
    path = tmp_path / name
    env = {**environment(), "ESDB_URI": server.uri}
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *command("export", path)]  # pieces of 512 bytes
    done = subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE, env=env, check=False)
    said = f"esdb-lite: {path} cannot be written: File too large; --resume goes on with it\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    limited = ["sh", "-c", 'ulimit -f 2; exec "$@"', "sh", *command("export", path, "--resume")]
    assert subprocess.run(limited, capture_output=True, timeout=PATIENCE, env=env, check=False).returncode == 2
    assert list(tmp_path.iterdir()) == [path]
    assert run(server.uri, "export", path, "--resume").returncode == 0
    assert run(server.uri, "export", tmp_path / f"whole-{name}").returncode == 0
    with reading(str(path)) as resumed, reading(str(tmp_path / f"whole-{name}")) as whole:
        assert resumed.read() == whole.read()


def test_nobody_reads(server: EmbeddedServer) -> None:
    with started(server, "read", "many") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b'{"stream":"many"')
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        process.wait(PATIENCE)
    assert (process.returncode, said) == (141, b"")
