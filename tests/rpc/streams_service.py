"""A Streams service for scripted servers: remembers what is appended, as far as a test of the client needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from esdb_lite._wire.append import AppendOptions, Proposed, decode_append_request, encode_appended
from esdb_lite._wire.batch_append import (
    BATCH_APPEND,
    BatchRequest,
    decode_batch_request,
    encode_batch_error,
    encode_batch_success,
    encode_wrong_expected_version,
)
from esdb_lite._wire.framing import MessageSplitter
from esdb_lite._wire.primitives import block
from esdb_lite._wire.read_request import decode_read_request
from esdb_lite._wire.read_response_encode import encode_confirmation, encode_event, encode_record
from tests.rpc.fake import FakeCall


def event_message(number: int, *, stream: str = "s", data: bytes = b"{}") -> bytes:
    """Return a ReadResp with the event of this number."""
    record = encode_record(
        id=number.to_bytes(16, "big"),
        structured=False,
        stream=stream,
        revision=number,
        position=1000 + number,
        type="T",
        is_json=True,
        created=17_954_719_830_065_030,
        metadata=b"",
        data=data,
    )
    return encode_event(record, None, 1000 + number)


def features(*paths: str) -> bytes:
    """Return what ServerFeatures answers for a server that has these calls."""
    methods = b""
    for path in paths:
        service, method = path.lower().strip("/").split("/")
        methods += block(0x0A, block(0x0A, method.encode()) + block(0x12, service.encode()))
    return methods + block(0x12, b"24.10.0")


@dataclass
class StreamsService:
    """Serves ServerFeatures, Append, BatchAppend and Read. `on_batch` may answer a batch by itself."""

    batch_append: bool = True
    events: int = 3
    on_batch: Callable[[FakeCall, BatchRequest], Awaitable[bool]] | None = None
    appended: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    """How many messages came at a time on the BatchAppend calls."""

    async def __call__(self, call: FakeCall) -> None:
        self.calls.append(call.method)
        if call.method == "GetSupportedMethods":
            await call.read()
            call.answer(features(BATCH_APPEND) if self.batch_append else features())
        elif call.method == "BatchAppend":
            await self._batch_append(call)
        elif call.method == "Append":
            await self._append(call)
        elif call.method == "Read":
            await self._read(call)

    async def _read(self, call: FakeCall) -> None:
        (request,) = MessageSplitter().feed(await call.read())
        options = decode_read_request(request)
        assert options is not None
        numbers = [*range(self.events)][:: -1 if options.direction else 1][: options.limit]
        call.answer(*map(event_message, numbers))

    async def _append(self, call: FakeCall) -> None:
        requests = [decode_append_request(message) for message in MessageSplitter().feed(await call.read())]
        options, *events = requests
        assert isinstance(options, AppendOptions)
        assert all(isinstance(event, Proposed) for event in events)
        self.appended.append(options.stream or "")
        call.answer(encode_appended(len(events) - 1, len(self.appended)))

    async def _batch_append(self, call: FakeCall) -> None:
        call.begin()
        splitter = MessageSplitter()
        while data := await call.received.get():
            messages = splitter.feed(data)
            self.writes.append(len(messages))
            for message in messages:
                await self._batch(call, decode_batch_request(message))

    async def _batch(self, call: FakeCall, request: BatchRequest) -> None:
        if self.on_batch is not None and await self.on_batch(call, request):
            return
        self.accept(call, request)

    def accept(self, call: FakeCall, request: BatchRequest) -> None:
        """Answer that it was appended."""
        assert request.options is not None
        stream = request.options.stream or ""
        self.appended.append(stream)
        call.send(encode_batch_success(request.correlation_id, stream, len(request.events) - 1, len(self.appended)))

    def refuse(self, call: FakeCall, request: BatchRequest, current: int) -> None:
        """Answer that the stream is somewhere else."""
        assert request.options is not None
        value = encode_wrong_expected_version(current, request.options.expected or 0)
        call.send(
            encode_batch_error(
                request.correlation_id,
                request.options.stream,
                code=6,
                message="WrongExpectedVersion",
                detail="WrongExpectedVersion",
                value=value,
            )
        )


async def subscription(call: FakeCall, *numbers: int) -> None:
    """Confirm a subscription, send events, and stay open."""
    await call.read()
    call.begin()
    call.send(encode_confirmation("id-of-subscription"))
    for number in numbers:
        call.send(event_message(number))
    await asyncio.shield(call.reset_by_client)
