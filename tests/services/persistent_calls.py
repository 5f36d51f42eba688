"""Calls to the PersistentSubscriptions service without a network: a database in memory, and calls that are scripted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import betterproto
from esdb_lite_protos.event_store.client.persistent_subscriptions import (
    CreateResp,
    ReadResp,
    ReadRespReadEvent,
    ReadRespReadEventRecordedEvent,
)
from esdb_lite_protos.tags import PERSISTENT_READ_REQ_ACK_IDS

from esdb_lite._status import RpcError
from esdb_lite._wire.acks import READ, encode_answers, encode_consumer_options
from esdb_lite._wire.uuids import WireUuid, encode_uuid
from esdb_lite.server.database.database import Database
from esdb_lite.server.engine.access import SYSTEM
from esdb_lite.server.engine.model import ANY, ProposedEvent
from esdb_lite.server.groups.registry import PersistentGroups
from esdb_lite.server.handlers import CallWatcher
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.groups import PersistentSubscriptions

M = TypeVar("M", bound=betterproto.Message)


def answers(ids: Iterable[WireUuid], action: int = 0, reason: str = "") -> bytes:
    """The request of an ack, or (with an action) of a nack."""
    return encode_answers((encode_uuid(PERSISTENT_READ_REQ_ACK_IDS, id_) for id_ in ids), action, reason)


class ScriptedCall:
    """A call whose requests are given by the test and whose answers wait for it."""

    def __init__(self, metadata: Mapping[str, str] | None = None) -> None:
        self.metadata: Mapping[str, str] = metadata or {}
        self.principal = SYSTEM
        self.tap: CallWatcher | None = None
        self.peer = "a peer"
        self.address = "a peer"
        self.requests: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(self) -> list[bytes]:
        return await self.requests.get()

    async def send(self, messages: list[bytes]) -> None:
        for message in messages:
            self.answers.put_nowait(message)

    def cut(self) -> None:
        raise AssertionError("there is no connection")


class Reading:
    """An open consumer's call."""

    def __init__(self, call: ScriptedCall, task: asyncio.Task[None]) -> None:
        self._call = call
        self._task = task

    async def confirmed(self) -> str:
        message = ReadResp().parse(await self._next())
        return message.subscription_confirmation.subscription_id

    async def event(self) -> ReadRespReadEvent:
        return ReadResp().parse(await self._next()).event

    async def revisions(self, count: int) -> list[int]:
        return [(await self.event()).event.stream_revision for _ in range(count)]

    async def _next(self) -> bytes:
        getting = asyncio.ensure_future(self._call.answers.get())
        await asyncio.wait({getting, self._task}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
        await self._task
        raise AssertionError("the call has ended")

    def waiting(self) -> int:
        return self._call.answers.qsize()

    def ack(self, *ids: bytes | str) -> None:
        self._call.requests.put_nowait([answers(ids)])

    def nack(self, action: int, reason: str, *ids: bytes | str) -> None:
        self._call.requests.put_nowait([answers(ids, action, reason)])

    def half_close(self) -> None:
        self._call.requests.put_nowait([])

    async def ending(self) -> RpcError | None:
        try:
            await asyncio.wait_for(self._task, 10)
        except RpcError as error:
            return error
        return None

    async def cancel(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError, RpcError):
            await self._task


class Service:
    """The service over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.groups = PersistentGroups(database)
        self._readings: list[Reading] = []
        self._handlers = PersistentSubscriptions(self.groups, Context(database)).handlers()

    async def call(self, method: str, request: betterproto.Message, answer: type[M]) -> M:
        call = ScriptedCall()
        call.requests.put_nowait([bytes(request)])
        await self._handlers[READ.removesuffix("Read") + method](call)
        return answer().parse(call.answers.get_nowait())

    async def create(self, request: betterproto.Message) -> None:
        await self.call("Create", request, CreateResp)

    async def refused(self, method: str, request: betterproto.Message) -> RpcError:
        try:
            await self.call(method, request, betterproto.Message)
        except RpcError as error:
            return error
        raise AssertionError(f"{method} was not refused")

    def read(self, *requests: bytes, metadata: Mapping[str, str] | None = None) -> Reading:
        call = ScriptedCall(metadata)
        call.requests.put_nowait(list(requests))
        task = asyncio.ensure_future(self._read(call))
        reading = Reading(call, task)
        self._readings.append(reading)
        return reading

    async def _read(self, call: ScriptedCall) -> None:
        await self._handlers[READ](call)

    async def consume(self, stream: str | None, group: str = "g", buffer_size: int = 10, **options: Any) -> Reading:
        reading = self.read(
            encode_consumer_options(stream=stream, group=group, buffer_size=buffer_size, structured=True), **options
        )
        assert await reading.confirmed() == f"{stream or '$all'}::{group}"
        return reading

    async def append(self, stream: str, count: int = 1, **event: Any) -> None:
        await self.database.append(stream, ANY, [proposed(**event) for _ in range(count)])

    async def stored(self, stream: str) -> Sequence[Any]:
        return await self.database.read(lambda reader: reader.stream_forward(stream, 0, 1000))

    async def replayed_from(self, stream: str) -> int | None:
        """What is noted of parked events that are being delivered again."""
        return await self.database.read(lambda reader: reader.replayed_from(stream))

    async def close(self) -> None:
        for reading in self._readings:
            await reading.cancel()
        await self.groups.stop()


def event_id(event: ReadRespReadEvent) -> bytes:
    """The id by which an event is acknowledged, where links are not resolved."""
    return _id_of(event.event)


def link_id(event: ReadRespReadEvent) -> bytes:
    """The same for events that links point to, such as parked ones."""
    return _id_of(event.link)


def _id_of(record: ReadRespReadEventRecordedEvent) -> bytes:
    structured = record.id.structured
    high, low = structured.most_significant_bits, structured.least_significant_bits
    return (high % 2**64).to_bytes(8, "big") + (low % 2**64).to_bytes(8, "big")


def proposed(type: str = "T", data: bytes = b"{}", metadata: bytes = b"", is_json: bool = True) -> ProposedEvent:
    return ProposedEvent(uuid.uuid4().bytes, type, is_json, data, metadata)


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    database = await Database.open()
    served = Service(database)
    await served.groups.start()
    try:
        yield served
    finally:
        await served.close()
        await database.close()
