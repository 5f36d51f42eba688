"""The fixtures that the package brings for other people's tests, used by other people's tests."""

from __future__ import annotations

import statistics
import time

import pytest

from esdb_lite import EmbeddedServer
from tests.support import environment, plugin_arguments

STRICT = "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
FRESH = """
import pytest
from esdb_lite import NewEvent

@pytest.mark.parametrize("again", range(3))
def test_each_test_starts_from_nothing(esdb_client, esdb_server, again):
    assert list(esdb_client.read_all_events()) == []
    assert esdb_client.append_events("stream", None, NewEvent("Type", b"")).stream_position == 0
"""
SHARED = """
import pytest
from esdb_lite import EsdbClient, NewEvent

@pytest.fixture
def esdb_server(esdb_shared_server):
    return esdb_shared_server

@pytest.mark.parametrize("number", range(3))
def test_what_is_written_stays(esdb_client, number):
    assert esdb_client.append_events("stream", number - 1 if number else None, NewEvent("Type", b""))
"""
FAULTS = """
import socket
import pytest

@pytest.mark.parametrize("how", ["stall", "refuse_connections", "refuse_appends"])
def test_a_fault_is_left_behind(esdb_server, how):
    connection = socket.create_connection((esdb_server.host, esdb_server.port))
    getattr(esdb_server.faults, how)()
    connection.close()

def test_a_server_is_killed(esdb_server):
    esdb_server.kill()
"""
MARKED = """
import pytest
from esdb_lite import NewEvent

ON = {"run_projections": "system", "start_standard_projections": True}

@pytest.mark.esdb_server(**ON)
def test_a_server_with_projections(esdb_client):
    esdb_client.append_events("order-1", None, NewEvent("Type", b"{}"))
    esdb_client.wait_for_projection("$by_category", timeout=20)
    assert [event.data for event in esdb_client.read_stream_events("$ce-order")] == [b"0@order-1"]

@pytest.mark.esdb_cluster(nodes=1, **ON)
def test_a_cluster_with_projections(esdb_cluster):
    assert len(esdb_cluster.nodes) == 1

def test_a_server_without(esdb_client):
    assert list(esdb_client.read_all_events()) == []

@pytest.mark.esdb_server("system")
def test_by_name_only(request):
    with pytest.raises(pytest.UsageError, match="by name only"):
        request.getfixturevalue("esdb_server")
"""
CLUSTER = """
import pytest

@pytest.mark.parametrize("how", ["kill", "freeze", "shut_down"])
def test_a_node_is_left_as_it_is(esdb_cluster, how):
    assert esdb_cluster.leader is esdb_cluster.nodes[0]
    getattr(esdb_cluster, how)(0)
    assert esdb_cluster.leader is None

def test_a_fault_is_left_behind(esdb_cluster):
    esdb_cluster.nodes[1].faults.stall()
"""
ASYNC = """
import asyncio
import pytest
from esdb_lite import NewEvent

{decoration}
async def test_it(async_esdb_client):
    await async_esdb_client.append_events("stream", None, NewEvent("Type", b""))
    assert [event.type async for event in async_esdb_client.read_stream_events("stream")] == ["Type"]
"""
PROJECTION = """
COUNT = "fromStream('x').when({T: (s, e) => ({n: (s.n || 0) + 1})})"

def test_a_projection(esdb_projection):
    assert esdb_projection(COUNT).run([("x", "T"), ("x", "T")]).state == {"n": 2}

def test_a_projection_that_fails_shows_why(esdb_projection):
    outcome = esdb_projection("fromStream('x').when({T(s, e) { throw new Error('oh no') }})").run([("x", "T")])
    assert outcome.state == {"n": 2}
"""
ANYIO = """@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio"""
SCOPED = """
import asyncio
import pytest
from esdb_lite import NewEvent

@pytest.mark.parametrize("number", range(2))
{decoration}
async def test_it(async_esdb_client, number):
    await async_esdb_client.append_events("stream", None, NewEvent("Type", b""))
    subscription = await async_esdb_client.subscribe_all_events()
    assert (await subscription.__anext__()).type == "Type"
"""
COST = """
import sys

def pytest_sessionfinish(session):
    loaded = [name for name in sys.modules if name.partition(".")[0] in ("esdb_lite", "grpclib", "betterproto")]
    assert sorted(loaded) == ["esdb_lite", "esdb_lite._homes", "esdb_lite._version", "esdb_lite.pytest_plugin"], loaded
"""


@pytest.fixture
def plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> list[str]:
    """Arguments for an inner run that has the fixtures, as its installation or `-p` brings them."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    pytester.makeini(STRICT)
    return plugin_arguments(pytestconfig)


@pytest.mark.parametrize("test", [FRESH, SHARED], ids=["fresh", "shared"])
def test_sync(pytester: pytest.Pytester, plugin: list[str], test: str) -> None:
    pytester.makepyfile(test)
    pytester.runpytest_subprocess(*plugin).assert_outcomes(passed=3)


def test_projections(pytester: pytest.Pytester, plugin: list[str]) -> None:
    pytester.makepyfile(PROJECTION)
    result = pytester.runpytest_subprocess(*plugin)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*where None = ProjectionOutcome(fault=*oh no*"])


@pytest.mark.parametrize("test", [FAULTS, CLUSTER], ids=["faults", "cluster"])
def test_what_a_test_has_broken(pytester: pytest.Pytester, plugin: list[str], test: str) -> None:
    pytester.makepyfile(test)
    pytester.runpytest_subprocess(*plugin, "-W", "error").assert_outcomes(passed=4)


def test_arguments(pytester: pytest.Pytester, plugin: list[str]) -> None:
    pytester.makepyfile(MARKED)
    pytester.runpytest_subprocess(*plugin, "--strict-markers").assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("decoration", "options"),
    [
        ("@pytest.mark.asyncio", ["-o", "asyncio_mode=strict"]),
        ("", ["-o", "asyncio_mode=auto"]),
        (ANYIO, []),
        (ANYIO, ["-p", "no:asyncio", "-W", "ignore::pytest.PytestConfigWarning"]),
    ],
    ids=["pytest-asyncio strict", "pytest-asyncio auto", "anyio beside pytest-asyncio", "anyio alone"],
)
def test_async(pytester: pytest.Pytester, plugin: list[str], decoration: str, options: list[str]) -> None:
    pytester.makepyfile(ASYNC.format(decoration=decoration))
    pytester.runpytest_subprocess(*plugin, *options).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("decoration", "options"),
    [
        ('@pytest.mark.asyncio(loop_scope="session")', []),
        ('@pytest.mark.asyncio(loop_scope="module")', []),
        ("@pytest.mark.asyncio", ["-o", "asyncio_default_test_loop_scope=session"]),
        (
            "@pytest.mark.asyncio",
            ["-o", "asyncio_default_test_loop_scope=session", "-o", "asyncio_default_fixture_loop_scope=session"],
        ),
    ],
    ids=["session", "module", "default", "both defaults"],
)
def test_loops_of_other_scopes(
    pytester: pytest.Pytester, plugin: list[str], decoration: str, options: list[str]
) -> None:
    """The test may run on another loop than the fixture, which is then closed there without waiting."""
    pytester.makepyfile(SCOPED.format(decoration=decoration))
    result = pytester.runpytest_subprocess(*plugin, *options, timeout=60)
    result.assert_outcomes(passed=2)


def test_trio_is_skipped(pytester: pytest.Pytester, plugin: list[str]) -> None:
    pytester.makepyfile(ASYNC.format(decoration=ANYIO.replace("asyncio", "trio")))
    pytester.runpytest_subprocess(*plugin, "-W", "ignore").assert_outcomes(skipped=1)


def test_async_without_a_runner_says_what_is_missing(pytester: pytest.Pytester, plugin: list[str]) -> None:
    pytester.makepyfile("def test_it(async_esdb_client):\n    pass\n")
    options = ["-p", "no:asyncio", "-p", "no:anyio", "-W", "ignore::pytest.PytestConfigWarning"]
    result = pytester.runpytest_subprocess(*plugin, *options)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*async_esdb_client needs pytest-asyncio*")


def test_unused_it_loads_nothing(pytester: pytest.Pytester, plugin: list[str]) -> None:
    pytester.makepyfile("def test_it():\n    pass\n")
    pytester.makeconftest(COST)
    result = pytester.runpytest_subprocess(*plugin)
    result.assert_outcomes(passed=1)
    assert result.ret == 0


def test_a_fresh_server_takes_milliseconds() -> None:
    times, computing = [], []
    for _ in range(15):
        started, began = time.perf_counter(), time.process_time()
        with EmbeddedServer():
            pass
        times.append(time.perf_counter() - started)
        computing.append(time.process_time() - began)
    assert min(times) < 0.020, times  # others may have the cores most of the time
    assert statistics.median(computing) < 0.020, computing
