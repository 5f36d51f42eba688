"""Calls as bytes over a connection: what a fault does must be seen as the wire shows it, not as a client takes it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

from esdb_lite_protos.event_store.client import StreamIdentifier
from esdb_lite_protos.event_store.client.persistent_subscriptions import (
    CreateReq,
    CreateReqOptions,
    CreateReqSettings,
    CreateReqStreamOptions,
)

from esdb_lite._wire.acks import encode_consumer_options
from esdb_lite._wire.append import ANY, encode_append_options, encode_append_proposed, encode_proposed
from esdb_lite._wire.batch_append import BatchResponse, decode_batch_response, encode_batch_request
from esdb_lite._wire.controls import SubscriptionConfirmed
from esdb_lite._wire.framing import frame
from esdb_lite._wire.primitives import block, encode_stream_identifier, number
from esdb_lite._wire.read_response import decode_response
from esdb_lite.events import RecordedEvent
from tests.serving.raw import Answer, RawClient

STREAMS = "/event_store.client.streams.Streams"
GROUPS = "/event_store.client.persistent_subscriptions.PersistentSubscriptions"
OPERATIONS = "/event_store.client.operations.Operations"
GOSSIP = "/event_store.client.gossip.Gossip/Read"

REQUIRED = (("requires-leader", "true"),)
NOT_READY = ("14", "Server Is Not Ready")
NOT_LEADER = ("5", "Leader info available")
COMMIT = ("10", "Operation timed out: Commit phase timeout.")
FORWARDING = ("10", "Operation timed out: Forwarding timeout")
OK = ("0", None)

_NO_FILTER, _UUIDS, _SUBSCRIPTION = block(0x42, b""), block(0x4A, b"\x12\0"), block(0x32, b"")
_START, _END = b"\x1a\0", b'"\0'

Headers = Sequence[tuple[str, str]]


def event(size: int = 2) -> bytes:
    """A new event."""
    return encode_proposed(id=os.urandom(16), type="T", content_type="application/json", metadata=b"", data=b"1" * size)


async def append(client: RawClient, stream: str = "s", *, count: int = 1, more: Headers = (), size: int = 2) -> Answer:
    """Append events with Append."""
    events = [encode_append_proposed(event(size)) for _ in range(count)]
    return await client.call(f"{STREAMS}/Append", encode_append_options(stream, ANY), *events, more=more)


async def tombstone(client: RawClient, stream: str, *, more: Headers = ()) -> Answer:
    """End a stream."""
    options = encode_stream_identifier(0x0A, stream) + block(0x22, b"")
    return await client.call(f"{STREAMS}/Tombstone", block(0x0A, options), more=more)


def read_request(stream: str = "s", *, start: bytes = _START, live: bool = False, limit: int = 2**32) -> bytes:
    """Read a stream forwards, or subscribe to it."""
    source = block(0x0A, encode_stream_identifier(0x0A, stream) + start)
    return block(0x0A, source + (_SUBSCRIPTION if live else number(0x28, limit)) + _NO_FILTER + _UUIDS)


async def read(client: RawClient, stream: str = "s", *, more: Headers = ()) -> Answer:
    """Read a stream."""
    return await client.call(f"{STREAMS}/Read", read_request(stream), more=more)


def subscribe(client: RawClient, stream: str = "s", *, from_end: bool = False, more: Headers = ()) -> int:
    """Open a subscription."""
    call = client.open(f"{STREAMS}/Read", more=more)
    client.send(call, frame([read_request(stream, start=_END if from_end else _START, live=True)]), end=True)
    return call


def consume(client: RawClient, group: str = "g", stream: str = "s", *, more: Headers = ()) -> int:
    """Open a consumer of a group."""
    call = client.open(f"{GROUPS}/Read", more=more)
    client.send(call, frame([encode_consumer_options(stream=stream, group=group, buffer_size=10)]))
    return call


async def create_group(client: RawClient) -> None:
    """Create the group g on the stream s, from its start."""
    stream = StreamIdentifier(stream_name=b"s")
    settings = CreateReqSettings(
        live_buffer_size=500,
        history_buffer_size=500,
        read_batch_size=20,
        message_timeout_ms=30_000,
        checkpoint_after_ms=2000,
        min_checkpoint_count=10,
        max_checkpoint_count=1000,
    )
    options = CreateReqOptions(
        stream=CreateReqStreamOptions(stream_identifier=stream, revision=0),
        stream_identifier=stream,
        group_name="g",
        settings=settings,
    )
    assert (await client.call(f"{GROUPS}/Create", bytes(CreateReq(options=options)))).status == OK


def events_in(answer: Answer) -> int:
    """How many events have arrived."""
    return sum(isinstance(decode_response(message), RecordedEvent) for message in answer.messages)


async def until_events(client: RawClient, call: int, count: int) -> None:
    """Wait until so many events have arrived."""
    while events_in(client.answers[call]) < count:
        assert not client.answers[call].ended, client.answers[call]
        await client.more()


async def confirmed(client: RawClient, call: int) -> None:
    """Wait until a subscription is confirmed."""
    while not client.answers[call].messages:
        assert not client.answers[call].ended, client.answers[call]
        await client.more()
    assert isinstance(decode_response(client.answers[call].messages[0]), SubscriptionConfirmed)


async def settled(client: RawClient) -> None:
    """Wait until both sides have told their settings: until the client says something, nothing more comes from it."""
    client.h2.ping(b"are you?")
    client.flush()
    while not client.pongs:
        await client.more()


async def silent(client: RawClient, seconds: float = 0.15) -> bool:
    """Whether no call is answered anything for a while."""
    until = asyncio.get_running_loop().time() + seconds
    before = _said(client)
    while (left := until - asyncio.get_running_loop().time()) > 0:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client.more(), left)
    return _said(client) == before


def _said(client: RawClient) -> list[tuple[int, bool]]:
    return [(len(answer.data), answer.ended) for answer in client.answers.values()]


class Batches:
    """An open BatchAppend."""

    def __init__(self, client: RawClient, *, more: Headers = ()) -> None:
        self._client = client
        self.call = client.open(f"{STREAMS}/BatchAppend", more=more)
        self._taken = 0

    def send(self, stream: str = "s", expected: int = ANY, *, count: int = 1) -> None:
        """Ask for an append."""
        events = [event() for _ in range(count)]
        request = encode_batch_request(os.urandom(16), events, stream=stream, expected=expected)
        self._client.send(self.call, frame([request]))

    async def answer(self) -> BatchResponse:
        """Return the next answer."""
        answer = self.ending
        while len(answer.messages) <= self._taken:
            assert not answer.ended, answer
            await self._client.more()
        self._taken += 1
        return decode_batch_response(answer.messages[self._taken - 1])

    async def append(self, stream: str = "s") -> tuple[int, str, str] | None:
        """Append an event; None when it was, else code, message and detail of the refusal."""
        self.send(stream)
        result = (await self.answer()).result
        code = getattr(result, "code", None)
        return None if code is None else (code, result.message, result.detail)  # type: ignore[union-attr]

    @property
    def ending(self) -> Answer:
        """What there is of the call."""
        return self._client.answers[self.call]


async def subscribed(client: RawClient) -> int:
    """Open a subscription, and wait until it is confirmed."""
    call = subscribe(client)
    await confirmed(client, call)
    return call
