"""What fails inside one group stays there: other groups, other consumers and its own events are as before."""

from __future__ import annotations

import asyncio

import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client.persistent_subscriptions import (
    CreateReq,
    CreateReqOptions,
    CreateReqSettings,
    CreateReqStreamOptions,
)

from esdb_lite._wire.primitives import block
from esdb_lite.server.engine.groups.consumers import Dispatcher, GroupConsumer
from esdb_lite.server.engine.groups.messages import Message
from esdb_lite.server.services.group_requests import create_request
from esdb_lite.server.services.unary import parse

from .persistent_calls import Service


def create(group: str, strategy: str = "RoundRobin") -> CreateReq:
    source = CreateReqStreamOptions(stream_identifier=StreamIdentifier(stream_name=b"s"), start=Empty())
    settings = CreateReqSettings(
        max_retry_count=2,
        read_batch_size=10,
        history_buffer_size=50,
        message_timeout_ms=1,
        consumer_strategy=strategy,
    )
    return CreateReq(options=CreateReqOptions(stream=source, group_name=group, settings=settings))


class Broken(Dispatcher):
    """Fails where it has to choose for one of the events."""

    may_skip = True

    def choose(self, message: Message) -> GroupConsumer | None:
        if message.position == 1:
            raise ZeroDivisionError
        return super().choose(message)


async def test_who_failed_to_join_is_not_there_and_no_event_is_lost(served: Service) -> None:
    await served.append("s", 3)
    await served.create(create("g"))
    runner = served.groups.find("s", "g")
    sound, runner._group._dispatcher = runner._group._dispatcher, Broken()
    with pytest.raises(ZeroDivisionError):
        runner.join(10, connection_name="", username="")
    assert not runner._members
    assert not runner.info().connections
    runner._group._dispatcher = sound
    assert sorted(await (await served.consume("s")).revisions(3)) == [0, 1, 2]


async def test_a_group_that_fails_at_its_tick_does_not_keep_others_from_theirs(
    served: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("esdb_lite.server.groups.registry.TICK_SECONDS", 0.02)
    await served.append("s", 1)
    await served.create(create("bad"))
    await served.create(create("good"))

    def fail(**_: object) -> None:
        raise TypeError

    monkeypatch.setattr(served.groups.find("s", "bad")._group, "tick", fail)
    consumer = await served.consume("s", "good")
    counts = [(await asyncio.wait_for(consumer.event(), 10)).retry_count for _ in range(3)]
    assert counts == [0, 1, 2]
    assert any("'s::bad'" in record.getMessage() for record in caplog.records)


def test_fields_of_another_wire_type_are_unknown_fields() -> None:
    known = bytes(create("g"))
    options = CreateReq().parse(known).options
    packed = bytes(options.settings) + block(0x2A, b"\x05\x05\x05")
    sent = block(0x0A, bytes(options) + block(0x1A, packed))
    assert create_request(parse(CreateReq, sent)).settings.max_retry_count == 2
    assert parse(CreateReq, b"\x08\x05" + known) == CreateReq().parse(known)
