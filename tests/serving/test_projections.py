"""The service of projections: what a server with the system projections answers, call by call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from pathlib import Path

import betterproto
import pytest
from betterproto.lib.google.protobuf import Struct, Value
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client import projections as messages

from esdb_lite import AsyncEsdbClient, DeadlineExceeded, EmbeddedServer, EsdbClient, GrpcError, IndexQuery, NewEvent
from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._wire.framing import MessageSplitter, frame
from tests.support import ServeProcess

SYSTEM = ["$streams", "$stream_by_category", "$by_category", "$by_event_type", "$by_correlation_id"]
NO_ENGINE = (
    "UNIMPLEMENTED",
    "This server runs the system projections only.",
)


@pytest.fixture
async def node() -> AsyncIterator[ConnectionPool]:
    """A server that has them."""
    async with EmbeddedServer(run_projections="system") as server:
        made = ConnectionPool(server.host, server.port)
        yield made
        await made.close()


async def ask(node: ConnectionPool, method: str, request: betterproto.Message) -> list[bytes] | tuple[str, str]:
    """The answers of a call, or how it failed."""
    splitter, answers = MessageSplitter(), list[bytes]()
    path = f"/event_store.client.projections.Projections/{method}"
    async with ClientCall(node, path, deadline=Deadline(20)) as call:
        try:
            await call.send(frame((bytes(request),)), end=True)
            while data := await call.receive():
                answers += map(bytes, splitter.feed(data))
        except GrpcError as error:
            return error.code.name, error.details
    return answers


def statistics(**mode: object) -> messages.StatisticsReq:
    return messages.StatisticsReq(options=messages.StatisticsReqOptions(**mode))  # type: ignore[arg-type]


async def names(node: ConnectionPool, **mode: object) -> list[str]:
    found = await ask(node, "Statistics", statistics(**mode))
    details = [messages.StatisticsResp().parse(answer).details for answer in found if isinstance(answer, bytes)]
    assert {(one.status, one.mode, one.position, one.progress) for one in details} <= {
        ("Stopped", "Continuous", "C:0/P:-1", -1.0)
    }
    return [one.name for one in details]


async def test_statistics(node: ConnectionPool) -> None:
    assert await names(node, all=Empty()) == SYSTEM
    assert await names(node, continuous=Empty()) == SYSTEM
    assert await names(node, name="") == SYSTEM
    assert await names(node, name="$by_category") == ["$by_category"]
    assert await names(node, transient=Empty()) == []
    assert await names(node, one_time=Empty()) == []


OPTIONS: dict[str, Callable[[str], betterproto.Message]] = {
    "Update": lambda name: messages.UpdateReq(messages.UpdateReqOptions(name=name, no_emit_options=Empty())),
    "Delete": lambda name: messages.DeleteReq(messages.DeleteReqOptions(name=name)),
    "Enable": lambda name: messages.EnableReq(messages.EnableReqOptions(name=name)),
    "Disable": lambda name: messages.DisableReq(messages.DisableReqOptions(name=name)),
    "Reset": lambda name: messages.ResetReq(messages.ResetReqOptions(name=name)),
    "State": lambda name: messages.StateReq(messages.StateReqOptions(name=name)),
    "Result": lambda name: messages.ResultReq(messages.ResultReqOptions(name=name)),
    "Statistics": lambda name: statistics(name=name),
}
NOTHING = Value(struct_value=Struct())


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("Update", [b""]),
        ("Enable", [b""]),
        ("Reset", [b""]),
        ("Delete", ("UNKNOWN", "Envelope callback expected Updated, received OperationFailed instead")),
        ("Disable", [b""]),
        ("State", [bytes(messages.StateResp(NOTHING))]),
        ("Result", [bytes(messages.ResultResp(NOTHING))]),
    ],
)
async def test_one_of_them(node: ConnectionPool, method: str, expected: object) -> None:
    assert await ask(node, method, OPTIONS[method]("$by_category")) == expected


@pytest.mark.parametrize("method", OPTIONS)
async def test_others_are_not_found(node: ConnectionPool, method: str) -> None:
    assert await ask(node, method, OPTIONS[method]("mine")) == ("NOT_FOUND", "Projection 'mine' not found")


async def test_none_can_be_created(node: ConnectionPool) -> None:
    for mode in (
        messages.CreateReqOptions(one_time=Empty(), query="fromAll()"),
        messages.CreateReqOptions(transient=messages.CreateReqOptionsTransient("t"), query="fromAll()"),
        messages.CreateReqOptions(continuous=messages.CreateReqOptionsContinuous("c"), query="fromAll()"),
    ):
        assert await ask(node, "Create", messages.CreateReq(mode)) == NO_ENGINE
    assert await names(node, all=Empty()) == SYSTEM
    assert await ask(node, "RestartSubsystem", Empty()) == [b""]


async def test_requests_that_say_nothing(node: ConnectionPool) -> None:
    for method, request in (
        ("Create", messages.CreateReq()),
        ("Create", messages.CreateReq(messages.CreateReqOptions(query="fromAll()"))),
        ("Update", messages.UpdateReq(messages.UpdateReqOptions(name="$by_category"))),
        *((method, messages.EnableReq()) for method in OPTIONS if method != "Statistics"),
    ):
        code, text = await ask(node, method, request)
        assert (code, "options" in str(text)) == ("INVALID_ARGUMENT", True), method


@pytest.mark.parametrize(
    ("tracks", "emits", "engine", "answer"),
    [
        (True, False, 0, ("UNKNOWN", "Exception was thrown by handler: options.continuous.track_emitted_streams")),
        (True, True, 2, ("UNKNOWN", "Exception was thrown by handler: Tracking emitted streams is not supported with")),
        (False, True, 3, ("INVALID_ARGUMENT", "options.engine_version is 3")),
        (False, True, 2, NO_ENGINE),
    ],
)
async def test_what_does_not_go_together(
    node: ConnectionPool, tracks: bool, emits: bool, engine: int, answer: tuple[str, str]
) -> None:
    continuous = messages.CreateReqOptionsContinuous("c", emits, tracks)
    options = messages.CreateReqOptions(continuous=continuous, query="fromAll()", engine_version=engine)
    code, text = await ask(node, "Create", messages.CreateReq(options))
    assert (code, str(text)[: len(answer[1])]) == answer


async def test_older_servers_do_not_read_what_is_said_of_engines() -> None:
    pytest.importorskip("_quickjs", reason="quickjs-ng is not installed")
    async with EmbeddedServer(run_projections="all", compatibility="24.10") as server:
        pool = ConnectionPool(server.host, server.port)
        continuous = messages.CreateReqOptionsContinuous("c", True, True)
        options = messages.CreateReqOptions(continuous=continuous, query="fromAll()", engine_version=7)
        assert await ask(pool, "Create", messages.CreateReq(options)) == [b""]
        await pool.close()


async def test_a_database_gets_them_once(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    for run_projections, expected in (("none", 0), ("system", 11), ("system", 11), ("none", 11)):
        server = EmbeddedServer(path, run_projections=run_projections)
        async with server, AsyncEsdbClient(server.uri) as client:
            streams = [event.stream_name async for event in client.read_all_events(filter_exclude=())]
        assert sum(name.startswith("$projections-") for name in streams) == expected


async def test_without_them_there_is_no_such_service() -> None:
    async with EmbeddedServer() as server:
        node = ConnectionPool(server.host, server.port)
        assert await ask(node, "Statistics", statistics(all=Empty())) == ("UNIMPLEMENTED", "Service is unimplemented.")
        await node.close()


def test_the_argument() -> None:
    with pytest.raises(ValueError, match="run_projections"):
        EmbeddedServer(run_projections="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="start_standard_projections"):
        EmbeddedServer(start_standard_projections=True)


def test_the_option(serve: Callable[..., ServeProcess]) -> None:
    for arguments, expected in ((("--run-projections", "system"), 6), ((), 0)):
        with EsdbClient(serve(*arguments).uri) as client:
            position = client.get_stream_position("$projections-$all")
        assert (0 if position is None else position + 1) == expected


STUCK = "for (;;) { try { 'x'.repeat(100000000) } catch (e) {} }"


@pytest.mark.skipif(find_spec("_quickjs") is None, reason="quickjs-ng is not installed")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["projection", "index"])
def test_a_script_that_an_engine_cannot_stop_in_time_keeps_no_server_from_stopping(
    serve: Callable[..., ServeProcess], kind: str
) -> None:
    process = serve("--run-projections", "all", "--compatibility", "26.1")
    with EsdbClient(process.uri) as client:
        client.append_events("s", None, NewEvent("T", b"{}"))
        if kind == "projection":
            client.create_projection("stuck", f"fromAll().when({{T() {{ {STUCK} }}}})")
            with pytest.raises(DeadlineExceeded):
                client.wait_for_projection("stuck", timeout=1)
        else:
            client.create_index("stuck", filter=f"rec => {{ {STUCK} }}")
            with pytest.raises(DeadlineExceeded):
                list(client.read_index_events(IndexQuery.user("stuck"), timeout=1))
        client.append_events("s", 0, NewEvent("T", b"{}"))
    done = process.stop()
    assert done.status == 0
    assert "does not come to its end, and is left to itself" in done.err


@pytest.mark.skipif(find_spec("_quickjs") is None, reason="quickjs-ng is not installed")
def test_who_reads_links_has_caught_up_after_who_writes_them() -> None:
    with (
        EmbeddedServer(run_projections="all", start_standard_projections=True) as server,
        EsdbClient(server.uri) as client,
    ):
        query = "fromCategory('order').when({$init: () => ({n: 0}), T: state => { state.n++ }})"
        client.create_projection("counts", query)
        for number in range(1, 5):
            result = client.append_events(f"order-{number}", None, [NewEvent("T", b"{}") for _ in range(2000)])
            client.wait_for_projection("counts", result.commit_position if number % 2 else None, timeout=60)
            assert client.get_projection_state("counts") == {"n": 2000 * number}
