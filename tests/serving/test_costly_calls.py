"""Calls that cost much, many at once: each turn of the loop answers one, and none takes seconds."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from esdb_lite_protos.event_store.client.projections import ResultResp, StateResp
from esdb_lite_protos.event_store.client.users import CreateReq, CreateReqOptions, CreateResp, UsersBase
from esdb_lite_protos.kurrentdb.protocol.v2.indexes import Index, ListIndexesResponse
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import AsyncEsdbClient, CompatibilityMode, EmbeddedServer, Filter, Incompatibility
from esdb_lite._wire.framing import frame as framed
from esdb_lite._wire.read_request import ReadOptions, ReadRequest
from esdb_lite.server.app import RpcServer
from esdb_lite.server.app.calls import Route
from esdb_lite.server.database.loop_share import LoopShare
from esdb_lite.server.engine.read import Read
from esdb_lite.server.handlers import PageBody
from esdb_lite.server.node import ServerNode
from esdb_lite.server.schemas import catalogue
from esdb_lite.server.schemas.compatibility import ComparisonBudget, NotASchema, incompatibilities
from esdb_lite.server.services import projections
from esdb_lite.server.services import read as read_service
from esdb_lite.server.services.read_plans import SubscriptionPlan, plan_read
from esdb_lite.server.services.unary import encoded, encoded_list, routes
from tests.faults.support import GOSSIP, STREAMS, append, events_in, read
from tests.healing.waiting import until
from tests.serving.raw import connected, echo
from tests.serving.test_slow_readers import take_nothing

CREATE = "/event_store.client.users.Users/Create"


class Turns:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.now = 0

    async def __aenter__(self) -> Turns:
        self._counting = asyncio.ensure_future(self._count())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._counting.cancel()

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.now += 1


async def test_many_calls_at_once_are_answered_in_turns() -> None:
    """One in a turn of the loop: another connection's call does not wait for all of them."""
    turns, seen = Turns(), list[int]()

    class Users(UsersBase):
        async def create(self, create_req: CreateReq) -> CreateResp:
            seen.append(turns.now)
            return CreateResp()

    handler = routes(Users(), LoopShare())[CREATE]
    server = RpcServer({CREATE: Route(handler, 1000), "/s/M": Route(echo, 1000)})
    port = await server.start("127.0.0.1", 0)
    request = framed([bytes(CreateReq(options=CreateReqOptions(login_name="x")))])
    try:
        async with turns, connected(port) as flooding, connected(port) as other:
            await flooding.more()
            streams = [flooding.open(CREATE) for _ in range(200)]
            for stream in streams:
                flooding.send(stream, request, end=True)
            mine = other.open("/s/M")
            other.send(mine, framed([b"x"]), end=True)
            assert (await other.ended(mine)).messages == [b"x"]
            for stream in streams:
                assert (await flooding.ended(stream)).status[0] == "0"
            assert len(seen) == len(set(seen)) == 200
    finally:
        await server.stop()


async def test_a_list_is_encoded_over_some_turns_and_comes_out_the_same() -> None:
    made: list[int] = []
    async with Turns() as turns:

        def show(name: str) -> Index:
            made.append(turns.now)
            return Index(name, "filter")

        names = [f"index-{number}" for number in range(100)]
        await asyncio.sleep(0)  # it counts from the second turn on
        answer = await encoded_list(ListIndexesResponse, names, show)
    assert bytes(answer) == bytes(ListIndexesResponse([Index(name, "filter") for name in names]))
    assert len(made) == 100
    assert max(made.count(turn) for turn in set(made)) <= 16
    assert bytes(await encoded_list(ListIndexesResponse, [], show)) == b""


async def test_large_answers_are_made_for_those_who_take_them() -> None:
    made = 0

    class Users(UsersBase):
        async def create(self, create_req: CreateReq) -> CreateResp:
            nonlocal made
            made += 1
            return encoded(CreateResp, bytes(900_000))

    server = RpcServer({CREATE: Route(routes(Users(), LoopShare())[CREATE], 1000), "/s/M": Route(echo, 1000)})
    port = await server.start("127.0.0.1", 0)
    try:
        async with connected(port) as flooding, connected(port) as other:
            await flooding.more()
            take_nothing(flooding)
            calls = [flooding.open(CREATE) for _ in range(20)]
            for call in calls:
                flooding.send(call, framed([b""]), end=True)
            for _ in range(30):
                assert (await other.call("/s/M", b"x")).messages == [b"x"]
            assert made <= 4
            flooding.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**24})
            flooding.h2.increment_flow_control_window(2**30)
            flooding.flush()
            for call in calls:
                assert len((await flooding.ended(call)).data) == 900_005
                flooding.answers[call].data = b""
    finally:
        await server.stop()


async def test_reads_do_not_wait_for_them(node: ServerNode) -> None:
    async with connected(node.port) as flooding, connected(node.port) as other:
        await append(other)
        await flooding.more()
        for _ in range(200):
            flooding.send(flooding.open(GOSSIP), framed([b""]), end=True)
        await until(lambda: sum(1 for _ in node._server.open_calls()) > 150)
        answered = node._server.counts.total
        assert events_in(await read(other)) == 1
        assert node._server.counts.total - answered < 100


async def test_long_expressions_are_looked_at_one_by_one(node: ServerNode, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, seen = Turns(), list[int]()

    def plan(request: ReadOptions | None) -> Read | SubscriptionPlan:
        seen.append(turns.now)
        return plan_read(request)

    monkeypatch.setattr(read_service, "plan_read", plan)
    async with turns, connected(node.port) as client:
        await client.more()
        calls = []
        for number in range(50):
            chosen = Filter.by_stream_name(regex=f"{'x' * 200}{number}")
            calls.append(client.open(f"{STREAMS}/Read"))
            client.send(calls[-1], framed([ReadRequest(filter=chosen).encode()]), end=True)
        for call in calls:
            assert (await client.ended(call)).status[0] == "0"
    assert len(seen) == len(set(seen)) == 50


async def test_pages_over_http2_are_made_one_by_one(node: ServerNode) -> None:
    turns, seen = Turns(), list[int]()

    def page() -> PageBody:
        seen.append(turns.now)
        return PageBody("text/plain", b"x")

    assert isinstance(node.pages, dict)
    node.pages["/page"] = page
    async with turns, connected(node.port) as client:
        await client.more()
        calls = [client.open("/page", method="GET", end=True) for _ in range(50)]
        for call in calls:
            assert (await client.ended(call)).data == b"x"
    assert len(seen) == len(set(seen)) == 50


async def test_versions_are_compared_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[int]()

    def compare(*arguments: object) -> list[Incompatibility]:
        seen.append(turns.now)
        return []

    monkeypatch.setattr(catalogue, "incompatibilities", compare)
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client, Turns() as turns:
        await client.create_schema("S", b"{}", compatibility=CompatibilityMode.FULL_ALL)
        for number in range(9):
            await client.register_schema_version("S", b'{"a":%d}' % number)
        seen.clear()
        assert (await client.check_schema_compatibility("S", b'{"a":10}')).compatible
    assert len(seen) == len(set(seen)) == 10


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_states_are_what_generated_messages_make_of_them(value: object) -> None:
    expected = {} if value is None else value
    for kind, tag in (
        (StateResp, projections.PROJECTIONS_STATE_RESP_STATE),
        (ResultResp, projections.PROJECTIONS_RESULT_RESP_RESULT),
    ):
        message = kind().parse(projections._answer(tag, json.dumps(value)))
        assert plain(message.state if isinstance(message, StateResp) else message.result) == expected


def plain(value: object) -> object:
    """A `google.protobuf.Value` as Python has it."""
    import betterproto

    which, found = betterproto.which_one_of(value, "kind")  # type: ignore[arg-type]
    if which == "struct_value":
        return {name: plain(member) for name, member in found.fields.items()}
    if which == "list_value":
        return [plain(item) for item in found.values]
    return None if which == "null_value" else found


@pytest.mark.parametrize("text", ["", None, "null", "[" * 100_000, "no JSON", '"\\ud800"'])
def test_texts_of_any_kind_have_an_answer(text: str | None) -> None:
    StateResp().parse(projections._answer(projections.PROJECTIONS_STATE_RESP_STATE, text))


def test_a_state_for_which_many_ask_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = list[str]()

    def encode(tag: int, text: str | None) -> bytes:
        encoded.append(text or "")
        return b"%d" % tag

    monkeypatch.setattr(projections, "_answer", encode)
    monkeypatch.setattr(projections, "_CHARACTERS_KEPT", 25)
    states = projections._EncodedStates()
    first, second, third = "1" * 10, "2" * 10, "3" * 10
    assert [states.answer(tag, first) for tag in (1, 1, 2, 1)] == [b"1", b"1", b"2", b"1"]
    assert encoded == [first, first]
    for text in (second, first, third, first, "4" * 30, None, None):
        states.answer(1, text)
    assert encoded == [first, first, second, third, "4" * 30, ""]
    assert states._characters <= 25


def test_a_large_state_is_encoded_soon() -> None:
    """A megabyte took seven seconds, for which everybody waited."""
    text = json.dumps({"values": [f"value {number}" for number in range(50_000)]})
    begun = time.thread_time()
    assert len(projections._answer(projections.PROJECTIONS_STATE_RESP_STATE, text)) > len(text)
    assert time.thread_time() - begun < 1.5


def referring(count: int, shift: int) -> bytes:
    """Parts that refer to each other in a circle, and so to all parts of another definition of another length."""
    parts = {
        f"p{number}": {"properties": {"next": {"$ref": f"#/parts/p{(number + 1) % (count + shift)}"}}}
        for number in range(count + shift)
    }
    return json.dumps({"properties": {"first": {"$ref": "#/parts/p0"}}, "parts": parts}).encode()


def test_definitions_that_go_round_in_circles_are_compared_for_a_while() -> None:
    begun = time.thread_time()
    with pytest.raises(NotASchema, match=r"refer|too large"):
        incompatibilities(CompatibilityMode.FULL, referring(2000, 1), referring(2000, 0), ComparisonBudget())
    assert time.thread_time() - begun < 3
    with pytest.raises(NotASchema, match="too large"):
        incompatibilities(CompatibilityMode.FULL, b'{"a":"%s"}' % (b"x" * 5_000_000), b"{}", ComparisonBudget())
