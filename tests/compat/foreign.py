"""Run the test suite of kurrentdbclient or esdbclient against our servers: with the adapter, or with their own client.

    python -m tests.compat.foreign CHECKOUT [--theirs] [--compatibility 25.1] [what pytest takes]

CHECKOUT is a checkout of their repository. What the suites expect in containers at fixed ports (a server without TLS,
one with, a cluster of three) runs here, at free ports that are put into a copy of the tests. With the adapter, the
tests of their inner parts are taken out of the copy: those that hand messages of gRPC to functions of theirs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from esdb_lite import EmbeddedServer, SimulatedCluster

COPIED = ("tests", "samples", "samples_async", "README.md")
INNER_CLASSES = ("TestSubscriptionReadRequest", "TestHandleRpcError", "TestGrpcOptions")
"""Test classes about messages and options of gRPC."""
INNER_IMPORTS = (
    r"^import \w+\.protos\S* as \w+\n",
    r"^from \w+\.protos\S* import .*\n",
    r"^from grpc\S* import .*\n",
    r"^from \w+\.streams import handle_streams_rpc_error\n",
    r"^from \w+\.persistent import (Async)?SubscriptionReadReqs\n",
    r"^    handle_rpc_error,\n",
)
FIXED = re.compile(r"(?P<host>localhost|127\.0\.0\.1)(?P<between>:|[\"'], ?)(?P<port>211[0-4])\b")
PORTS = re.compile(r"\"(211[0-4])\"")


def replaced(text: str, ports: Mapping[str, int]) -> str:
    """The text with the ports of our servers."""

    def address(found: re.Match[str]) -> str:
        return f"{found['host']}{found['between']}{ports[found['port']]}"

    return PORTS.sub(lambda found: f'"{ports[found[1]]}"', FIXED.sub(address, text))


def without_inner_parts(text: str) -> str:
    """A module of tests without the classes about gRPC itself, and what they import."""
    for pattern in INNER_IMPORTS:
        text = re.sub(pattern, "", text, flags=re.MULTILINE)
    for name in (*INNER_CLASSES, r"Fake\w+"):
        text = re.sub(rf"^class {name}\b.*?(?=^\S)", "", f"{text}\n#", flags=re.MULTILINE | re.DOTALL)
    return text


def copy_suite(checkout: Path, folder: Path, ports: Mapping[str, int], authority: Path, *, adapted: bool) -> None:
    """Copy tests, samples and page, with our ports."""
    for name in COPIED:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        elif source.exists():
            shutil.copy(source, folder / name)
    for path in (*folder.rglob("*.py"), folder / "README.md"):
        text = replaced(path.read_text("utf-8"), ports)
        path.write_text(without_inner_parts(text) if adapted and path.parent.name == "tests" else text, "utf-8")
    (folder / "certs" / "ca").mkdir(parents=True)
    shutil.copy(authority, folder / "certs" / "ca" / "ca.crt")


@contextmanager
def servers(compatibility: str, folder: Path) -> Iterator[dict[str, int]]:
    """The servers that the suites expect, by the ports at which they expect them."""
    common = {"run_projections": "all", "start_standard_projections": True, "compatibility": compatibility}
    certificate = folder / "certificate"
    with (
        EmbeddedServer(**common) as plain,  # type: ignore[arg-type]
        EmbeddedServer(dev_certificate=certificate, **common) as secure,  # type: ignore[arg-type]
        SimulatedCluster(dev_certificate=certificate, **common) as cluster,  # type: ignore[arg-type]
    ):
        nodes = {f"211{number}": node.port for number, node in enumerate(cluster.nodes)}
        yield {"2113": plain.port, "2114": secure.port, **nodes}


def main(arguments: Sequence[str]) -> int:
    """Run a suite; returns the status of pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--theirs", action="store_true", help="with the client in the checkout, which needs grpcio")
    parser.add_argument("--compatibility", default="25.1")
    options, more = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as name, servers(options.compatibility, Path(name)) as ports:
        folder = Path(name) / "suite"
        folder.mkdir()
        authority = next((Path(name) / "certificate").glob("*ca*"))
        copy_suite(options.checkout, folder, ports, authority, adapted=not options.theirs)
        command = [] if options.theirs else ["-m", "esdb_lite.compat"]
        path = [str(options.checkout)] if options.theirs else []
        return subprocess.run(
            [sys.executable, *command, "-m", "pytest", "-p", "no:cacheprovider", "-W", "ignore", *more],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ":".join([*path, *sys.path])},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
