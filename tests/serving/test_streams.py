"""The Streams service over a connection: what the recordings cannot show."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from esdb_lite._wire.append import (
    ANY,
    NO_STREAM,
    AppendAnswer,
    encode_append_options,
    encode_append_proposed,
    encode_proposed,
)
from esdb_lite._wire.batch_append import BatchError, BatchResponse, decode_batch_response, encode_batch_request
from esdb_lite._wire.controls import SubscriptionConfirmed
from esdb_lite._wire.framing import frame
from esdb_lite._wire.primitives import block, encode_stream_identifier, number
from esdb_lite._wire.read_response_fast import ReadDecoder
from esdb_lite.events import CaughtUp, Checkpoint, RecordedEvent
from esdb_lite.server.engine.model import ProposedEvent
from esdb_lite.server.node import ServerNode, ServerSettings
from esdb_lite.server.options import Compatibility
from esdb_lite.server.services.read import LIVE_BUFFER
from tests.serving.raw import Answer, RawClient, connected

STREAMS = "/event_store.client.streams.Streams"
EMPTY = b""
NO_FILTER, UUIDS, SUBSCRIPTION = block(0x42, EMPTY), block(0x4A, b"\x12\0"), block(0x32, EMPTY)
ALL_FROM_START = block(0x12, b"\x12\0")


@pytest.fixture
async def stack() -> AsyncIterator[ServerNode]:
    """A server in memory."""
    running = await ServerNode.start(ServerSettings(compatibility=Compatibility.V24_10), lambda: None)
    yield running
    await running.stop()


@pytest.fixture
async def client(stack: ServerNode) -> AsyncIterator[RawClient]:
    """A connection to it."""
    async with connected(stack.port) as connection:
        yield connection


def stream_option(name: str, start: bytes = b"\x1a\0") -> bytes:
    return block(0x0A, encode_stream_identifier(0x0A, name) + start)


def read_request(*options: bytes) -> bytes:
    return block(0x0A, b"".join(options))


def event(size: int = 2) -> bytes:
    return encode_proposed(id=os.urandom(16), type="T", content_type="x", metadata=b"", data=b"x" * size)


def proposed(size: int = 2) -> ProposedEvent:
    return ProposedEvent(os.urandom(16), "T", False, b"x" * size)


async def items(client: RawClient, stream: int, count: int, decoder: ReadDecoder) -> list[object]:
    """Return the next items of a read; there must be at least so many."""
    found: list[object] = []
    answer = client.answers[stream]
    while len(found) < count:
        if not answer.data:
            await client.more()
        data, answer.data = answer.data, b""
        found += decoder.feed(data)
    return found


# --- subscriptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [stream_option("s"), ALL_FROM_START])
async def test_a_subscriber_that_stops_reading_gets_everything_later(
    stack: ServerNode, client: RawClient, source: bytes
) -> None:
    """It holds up nobody meanwhile, and learns that it has caught up again."""
    client.acknowledge = False
    stream = client.open(f"{STREAMS}/Read")
    client.send(stream, frame([read_request(source, SUBSCRIPTION, NO_FILTER, UUIDS)]), end=True)
    decoder = ReadDecoder()
    first = await items(client, stream, 2, decoder)
    assert isinstance(first[0], SubscriptionConfirmed)
    assert sum(isinstance(item, CaughtUp) for item in first) == 1
    total = 3 * LIVE_BUFFER
    for _ in range(total // 16):
        await asyncio.wait_for(stack._database.append("s", ANY, [proposed(500) for _ in range(16)]), 5)
    client.acknowledge = True
    client.h2.increment_flow_control_window(2**20)
    client.h2.increment_flow_control_window(2**20, stream)
    client.flush()
    caught_up, revisions = 0, []
    while len(revisions) < total or not caught_up:
        for item in await items(client, stream, 1, decoder):
            caught_up += isinstance(item, CaughtUp)
            if isinstance(item, RecordedEvent) and item.stream_name == "s":
                revisions.append(item.stream_position)
    assert revisions == list(range(total))
    assert caught_up == 1


async def test_a_filtered_subscription_gets_checkpoints_while_live(stack: ServerNode, client: RawClient) -> None:
    chosen = block(0x3A, block(0x12, block(0x12, b"W")) + number(0x18, 1) + number(0x28, 2))
    stream = client.open(f"{STREAMS}/Read")
    from_end = block(0x12, b"\x1a\0")
    client.send(stream, frame([read_request(from_end, SUBSCRIPTION, chosen, UUIDS)]), end=True)
    decoder = ReadDecoder()
    await items(client, stream, 2, decoder)
    await stack._database.append("s", ANY, [proposed(), proposed()])
    (checkpoint,) = await items(client, stream, 1, decoder)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.commit_position == stack._database.last_position


async def test_cancelled_subscriptions_leave_nothing(stack: ServerNode, client: RawClient) -> None:
    request = frame([read_request(ALL_FROM_START, SUBSCRIPTION, NO_FILTER, UUIDS)])
    for _ in range(20):
        stream = client.open(f"{STREAMS}/Read")
        client.send(stream, request, end=True)
        await items(client, stream, 2, ReadDecoder())
        client.h2.reset_stream(stream)
        client.flush()
    answer = await client.call(f"{STREAMS}/Read", read_request(stream_option("s"), number(0x28, 1), NO_FILTER, UUIDS))
    assert answer.status == ("0", None)
    assert len(stack._database._feed) == 0


# --- requests that cannot be served -----------------------------------------------------------------------------------


def filtered(content: bytes) -> bytes:
    return block(0x3A, content)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([stream_option("s"), number(0x28, 0), NO_FILTER, UUIDS], "options.count"),
        ([stream_option("s", b"\x22\0"), number(0x28, 1), NO_FILTER, UUIDS], "options.stream.end"),
        ([stream_option(""), number(0x28, 1), NO_FILTER, UUIDS], "options.stream.stream_identifier"),
        ([stream_option("s", number(0x10, 2**63)), number(0x28, 1), NO_FILTER, UUIDS], "options.stream.revision"),
        ([ALL_FROM_START, number(0x28, 0), NO_FILTER, UUIDS], "options.count"),
        ([ALL_FROM_START, number(0x28, 1), filtered(b"\x12\x03\x0a\x01(\x18\x20"), UUIDS], "regular expression"),
        ([ALL_FROM_START, number(0x28, 1), filtered(b"\x12\0\x18\0"), UUIDS], "options.filter.max"),
        ([ALL_FROM_START, SUBSCRIPTION, filtered(b"\x12\0\x22\0"), UUIDS], "checkpointIntervalMultiplier"),
        ([ALL_FROM_START, number(0x18, 7), number(0x28, 1), NO_FILTER, UUIDS], "(All, Count, 7, NoFilter)"),
        ([b"\x0a\x05ab"], "cannot be decoded"),
    ],
)
async def test_what_is_wrong_is_said(client: RawClient, options: list[bytes], says: str) -> None:
    answer = await client.call(f"{STREAMS}/Read", read_request(*options))
    assert answer.status[0] == "3"
    assert says in (answer.status[1] or "")


async def test_a_message_over_the_limit_of_the_service(client: RawClient) -> None:
    stream = client.open(f"{STREAMS}/Append")
    client.send(stream, frame([encode_append_options("s", ANY)]) + b"\0" + (16_767_217).to_bytes(4, "big"))
    assert (await client.ended(stream)).status[0] == "8"
    gossip = client.open("/event_store.client.gossip.Gossip/Read")
    client.send(gossip, b"\0" + (4 * 2**20 + 1).to_bytes(4, "big"))
    assert (await client.ended(gossip)).status[0] == "8"


async def test_too_much_is_refused_before_it_has_all_come(client: RawClient) -> None:
    await client.more()
    stream = client.open(f"{STREAMS}/Append")
    client.send(stream, frame([encode_append_options("s", ANY)]))
    for _ in range(70):
        piece = frame([encode_append_proposed(event(15_000))])
        while client.h2.local_flow_control_window(stream) < len(piece):
            await client.more()
        client.send(stream, piece)
    answer = await client.ended(stream)
    assert answer.status == ("3", "Maximum Append Size of 1048576 Exceeded.")
    assert answer.headers["maximum-append-size"] == "1048576"


async def test_a_database_that_is_closed(stack: ServerNode, client: RawClient) -> None:
    await stack._database.close()
    answer = await client.call(f"{STREAMS}/Append", encode_append_options("s", ANY), encode_append_proposed(event()))
    assert answer.status[0] == "14"


# --- BatchAppend ------------------------------------------------------------------------------------------------------


class Batches:
    """A call of BatchAppend."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._stream = client.open(f"{STREAMS}/BatchAppend")

    def send(self, *requests: bytes, end: bool = False) -> None:
        self._client.send(self._stream, frame(requests), end=end)

    async def answers(self, count: int) -> list[BatchResponse]:
        answer = self._client.answers[self._stream]
        while len(answer.messages) < count:
            await self._client.more()
        return [decode_batch_response(message) for message in answer.messages]

    async def ended(self) -> tuple[Answer, list[BatchResponse]]:
        answer = await self._client.ended(self._stream)
        return answer, [decode_batch_response(message) for message in answer.messages]


def request(correlation: int, events: int = 1, **more: object) -> bytes:
    options: dict[str, object] = {"stream": "s", **more}
    return encode_batch_request(correlation.to_bytes(16, "big"), [event() for _ in range(events)], **options)  # type: ignore[arg-type]


def name_of(response: BatchResponse) -> str:
    return response.result.detail if isinstance(response.result, BatchError) else "success"


async def test_what_waits_at_the_half_close_is_written_and_answered(client: RawClient) -> None:
    batches = Batches(client)
    batches.send(*(request(number) for number in range(1, 51)), end=True)
    answer, responses = await batches.ended()
    assert answer.status == ("0", None)
    assert [name_of(response) for response in responses] == ["success"] * 50
    revisions = [r.result.revision for r in responses if isinstance(r.result, AppendAnswer)]
    assert revisions == list(range(50))


async def test_a_batch_of_which_a_part_never_comes(client: RawClient) -> None:
    batches = Batches(client)
    batches.send(request(1, is_final=False), request(2), request(3, is_final=False), end=True)
    answer, responses = await batches.ended()
    assert answer.status == ("0", None)
    by_id = {int.from_bytes(response.correlation_id or b"", "big"): name_of(response) for response in responses}  # type: ignore[arg-type]
    assert by_id == {1: "Timeout", 2: "success", 3: "Timeout"}


async def test_a_batch_whose_time_is_over(client: RawClient) -> None:
    batches = Batches(client)
    batches.send(request(1, deadline=0), request(2, deadline=-5), request(3, is_final=False, deadline=0.02))
    assert [name_of(response) for response in await batches.answers(3)] == ["Timeout"] * 3
    batches.send(request(3, stream=None), request(4), end=True)
    assert [name_of(response) for response in (await batches.ended())[1][3:]] == ["success"]


async def test_one_answer_for_each_batch_whatever_is_wrong_with_it(client: RawClient) -> None:
    bad = encode_proposed(id=bytes(16), type="T", content_type="x", metadata=b"", data=b"")
    batches = Batches(client)
    batches.send(
        encode_batch_request((1).to_bytes(16, "big"), [bad, bad], stream="s", is_final=False),
        encode_batch_request((1).to_bytes(16, "big"), [bad]),
        request(2, stream="$$"),
        request(3, expected=2**63),
        request(4, expected=5),
        request(5, stream=None),
        request(6, expected=NO_STREAM),
        end=True,
    )
    responses = (await batches.ended())[1]
    assert [name_of(r) for r in responses] == ["BadRequest"] * 3 + ["WrongExpectedVersion", "success"]


async def test_a_client_that_does_not_read_its_answers(client: RawClient) -> None:
    """What it asks for is received only as long as there is room for the answers."""
    client.acknowledge = False
    batches = Batches(client)
    await client.more()
    sent = 0
    while sent < 20_000 and client.h2.local_flow_control_window(batches._stream) > 100_000:
        batches.send(*(request(sent + number) for number in range(100)))
        sent += 100
        await asyncio.sleep(0)
    answer = client.answers[batches._stream]
    while len(answer.data) < 65_535 - 200:
        await client.more()
    client.acknowledge = True
    client.h2.increment_flow_control_window(2**24)
    client.h2.increment_flow_control_window(2**24, batches._stream)
    client.flush()
    assert len(await batches.answers(sent)) == sent
