"""Appending: expectations, results, idempotency, refusals."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from esdb_lite import (
    AppendResult,
    AppendTooLarge,
    ExpectedPositionError,
    InvalidArgument,
    NewEvent,
    RecordedEvent,
    StreamAppend,
    StreamDeleted,
    StreamState,
    WrongArgumentType,
)
from tests.contract.faces import drain

E = NewEvent("OrderPlaced", b'{"n":1}', b'{"user":"me"}')


def new(count: int = 1) -> list[NewEvent]:
    return [NewEvent("OrderPlaced", b"{}") for _ in range(count)]


async def test_what_is_appended_can_be_read(client: Any, stream: str) -> None:
    result = await client.append_events(stream, None, [E])
    (event,) = await drain(client.read_stream_events(stream))
    assert isinstance(event, RecordedEvent)
    assert (event.type, event.data, event.metadata) == (E.type, E.data, E.metadata)
    assert (event.stream_name, event.stream_position, event.commit_position) == (stream, 0, result)
    assert (event.id, event.content_type, event.link) == (E.id, "application/json", None)
    assert event.recorded_at is not None


async def test_the_result_is_a_commit_position(client: Any, stream: str) -> None:
    first = await client.append_events(stream, None, new(3))
    second = await client.append_events(stream, 2, new(1))
    assert isinstance(first, AppendResult)
    assert (first.stream_position, second.stream_position) == (2, 3)
    assert 0 < first < second


async def test_one_event_alone(client: Any, stream: str) -> None:
    await client.append_events(stream, None, E)
    assert await client.get_stream_position(stream) == 0


async def test_any_iterable_of_events(client: Any, stream: str) -> None:
    await client.append_events(stream, None, (event for event in new(2)))
    await client.append_events(stream, 1, tuple(new(2)))
    assert await client.get_stream_position(stream) == 3


async def test_nothing_to_append(client: Any, stream: str) -> None:
    result = await client.append_events(stream, None, [])
    assert result.stream_position is None
    assert await client.get_stream_position(stream) is None


async def test_bytes_that_are_not_json(client: Any, stream: str) -> None:
    data = bytes(range(256))
    event = NewEvent("Scanned", data, data, content_type="application/octet-stream")
    await client.append_events(stream, None, event)
    (read,) = await drain(client.read_stream_events(stream))
    assert (read.data, read.metadata, read.content_type) == (data, data, "application/octet-stream")


async def test_names_and_types_of_all_kinds(client: Any, stream: str) -> None:
    name = f"größe/{stream} @ x"
    await client.append_events(name, None, NewEvent("Typ größer", b""))
    (read,) = await drain(client.read_stream_events(name))
    assert (read.stream_name, read.type, read.data) == (name, "Typ größer", b"")


async def test_expecting_no_stream(client: Any, stream: str) -> None:
    await client.append_events(stream, StreamState.NO_STREAM, new())
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_events(stream, None, new())
    assert (caught.value.stream_name, caught.value.expected, caught.value.current) == (stream, None, 0)


async def test_expecting_a_position(client: Any, stream: str) -> None:
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_events(stream, 3, new())
    assert (caught.value.expected, caught.value.current) == (3, None)
    await client.append_events(stream, None, new(2))
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_events(stream, 0, new())
    assert (caught.value.expected, caught.value.current) == (0, 1)
    await client.append_events(stream, 1, new())


async def test_minus_one_is_warned_of_where_it_is_said(client: Any, stream: str) -> None:
    """It is no stream in other clients, and anything here."""
    for call in (client.append_events(stream, -1, new()), client.delete_stream(stream, -1)):
        with pytest.warns(DeprecationWarning, match="expected_position=-1 means any position here") as warned:
            await call
        names = [Path(warning.filename).name for warning in warned]
        assert names in ([Path(__file__).name], ["thread.py"])  # a face runs it in a thread


@pytest.mark.parametrize("anything", [-2, StreamState.ANY])
async def test_expecting_nothing(client: Any, stream: str, anything: Any) -> None:
    await client.append_events(stream, anything, new())
    await client.append_events(stream, anything, new())
    assert await client.get_stream_position(stream) == 1


@pytest.mark.parametrize("number", [-3, -4, -5, -6, -100])
async def test_numbers_that_stand_for_something_elsewhere_are_refused(client: Any, stream: str, number: int) -> None:
    for call in (
        partial(client.append_events, stream, number, new()),
        partial(client.delete_stream, stream, number),
        partial(client.tombstone_stream, stream, number),
        partial(client.set_stream_metadata, stream, {}, expected_position=number),
    ):
        with pytest.raises(InvalidArgument, match=f"expected_position: must be .*, not {number}"):
            await call()
    with pytest.raises(InvalidArgument, match=f"expected_position: must be .*, not {number}"):
        StreamAppend(stream, number, new())
    assert await client.get_stream_position(stream) is None


async def test_expecting_that_it_exists(client: Any, stream: str) -> None:
    with pytest.raises(ExpectedPositionError) as caught:
        await client.append_events(stream, StreamState.EXISTS, new())
    assert (caught.value.expected, caught.value.current) == (StreamState.EXISTS, None)
    await client.append_events(stream, None, new())
    await client.append_events(stream, StreamState.EXISTS, new())


async def test_a_conflict_writes_nothing(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new())
    with pytest.raises(ExpectedPositionError):
        await client.append_events(stream, None, new(3))
    assert await client.get_stream_position(stream) == 0


@pytest.mark.parametrize("expected", [None, StreamState.ANY])
async def test_appending_the_same_again_changes_nothing(client: Any, stream: str, expected: Any) -> None:
    events = new(3)
    first = await client.append_events(stream, expected, events)
    again = await client.append_events(stream, expected, events)
    assert (again, again.stream_position) == (first, first.stream_position)
    assert await client.get_stream_position(stream) == 2


async def test_many_at_a_time(client: Any, stream: str) -> None:
    results = await asyncio.gather(*(client.append_events(f"{stream}-{n % 7}", -2, new(2)) for n in range(70)))
    assert len(set(results)) == 70
    for n in range(7):
        events = await drain(client.read_stream_events(f"{stream}-{n}"))
        assert [event.stream_position for event in events] == list(range(20))


async def test_one_winner_of_many(client: Any, stream: str) -> None:
    attempts = [client.append_events(stream, None, new()) for _ in range(20)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, AppendResult) for result in results) == 1
    assert sum(isinstance(result, ExpectedPositionError) for result in results) == 19


@pytest.mark.parametrize("version", ["24.10"])
async def test_more_than_the_server_takes(client: Any, stream: str) -> None:
    with pytest.raises(AppendTooLarge, match="events") as caught:
        await client.append_events(stream, None, NewEvent("Big", bytes(15 * 2**20)))
    assert caught.value.limit >= 2**20
    assert await client.get_stream_position(stream) is None
    await client.append_events(stream, None, new())


async def test_a_million_bytes(client: Any, stream: str) -> None:
    events = [NewEvent("Big", bytes(250_000)) for _ in range(4)]
    await client.append_events(stream, None, events)
    assert [len(event.data) for event in await drain(client.read_stream_events(stream))] == [250_000] * 4


async def test_a_tombstoned_stream(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new())
    await client.tombstone_stream(stream)
    with pytest.raises(StreamDeleted) as caught:
        await client.append_events(stream, -2, new())
    assert caught.value.stream_name == stream


async def test_ids_are_kept(client: Any, stream: str) -> None:
    ids = [uuid4(), UUID(int=1), UUID(int=2**128 - 1)]
    await client.append_events(stream, None, [NewEvent("T", b"", id=id_) for id_ in ids])
    assert [event.id for event in await drain(client.read_stream_events(stream))] == ids


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        (("", None, E), "stream_name"),
        ((3, None, E), "stream_name"),
        (("s\ud800", None, E), "stream_name"),
        (("s", "x", E), "expected_position"),
        (("s", True, E), "expected_position"),
        (("s", 1.5, E), "expected_position"),
        (("s", 2**63, E), "expected_position"),
        (("s", None, "event"), "events"),
        (("s", None, [E, b"x"]), "events"),
        (("s", None, None), "events"),
        (("s", None, NewEvent("Big", bytes(16_777_216))), "events"),
    ],
)
async def test_what_cannot_be_appended(client: Any, arguments: tuple[Any, ...], argument: str) -> None:
    with pytest.raises(InvalidArgument, match=argument) as caught:
        await client.append_events(*arguments)
    assert caught.value.argument == argument
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5", True])
async def test_timeouts_that_are_none(client: Any, timeout: Any) -> None:
    with pytest.raises(InvalidArgument, match="timeout"):
        await client.append_events("s", None, E, timeout=timeout)


@pytest.mark.parametrize("credentials", ["admin:changeit", ("admin",), ("admin", 5), 7])
async def test_credentials_that_are_none(client: Any, credentials: Any) -> None:
    with pytest.raises(WrongArgumentType, match="credentials"):
        await client.append_events("s", None, E, credentials=credentials)


async def test_with_credentials_of_its_own(client: Any, stream: str) -> None:
    await client.append_events(stream, None, E, credentials=("admin", "changeit"), timeout=20)
    assert await client.get_stream_position(stream) == 0
