"""`esdb-lite web` and `esdb-lite serve --web`, as processes of their own."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from esdb_lite import EmbeddedServer, EsdbClient, NewEvent
from tests.support import PATIENCE, Finished, ServeProcess, command, environment, run_command

Serve = Callable[..., ServeProcess]


def read(address: str) -> str:
    """Load a page."""
    with urlopen(address, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


@pytest.fixture
def filled() -> Iterator[EmbeddedServer]:
    """A server with an event in it."""
    with EmbeddedServer() as server, EsdbClient(server.uri) as client:
        client.append_events("order-1", None, NewEvent.json("Placed", {"n": 1}))
        yield server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_console_of_any_server(filled: EmbeddedServer, number: signal.Signals) -> None:
    process = subprocess.Popen(
        command("web", filled.uri, "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    assert "read-only" in read(address)
    assert "Placed" in read(f"{address}stream?name=order-1")
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 0


def test_the_console_of_serve(serve: Serve) -> None:
    server = serve("--web", "--allow-changes")
    with EsdbClient(server.uri) as client:
        client.append_events("order-1", None, NewEvent.json("Placed", {"n": 1}))
        assert "Placed" in read(f"http://{server.address}/stream?name=order-1")
        assert "read-only" not in read(f"http://{server.address}/")
        assert "kurrentdb_kestrel_connections" in read(f"http://{server.address}/metrics")
        live = urlopen(f"http://{server.address}/live/events", timeout=PATIENCE)
        assert live.readline() == b"event: ready\n"
        assert server.stop() == Finished(0, "", f"console: http://{server.address}/\n")
        live.close()


def test_with_tls(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("trustme", reason="trustme is not installed")
    server = serve("--web", "--dev-certificate", tmp_path / "certificates")
    with EsdbClient(server.uri, credentials=("admin", "changeit")) as client:
        assert client.get_user("admin")
    assert server.stop() == Finished(0, "", f"console: https://{server.address}/\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["web", "--host", "0.0.0.0", "localhost:1"], "--insecure"),
        (["web"], "ESDB_URI"),
        (["web", "http://localhost"], "uri"),
        (["serve", "--port", "0", "--allow-changes"], "--web"),
    ],
)
def test_what_is_refused(arguments: list[str], words: str) -> None:
    done = run_command(*arguments)
    assert (done.status, done.out) == (2, "")
    assert words in done.err


def test_a_port_in_use(filled: EmbeddedServer) -> None:
    done = run_command("web", filled.uri, "--port", str(filled.port))
    assert (done.status, done.out) == (2, "")
    assert str(filled.port) in done.err


def test_without_what_it_needs(filled: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "starlette.py").write_text("raise ImportError('there is none')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run_command("web", filled.uri, "--port", "0")
    assert (done.status, done.out) == (2, "")
    assert "pip install starlette" in done.err
