"""Cold calls go through generated messages, stubs and bases; only hot ones have a codec written by hand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from betterproto.grpc.grpclib_server import ServiceBase
from esdb_lite_protos import tags
from esdb_lite_protos.esdb_lite.imports import ImportsBase
from esdb_lite_protos.event_store.client.persistent_subscriptions import PersistentSubscriptionsBase
from esdb_lite_protos.event_store.client.streams import StreamsBase

from esdb_lite import AsyncEsdbClient, DefaultAccess, EmbeddedServer, FileCheckpoint, NewEvent, NewRecord, StreamState
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.stubs import StubChannel
from esdb_lite.errors import EsdbClientException

HOT = {
    tags.PATH_STREAMS_READ,
    tags.PATH_STREAMS_APPEND,
    tags.PATH_STREAMS_BATCH_APPEND,
    tags.PATH_STREAMS_SERVICE_APPEND_RECORDS,
    tags.PATH_STREAMS_SERVICE_APPEND_SESSION,
    tags.PATH_IMPORTS_IMPORT_EVENTS,
    tags.PATH_PERSISTENT_SUBSCRIPTIONS_READ,
    # not hot, but every first append waits for it
    tags.PATH_SERVER_FEATURES_GET_SUPPORTED_METHODS,
}
COLD = {
    path
    for name, path in vars(tags).items()
    if name.startswith(("PATH_INDEXES_SERVICE_", "PATH_SCHEMA_REGISTRY_SERVICE_"))
    or (
        name.startswith("PATH_")
        and "_SERVICE_" not in name
        and path.startswith(("/event_store.", "/esdb_lite."))
        and path not in HOT
    )
}
NOT_CALLED = {tags.PATH_OPERATIONS_RESTART_PERSISTENT_SUBSCRIPTIONS}
"""What the client does by another call."""

E = NewEvent("T", b"{}")


async def read(items: Any) -> None:
    """Read one event."""
    opened = items if hasattr(items, "__aiter__") else await items
    async with opened:
        async for _ in opened:
            break


async def take(client: AsyncEsdbClient) -> None:
    """Take an event of a group, answer it, and leave."""
    async with await client.read_subscription("g", "s") as events:
        async for event in events:
            await events.ack(event)
            break


def calls(client: AsyncEsdbClient, folder: Path) -> dict[str, Callable[[], Awaitable[object]]]:
    """A call of every public method, in an order in which most of them succeed."""
    query, checkpoint = "fromAll().when({})", FileCheckpoint(folder / "checkpoint")

    async def handle(event: object) -> None: ...

    return {
        "connect": client.connect,
        "append_events": lambda: client.append_events("s", StreamState.ANY, E),
        "append_records": lambda: client.append_records([NewRecord("r", "T", b"{}")]),
        "import_events": lambda: client.import_events([("s", E)]),
        "decide": lambda: client.decide("s", lambda state, event: state, 0, lambda state: E),
        "decide_across": lambda: client.decide_across(["s"], lambda state, event: state, 0, lambda state: {"s": E}),
        "load_state": lambda: client.load_state("s", lambda state, event: state, 0),
        "set_stream_metadata": lambda: client.set_stream_metadata("s", {"a": 1}),
        "get_stream_metadata": lambda: client.get_stream_metadata("s"),
        "get_stream_position": lambda: client.get_stream_position("s"),
        "get_commit_position": client.get_commit_position,
        "read_stream_events": lambda: read(client.read_stream_events("s")),
        "read_all_events": lambda: read(client.read_all_events()),
        "subscribe_stream_events": lambda: read(client.subscribe_stream_events("s")),
        "subscribe_all_events": lambda: read(client.subscribe_all_events()),
        "read_index_events": lambda: read(client.read_index_events("$idx-all")),
        "subscribe_index_events": lambda: read(client.subscribe_index_events("$idx-all")),
        "consume": lambda: client.consume(handle, checkpoint=checkpoint, timeout=0.1),
        "consumer": lambda: client.consumer(handle, checkpoint=checkpoint, timeout=0.1).run(),
        "create_subscription": lambda: client.create_subscription("g", "s"),
        "update_subscription": lambda: client.update_subscription("g", "s", max_retry_count=3),
        "get_subscription_info": lambda: client.get_subscription_info("g", "s"),
        "list_subscriptions": client.list_subscriptions,
        "read_subscription": lambda: take(client),
        "replay_parked_events": lambda: client.replay_parked_events("g", "s"),
        "read_parked_events": lambda: client.read_parked_events("g", "s"),
        "truncate_parked_events": lambda: client.truncate_parked_events("g", "s"),
        "restart_subscriptions": client.restart_subscriptions,
        "delete_subscription": lambda: client.delete_subscription("g", "s"),
        "create_user": lambda: client.create_user("ann", "secret"),
        "update_user": lambda: client.update_user("ann", full_name="Ann", groups=[]),
        "get_user": lambda: client.get_user("ann"),
        "list_users": client.list_users,
        "disable_user": lambda: client.disable_user("ann"),
        "enable_user": lambda: client.enable_user("ann"),
        "change_password": lambda: client.change_password("ann", "secret", "other"),
        "reset_password": lambda: client.reset_password("ann", "secret"),
        "delete_user": lambda: client.delete_user("ann"),
        "create_projection": lambda: client.create_projection("p", query),
        "update_projection": lambda: client.update_projection("p", query),
        "enable_projection": lambda: client.enable_projection("$by_category"),
        "get_projection": lambda: client.get_projection("$by_category"),
        "list_projections": client.list_projections,
        "get_projection_state": lambda: client.get_projection_state("$by_category"),
        "get_projection_result": lambda: client.get_projection_result("$by_category"),
        "wait_for_projection": lambda: client.wait_for_projection("$by_category", timeout=5),
        "disable_projection": lambda: client.disable_projection("$by_category"),
        "abort_projection": lambda: client.abort_projection("$by_category"),
        "reset_projection": lambda: client.reset_projection("$by_category"),
        "delete_projection": lambda: client.delete_projection("p"),
        "restart_projections": client.restart_projections,
        "run_query": lambda: client.run_query(query, timeout=5),
        "create_index": lambda: client.create_index("i", filter="rec => true"),
        "get_index": lambda: client.get_index("i"),
        "list_indexes": client.list_indexes,
        "stop_index": lambda: client.stop_index("i"),
        "start_index": lambda: client.start_index("i"),
        "delete_index": lambda: client.delete_index("i"),
        "create_schema": lambda: client.create_schema("n", "{}"),
        "update_schema": lambda: client.update_schema("n", description="d"),
        "get_schema": lambda: client.get_schema("n"),
        "list_schemas": client.list_schemas,
        "lookup_schema_name": lambda: client.lookup_schema_name(uuid4()),
        "register_schema_version": lambda: client.register_schema_version("n", "[]"),
        "get_schema_version": lambda: client.get_schema_version("n"),
        "get_schema_version_by_id": lambda: client.get_schema_version_by_id(uuid4()),
        "list_schema_versions": lambda: client.list_schema_versions("n"),
        "list_registered_schemas": client.list_registered_schemas,
        "check_schema_compatibility": lambda: client.check_schema_compatibility("n", "{}"),
        "delete_schema_versions": lambda: client.delete_schema_versions("n", 1),
        "delete_schema": lambda: client.delete_schema("n"),
        "server_info": client.server_info,
        "read_gossip": client.read_gossip,
        "ping": client.ping,
        "read_statistics": client.read_statistics,
        "subscribe_statistics": lambda: read(client.subscribe_statistics()),
        "list_streams": client.list_streams,
        "list_categories": client.list_categories,
        "list_event_types": client.list_event_types,
        "get_default_access": client.get_default_access,
        "set_default_access": lambda: client.set_default_access(DefaultAccess()),
        "start_scavenge": client.start_scavenge,
        "stop_scavenge": lambda: client.stop_scavenge("x"),
        "merge_indexes": client.merge_indexes,
        "set_node_priority": lambda: client.set_node_priority(1),
        "resign_leader": client.resign_leader,
        "delete_stream": lambda: client.delete_stream("s"),
        "tombstone_stream": lambda: client.tombstone_stream("s"),
        "shutdown_server": client.shutdown_server,
        "close": client.close,
    }


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[set[str], set[str]]]:
    """The paths of all calls, and of those by stubs."""
    paths: set[str] = set()
    routes: set[str] = set()
    init, request = ClientCall.__init__, StubChannel.request

    def open_call(self: ClientCall, node: Any, method: str, **more: Any) -> None:
        paths.add(method)
        init(self, node, method, **more)

    def request_of_stub(self: StubChannel, route: str, *rest: Any, **more: Any) -> Any:
        routes.add(route)
        return request(self, route, *rest, **more)

    monkeypatch.setattr(ClientCall, "__init__", open_call)
    monkeypatch.setattr(StubChannel, "request", request_of_stub)
    return paths, routes


async def test_every_cold_call_of_the_client_is_made_by_a_stub(made: tuple[set[str], set[str]], tmp_path: Path) -> None:
    async with EmbeddedServer(run_projections="system", compatibility="26.1") as server:
        # discovery: gossip
        client = AsyncEsdbClient(f"esdb+discover://127.0.0.1:{server.port}?tls=false")
        methods = calls(client, tmp_path)
        for call in methods.values():
            with suppress(EsdbClientException):  # users are refused without authentication
                await call()
    paths, routes = made
    assert {name for name, _ in inspect.getmembers(AsyncEsdbClient) if name[0] != "_"} - {"embedded"} == set(methods)
    assert paths - HOT == routes == COLD - NOT_CALLED
    # what servers without the others get
    assert HOT - paths == {tags.PATH_STREAMS_APPEND, tags.PATH_STREAMS_SERVICE_APPEND_SESSION}


def overridden() -> set[str]:
    """The paths of all methods of generated bases that something of the server overrides."""
    found: set[str] = set()
    for base in ServiceBase.__subclasses__():
        for service in base.__subclasses__():
            if service.__module__.startswith("esdb_lite.server.services."):
                for path, about in base().__mapping__().items():
                    name = about.func.__name__.removeprefix("__rpc_")
                    if name in vars(service):
                        found.add(path)
    return found


async def test_every_cold_method_of_the_server_is_of_a_generated_base() -> None:
    async with (
        EmbeddedServer(run_projections="system", compatibility="26.1") as server,
        AsyncEsdbClient(server.uri) as client,
    ):
        features = await client._core.features(client._core.deadline(5))
    assert {path for path in COLD if features.has(path)} <= overridden()


HOT_MESSAGES = sorted(
    f"{package}.{kind.__name__}"
    for package, base in (
        ("streams", StreamsBase),
        ("persistent_subscriptions", PersistentSubscriptionsBase),
        ("imports", ImportsBase),
    )
    for path, about in base().__mapping__().items()
    if path in HOT
    for kind in (about.request_type, about.reply_type)
)


@pytest.mark.parametrize("message", HOT_MESSAGES)
def test_every_codec_is_compared_with_the_generated_message(message: str) -> None:
    """In tests/wire, which compare with Google's classes, too."""
    package, _, name = message.partition(".")
    module = {"persistent_subscriptions": "groups"}.get(package, package)
    sources = [path.read_text(encoding="utf-8") for path in (Path(__file__).parent / "wire").glob("test_*.py")]
    assert any(re.search(rf"\b{module}\.{name}\b|import \([^)]*\b{name},", source) for source in sources)
    assert any(f'"{message}"' in source for source in sources)
