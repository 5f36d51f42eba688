"""Floods of appends and reads."""

from __future__ import annotations

import os
from collections.abc import Iterator

from esdb_lite import AsyncEsdbClient, Filter, NewEvent, StreamMetadata, StreamState
from esdb_lite._wire.append import ANY, encode_append_options, encode_append_proposed, encode_proposed
from esdb_lite._wire.batch_append import encode_batch_request
from esdb_lite._wire.framing import frame
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite._wire.record_requests import encode_new_record, encode_records_request
from esdb_lite._wire.uuids import format_uuid
from tests.benchmarks.flooding.flood import STREAMS, Flood, asking, making
from tests.benchmarks.flooding.on_wire import large_events
from tests.benchmarks.flooding.peers import Attack, Request, calls

_READ, _APPEND, _BATCH = f"{STREAMS}/Read", f"{STREAMS}/Append", f"{STREAMS}/BatchAppend"
_RECORDS = "/kurrentdb.protocol.v2.streams.StreamsService/AppendRecords"
_STORED = 20_000
_MEGABYTE = b"1" * 1_000_000
_EVIL = "^(a+)+$"
_LINKS = 200


def _event(data: bytes = b"{}", metadata: bytes = b"", type: str = "T") -> bytes:
    return encode_proposed(
        id=os.urandom(16), type=type, content_type="application/octet-stream", metadata=metadata, data=data
    )


def _appending(
    *, count: int = 1, data: bytes = b"{}", metadata: bytes = b"", in_flight: int = 200, expected: int = ANY
) -> Attack:
    """Appends of events that are alike."""

    def request() -> Request:
        events = [encode_append_proposed(_event(data, metadata)) for _ in range(count)]
        return Request(_APPEND, frame([encode_append_options("flooded", expected), *events]))

    return calls(request, in_flight=in_flight)


def _new_streams() -> Attack:
    def request() -> Request:
        name = "stream-" + os.urandom(500).hex()
        event = encode_append_proposed(_event(type=os.urandom(500).hex()))
        return Request(_APPEND, frame([encode_append_options(name, ANY), event]))

    return calls(request)


def _batches(*, count: int, data: bytes, at_once: int, connections: int = 1) -> Attack:
    """Calls of BatchAppend with so many batches each."""

    def request() -> Request:
        batches = [
            encode_batch_request(
                format_uuid(os.urandom(16)), [_event(data) for _ in range(count)], stream=f"batch-{number % 7}"
            )
            for number in range(at_once)
        ]
        return Request(_BATCH, frame(batches))

    return calls(request, connections=connections, in_flight=4)


def _record(number: int, data: bytes) -> bytes:
    return encode_new_record(
        id=format_uuid(os.urandom(16)),
        format=1,
        type="T",
        properties={"a": "b", "n": 1.0},
        data=data,
        stream=f"records-{number % 50}",
    )


def _records(count: int) -> Attack:
    return making(
        _RECORDS,
        lambda _: encode_records_request([_record(number, b"{}") for number in range(count)], []),
        in_flight=8 if count > 1 else 200,
    )


async def _stored(client: AsyncEsdbClient) -> None:
    for start in range(0, _STORED, 1000):
        events = [NewEvent.json(f"Type{number % 5}", {"number": number}) for number in range(start, start + 1000)]
        await client.append_events(f"stored-{start // 1000}", StreamState.ANY, events)


async def _evil(client: AsyncEsdbClient) -> None:
    for number in range(200):
        await client.append_events("a" * (40 + number) + "!", StreamState.ANY, [NewEvent("T", b"{}")] * 1)
    await _stored(client)


async def _links(client: AsyncEsdbClient) -> None:
    """Links to links, and many to one large event."""
    await client.append_events("target", StreamState.ANY, NewEvent("T", b"1" * 500_000))
    links = [NewEvent("$>", b"0@target", content_type="application/octet-stream") for _ in range(_LINKS)]
    await client.append_events("links", StreamState.ANY, links)
    for number in range(_LINKS):
        data = f"{number - 1}@chain".encode() if number else b"0@target"
        await client.append_events(
            "chain", StreamState.ANY, NewEvent("$>", data, content_type="application/octet-stream")
        )


async def _lenient_metadata(client: AsyncEsdbClient) -> None:
    """Metadata that only the lenient parser takes, and an access list of many names."""
    items = ",".join("'x'" for _ in range(10_000))
    data = ("{'a':[" + items + "]}").encode()
    await client.append_events("poor", StreamState.ANY, NewEvent("T", b"{}"))
    await client.append_events("$$poor", StreamState.ANY, NewEvent("$metadata", data))
    await client.set_stream_metadata("rich", StreamMetadata(custom={str(number): number for number in range(3000)}))


def _appends() -> Iterator[Flood]:
    yield Flood("appends", "appends of one event, 200 at a time", _appending())
    yield Flood("conflicts", "appends that expect another position", _appending(expected=77))
    yield Flood("appends-1mb", "appends of an event of 1 MB", _appending(data=_MEGABYTE, in_flight=8))
    yield Flood("appends-16mb", "appends of an event of 16 MB", _appending(data=b"1" * 16_000_000, in_flight=4))
    yield Flood("appends-metadata", "appends whose metadata have 1 MB", _appending(metadata=_MEGABYTE, in_flight=8))
    yield Flood("appends-60000", "appends of 60,000 empty events", _appending(count=60_000, data=b"", in_flight=4))
    yield Flood("appends-5000", "appends of 5,000 events", _appending(count=5_000, in_flight=8))
    yield Flood("new-streams", "new streams and types with names of 1,000 characters", _new_streams())
    yield Flood("batches", "batches of one event, 200 in a call", _batches(count=1, data=b"{}", at_once=200))
    yield Flood("batches-500", "batches of 500 events", _batches(count=500, data=b"x" * 200, at_once=20))
    yield Flood(
        "batches-1mb",
        "batches of 1 MB, over 4 connections",
        _batches(count=1, data=_MEGABYTE, at_once=4, connections=4),
    )
    yield Flood("records", "AppendRecords, 200 at a time", _records(1))
    yield Flood("records-5000", "AppendRecords of 5,000 records over 50 streams", _records(5000))
    metadata = encode_proposed(
        id=bytes(16),
        type="$metadata",
        content_type="application/json",
        metadata=b"",
        data=b'{"x":"%s"}' % (b"y" * 60_000),
    )
    requests = frame([encode_append_options("$$flooded", ANY), encode_append_proposed(metadata)])
    yield Flood("metadata", "metadata of 60 kB of a stream", calls(lambda: Request(_APPEND, requests)))


def _reads() -> Iterator[Flood]:
    everything, backwards = ReadRequest(), ReadRequest(from_end=True, backwards=True)
    yield Flood(
        "all-backwards",
        "reads of all 20,000 events backwards, 50 connections",
        asking(_READ, backwards.encode(), connections=50, in_flight=1),
        _stored,
    )
    yield Flood("all-200", "reads of all events, 200 on one connection", asking(_READ, everything.encode()), _stored)
    yield Flood("reads", "reads of one event", asking(_READ, ReadRequest("stored-1", limit=1).encode()), _stored)
    yield Flood(
        "large-reads",
        "reads of 7 MB, 20 connections",
        asking(_READ, ReadRequest("large").encode(), connections=20, in_flight=2),
        large_events,
    )
    yield Flood(
        "no-stream", "reads of streams that are not there", making(_READ, lambda n: ReadRequest(f"no-{n}").encode())
    )
    evil = ReadRequest(filter=Filter.by_stream_name(regex=_EVIL))
    yield Flood("evil-filter", f"reads with the filter {_EVIL}", asking(_READ, evil.encode(), in_flight=50), _evil)
    nested = "^(" + "|".join(f"(x{number}+y*)+" for number in range(600)) + ")$"
    yield Flood(
        "long-filter",
        "reads with new filters of 7,000 characters",
        making(
            _READ, lambda n: ReadRequest(filter=Filter.by_stream_name(regex=f"{nested}|{n}")).encode(), in_flight=50
        ),
        _evil,
    )
    back = ReadRequest(filter=Filter.by_stream_name(regex=r"^(a|aa)+(?<=a)\1!$"))
    yield Flood("look-behind", "reads with a filter that looks back", asking(_READ, back.encode(), in_flight=50), _evil)
    rare = ReadRequest(filter=Filter.by_event_type(prefixes=["Nothing"]))
    yield Flood("rare-filter", "reads with a filter that nothing passes", asking(_READ, rare.encode()), _stored)
    links = ReadRequest("links", resolve_links=True)
    yield Flood(
        "links", "reads of 200 links to an event of 500 kB", asking(_READ, links.encode(), in_flight=20), _links
    )
    yield Flood(
        "link-chain",
        "reads of 200 links to links",
        asking(_READ, ReadRequest("chain", resolve_links=True).encode()),
        _links,
    )
    yield Flood(
        "lenient",
        "reads with metadata of 50 kB that is no JSON",
        asking(_READ, ReadRequest("poor").encode()),
        _lenient_metadata,
    )
    live = ReadRequest(limit=None)
    yield Flood(
        "catch-ups",
        "subscriptions to all events, 20 connections",
        asking(_READ, live.encode(), connections=20, in_flight=10),
        _stored,
    )
    hearing = ReadRequest(limit=None, from_end=True)
    yield Flood(
        "live", "1,000 live subscriptions, over 5 connections", asking(_READ, hearing.encode(), connections=5), _stored
    )
    filtered = ReadRequest(limit=None, from_end=True, filter=Filter.by_stream_name(regex=_EVIL))
    yield Flood(
        "live-evil",
        f"1,000 live subscriptions with the filter {_EVIL}",
        asking(_READ, filtered.encode(), connections=5),
        _evil,
    )
    index = ReadRequest(index_name="$idx-all")
    yield Flood("index", "reads of the index of all events", asking(_READ, index.encode()), _stored)
    category = ReadRequest(index_name="$idx-ce-stored")
    yield Flood(
        "category-index",
        "reads of the index of a category, 20 connections",
        asking(_READ, category.encode(), connections=20, in_flight=10),
        _stored,
    )
    yield Flood("unknown", "calls of a method that is not there", asking("/no.Such/Method", b""))
    yield Flood("delete-nothing", "deletes of streams that are not there", making(f"{STREAMS}/Delete", _deletion))
    yield Flood("tombstones", "tombstones of new streams", making(f"{STREAMS}/Tombstone", _deletion))


def _deletion(number: int) -> bytes:
    from esdb_lite._wire.primitives import block, encode_stream_identifier

    return block(0x0A, encode_stream_identifier(0x0A, f"gone-{os.getpid()}-{number}") + block(0x22, b""))


def floods() -> Iterator[Flood]:
    """All of them."""
    yield from _appends()
    yield from _reads()
