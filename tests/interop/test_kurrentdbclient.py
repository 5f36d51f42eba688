"""kurrentdbclient, on grpcio, talks to `serve` unchanged: sync and asyncio, the same conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from esdb_lite import EsdbClient, StreamAcl, StreamMetadata
from esdb_lite import NewEvent as EsdbNewEvent
from tests.support import ServeProcess

kurrentdbclient = pytest.importorskip("kurrentdbclient", reason="kurrentdbclient is not installed")
exceptions = pytest.importorskip("kurrentdbclient.exceptions")

NewEvent = kurrentdbclient.NewEvent
StreamState = kurrentdbclient.StreamState

pytestmark = pytest.mark.interop


@pytest.fixture
def uri(serve: Callable[..., ServeProcess]) -> str:
    """Where a fresh server is."""
    return f"kurrentdb://{serve().address}?Tls=false"


@pytest.fixture
def client(uri: str) -> Iterator[kurrentdbclient.KurrentDBClient]:
    """A sync client, closed after the test."""
    with kurrentdbclient.KurrentDBClient(uri) as client:
        yield client


def new(*types: str) -> list[kurrentdbclient.NewEvent]:
    """New events of these types."""
    return [NewEvent(type=type, data=b'{"a": 1}', metadata=b'{"b": 2}') for type in types]


def types(events: object) -> list[str]:
    """The types of events."""
    return [event.type for event in events]  # type: ignore[attr-defined]


def test_append_and_read(client: kurrentdbclient.KurrentDBClient) -> None:
    events = new("Placed", "Paid", "Shipped")
    position = client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=events)
    assert position == client.get_commit_position()
    assert client.get_current_version("order-1") == 2
    read = client.get_stream("order-1")
    assert [(event.id, event.data, event.metadata) for event in read] == [
        (event.id, event.data, event.metadata) for event in events
    ]
    assert [event.stream_position for event in read] == [0, 1, 2]
    assert types(client.get_stream("order-1", backwards=True, limit=2)) == ["Shipped", "Paid"]
    assert types(client.get_stream("order-1", stream_position=1)) == ["Paid", "Shipped"]


def test_tls_and_users(serve: Callable[..., ServeProcess], tmp_path: Path) -> None:
    server = serve("--dev-certificate", tmp_path)
    authorities = (tmp_path / "ca.pem").read_text("ascii")
    place = f"localhost:{server.address.rpartition(':')[2]}"
    with kurrentdbclient.KurrentDBClient(
        f"kurrentdb://admin:changeit@{place}", root_certificates=authorities
    ) as client:
        client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Placed"))
        assert types(client.get_stream("order-1")) == ["Placed"]
        client.create_subscription_to_stream("group", "order-1")
    with (
        kurrentdbclient.KurrentDBClient(f"kurrentdb://admin:wrong@{place}", root_certificates=authorities) as client,
        pytest.raises(exceptions.KurrentDBClientError),
    ):
        client.get_stream("order-1")


def test_access_lists(serve: Callable[..., ServeProcess], tmp_path: Path) -> None:
    server = serve("--dev-certificate", tmp_path)
    place = f"localhost:{server.address.rpartition(':')[2]}"
    with EsdbClient(server.uri, credentials=("admin", "changeit")) as admin:
        admin.create_user("anna", "a-secret", groups=["sales"])
        admin.set_stream_metadata("order-1", StreamMetadata(acl=StreamAcl(read=("sales",), write=())))
        admin.append_events("order-1", None, EsdbNewEvent.json("Placed", {}))
    options = {"root_certificates": (tmp_path / "ca.pem").read_text("ascii")}
    with kurrentdbclient.KurrentDBClient(f"kurrentdb://anna:a-secret@{place}", **options) as anna:
        assert types(anna.get_stream("order-1")) == ["Placed"]
        for call in (
            lambda: anna.append_to_stream("order-1", current_version=0, events=new("Paid")),
            lambda: anna.append_events("order-1", current_version=0, events=new("Paid")),
            lambda: anna.get_stream("$users"),
            lambda: list(anna.read_all()),
        ):
            with pytest.raises(exceptions.AccessDeniedError):
                call()


def test_projections_that_are_stopped(serve: Callable[..., ServeProcess]) -> None:
    uri = f"kurrentdb://{serve('--run-projections', 'system').address}?Tls=false"
    with kurrentdbclient.KurrentDBClient(uri) as client:
        found = client.list_all_projection_statistics()
        assert [one.name for one in found] == [
            "$streams",
            "$stream_by_category",
            "$by_category",
            "$by_event_type",
            "$by_correlation_id",
        ]
        assert {one.status for one in found} == {"Stopped"}
        assert client.get_projection_statistics("$by_category").status == "Stopped"
        client.disable_projection("$by_category")
        with pytest.raises(exceptions.KurrentDBClientError, match="system projections only"):
            client.create_projection(name="mine", query="fromAll()")
        with pytest.raises(exceptions.NotFoundError):
            client.get_projection_statistics("mine")


def test_batch_append_and_idempotency(client: kurrentdbclient.KurrentDBClient) -> None:
    events = new("Placed", "Paid")
    first = client.append_events("order-1", current_version=StreamState.NO_STREAM, events=events)
    assert client.append_events("order-1", current_version=StreamState.NO_STREAM, events=events) == first
    assert len(client.get_stream("order-1")) == 2


def test_wrong_version(client: kurrentdbclient.KurrentDBClient) -> None:
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Placed"))
    for append in (client.append_to_stream, client.append_events):
        with pytest.raises(exceptions.WrongCurrentVersionError):
            append("order-1", current_version=7, events=new("Paid"))


def test_read_all(client: kurrentdbclient.KurrentDBClient) -> None:
    for number in range(20):
        client.append_to_stream(f"order-{number}", current_version=StreamState.NO_STREAM, events=new("Placed", "Paid"))
    assert len(list(client.read_all())) == 40
    assert types(client.read_all(backwards=True, limit=3)) == ["Paid", "Placed", "Paid"]
    assert types(client.read_all(filter_include=["Pai.*"])) == ["Paid"] * 20
    assert types(client.read_all(filter_exclude=["Pai.*", r"\$.+"])) == ["Placed"] * 20
    streams = {event.stream_name for event in client.read_all(filter_include=["order-1.*"], filter_by_stream_name=True)}
    assert streams == {"order-1", *(f"order-1{digit}" for digit in range(10))}


def test_a_position_where_no_event_begins(client: kurrentdbclient.KurrentDBClient) -> None:
    position = client.append_to_stream("order-1", current_version=StreamState.ANY, events=new("Placed", "Paid"))
    with pytest.raises(exceptions.InvalidCommitPositionError):
        list(client.read_all(commit_position=position - 1))


def test_many_large_events(client: kurrentdbclient.KurrentDBClient) -> None:
    sent = [NewEvent(type="Large", data=bytes([number]) * 100_000) for number in range(30)]
    for start in range(0, 30, 10):
        client.append_to_stream("large", current_version=StreamState.ANY, events=sent[start : start + 10])
    assert [event.data for event in client.get_stream("large")] == [event.data for event in sent]


def test_subscribe_to_all(client: kurrentdbclient.KurrentDBClient) -> None:
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Placed"))
    with client.subscribe_to_all(include_caught_up=True) as subscription:
        assert next(subscription).type == "Placed"
        assert isinstance(next(subscription), kurrentdbclient.CaughtUp)
        client.append_to_stream("order-1", current_version=0, events=new("Paid"))
        assert next(subscription).type == "Paid"


def test_subscribe_to_all_from_the_end(client: kurrentdbclient.KurrentDBClient) -> None:
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Placed"))
    with client.subscribe_to_all(from_end=True, include_checkpoints=True) as subscription:
        client.append_to_stream("order-1", current_version=0, events=new("Paid"))
        assert types([next(item for item in subscription if isinstance(item, kurrentdbclient.RecordedEvent))]) == [
            "Paid"
        ]


def test_subscribe_to_stream(client: kurrentdbclient.KurrentDBClient) -> None:
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Placed", "Paid"))
    with client.subscribe_to_stream("order-1", stream_position=0) as subscription:
        client.append_to_stream("order-2", current_version=StreamState.NO_STREAM, events=new("Elsewhere"))
        client.append_to_stream("order-1", current_version=1, events=new("Shipped"))
        assert types([next(subscription), next(subscription)]) == ["Paid", "Shipped"]


def test_delete_and_write_again(client: kurrentdbclient.KurrentDBClient) -> None:
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Placed", "Paid"))
    client.delete_stream("order-1", current_version=1)
    with pytest.raises(exceptions.NotFoundError):
        client.get_stream("order-1")
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Reopened"))
    assert [(event.type, event.stream_position) for event in client.get_stream("order-1")] == [("Reopened", 2)]


def test_tombstone(client: kurrentdbclient.KurrentDBClient) -> None:
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Placed"))
    client.tombstone_stream("order-1", current_version=0)
    for call in (
        lambda: client.get_stream("order-1"),
        lambda: client.append_to_stream("order-1", current_version=StreamState.ANY, events=new("Paid")),
        lambda: client.append_events("order-1", current_version=StreamState.ANY, events=new("Paid")),
    ):
        with pytest.raises(exceptions.StreamIsDeletedError):
            call()


def test_metadata(client: kurrentdbclient.KurrentDBClient) -> None:
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("A", "B", "C"))
    assert client.get_stream_metadata("order-1") == ({}, StreamState.NO_STREAM)
    client.set_stream_metadata("order-1", metadata={"$maxCount": 2, "mine": "yes"})
    metadata, version = client.get_stream_metadata("order-1")
    assert (metadata, version) == ({"$maxCount": 2, "mine": "yes"}, 0)
    assert types(client.get_stream("order-1")) == ["B", "C"]


def test_links(client: kurrentdbclient.KurrentDBClient) -> None:
    client.append_to_stream("order-1", current_version=StreamState.NO_STREAM, events=new("Placed"))
    link = NewEvent(type="$>", data=b"0@order-1", content_type="application/octet-stream")
    client.append_to_stream("links", current_version=StreamState.NO_STREAM, events=[link])
    (resolved,) = client.get_stream("links", resolve_links=True)
    assert (resolved.type, resolved.link.stream_name) == ("Placed", "links")


async def test_asyncio(uri: str) -> None:
    async with kurrentdbclient.AsyncKurrentDBClient(uri) as client:
        stream = str(uuid4())
        await client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=new("A", "B"))
        async with await client.subscribe_to_stream(stream) as subscription:
            await client.append_to_stream(stream, current_version=1, events=new("C"))
            assert [(await subscription.__anext__()).type for _ in range(3)] == ["A", "B", "C"]
        assert types(await client.get_stream(stream)) == ["A", "B", "C"]
        assert [event.type async for event in await client.read_all(backwards=True, limit=2)] == ["C", "B"]
        await client.set_stream_metadata(stream, metadata={"$maxCount": 1})
        assert types(await client.get_stream(stream)) == ["C"]
        await client.delete_stream(stream, current_version=2)
        with pytest.raises(exceptions.NotFoundError):
            await client.get_stream(stream)
        await client.tombstone_stream(stream, current_version=StreamState.ANY)
        with pytest.raises(exceptions.StreamIsDeletedError):
            await client.append_to_stream(stream, current_version=StreamState.ANY, events=new("D"))


CREATE = """fromCategory('order').foreachStream().when({
    $init: () => ({n: 0}),
    Placed(s, e) { s.n++ },
})"""


def test_projections(serve: Callable[..., ServeProcess]) -> None:
    pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
    process = serve("--run-projections", "all", "--start-standard-projections")
    with kurrentdbclient.KurrentDBClient(f"kurrentdb://{process.address}?Tls=false") as client:
        client.append_events("order-1", current_version=StreamState.ANY, events=new("Placed", "Placed"))
        client.create_projection(name="mine", query=CREATE, emit_enabled=True, track_emitted_streams=True)
        with pytest.raises(exceptions.AlreadyExistsError):
            client.create_projection(name="mine", query=CREATE)
        wait(lambda: client.get_projection_state("mine", "order-1").value == {"n": 2})
        assert client.get_projection_statistics("mine").status == "Running"
        assert client.get_projection_statistics("mine").mode == "Continuous"
        assert "mine" in [one.name for one in client.list_continuous_projection_statistics()]
        client.update_projection("mine", query=CREATE.replace("s.n++", "s.n += 10"), emit_enabled=True)
        client.reset_projection("mine")
        wait(lambda: client.get_projection_state("mine", "order-1").value == {"n": 20})
        with pytest.raises(exceptions.OperationFailedError):
            client.delete_projection("mine")
        client.disable_projection("mine")
        assert client.get_projection_statistics("mine").status == "Stopped"
        client.enable_projection("mine")
        client.abort_projection("mine")
        assert client.get_projection_statistics("mine").status == "Aborted/Stopped"
        client.disable_projection("mine")
        client.delete_projection("mine", delete_emitted_streams=True, delete_checkpoint_stream=True)
        for call in (
            lambda: client.get_projection_statistics("mine"),
            lambda: client.get_projection_state("mine"),
            lambda: client.enable_projection("mine"),
            lambda: client.delete_projection("mine"),
        ):
            with pytest.raises(exceptions.NotFoundError):
                call()
        client.restart_projections_subsystem()
        wait(lambda: client.get_projection_statistics("$by_category").status == "Running")
        client.append_events("order-2", current_version=StreamState.ANY, events=new("Placed"))
        subscription = client.subscribe_to_stream("$ce-order", resolve_links=True)
        assert [next(subscription).stream_name for _ in range(3)] == ["order-1", "order-1", "order-2"]
        subscription.stop()


def wait(condition: Callable[[], bool]) -> None:
    """Ask until it is so: this client has no call that waits."""
    for _ in range(2000):
        if condition():
            return
    raise AssertionError("it did not come to that")
