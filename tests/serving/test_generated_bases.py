"""Services that derive from generated bases, as they are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from esdb_lite_protos.event_store.client.monitoring import MonitoringBase, StatsReq, StatsResp
from esdb_lite_protos.event_store.client.users import (
    CreateReq,
    CreateReqOptions,
    CreateResp,
    DetailsReq,
    DetailsResp,
    DetailsRespUserDetails,
    UsersBase,
)

from esdb_lite._status import refusals
from esdb_lite.server.database.loop_share import LoopShare
from esdb_lite.server.engine.access import Principal
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.services.unary import current_call, encoded, refusing, required, routes
from tests.serving.raw import serving
from tests.support import PATIENCE

CREATE, DETAILS = (f"/event_store.client.users.Users/{name}" for name in ("Create", "Details"))


class Users(UsersBase):
    """Two of eight methods."""

    def __init__(self) -> None:
        self.created: list[tuple[str, Principal]] = []

    async def details(self, details_req: DetailsReq) -> AsyncIterator[DetailsResp]:
        yield DetailsResp(user_details=DetailsRespUserDetails(login_name="ann"))
        yield encoded(DetailsResp, b"\x0a\x05\x0a\x03bob")
        if details_req.options.login_name == "all":
            raise refusals.user_not_found("carl")

    async def create(self, create_req: CreateReq) -> CreateResp:
        asked = required(create_req.options, "options")
        self.created.append((asked.login_name, current_call().principal))
        return CreateResp()


def named(handler: Handler) -> Handler:
    async def handle(call: ServerCall) -> None:
        call.principal = Principal("ann", known=True)
        await handler(call)

    return handle


async def test_what_is_not_overridden_is_not_served() -> None:
    """The rest is in the order of the schema, whatever that of the class is."""
    assert [*routes(Users(), LoopShare())] == [CREATE, DETAILS]


async def test_one_answer() -> None:
    users = Users()
    request = CreateReq(options=CreateReqOptions(login_name="x"))
    async with serving(named(routes(users, LoopShare())[CREATE])) as (client, _, _):
        answer = await client.call("/s/M", bytes(request))
        assert (answer.messages, answer.status) == ([b""], ("0", None))
        answer = await client.call("/s/M", b"")
        assert answer.status == ("3", "options is missing.")
        answer = await client.call("/s/M", b"\x0a\x03\x0a\x01\xff")
        assert answer.status[0] == "3"
        assert (answer.status[1] or "").startswith("The request cannot be decoded")
        assert (await client.call("/s/M")).status[0] == "13"
    assert users.created == [("x", Principal("ann", known=True))]


async def test_many_answers() -> None:
    async with serving(routes(Users(), LoopShare())[DETAILS]) as (client, _, _):
        answer = await client.call("/s/M", b"")
        assert [DetailsResp().parse(each).user_details.login_name for each in answer.messages] == ["ann", "bob"]
        answer = await client.call("/s/M", b"\x0a\x05\x0a\x03all")
        assert (len(answer.messages), answer.status[0]) == (2, "5")


async def test_answers_without_end_end_with_the_call() -> None:
    """Also where they wait for the client, which takes no more."""
    ended = asyncio.Event()

    class Monitoring(MonitoringBase):
        async def stats(self, stats_req: StatsReq) -> AsyncIterator[StatsResp]:
            try:
                while True:
                    yield StatsResp(stats={"n": "x" * 10_000})
            finally:
                ended.set()

    (handler,) = routes(Monitoring(), LoopShare()).values()
    async with serving(handler) as (client, _, _):
        client.acknowledge = False
        stream = client.open("/s/M")
        client.send(stream, b"\0\0\0\0\0", end=True)
        while len(client.answers[stream].data) < 60_000:
            await client.more()
        assert not ended.is_set()
        client.h2.reset_stream(stream)
        client.flush()
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_service_that_refuses() -> None:
    handlers = refusing(UsersBase, refusals.users_need_authentication)
    assert len(handlers) == 8
    async with serving(handlers[DETAILS]) as (client, _, _):
        assert (await client.call("/s/M", b"")).status[0] == "12"
