"""EmbeddedServer: its life on a loop and on a thread, and why it may not start."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import threading
from pathlib import Path

import pytest

from esdb_lite._wire.append import (
    ANY,
    decode_append_response,
    encode_append_options,
    encode_append_proposed,
    encode_proposed,
)
from esdb_lite._wire.append import AppendAnswer as AppendedOnWire
from esdb_lite.server import EmbeddedServer
from esdb_lite.server.errors import (
    AddressUnavailable,
    DatabaseInUse,
    DatabaseUnavailable,
    NotADatabase,
    PortInUse,
    ServerStartError,
)
from tests.serving.raw import connected
from tests.support import PATIENCE


async def append(port: int, stream: str = "s") -> int | None:
    """Append an event; return its revision."""
    event = encode_proposed(id=os.urandom(16), type="T", content_type="application/json", metadata=b"", data=b"{}")
    async with connected(port) as client:
        path = "/event_store.client.streams.Streams/Append"
        answer = await client.call(path, encode_append_options(stream, ANY), encode_append_proposed(event))
    result = decode_append_response(answer.messages[0])
    assert isinstance(result, AppendedOnWire)
    return result.revision


async def test_on_the_running_loop() -> None:
    server = EmbeddedServer()
    async with server as same:
        assert same is server
        assert server.address == f"127.0.0.1:{server.port}"
        assert server.uri == f"esdb://127.0.0.1:{server.port}?tls=false"
        assert await append(server.port) == 0
        assert await append(server.port) == 1
        with pytest.raises(RuntimeError):
            await server.start_async()
    await server.stop_async()
    await server.wait_stopped()


async def test_a_file_keeps_what_was_appended(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "events.db")
    for revision in range(3):
        async with server:
            assert await append(server.port) == revision


async def test_memory_forgets() -> None:
    server = EmbeddedServer()
    for _ in range(2):
        async with server:
            assert await append(server.port) == 0


def test_on_a_thread() -> None:
    server = EmbeddedServer()
    with server as same:
        assert same is server
        assert asyncio.run(append(server.port)) == 0
        assert any(thread.name == "esdb-lite server" for thread in threading.enumerate())
        with pytest.raises(RuntimeError):
            server.start()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port or 1))
    server.start()
    server.stop()


def test_on_a_thread_an_error_comes_to_the_caller(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable), EmbeddedServer(tmp_path):
        pass


async def test_a_client_may_shut_it_down() -> None:
    server = EmbeddedServer()
    await server.start_async()
    async with connected(server.port) as client:
        answer = await client.call("/event_store.client.operations.Operations/Shutdown", b"")
        assert answer.status == ("0", None)
    await asyncio.wait_for(server.wait_stopped(), PATIENCE)
    await server.stop_async()


def test_a_client_may_shut_a_thread_down() -> None:
    async def shut_down(port: int) -> None:
        async with connected(port) as client:
            await client.call("/event_store.client.operations.Operations/Shutdown", b"")
            await client.until_closed()

    server = EmbeddedServer()
    server.start()
    asyncio.run(shut_down(server.port))
    server.stop()


async def test_the_port_is_in_use() -> None:
    async with EmbeddedServer() as first:
        with pytest.raises(PortInUse, match=rf"^port {first.port} of 127.0.0.1 is in use$"):
            await EmbeddedServer(port=first.port).start_async()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
async def test_the_host_is_no_host_of_ours(host: str) -> None:
    with pytest.raises(AddressUnavailable, match=host):
        await EmbeddedServer(host=host, insecure=True).start_async()


async def test_the_file_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary " * 1000)
    with pytest.raises(NotADatabase, match=r"notes\.txt"):
        await EmbeddedServer(path).start_async()


async def test_the_file_belongs_to_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(NotADatabase):
        await EmbeddedServer(path).start_async()


async def test_the_file_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with EmbeddedServer(path):
        with pytest.raises(DatabaseInUse):
            await EmbeddedServer(path).start_async()


async def test_the_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ServerStartError) as caught:
        await EmbeddedServer(tmp_path / "none" / "events.db").start_async()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [{"port": -1}, {"port": 65536}, {"port": "2113"}, {"durability": "maybe"}])
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        EmbeddedServer(**arguments)  # type: ignore[arg-type]


async def test_where_clients_find_it() -> None:
    async with EmbeddedServer(host="0.0.0.0", insecure=True) as server:
        assert server.host == "0.0.0.0"
        assert server.address == f"127.0.0.1:{server.port}"
    assert EmbeddedServer(host="::1", port=5).uri == "esdb://[::1]:5?tls=false"


@pytest.mark.parametrize("host", ["", "localhost"])
async def test_all_addresses_of_a_host_have_the_same_port(host: str) -> None:
    """With a free port for each, clients would be told the port of another address."""
    async with EmbeddedServer(host=host, insecure=True) as server:
        assert server._node is not None
        door = server._node._server._door
        assert door is not None
        assert {port for _, port in door.addresses} == {server.port}
        for address in {address for address, _ in door.addresses}:
            place = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
            _, writer = await asyncio.open_connection(place, server.port)
            writer.close()
            await writer.wait_closed()
