"""The clients for Node.js talk to `serve` unchanged. They are installed from npm into a folder of the cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ServeProcess

pytestmark = pytest.mark.interop

HERE = Path(__file__).resolve().parent / "npm"
INSTALL_SECONDS = 300
TALK_SECONDS = 60


@pytest.fixture(scope="session")
def node_packages(pytestconfig: pytest.Config) -> Path:
    """A folder with the packages installed and the script beside them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("npm is not on this machine")
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("npm")
    for file in HERE.iterdir():
        shutil.copy2(file, folder)
    # Nothing is downloaded but the packages: the compiled parts come in packages, too, and no script may run.
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def talk(folder: Path, package: str, uri: str, script: str = "conversation.js") -> dict[str, object]:
    """Run the conversation; returns what the client saw."""
    done = subprocess.run(
        ["node", script, package, uri],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TALK_SECONDS,
        env={**os.environ, "NODE_NO_WARNINGS": "1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


SEEN = {
    "firstRevision": "1",
    "conflict": "WrongExpectedVersionError",
    "nextRevision": "2",
    "forwards": [
        'order-1[0] Placed {"number":1}',
        'order-1[1] Paid {"number":2}',
        'order-1[2] Shipped {"number":4}',
    ],
    "backwards": ['order-1[2] Shipped {"number":4}'],
    "all": ['order-2[99] Counted {"number":99}', 'order-2[98] Counted {"number":98}'],
    "filtered": ["order-1[1] Paid", "order-1[2] Shipped"],
    "missing": "StreamNotFoundError",
    "streamSubscription": ["order-1[0] Placed", "order-1[1] Paid", "order-1[2] Shipped"],
    "allSubscription": ["order-2[99] Counted"],
    "metadata": {"maxCount": 2},
    "truncated": ['order-2[98] Counted {"number":98}', 'order-2[99] Counted {"number":99}'],
    "deleted": "StreamNotFoundError",
    "tombstoned": "StreamDeletedError",
}


@pytest.mark.parametrize(
    ("package", "scheme"), [("@kurrent/kurrentdb-client", "kurrentdb"), ("@eventstore/db-client", "esdb")]
)
def test_conversation(node_packages: Path, serve: Callable[..., ServeProcess], package: str, scheme: str) -> None:
    seen = talk(node_packages, package, f"{scheme}://{serve().address}?tls=false")
    assert seen == SEEN


@pytest.mark.parametrize(
    ("package", "scheme"), [("@kurrent/kurrentdb-client", "kurrentdb"), ("@eventstore/db-client", "esdb")]
)
def test_conversation_with_tls(
    node_packages: Path, serve: Callable[..., ServeProcess], tmp_path: Path, package: str, scheme: str
) -> None:
    server = serve("--dev-certificate", tmp_path)
    place = f"admin:changeit@localhost:{server.address.rpartition(':')[2]}"
    seen = talk(node_packages, package, f"{scheme}://{place}?tls=true&tlsCaFile={tmp_path / 'ca.pem'}")
    assert seen == SEEN


PROJECTIONS_SEEN = {
    "created": "Running",
    "state": 2,
    "result": 2,
    "disabled": "Stopped",
    "enabled": "Running",
    "updated": 4,
    "reset": 6,
    "aborted": "Aborted",
    "partitions": [{"n": 2}, {"n": 10}],
    "partitionResult": {"n": 2},
    "emitted": ['Copied {"of":"Napped"}', 'Copied {"of":"Ate"}', 'Copied {"of":"Napped"}'],
    "tracked": 3,
    "listed": ["by-stream Running", "copy Running", "count Aborted"],
    "system": 5,
    "wrong": "Faulted",
    "deleted": "NotFoundError",
    "missing": ["NotFoundError"] * 8,
    "restarted": [{"n": 2}, {"n": 10}],
}


@pytest.mark.parametrize(
    ("package", "scheme"), [("@kurrent/kurrentdb-client", "kurrentdb"), ("@eventstore/db-client", "esdb")]
)
def test_projections(node_packages: Path, serve: Callable[..., ServeProcess], package: str, scheme: str) -> None:
    server = serve("--run-projections", "all", "--start-standard-projections")
    seen = talk(node_packages, package, f"{scheme}://{server.address}?tls=false", "projections.js")
    assert seen == PROJECTIONS_SEEN


def recorded(type: str, number: int) -> str:
    """What a reader sees of an event that was appended atomically."""
    return f'{type} {{"number":{number}}} {{"by":"me","$schema.name":"{type}","$schema.format":"Json"}}'


RECORDS_SEEN = {
    "session": ["a[1]", "b[0]"],
    "conflict": ["WrongExpectedVersionError"],
    "records": ["a[3]", "b[1]"],
    "violations": ["AppendConsistencyViolationError", "1 b: 7, 1", "2 c: 0, no_stream"],
    "a": [recorded("A", 1), recorded("B", 2), recorded("D", 4), recorded("F", 6)],
    "b": [recorded("C", 3), recorded("E", 5)],
    "tombstoned": ["AppendConsistencyViolationError", "0 b: any, -6"],
}


def test_atomic_appends(node_packages: Path, serve: Callable[..., ServeProcess]) -> None:
    uri = f"kurrentdb://{serve('--compatibility', '26.1').address}?tls=false"
    assert talk(node_packages, "@kurrent/kurrentdb-client", uri, "records.js") == RECORDS_SEEN


PING = {"text": "Ping request successfully handled"}
HTTP_SEEN = {
    "ping": PING,
    "version": "26.1.0",
    "states": ["Leader"],
    "nonsense": ["Refused", "Not Found"],
    "afterwards": PING,
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("package", "scheme"), [("@kurrent/kurrentdb-client", "kurrentdb"), ("@eventstore/db-client", "esdb")]
)
def test_pages(
    node_packages: Path, serve: Callable[..., ServeProcess], tmp_path: Path, package: str, scheme: str, tls: bool
) -> None:
    """What the tests of these clients ask over HTTP, of a name and of an address."""
    server = serve(*(["--dev-certificate", tmp_path] if tls else []))
    port = server.address.rpartition(":")[2]
    for host in ("localhost", "127.0.0.1"):
        options = f"tls=true&tlsCaFile={tmp_path / 'ca.pem'}" if tls else "tls=false"
        uri = f"{scheme}://admin:changeit@{host}:{port}?{options}"
        assert talk(node_packages, package, uri, "http.js") == HTTP_SEEN, host
