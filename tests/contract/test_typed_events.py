"""Events as objects, and what belongs together, through both clients."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    EsdbClient,
    EventTypes,
    EventValueError,
    NewEvent,
    WrongArgumentType,
    correlation,
)
from tests.contract.faces import drain, take

types = EventTypes()


@types.register("OrderPlaced")
@dataclass(frozen=True)
class OrderPlaced:
    total: Decimal


@types.register("OrderPaid", version=2)
@dataclass(frozen=True)
class OrderPaid:
    by: str


types.upcaster("OrderPaid", version=1)(lambda data: {"by": data["who"]})


@pytest.fixture
def event_types() -> EventTypes:
    return types


async def test_objects_go_in_and_come_out(typed_client: Any, stream: str) -> None:
    placed, paid = OrderPlaced(Decimal("9.90")), OrderPaid("me")
    await typed_client.append_events(stream, None, placed)
    await typed_client.append_events(stream, 0, [paid, NewEvent.json("OrderPaid", {"who": "you"})])
    await typed_client.append_events(stream, 2, (each for each in [NewEvent("Noted", b"\x00")]))
    events = await drain(typed_client.read_stream_events(stream))
    assert [event.value for event in events] == [placed, paid, OrderPaid("you"), b"\x00"]
    assert events[0].metadata_json() is None
    assert events[1].metadata_json() == {"eventVersion": 2}
    assert events[1].json() == {"by": "me"}


async def test_subscriptions_know_the_classes(typed_client: Any, stream: str) -> None:
    await typed_client.append_events(stream, None, OrderPaid("me"))
    async with await typed_client.subscribe_stream_events(stream) as subscription:
        (first,) = await take(subscription, 1)
        await typed_client.append_events(stream, 0, OrderPaid("you"))
        (second,) = await take(subscription, 1)
    assert (first.value, second.value) == (OrderPaid("me"), OrderPaid("you"))
    async with await typed_client.subscribe_all_events(include_control=True) as subscription:
        (first,) = await take(subscription, 1)
    assert first.value == OrderPaid("me")


async def test_persistent_subscriptions_know_them(typed_client: Any, stream: str) -> None:
    await typed_client.append_events(stream, None, OrderPaid("me"))
    await typed_client.create_subscription("group", stream, from_end=False)
    async with await typed_client.read_subscription("group", stream) as subscription:
        (event,) = await take(subscription, 1)
        assert event.value == OrderPaid("me")


async def test_records(typed_client: Any, stream: str) -> None:
    other = f"{stream}-other"
    await typed_client.append_records({stream: [OrderPaid("me")], other: OrderPlaced(Decimal(1))})
    (event,) = await drain(typed_client.read_stream_events(other))
    assert event.value == OrderPlaced(Decimal(1))


async def test_wrong_objects(client: Any, typed_client: Any, stream: str) -> None:
    with pytest.raises(WrongArgumentType, match="events: must be a NewEvent"):
        await client.append_events(stream, None, [OrderPaid("me")])
    with pytest.raises(WrongArgumentType, match="must be of a registered class: int is not"):
        await typed_client.append_events(stream, None, [OrderPaid("me"), 5])
    assert await client.get_stream_position(stream) is None
    await client.append_events(stream, None, NewEvent("OrderPlaced", b"{}"))
    (event,) = await drain(typed_client.read_stream_events(stream))
    with pytest.raises(EventValueError, match=f"OrderPlaced 0@{stream}: OrderPlaced: total: is missing"):
        event.value  # noqa: B018


async def test_one_model_that_is_not_registered(client: Any, typed_client: Any, stream: str) -> None:
    model = pytest.importorskip("pydantic").create_model("Model", a=(int, ...))
    for given in (model(a=1), [model(a=1)]):
        with pytest.raises(WrongArgumentType, match=r"must be of a registered class: Model is not, not Model\(a=1\)"):
            await typed_client.append_events(stream, None, given)
        with pytest.raises(WrongArgumentType, match=r"must be a NewEvent or a sequence of them, not Model\(a=1\)"):
            await client.append_events(stream, None, given)


@pytest.mark.parametrize("make", [AsyncEsdbClient, EsdbClient])
def test_wrong_event_types(make: Any) -> None:
    with pytest.raises(WrongArgumentType, match="event_types: must be EventTypes"):
        make("localhost:2113", event_types=[OrderPaid])


async def test_a_conversation(client: Any, stream: str) -> None:
    with correlation() as outer:
        await client.append_events(stream, None, NewEvent.json("A", {}))
    (first,) = await drain(client.read_stream_events(stream))
    assert first.metadata_json() == {"$correlationId": outer.correlation_id}
    with correlation(first):
        await client.append_events(stream, 0, [NewEvent.json("B", {}, {"who": "me"})])
        with correlation(causation_id="command-1"):
            await client.append_records({stream: [NewEvent.json("C", {})]})
    second, third = await drain(client.read_stream_events(stream, 1))
    assert second.metadata_json() == {
        "$correlationId": outer.correlation_id,
        "$causationId": str(first.id),
        "who": "me",
    }
    assert third.properties == {"$correlationId": outer.correlation_id, "$causationId": "command-1"}


async def test_what_is_not_marked(client: Any, stream: str) -> None:
    own = NewEvent.json("A", {}, {"$correlationId": "mine", "$causationId": "too"})
    raw = NewEvent("B", b"", b"\x00")
    array = NewEvent.json("C", {}, [1])
    with correlation("theirs", causation_id=uuid4()):
        await client.append_events(stream, None, [own, raw, array])
    await client.append_events(stream, 2, NewEvent("D", b""))
    events = await drain(client.read_stream_events(stream))
    assert [event.metadata for event in events] == [own.metadata, b"\x00", b"[1]", b""]
    assert [event.id for event in events[:3]] == [own.id, raw.id, array.id]


async def test_an_event_without_a_conversation_begins_one(client: Any, stream: str) -> None:
    await client.append_events(stream, None, NewEvent("A", b"", b"\x00"))
    (event,) = await drain(client.read_stream_events(stream))
    with pytest.raises(ValueError, match=r"Expecting value|codec can't decode") as caught:
        event.metadata_json()
    if sys.version_info >= (3, 11):
        assert f"in the metadata of A 0@{stream}" in caught.value.__notes__
    with correlation(event) as found:
        assert (found.correlation_id, found.causation_id) == (str(event.id), str(event.id))


def test_wrong_ids() -> None:
    with pytest.raises(WrongArgumentType, match="cause: must be an id"), correlation(5):  # type: ignore[arg-type]
        pass
    with pytest.raises(ValueError, match="causation_id: must not be empty"), correlation(causation_id=""):
        pass
