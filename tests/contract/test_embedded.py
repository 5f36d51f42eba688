"""Connection strings that ask for a server inside this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esdb_lite import AsyncEsdbClient, EsdbClient, NewEvent
from esdb_lite.server.errors import ServerStartError
from tests.contract.faces import Face, drain

E = NewEvent("T", b"{}")


@pytest.fixture(params=["async", "sync"])
def connect(request: pytest.FixtureRequest) -> Any:
    """Make a client of one kind, then of the other."""
    return AsyncEsdbClient if request.param == "async" else lambda uri: Face(EsdbClient(uri))


async def test_in_memory(connect: Any) -> None:
    async with connect("esdb+embedded:") as one, connect("esdb+embedded:") as other:
        await one.append_events("s", None, E)
        assert len(await drain(one.read_stream_events("s"))) == 1
        assert await other.get_stream_position("s") is None  # each has its own


async def test_in_a_file(connect: Any, tmp_path: Path) -> None:
    uri = f"esdb+embedded://{tmp_path}/my%20events.db"
    for number in range(3):
        async with connect(uri) as client:
            await client.append_events("s", number - 1 if number else None, NewEvent("T", b"{}"))
            assert await client.get_stream_position("s") == number
    assert (tmp_path / "my events.db").is_file()


async def test_a_file_that_is_no_database(connect: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is no database, but long enough to have been one" * 100)
    async with connect(f"esdb+embedded://{path}") as client:
        for _ in range(2):
            with pytest.raises(ServerStartError, match=r"text\.db"):
                await client.append_events("s", None, E)


async def test_a_client_that_was_never_used(connect: Any) -> None:
    async with connect("esdb+embedded:"):
        pass
