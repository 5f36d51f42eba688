"""The insides of grpclib and h2 are as the list of them says, and nothing is touched that is not on it."""

from __future__ import annotations

import ast
import importlib.metadata
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import esdb_lite
from esdb_lite._http2 import header_logs, internals
from esdb_lite._http2.client import ClientProtocol
from esdb_lite._http2.protocol import FastProtocol, QuickConnection
from tests.rpc.pair import Pair, Wire

ROOT = Path(esdb_lite.__file__).parent
ROOM = sorted((ROOT / "_http2").glob("*.py"))
TABLES = (internals.GRPCLIB, internals.H2_SHORT_WAY, internals.H2)
LISTED = {name for table in TABLES for names in table.values() for name in names.split()}


def test_the_version_of_grpclib_is_one_whose_insides_are_known() -> None:
    major, minor, patch = (int(part) for part in importlib.metadata.version("grpclib").split(".")[:3])
    assert (major, minor) == (0, 4)
    assert patch >= 9


async def inner_objects() -> dict[str, object]:
    """One of each class on the list, of a call that has begun."""
    pair = Pair()
    stream = await pair.open()
    h2 = pair.protocol.connection._connection
    inner = h2.streams[stream.id or 0]
    return {
        "H2Protocol": pair.protocol,
        "Connection": pair.protocol.connection,
        "EventsProcessor": pair.protocol.processor,
        "Stream": stream,
        "Buffer": stream.buffer,
        "H2Connection": h2,
        "H2Stream": inner,
        "FrameBuffer": h2.incoming_buffer,
        "H2StreamStateMachine": inner.state_machine,
        "WindowManager": inner._inbound_window_manager,
        "Encoder": h2.encoder,
        "HeaderTable": h2.decoder.header_table,
    }


async def test_every_name_on_the_list_is_there() -> None:
    found = await inner_objects()
    asked = [(kind, name) for table in TABLES for kind, names in table.items() for name in names.split()]
    assert [f"{kind}.{name}" for kind, name in asked if not hasattr(found[kind], name)] == []


async def test_no_name_of_theirs_is_used_that_is_not_on_the_list() -> None:
    theirs = {name for each in (await inner_objects()).values() for name in dir(each)} - set(dir(object))
    of_events = {"stream_id"}  # of these h2 promises the names
    used = {
        node.attr
        for path in ROOM
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert used & theirs - own_names() - LISTED - of_events == set()


async def test_the_short_way_is_taken() -> None:
    assert internals.short_way_is_known()
    pair = Pair()
    stream = await pair.open()
    assert isinstance(pair.protocol, FastProtocol)
    assert isinstance(pair.protocol.connection, QuickConnection)
    assert pair.protocol._takes(stream.id or 0)


@pytest.mark.parametrize("kind", [*internals.H2_SHORT_WAY])
def test_a_name_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    changed = {**internals.H2_SHORT_WAY, kind: internals.H2_SHORT_WAY[kind] + " _what_is_not_there"}
    monkeypatch.setattr(internals, "H2_SHORT_WAY", changed)
    internals.short_way_is_known.cache_clear()
    try:
        assert not internals.short_way_is_known()
    finally:
        monkeypatch.undo()
        internals.short_way_is_known.cache_clear()
        assert internals.short_way_is_known()


def own_names() -> set[str]:
    """Attributes and methods that the classes of the room define themselves, or set on themselves."""
    found = set()
    for path in ROOM:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node):
                found.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
            elif isinstance(node, ast.Assign):
                found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return found


def _is_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def private_names(path: Path) -> Iterator[str]:
    """Names with an underscore that a module uses of anything."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield node.attr


@pytest.mark.parametrize("path", ROOM, ids=lambda path: path.stem)
def test_no_private_name_is_used_that_is_not_on_the_list(path: Path) -> None:
    assert set(private_names(path)) - own_names() - LISTED == set()


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "_rpc").glob("*.py")), *sorted((ROOT / "server/app").glob("*.py"))], ids=lambda p: p.stem
)
def test_nobody_else_uses_private_names_of_theirs(path: Path) -> None:
    theirs = {name for name in LISTED if name.startswith("_")} - own_names()
    own = {"_transport"}  # of `ServerConnection`, which has one before HTTP/2 begins
    assert set(private_names(path)) & theirs - own == set()


async def test_a_client_begins_with_one_frame_of_settings() -> None:
    wire, protocol = Wire(), ClientProtocol()
    protocol.connection_made(wire)
    written = wire.take().removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    size = int.from_bytes(written[:3], "big")
    assert written[3] == 4  # SETTINGS
    values = {written[at + 1]: int.from_bytes(written[at + 2 : at + 6], "big") for at in range(9, 9 + size, 6)}
    assert values[2] == 0  # no pushes
    assert values[4] == 4 * 2**20  # window of a stream
    assert written[9 + size + 3] == 8  # WINDOW_UPDATE, of the connection
    assert len(written) == 9 + size + 13
    protocol.connection_lost(None)


def test_the_loggers_of_the_header_compression_have_their_filter() -> None:
    header_logs.keep_secrets()
    for name in ("hpack.hpack", "hpack.table"):
        logger = logging.getLogger(name)
        assert not logger.filter(logger.makeRecord(name, logging.DEBUG, "", 0, "%s", ("authorization: x",), None))
