"""What importing a client brings along, and its first append: modules, not times. A module more is time for everybody.

What is not here is imported when it is used first. Who adds a row says why it cannot wait.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from esdb_lite import EmbeddedServer
from tests.support import environment

ENGINE = "asyncio, ssl, grpclib.protocol"
"""What every client of grpclib imports."""

OF_OTHERS = {"grpclib", "h2", "hpack", "hyperframe", "esdb_lite_protos"}
OF_GRPCLIB = {"config", "const", "exceptions", "protocol", "utils"}

STANDARD = {"datetime", "json", "uuid", "platform"}
"""Beyond what the engine needs; `uuid` imports `platform` where Python is older than 3.13."""

ROOMS = {"_http2", "_rpc", "_status", "_wire", "client", "client.append", "client.topology"}
"""Whose modules may come, but for those that are named here."""

WAITS = {
    "_wire": {"acks", "append_records", "append_session", "controls", "read_response", "read_response_encode"}
    | {"read_response_fast"},
    "_rpc": {"tls"},
    "client.topology": {"cluster"},
    "client.append": {"records"},
}
"""What of these rooms has to wait: reading, groups, records, clusters, TLS."""

VALUES = {
    "_convert",  # which imports its modules when they are first used
    *("_checks", "_event_fields", "_homes", "_json", "_limits", "_log_positions", "_texts", "_version"),
    *("correlations", "errors", "events", "filters", "observing", "positions", "retries", "settings", "statuses"),
}
"""Of the package itself."""

CALLS = re.compile(r"client\.\w+(\.(calls|arguments))?|client\.admin\.(names|operations|streams|users)")
"""Of every feature: its calls are methods of a client."""

IMPORTS = "from esdb_lite import AsyncEsdbClient, NewEvent, StreamState"
APPEND = f"""
import asyncio
{IMPORTS}

async def main():
    async with AsyncEsdbClient(URI) as client:
        await client.append_events("stream", StreamState.ANY, NewEvent("Type", b""))

asyncio.run(main())
"""


def modules(program: str) -> set[str]:
    """The modules that are there after a program."""
    code = f"{program}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def room_of(name: str) -> tuple[str, str]:
    room, _, module = name.rpartition(".")
    return room, module


def in_excess(found: set[str]) -> list[str]:
    """What of the package has come that should wait."""
    ours = {name.removeprefix("esdb_lite.") for name in found if name.startswith("esdb_lite.")}
    return sorted(
        name
        for name in ours - VALUES - ROOMS
        if not CALLS.fullmatch(name)
        and (room_of(name)[0] not in ROOMS or room_of(name)[1] in WAITS.get(room_of(name)[0], ()))
    )


@pytest.fixture(scope="module")
def imported() -> set[str]:
    return modules(IMPORTS)


def test_of_the_package(imported: set[str]) -> None:
    assert in_excess(imported) == []


def test_for_the_first_append() -> None:
    with EmbeddedServer() as server:
        found = modules(APPEND.replace("URI", repr(server.uri)))
    assert "esdb_lite.client.append.batch_call" in found
    assert in_excess(found) == []


def test_of_others(imported: set[str]) -> None:
    ours = imported - modules("pass")
    others = {name for name in ours if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name.partition(".")[0] for name in others} == OF_OTHERS | {"esdb_lite"}
    assert {name.partition(".")[2] for name in others if name.startswith("grpclib.")} == OF_GRPCLIB
    assert {name for name in others if name.startswith("esdb_lite_protos.")} == {"esdb_lite_protos.tags"}


def test_of_the_standard_library(imported: set[str]) -> None:
    more = imported - modules(f"import {ENGINE}")
    standard = {name.partition(".")[0] for name in more if name.partition(".")[0] in sys.stdlib_module_names}
    assert {name for name in standard if not name.startswith("_")} <= STANDARD
