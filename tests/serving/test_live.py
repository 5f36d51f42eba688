"""Live events: everybody gets all of them, in order, whether they can be sent as they come or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from esdb_lite import AsyncEsdbClient, AsyncSubscription, EmbeddedServer, NewEvent, RecordedEvent, StreamDeleted
from esdb_lite import StreamState as State
from esdb_lite.server.services import live_encodings, read_messages
from esdb_lite.server.services.live_encodings import LiveEncodings
from esdb_lite.server.services.read import _Subscribed
from esdb_lite.server.storage import Record

SUBSCRIBERS = 150
"""More than get their turn at once."""


@pytest.fixture
async def client() -> AsyncIterator[AsyncEsdbClient]:
    async with EmbeddedServer() as server, AsyncEsdbClient(server.uri) as client:
        yield client


async def take(subscription: AsyncSubscription[RecordedEvent], number: int) -> list[int]:
    """The numbers of so many events."""
    found: list[int] = []
    async for event in subscription:
        found.append(event.stream_position)
        if len(found) == number:
            break
    return found


async def live(client: AsyncEsdbClient, number: int) -> list[AsyncSubscription[RecordedEvent]]:
    """Subscriptions that have caught up with the one event that is there: from now on they wait."""
    subscriptions = [await client.subscribe_stream_events("s") for _ in range(number)]
    assert [await take(each, 1) for each in subscriptions] == [[0]] * number
    return subscriptions


async def append(client: AsyncEsdbClient, number: int = 1, size: int = 20) -> None:
    await client.append_events("s", State.ANY, [NewEvent("T", b"x" * size) for _ in range(number)])


async def test_many_get_everything_and_each_event_is_encoded_once(
    client: AsyncEsdbClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(client)
    subscriptions = await live(client, SUBSCRIBERS)
    encoded: list[Record] = []
    encode = live_encodings.framed

    def counted(items: tuple[Record, ...], now: int, *, structured: bool) -> bytes:
        encoded.extend(items)
        return encode(items, now, structured=structured)

    monkeypatch.setattr(live_encodings, "framed", counted)
    monkeypatch.setattr(read_messages, "framed", None)  # nobody is woken
    for _ in range(3):
        await append(client, 4)
    taken = await asyncio.gather(*(take(each, 12) for each in subscriptions))
    assert taken == [list(range(1, 13))] * SUBSCRIBERS
    assert [record.revision for record in encoded if isinstance(record, Record)] == list(range(1, 13))


async def test_who_cannot_take_it_at_once_gets_it_later(client: AsyncEsdbClient) -> None:
    await append(client)
    (slow,) = await live(client, 1)
    for _ in range(12):  # more than its window takes
        await append(client, 1, 900_000)
        await append(client, 2)
    assert await take(slow, 36) == list(range(1, 37))
    await append(client)
    assert await take(slow, 1) == [37]


async def test_more_than_goes_out_at_once_comes_in_parts(client: AsyncEsdbClient) -> None:
    await append(client)
    (subscription,) = await live(client, 1)
    await append(client, 40, 20_000)
    assert await take(subscription, 40) == list(range(1, 41))


async def test_a_tombstone_is_the_last_that_comes(client: AsyncEsdbClient) -> None:
    await append(client)
    (subscription,) = await live(client, 1)
    await client.tombstone_stream("s", State.ANY)
    with pytest.raises(StreamDeleted):
        await take(subscription, 2)


async def test_what_goes_wrong_ends_the_call(client: AsyncEsdbClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await append(client)
    (subscription,) = await live(client, 1)

    def fail(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(_Subscribed, "_pass_on", fail)
    await append(client)
    with pytest.raises(Exception, match="failed to handle"):
        await take(subscription, 1)


def record(position: int, size: int = 10) -> Record:
    return Record(position, "s", position, bytes(16), "T", True, 1, b"x" * size, b"", None)


def test_what_is_remembered_is_bounded_and_of_the_same_event() -> None:
    encodings = LiveEncodings()
    first = record(1)
    framed = encodings.framed([first], 0, structured=False)
    assert encodings.framed([first], 0, structured=False) is framed
    assert encodings.framed([first], 0, structured=True) != framed
    assert encodings.framed([record(1, 11)], 0, structured=False) != framed  # of another database
    for position in range(2, 2000):
        encodings.framed([record(position, 5000)], 0, structured=False)
    assert len(encodings._known) <= 256
    assert sum(len(known) for _, known in encodings._known.values()) <= 2**20 + 6000
