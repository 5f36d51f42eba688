"""What importing a client brings along, making one, and its first append: modules, not times. More is time for all.

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
    *("correlations", "connection_strings", "errors", "events", "filters", "observing", "positions", "retries"),
    *("settings", "statuses"),
}
"""Of the package itself."""

CALLS = re.compile(r"client\.\w+(\.(calls|arguments))?|client\.admin\.(names|operations|streams|users)")
"""Of every feature: its calls are methods of a client."""

IMPORTS = "from esdb_lite import EsdbClient, NewEvent, StreamState"
"""It is made of the client for asyncio, and has a part more."""
FOR_ASYNCIO = "from esdb_lite import AsyncEsdbClient, NewEvent, StreamState; client = AsyncEsdbClient(URI)"
FOR_THREADS = f"{IMPORTS}; client = EsdbClient(URI)"
APPEND_ASYNC = f"""
import asyncio
{FOR_ASYNCIO}

async def main():
    async with client:
        await client.append_events("stream", StreamState.ANY, NewEvent("Type", b""))

asyncio.run(main())
"""
APPEND = f"""
{FOR_THREADS}
client.append_events("stream", StreamState.ANY, NewEvent("Type", b""))
"""

CONNECTS = {"_http2", "_rpc", "client.core", "client.parts", "client.append.appender", "connection_strings", "retries"}
CONNECTS |= {"sync.live", "sync.portal"}
"""What comes when a client is made: rooms, and some of the modules that bring others."""
WITH_THEM = {"asyncio", "ssl", "socket"}
"""Of the standard library."""


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


def ours(found: set[str]) -> set[str]:
    """The modules of the package."""
    return {name.removeprefix("esdb_lite.") for name in found if name.startswith("esdb_lite.")}


def in_excess(found: set[str]) -> list[str]:
    """What of the package has come that should wait."""
    return sorted(
        name
        for name in ours(found) - VALUES - ROOMS
        if not CALLS.fullmatch(name)
        and (room_of(name)[0] not in ROOMS or room_of(name)[1] in WAITS.get(room_of(name)[0], ()))
    )


def third_party(found: set[str]) -> set[str]:
    """The modules that are neither ours nor of the standard library."""
    more = {name for name in found - modules("pass") if name.partition(".")[0] not in sys.stdlib_module_names}
    return {name for name in more if name.partition(".")[0] != "esdb_lite"}


def packages(found: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in found}


@pytest.fixture(scope="module")
def imported() -> set[str]:
    return modules(IMPORTS)


@pytest.fixture(scope="module")
def made() -> set[str]:
    return modules(FOR_ASYNCIO.replace("URI", "'localhost'"))


def test_what_connects_waits_until_a_client_is_made(imported: set[str], made: set[str]) -> None:
    come = {name for name in ours(imported) if {name, room_of(name)[0]} & CONNECTS}
    assert come == {"_rpc", "_rpc.deadline"}
    assert packages(third_party(imported)) == {"esdb_lite_protos"}
    assert imported & WITH_THEM == set()
    assert CONNECTS - ours(made) == {"sync.live", "sync.portal"}


@pytest.mark.parametrize(("first", "then"), [(FOR_ASYNCIO, APPEND_ASYNC), (FOR_THREADS, APPEND)])
def test_the_first_append_brings_nothing(first: str, then: str) -> None:
    """A signal handler may make it, and a loop may run meanwhile."""
    with EmbeddedServer() as server:
        before, after = (modules(program.replace("URI", repr(server.uri))) for program in (first, then))
    assert after - before - modules("import asyncio") == set()


def test_of_the_package(made: set[str]) -> None:
    assert in_excess(made) == []
    assert "esdb_lite.client.append.batch_call" in made


def test_of_others(made: set[str]) -> None:
    others = third_party(made)
    assert packages(others) == OF_OTHERS
    assert {name.partition(".")[2] for name in others if name.startswith("grpclib.")} == OF_GRPCLIB
    assert {name for name in others if name.startswith("esdb_lite_protos.")} == {"esdb_lite_protos.tags"}


def test_of_the_standard_library(made: set[str]) -> None:
    more = made - modules(f"import {ENGINE}")
    standard = {name.partition(".")[0] for name in more if name.partition(".")[0] in sys.stdlib_module_names}
    assert {name for name in standard if not name.startswith("_")} <= STANDARD
