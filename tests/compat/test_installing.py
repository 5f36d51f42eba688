"""The adapters under the old names: `install()`, and `python -m esdb_lite.compat`; grpcio is never there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from esdb_lite.compat import install
from tests.support import ServeProcess, environment

PROGRAM = """
import sys
from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import NotFoundError
import kurrentdbclient.streams, esdbclient.exceptions

with KurrentDBClient(sys.argv[1]) as client:
    client.append_to_stream("a", events=NewEvent("A", b"{}"), current_version=StreamState.NO_STREAM)
    try:
        client.get_stream("b")
    except esdbclient.exceptions.NotFound as error:
        assert isinstance(error, NotFoundError)
        print(__name__, len(client.get_stream("a")), sys.argv[2:], sorted({"grpc", "google"} & set(sys.modules)))
"""
WITHOUT_GRPC = "import sys; sys.modules['grpc'] = sys.modules['google.protobuf'] = None\n"


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m esdb_lite.compat`."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "esdb_lite.compat", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


@pytest.mark.parametrize("kind", ["file", "-m", "-c"])
def test_a_program_runs_as_it_is(kind: str, tmp_path: Path, server: ServeProcess) -> None:
    source = WITHOUT_GRPC + "import helper\n" * (kind != "-c") + PROGRAM.replace('"a"', f'"a{kind}"')
    (tmp_path / "program.py").write_text(source)
    (tmp_path / "helper.py").write_text("")
    program = {"file": [str(tmp_path / "program.py")], "-m": ["-m", "program"], "-c": ["-c", source]}[kind]
    done = run(*program, f"kdb://{server.address}?Tls=false", "--more", folder=tmp_path)
    assert (done.stdout, done.stderr) == ("__main__ 1 ['--more'] ['grpc']\n", "")


def test_the_status_is_that_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; sys.exit(3)")
    assert run(str(tmp_path / "program.py")).returncode == 3
    (tmp_path / "program.py").write_text("raise KeyError('mine')")
    done = run(str(tmp_path / "program.py"))
    assert done.returncode == 1
    assert "KeyError: 'mine'" in done.stderr
    assert "usage" in run().stderr
    assert run().returncode == 2
    assert "usage" in run("--help").stdout


def test_install() -> None:
    """Also where the package itself is there: its names are taken before it is imported."""
    program = """
import sys
from esdb_lite import compat
compat.install("kurrentdbclient")
compat.install("kurrentdbclient")
import kurrentdbclient.projections
import esdb_lite.compat.kurrentdbclient as adapter
assert kurrentdbclient.KurrentDBClient is adapter.KurrentDBClient
assert "esdbclient" not in sys.modules
assert not {"grpc", "google.protobuf", "grpclib.client"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment(), check=True)


def test_what_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'eventstore'"):
        install("eventstore")
    monkeypatch.setitem(sys.modules, "esdbclient", sys)
    with pytest.raises(RuntimeError, match="esdbclient has been imported already"):
        install("esdbclient")
