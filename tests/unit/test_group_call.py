"""The states of a consumer's call: every pair of states, and what the parts do in each."""

from __future__ import annotations

import asyncio

import pytest

from esdb_lite import AsyncEsdbClient, EmbeddedServer, NewEvent
from esdb_lite._rpc.deadline import Deadline
from esdb_lite.client.groups.acks import AckSender
from esdb_lite.client.groups.call import TRANSITIONS, ConsumerOptions, GroupCall, GroupCallState
from esdb_lite.errors import SubscriptionNotFound

NEW, OPENING, CONSUMING, ENDED = GroupCallState
OPTIONS = ConsumerOptions("g", "s", 10, 3, 60.0, True)
LEGAL = {
    (NEW, OPENING),
    (NEW, ENDED),
    (OPENING, OPENING),
    (OPENING, CONSUMING),
    (OPENING, ENDED),
    (CONSUMING, ENDED),
    (ENDED, ENDED),
}


@pytest.mark.parametrize("before", GroupCallState)
@pytest.mark.parametrize("after", GroupCallState)
def test_every_transition(before: GroupCallState, after: GroupCallState) -> None:
    call = GroupCall(None, OPTIONS, "name", deadline=Deadline(None), credentials=None)  # type: ignore[arg-type]
    call.state = before
    if (before, after) in LEGAL:
        call._to(after)
        assert call.state is after
    else:
        with pytest.raises(RuntimeError, match=f"cannot become {after.name}"):
            call._to(after)
        assert call.state is before
    assert set(TRANSITIONS) == set(GroupCallState)


async def test_the_life_of_a_call() -> None:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        await client.append_events("s", None, NewEvent("T", b""))
        core = client._core

        def call(options: ConsumerOptions = OPTIONS) -> GroupCall:
            return GroupCall(core, options, "name", deadline=Deadline(None), credentials=None)

        refused = call()
        with pytest.raises(SubscriptionNotFound):
            await refused.open()
        assert refused.state is ENDED
        await client.create_subscription("g", "s")
        consuming = call()
        events = await consuming.open()
        assert consuming.state is CONSUMING
        while not events:
            arrival = consuming.arrival()
            assert consuming.arrival() is arrival  # until it is taken
            await asyncio.wait({arrival})
            events = consuming.take(arrival)
            assert consuming.take(arrival) == []
        acks = AckSender(asyncio.get_running_loop(), batch_size=2, delay=60.0)
        acks.attach(consuming)
        assert not acks.collect(0, "", events)
        assert acks.collect(0, "", events)
        await acks.flush()
        assert acks.sent == 2
        consuming.close()
        consuming.close()
        assert consuming.state is ENDED
        acks.detach()
        acks.cancel_timer()
        with pytest.raises(RuntimeError, match="cannot become OPENING"):
            await consuming.open()
