"""What a server says of itself: what it serves, whom it refuses, what fails, how it ends."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, GrpcError, NewEvent, StreamState, Unauthenticated
from esdb_lite.server.sparing_log import SparingLog
from esdb_lite.server.storage.errors import StorageFailed
from tests.support import start_serve

LOGGER = "esdb_lite.server"


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER and record.levelno == level]


async def test_what_is_served_and_that_it_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    path = tmp_path / "events.db"
    async with EmbeddedServer(path) as server, AsyncEsdbClient(server.uri) as client:
        port = server.port
        await client.append_events("s", StreamState.ANY, [NewEvent("T", b"")] * 2)
    async with EmbeddedServer(path, durability="relaxed"):
        pass
    began, ended, again, _ = lines(caplog, logging.INFO)
    assert f"serves {path} (new, full) on 127.0.0.1 port {port}: 2 events, without TLS" in began
    assert ended == f"the server on port {port} stops"
    assert f"{path} (relaxed)" in again
    assert ": 4 events" in again


async def test_who_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("trustme", reason="trustme is not installed")
    async with EmbeddedServer(dev_certificate=tmp_path / "certificates") as server:
        for name in ("admin", "ann\n2026 CRITICAL root pwned"):
            async with AsyncEsdbClient(server.uri, credentials=(name, "guess")) as client:
                with pytest.raises(Unauthenticated):
                    await client.get_commit_position()
    (line,) = lines(caplog, logging.WARNING)
    assert "'admin'" in line
    assert "127.0.0.1" in line
    assert "guess" not in line


def test_a_flood_of_messages_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    sparing = SparingLog(logging.getLogger(LOGGER), logging.WARNING, clock=lambda: now)
    for _ in range(1000):
        sparing.log("no %s", "way")
    now = 2.0
    sparing.log("100%% %s", "sure")
    assert lines(caplog, logging.WARNING) == ["no way", "100% sure (and 999 more since the last of these lines)"]


async def test_what_the_disk_refuses_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.db"
    async with EmbeddedServer(path) as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("s", StreamState.ANY, NewEvent("T", b""))
        path.rename(tmp_path / "elsewhere")
        with pytest.raises(GrpcError, match="was removed") as single:
            await client.delete_stream("s")
        with pytest.raises(GrpcError, match="was removed") as in_batch:
            await client.append_events("s", StreamState.ANY, NewEvent("T", b""))
    assert str(single.value) == str(in_batch.value)
    (line,) = lines(caplog, logging.ERROR)
    assert line.startswith("the database failed: ")
    assert str(StorageFailed) not in line


def test_serve_at_debug_does_not_show_headers(tmp_path: Path) -> None:
    from esdb_lite import EsdbClient

    process = start_serve("--log-level", "debug", folder=tmp_path)
    try:
        with EsdbClient(f"esdb://{process.address}?tls=false") as client:
            client.append_events("s", StreamState.ANY, NewEvent("T", b""))
    finally:
        text = process.stop().err
    assert "hpack" not in text
    assert "serves events in memory" in text
    assert "a signal ends the server" in text
    assert "stops" in text
