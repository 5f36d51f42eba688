"""Calls whose client goes on sending are refused after their first request: some clients miss what comes before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from esdb_lite_protos.tags import (
    PATH_PERSISTENT_SUBSCRIPTIONS_READ,
    PATH_STREAMS_APPEND,
    PATH_STREAMS_BATCH_APPEND,
    PATH_STREAMS_READ,
    PATH_STREAMS_SERVICE_APPEND_SESSION,
)

from esdb_lite._status import RpcError, StatusCode
from esdb_lite.server.database.database import Database
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.services.authorization import authenticated
from esdb_lite.server.users.authentication import Authenticator
from tests.security.conftest import basic
from tests.services.persistent_calls import ScriptedCall

MANY_REQUESTS = [
    PATH_PERSISTENT_SUBSCRIPTIONS_READ,
    PATH_STREAMS_APPEND,
    PATH_STREAMS_BATCH_APPEND,
    PATH_STREAMS_SERVICE_APPEND_SESSION,
]


class Begun(ScriptedCall):
    """A call that says when it was asked for a request."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        super().__init__(dict(headers))
        self.asked = asyncio.Event()

    async def receive(self) -> list[bytes]:
        self.asked.set()
        return await super().receive()


@pytest.fixture
async def authenticator() -> AsyncIterator[Authenticator]:
    database = await Database.open(None)
    made = Authenticator(database)
    yield made
    await made.stop()
    await database.close()


async def never(call: ServerCall) -> None:
    raise AssertionError("it was let in")


@pytest.mark.parametrize("path", MANY_REQUESTS)
async def test_a_wrong_login_is_refused_after_the_first_request(authenticator: Authenticator, path: str) -> None:
    call = Begun(*basic("nobody", "pw"))
    serving = asyncio.ensure_future(authenticated(path, never, authenticator)(call))
    asked = asyncio.ensure_future(call.asked.wait())
    await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
    assert not serving.done()
    call.requests.put_nowait([b"the first"])
    with pytest.raises(RpcError) as refused:
        await serving
    assert refused.value.code is StatusCode.UNAUTHENTICATED
    assert call.requests.empty()


async def test_nobody_is_refused_after_the_first_request(authenticator: Authenticator) -> None:
    call = Begun()
    call.requests.put_nowait([b"the first"])
    with pytest.raises(RpcError) as refused:
        await authenticated(PATH_PERSISTENT_SUBSCRIPTIONS_READ, never, authenticator)(call)
    assert refused.value.code is StatusCode.PERMISSION_DENIED
    assert call.asked.is_set()
    assert call.requests.empty()


async def test_calls_with_one_request_are_refused_at_once(authenticator: Authenticator) -> None:
    call = Begun()
    with pytest.raises(RpcError):
        await authenticated(PATH_STREAMS_READ, never, authenticator)(call)
    assert not call.asked.is_set()
