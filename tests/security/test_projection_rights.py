"""What ordinary users get out of projections: what they may read, and nothing that is written elsewhere."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec

import betterproto
import pytest
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client import projections as messages

from esdb_lite import AsyncEsdbClient, GrpcError, NewEvent, StreamAcl, StreamMetadata
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._wire.framing import MessageSplitter, frame
from esdb_lite.server.projections import manager
from tests.security.conftest import basic

pytestmark = pytest.mark.skipif(find_spec("_quickjs") is None, reason="quickjs-ng is not installed")

USER, ADMIN = basic("user", "pw"), basic("admin", "changeit")
COUNT = ".when({$init: () => ({seen: []}), T(s, e) { s.seen.push(e.streamId) }})"


@pytest.fixture
def run_projections() -> str:
    return "all"


async def ask(
    node: ConnectionPool, method: str, request: betterproto.Message, login: tuple[tuple[str, str], ...]
) -> bytes:
    splitter, answers = MessageSplitter(), list[bytes]()
    path = f"/event_store.client.projections.Projections/{method}"
    async with ClientCall(node, path, deadline=Deadline(20), metadata=login) as call:
        await call.send(frame((bytes(request),)), end=True)
        while data := await call.receive():
            answers += map(bytes, splitter.feed(data))
    return answers[0] if answers else b""


def created(name: str, query: str) -> messages.CreateReq:
    transient = messages.CreateReqOptionsTransient(name)
    return messages.CreateReq(messages.CreateReqOptions(transient=transient, query=query))


async def ended(client: AsyncEsdbClient, name: str) -> str:
    """How it stands with a projection that has come to its end, or faulted."""
    ends = ("Completed", "Faulted")
    while not (info := await client.get_projection(name)).status_text.startswith(ends):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return info.fault or info.status_text


async def seen(
    node: ConnectionPool, client: AsyncEsdbClient, query: str, login: tuple[tuple[str, str], ...]
) -> list[str]:
    """The streams of which a projection gets events."""
    name = f"p{len(await client.list_projections())}"
    await ask(node, "Create", created(name, query + COUNT), login)
    assert (await ended(client, name)).startswith("Completed")
    state = await client.get_projection_state(name)
    return sorted(set(state["seen"])) if isinstance(state, dict) else []  # type: ignore[arg-type]


async def test_they_see_what_their_users_may_read(
    node: ConnectionPool, admin: AsyncEsdbClient, user: AsyncEsdbClient
) -> None:
    for stream in ("open-1", "closed-1"):
        await admin.append_events(stream, None, NewEvent("T", b"{}"))
    acl = StreamAcl(read=("$admins",), write=("$admins",), delete=("$admins",), meta_read=("$admins",))
    await admin.set_stream_metadata("closed-1", StreamMetadata(acl=acl))
    await admin.append_events("links", None, NewEvent("$>", b"0@closed-1", content_type="application/octet-stream"))
    for query, found in (("fromAll()", ["closed-1", "open-1"]), ("fromStreams('closed-1', 'links')", ["closed-1"])):
        assert await seen(node, admin, query, ADMIN) == found
        assert await seen(node, admin, query, USER) == [stream for stream in found if stream == "open-1"]


async def test_they_write_into_streams_of_their_own_only(
    node: ConnectionPool, admin: AsyncEsdbClient, user: AsyncEsdbClient
) -> None:
    await admin.append_events("s", None, NewEvent("T", b"{}"))
    result = "options({resultStreamName: '$user-admin'}); fromAll()" + COUNT + ".outputState()"
    await ask(node, "Create", created("t", result), USER)
    assert "Only projections of operators" in await ended(admin, "t")
    await ask(node, "Create", created("u", "fromAll()" + COUNT), USER)
    emitting = messages.UpdateReqOptions(
        name="u", query="fromAll().when({T() { emit('x', 'X', {}) }})", emit_enabled=True
    )
    with pytest.raises(GrpcError, match="NotAuthorized"):
        await ask(node, "Update", messages.UpdateReq(emitting), USER)
    await ask(node, "Update", messages.UpdateReq(emitting), ADMIN)
    await ended(admin, "u")
    # What an administrator has made of it, they cannot take over with his rights.
    closed = StreamAcl(read=("$admins",))
    await admin.set_stream_metadata("s", StreamMetadata(acl=closed))
    quiet = messages.UpdateReqOptions(name="u", query="fromAll()" + COUNT, no_emit_options=Empty())
    await ask(node, "Update", messages.UpdateReq(quiet), USER)
    assert (await ended(admin, "u")).startswith("Completed")
    assert "s" not in json.dumps((await admin.get_projection_state("u")) or "")[8:]


async def test_there_are_so_many_of_them(
    node: ConnectionPool, user: AsyncEsdbClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "MOST_TRANSIENT", 3)
    for number in range(3):
        await ask(node, "Create", created(f"t{number}", "fromAll()" + COUNT), USER)
    with pytest.raises(GrpcError, match="transient projections, as many as there may be"):
        await ask(node, "Create", created("more", "fromAll()" + COUNT), USER)
