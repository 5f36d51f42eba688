"""Reading streams and all events."""

from __future__ import annotations

from typing import Any

import pytest

from esdb_lite import Filter, InvalidArgument, InvalidPosition, NewEvent, StreamDeleted, StreamNotFound
from tests.contract.faces import drain, new


async def positions(iterator: Any) -> list[int]:
    return [event.stream_position for event in await drain(iterator)]


async def test_a_stream_in_all_directions(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(5))
    assert await positions(client.read_stream_events(stream)) == [0, 1, 2, 3, 4]
    assert await positions(client.read_stream_events(stream, backwards=True)) == [4, 3, 2, 1, 0]
    assert await positions(client.read_stream_events(stream, 2)) == [2, 3, 4]
    assert await positions(client.read_stream_events(stream, 2, True)) == [2, 1, 0]
    assert await positions(client.read_stream_events(stream, position=1, limit=2)) == [1, 2]
    assert await positions(client.read_stream_events(stream, position=3, backwards=True, limit=2)) == [3, 2]
    assert await positions(client.read_stream_events(stream, 0)) == [0, 1, 2, 3, 4]
    assert await positions(client.read_stream_events(stream, 99)) == []
    assert await positions(client.read_stream_events(stream, limit=0)) == []


async def test_more_than_a_page(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(1000))
    events = await drain(client.read_stream_events(stream))
    assert [event.data for event in events] == [b"%d" % number for number in range(1000)]


async def test_a_stream_that_does_not_exist(client: Any, stream: str) -> None:
    response = client.read_stream_events(stream)
    with pytest.raises(StreamNotFound) as caught:
        await drain(response)
    assert caught.value.stream_name == stream
    assert await drain(response) == []


async def test_a_stream_that_was_deleted(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    await client.delete_stream(stream)
    with pytest.raises(StreamNotFound):
        await drain(client.read_stream_events(stream))
    await client.append_events(stream, None, new(1))
    assert await positions(client.read_stream_events(stream)) == [3]


async def test_a_stream_that_was_tombstoned(client: Any, stream: str) -> None:
    await client.tombstone_stream(stream)
    with pytest.raises(StreamDeleted) as caught:
        await drain(client.read_stream_events(stream))
    assert caught.value.stream_name == stream


async def test_the_position_of_a_stream(client: Any, stream: str) -> None:
    assert await client.get_stream_position(stream) is None
    await client.append_events(stream, None, new(3))
    assert await client.get_stream_position(stream) == 2
    await client.delete_stream(stream)
    assert await client.get_stream_position(stream) is None
    await client.tombstone_stream(stream)
    with pytest.raises(StreamDeleted):
        await client.get_stream_position(stream)


async def test_the_position_of_a_stream_without_readable_events(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(3))
    await client.set_stream_metadata(stream, {"$tb": 10})
    assert await client.get_stream_position(stream) == 2
    assert await positions(client.read_stream_events(stream)) == []


async def test_leaving_early(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(500))
    async with client.read_stream_events(stream) as response:
        async for event in response:
            if event.stream_position == 3:
                break
    assert await drain(response) == []
    await response.close()


async def test_iteration_goes_on_where_it_was(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(5))
    response = client.read_stream_events(stream)
    async for event in response:
        if event.stream_position == 1:
            break
    assert await positions(response) == [2, 3, 4]


async def test_batches(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(100))
    response = client.read_stream_events(stream)
    assert (await response.__anext__()).stream_position == 0
    batches = []
    while batch := await response.next_batch():
        batches += batch
    assert [event.stream_position for event in batches] == list(range(1, 100))


async def test_links(client: Any, stream: str) -> None:
    await client.append_events(stream, None, new(2))
    links = [NewEvent("$>", f"{number}@{stream}".encode()) for number in (1, 0, 7)]
    await client.append_events(f"{stream}-links", None, links)
    plain = await drain(client.read_stream_events(f"{stream}-links"))
    assert [event.type for event in plain] == ["$>"] * 3
    resolved = await drain(client.read_stream_events(f"{stream}-links", resolve_links=True))
    assert [(event.stream_name, event.stream_position) for event in resolved[:2]] == [(stream, 1), (stream, 0)]
    assert resolved[0].link == plain[0]
    assert resolved[2].type == "$>"  # what it points to does not exist


# --- all events -----------------------------------------------------------------------------------------------------


async def test_all_events_from_a_position(client: Any, stream: str) -> None:
    first = await client.append_events(stream, None, new(1))
    last = await client.append_events(stream, 0, new(2))
    forwards = [e for e in await drain(client.read_all_events(first)) if e.stream_name == stream]
    assert [event.stream_position for event in forwards] == [0, 1, 2]
    assert (forwards[0].commit_position, forwards[-1].commit_position) == (first, last)
    backwards = [e for e in await drain(client.read_all_events(last, True)) if e.stream_name == stream]
    assert [event.stream_position for event in backwards] == [1, 0]
    assert len(await drain(client.read_all_events(first, limit=2))) == 2


async def test_the_last_of_all(client: Any, stream: str) -> None:
    result = await client.append_events(stream, None, new(2))
    assert await client.get_commit_position() >= result
    events = await drain(client.read_all_events(backwards=True, limit=1))
    assert events[0].commit_position >= result


async def test_filters(client: Any, stream: str) -> None:
    start = await client.append_events(stream, None, new(1, f"A-{stream}"))
    await client.append_events(stream, 0, new(1, f"B-{stream}"))
    await client.append_events(stream, 1, new(1, f"AB-{stream}"))
    await client.append_events(f"x{stream}", None, new(1, f"C-{stream}"))

    async def types(**arguments: Any) -> list[str]:
        events = await drain(client.read_all_events(start, **arguments))
        return [event.type.partition("-")[0] for event in events if event.type.endswith(stream)]

    assert await types() == ["A", "B", "AB", "C"]
    assert await types(filter_include=["A-.*", "C-.*"]) == ["A", "C"]
    assert await types(filter_include=f"A-{stream}") == ["A"]
    assert await types(filter_exclude=["A.*", "B"]) == ["B", "C"]
    assert await types(filter_include=["C-.*"], filter_exclude=["C-.*"]) == ["C"]
    assert await types(filter_exclude=(), filter_include=()) == ["A", "B", "AB", "C"]
    assert await types(filter=Filter.by_event_type(prefixes=["A-", "C-"])) == ["A", "C"]
    assert await types(filter=Filter.by_event_type(regex="B-order")) == ["B", "AB"]
    assert await types(filter=Filter.by_stream_name(prefixes=["xorder"])) == ["C"]
    assert await types(filter=Filter.by_stream_name(exclude=["x.*"])) == ["A", "B", "AB"]
    assert await types(filter_include=["C-.*"], limit=1) == ["C"]


async def test_the_servers_own_events_are_left_out(client: Any, stream: str) -> None:
    start = await client.append_events(stream, None, new(1))
    await client.set_stream_metadata(stream, {"x": 1})
    assert not [e for e in await drain(client.read_all_events(start)) if e.type.startswith("$")]
    everything = await drain(client.read_all_events(start, filter_exclude=()))
    assert f"$${stream}" in [event.stream_name for event in everything]


async def test_a_position_that_is_none(client: Any, stream: str) -> None:
    end = await client.append_events(stream, None, new(3))
    with pytest.raises(InvalidPosition, match="no event begins there: Unexpected FilteredReadAllResult"):
        await drain(client.read_all_events(end - 1))
    with pytest.raises(InvalidPosition, match="no event begins there: Unexpected ReadAllResult"):
        await drain(client.read_all_events(end - 1, filter_exclude=()))
    with pytest.raises(InvalidPosition):
        await drain(client.read_all_events(end - 1, backwards=True))
    assert await drain(client.read_all_events(5, backwards=True)) == []
    assert await drain(client.read_all_events(end + 10**9)) == []


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"position": -1}, "position"),
        ({"position": 2**63}, "position"),
        ({"position": "1"}, "position"),
        ({"position": True}, "position"),
        ({"limit": -1}, "limit"),
        ({"limit": 2.0}, "limit"),
        ({"backwards": 1}, "backwards"),
        ({"resolve_links": "no"}, "resolve_links"),
        ({"timeout": -0.5}, "timeout"),
    ],
)
async def test_what_cannot_be_read(client: Any, arguments: dict[str, Any], argument: str) -> None:
    for call in (client.read_all_events, lambda **more: client.read_stream_events("s", **more)):
        with pytest.raises(InvalidArgument, match=argument) as caught:
            call(**arguments)
        assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"filter_include": ["("]}, "filter_include"),
        ({"filter_exclude": [""]}, "filter_exclude"),
        ({"filter_exclude": [5]}, "filter_exclude"),
        ({"filter_exclude": 5}, "filter_exclude"),
        ({"filter": "x"}, "filter"),
        ({"filter": Filter.by_event_type(include=["a"]), "filter_include": ["b"]}, "filter"),
    ],
)
async def test_filters_that_are_none(client: Any, arguments: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgument, match=argument) as caught:
        client.read_all_events(**arguments)
    assert caught.value.argument == argument
