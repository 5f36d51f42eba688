"""What the adapters' clients connect to: connection strings, certificates, clusters; and those of esdbclient."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from esdb_lite import SimulatedCluster
from esdb_lite.compat import esdbclient
from esdb_lite.compat.esdbclient import exceptions as former
from esdb_lite.compat.esdbclient.connection_spec import ConnectionSpec as FormerSpec
from esdb_lite.compat.kurrentdbclient import (
    AsyncKurrentDBClient,
    KurrentDBClient,
    NewEvent,
    NewEvents,
    NewRecord,
    StreamState,
    exceptions,
)
from esdb_lite.compat.kurrentdbclient.connection_spec import ConnectionSpec
from esdb_lite.connection_strings import parse_uri
from tests.support import ServeProcess, start_serve

pytest.importorskip("trustme", reason="trustme is not installed")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("kdb://h?Tls=false", {"nodes": ["h:2113"], "tls": False, "discover": False, "gossip_timeout": 5}),
        ("kdb+discover://u:p@h:1", {"nodes": ["h:1"], "tls": True, "discover": True}),
        ("esdb://u:p@a,b:2", {"nodes": ["a:2113", "b:2"], "discover": True}),
        ("kdb://u:p@[::1]?defaultdeadline=3", {"nodes": ["[::1]:2113"], "default_timeout": 3}),
        ("kdb://h?Tls=false&MaxDiscoverAttempts=1&DiscoveryInterval=0", {"max_discover_attempts": 1}),
        ("kdb://h?Tls=false&DiscoveryInterval=250&GossipTimeout=0", {"discovery_interval": 0.25, "gossip_timeout": 2}),
        ("kdb://h?Tls=false&KeepAliveInterval=1500&KeepAliveTimeout=500", {"keep_alive_interval": 1.5}),
        ("kdb://h?Tls=false&ConnectionName=my%20client", {"connection_name": "my client"}),
        ("kdb://u:p@h?TlsVerifyCert=False&NodePreference=random", {"tls_verify": False}),
        ("esdb+embedded://", {"nodes": [], "tls": False}),
    ],
)
def test_what_a_connection_string_becomes(uri: str, expected: dict[str, object]) -> None:
    settings = parse_uri(ConnectionSpec(uri).for_esdb_lite())
    found = {name: getattr(settings, name) for name in expected}
    if "nodes" in found:
        found["nodes"] = [str(node) for node in settings.nodes]
    assert found == expected


def test_credentials_are_taken_as_they_are() -> None:
    spec = ConnectionSpec("kdb://admin:p%40ss@h")
    assert (spec.username, spec.password) == ("admin", "p%40ss")
    assert "p%40ss" not in spec.for_esdb_lite()


def test_the_names_of_options_in_esdbclient() -> None:
    options = FormerSpec("esdb://h?Tls=false&NodePreference=follower").options
    assert (options.NodePreference, options.Tls, options.TlsCaFile) == ("follower", False, None)  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        options.Nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the certificate is."""
    return tmp_path_factory.mktemp("certificate")


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[ServeProcess]:
    """A server with TLS and users."""
    running = start_serve("--dev-certificate", folder, folder=folder)
    yield running
    running.kill()


async def test_certificates(secure: ServeProcess, folder: Path) -> None:
    uri = f"kdb://admin:changeit@{secure.address}"
    host, _, port = secure.address.rpartition(":")
    authority = (folder / "ca.pem").read_text()
    itself = ssl.get_server_certificate((host, int(port)))
    for trusted in (authority, authority.encode(), itself):
        with KurrentDBClient(uri, root_certificates=trusted) as client:
            assert client.get_commit_position() >= 0
            assert client.root_certificates == trusted.encode() if isinstance(trusted, str) else trusted
        async with AsyncKurrentDBClient(uri, trusted) as connected:
            assert await connected.get_commit_position() >= 0
    with KurrentDBClient(f"{uri}?TlsCaFile={folder / 'ca.pem'}") as client:
        assert client.get_commit_position() >= 0
    for wrong in (None, "no certificate"):
        with KurrentDBClient(uri, root_certificates=wrong) as client, pytest.raises(exceptions.SSLError):
            client.get_commit_position()
        with pytest.raises(exceptions.DiscoveryFailedError):
            KurrentDBClient(f"{uri},localhost:1?MaxDiscoverAttempts=1", root_certificates=wrong)


def test_credentials(secure: ServeProcess, folder: Path) -> None:
    uri = f"kdb://admin:changeit@{secure.address}?TlsCaFile={folder / 'ca.pem'}"
    with KurrentDBClient(uri) as client:
        stream = uuid4().hex
        event = NewEvent("A", b"")
        client.append_event(stream, event=event, current_version=StreamState.NO_STREAM)
        admin, ops, wrong = (
            client.construct_call_credentials(name, password)
            for name, password in (("admin", "changeit"), ("ops", "changeit"), ("admin", "wrong"))
        )
        client.set_stream_metadata(stream, metadata={"$acl": {"$r": "admin"}}, credentials=admin)
        assert client.get_stream(stream) == (event,)
        with pytest.raises(exceptions.UnauthenticatedError):
            client.get_stream(stream, credentials=wrong)
        with pytest.raises(exceptions.AccessDeniedError):
            client.get_stream("$users", credentials=ops)
        assert client.construct_call_credentials("admin", None) is None
    with KurrentDBClient("kdb://h?Tls=false") as client:
        assert client.construct_call_credentials("admin", "changeit") is None


async def test_clusters() -> None:
    with SimulatedCluster() as cluster:
        seeds = ",".join(f"{node.host}:{node.port}" for node in cluster.nodes)
        addresses = {f"{node.host}:{node.port}" for node in cluster.nodes}
        leader = cluster.leader
        assert leader is not None
        with KurrentDBClient(f"kdb://{seeds}?Tls=false") as client:
            assert client.connection_target == f"{leader.host}:{leader.port}"
            states = sorted(member.state for member in client.read_gossip())
            assert states == ["NODE_STATE_FOLLOWER", "NODE_STATE_FOLLOWER", "NODE_STATE_LEADER"]
            client.append_event("a", event=NewEvent("A", b""), current_version=StreamState.NO_STREAM)
        async with AsyncKurrentDBClient(f"kdb://{seeds}?Tls=false&NodePreference=follower") as follower:
            assert follower.connection_target in addresses - {f"{leader.host}:{leader.port}"}
            assert len(await follower.get_stream("a")) == 1
        with pytest.raises(exceptions.ReadOnlyReplicaNotFoundError):
            KurrentDBClient(f"kdb://{seeds}?Tls=false&NodePreference=readonlyreplica")


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimulatedCluster]:
    with SimulatedCluster(compatibility="26.1") as cluster:
        yield cluster


def targets(cluster: SimulatedCluster) -> tuple[str, list[str]]:
    """Where the leader is, and where the followers are."""
    leader = cluster.leader
    assert leader is not None
    places = [f"{node.host}:{node.port}" for node in cluster.nodes]
    places.remove(f"{leader.host}:{leader.port}")
    return f"{leader.host}:{leader.port}", places


ONLY_THE_LEADER: Mapping[str, Callable[[AsyncKurrentDBClient], Awaitable[object]]] = {
    "append_to_stream": lambda client: client.append_to_stream(
        "a", events=NewEvent("A", b""), current_version=StreamState.ANY
    ),
    "multi_append_to_stream": lambda client: client.multi_append_to_stream(
        [NewEvents("a", [NewEvent("A", b"{}")], StreamState.ANY)]
    ),
    "append_records": lambda client: client.append_records(NewRecord("a", "A", b"{}")),
    "set_stream_metadata": lambda client: client.set_stream_metadata("a", metadata={}),
    "delete_stream": lambda client: client.delete_stream("a", current_version=StreamState.ANY),
    "tombstone_stream": lambda client: client.tombstone_stream("a", current_version=StreamState.ANY),
    "create_subscription_to_all": lambda client: client.create_subscription_to_all("group"),
    "read_subscription_to_all": lambda client: client.read_subscription_to_all("group"),
    "delete_subscription": lambda client: client.delete_subscription("group"),
}
OF_GROUPS: Mapping[str, Callable[[AsyncKurrentDBClient], Awaitable[object]]] = {
    "get_subscription_info": lambda client: client.get_subscription_info("group"),
    "list_subscriptions": lambda client: client.list_subscriptions(),
    "update_subscription_to_all": lambda client: client.update_subscription_to_all("group"),
}
"""To these a follower does not say who leads."""


@pytest.mark.parametrize("name", [*ONLY_THE_LEADER, *OF_GROUPS])
async def test_a_follower_refuses_what_only_the_leader_can_do(cluster: SimulatedCluster, name: str) -> None:
    leader, followers = targets(cluster)
    call = {**ONLY_THE_LEADER, **OF_GROUPS}[name]
    several = f"kdb://{','.join([leader, *followers])}?Tls=false&NodePreference=follower"
    for uri in (several, f"kdb://{followers[0]}?Tls=false"):
        async with AsyncKurrentDBClient(uri) as client:
            with pytest.raises(exceptions.NodeIsNotLeaderError) as caught:
                await call(client)
            assert caught.value.leader_grpc_target == (leader if name in ONLY_THE_LEADER else None)


async def test_a_follower_refuses_all_appends_at_once(cluster: SimulatedCluster) -> None:
    """None is in doubt because others were sent on the same call."""
    _, followers = targets(cluster)
    async with AsyncKurrentDBClient(f"kdb://{followers[0]}?Tls=false") as client:
        event = NewEvent("A", b"")
        appends = (
            client.append_to_stream(uuid4().hex, events=event, current_version=StreamState.ANY) for _ in range(9)
        )
        failures = await asyncio.gather(*appends, return_exceptions=True)
        assert [type(failure) for failure in failures] == [exceptions.NodeIsNotLeaderError] * 9


async def test_reads_of_a_follower(cluster: SimulatedCluster) -> None:
    leader, (follower, *_) = targets(cluster)
    name = uuid4().hex
    with KurrentDBClient(f"kdb://{leader}?Tls=false") as client:
        client.append_event(name, event=NewEvent("A", b""), current_version=StreamState.NO_STREAM)
    with KurrentDBClient(f"kdb://{follower}?Tls=false&NodePreference=follower") as client:
        assert len(client.get_stream(name)) == 1
    with KurrentDBClient(f"kdb://{follower}?Tls=false") as client, pytest.raises(exceptions.NodeIsNotLeaderError):
        client.get_stream(name)  # the leader is preferred, and the only node that is named does not lead


async def test_a_refusal_is_followed_where_the_leader_is_looked_for(cluster: SimulatedCluster) -> None:
    leader, (follower, *_) = targets(cluster)
    async with AsyncKurrentDBClient(f"kdb://{leader},{follower}?Tls=false") as client:
        for call in (ONLY_THE_LEADER["append_to_stream"], OF_GROUPS["list_subscriptions"]):
            await client.reconnect(follower)
            assert client.connection_target == follower
            await call(client)
            assert client.connection_target == leader
    with KurrentDBClient(f"kdb://{leader},{follower}?Tls=false") as client:
        client.reconnect(follower)
        client.append_event(uuid4().hex, event=NewEvent("A", b""), current_version=StreamState.NO_STREAM)
        assert client.connection_target == leader


@pytest.mark.parametrize("attribute", ["_node_preference", "_NodePreference"])
async def test_a_preference_that_changes(cluster: SimulatedCluster, attribute: str) -> None:
    leader, followers = targets(cluster)
    uri = f"kdb://{','.join([leader, *followers])}?Tls=false&NodePreference=follower"
    async with AsyncKurrentDBClient(uri) as client:
        setattr(client.connection_spec.options, attribute, "leader")
        await ONLY_THE_LEADER["append_to_stream"](client)
        assert client.connection_target == leader


async def test_a_single_node_has_no_followers(server: ServeProcess) -> None:
    uri = f"kdb+discover://{server.address}?Tls=false"
    with KurrentDBClient(uri) as client:
        assert client.connection_target == server.address
    with pytest.raises(exceptions.FollowerNotFoundError) as caught:
        KurrentDBClient(f"{uri}&NodePreference=follower")
    assert not isinstance(caught.value, exceptions.LeaderNotFoundError)
    client_async = AsyncKurrentDBClient(f"{uri}&NodePreference=follower")
    with pytest.raises(exceptions.DiscoveryFailedError):
        await client_async.connect()


def test_embedded() -> None:
    """What they do not have: the server in the process."""
    with KurrentDBClient("esdb+embedded://") as client:
        client.append_event("a", event=NewEvent("A", b""), current_version=StreamState.NO_STREAM)
        assert client.get_current_version("a") == 0


async def test_esdbclient(server: ServeProcess) -> None:
    uri, name = f"esdb://{server.address}?Tls=false", uuid4().hex
    with esdbclient.EventStoreDBClient(uri) as client:
        assert isinstance(client, esdbclient.ESDBClient)
        start = client.append_events(
            name, events=[NewEvent("Start", b""), NewEvent("Result", b"")], current_version=StreamState.NO_STREAM
        )
        with pytest.raises(former.NotFound) as caught:
            client.get_stream("nothing")
        assert isinstance(caught.value, (exceptions.NotFoundError, former.EventStoreDBClientException))
        result = client.get_stream(name, backwards=True, limit=1)[0]
        assert start == result.commit_position
        assert client.get_commit_position() == start  # `Result` counts here
        assert [event.type for event in client.read_all(commit_position=start)] == ["Result"]
        client.create_subscription_to_stream(name, name)
        consumer = client.read_subscription_to_stream(name, name)
        first = next(consumer)
        consumer.stop()
        consumer.ack(first)  # too late, which is not said
        consumer.nack(first, "park")
        assert next(client.read_subscription_to_stream(name, name)).id == first.id
    with pytest.warns(DeprecationWarning, match="AsyncEventStoreDBClient"):
        connected = await esdbclient.AsyncioEventStoreDBClient(uri)
    async with connected:
        assert [event.type async for event in await connected.read_all(commit_position=start)] == ["Result"]


@pytest.mark.parametrize("name", ["read_all", "subscribe_to_all", "get_commit_position", "create_subscription_to_all"])
def test_the_former_defaults(name: str) -> None:
    for cls in (esdbclient.EventStoreDBClient, esdbclient.AsyncEventStoreDBClient):
        assert inspect.signature(getattr(cls, name)).parameters["filter_exclude"].default == (
            *(r"\$.+", r"PersistentConfig\d+"),
        )


async def test_instrumentors(server: ServeProcess) -> None:
    trace = pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    adapted = pytest.importorskip("esdb_lite.compat.kurrentdbclient.instrumentation.opentelemetry")
    former_ones = pytest.importorskip("esdb_lite.compat.esdbclient.instrumentation.opentelemetry")
    spans, provider = memory.InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(spans))
    one, other = adapted.KurrentDBClientInstrumentor(), former_ones.AsyncEventStoreDBClientInstrumentor()

    def append() -> None:
        with KurrentDBClient(f"kdb://{server.address}?Tls=false") as client:
            client.append_to_stream(uuid4().hex, events=NewEvent("A", b"{}"), current_version=StreamState.NO_STREAM)

    one.instrument(tracer_provider=provider, instrument_get_and_read_stream=True)
    other.instrument(tracer_provider=provider)
    append()
    one.uninstrument()
    assert (one.is_instrumented_by_opentelemetry, other.is_instrumented_by_opentelemetry) == (False, True)
    append()
    other.uninstrument()
    other.uninstrument()
    append()
    assert [span.name for span in spans.get_finished_spans()] == ["streams.append"] * 2
