"""The recordings of a real server, replayed with grpcio against `serve`: each folder against a fresh one.

Recordings of subscriptions wait for silence, so the folders are replayed side by side.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import start_serve

pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDENS = ROOT / "tests" / "goldens"
FOLDERS = ("insecure", "random", "groups")
SECONDS = 900
RECORDED = ("--compatibility", "24.10")


@pytest.fixture(scope="module", autouse=True)
def replays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A running replay for each folder, from the first test of this file on."""
    servers = {folder: start_serve(*RECORDED, folder=tmp_path_factory.mktemp(folder)) for folder in FOLDERS}
    running = {folder: start_replay(folder, server.address) for folder, server in servers.items()}
    yield running
    for process in running.values():
        process.kill()
        process.communicate()
    for server in servers.values():
        server.kill()


def start_replay(folder: str, address: str) -> subprocess.Popen[str]:
    """Replay a folder, in the order of its recording; what differs goes to stdout."""
    paths = [*(GOLDENS / folder).glob("*.json")]
    assert paths, folder
    listed = sorted(paths, key=order)
    command = [sys.executable, GOLDENS / "replay.py", ROOT / "proto", address, *listed]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def order(path: Path) -> int:
    """When a recording was made: later ones see in $all what earlier ones have written."""
    number: int = json.loads(path.read_text("utf-8")).get("order", 0)
    return number


def test_recordings_with_tls(tmp_path: Path) -> None:
    """The recorded server had the system projections. (What one without differs in: tests/conformance.)"""
    certificate = ("--dev-certificate", "certificates")
    server = start_serve(*certificate, *RECORDED, "--run-projections", "system", folder=tmp_path)
    port = server.address.rpartition(":")[2]
    command = [sys.executable, GOLDENS / "replay.py", ROOT / "proto", f"localhost:{port}", GOLDENS / "tls"]
    command += ["--tls", tmp_path / "certificates" / "ca.pem", "--skip", "Projections", "--verbose"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    finally:
        server.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed, 0 failed" in done.stdout


@pytest.mark.parametrize("folder", FOLDERS)
def test_recordings(replays: dict[str, subprocess.Popen[str]], folder: str) -> None:
    out, _ = replays[folder].communicate(timeout=SECONDS)
    assert replays[folder].returncode == 0, out
