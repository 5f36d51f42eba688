"""Batches of BatchAppend, put together from their chunks.

Owns: which batches are open, their time limits and sizes, what is wrong with a chunk (section 8 of the protocol
notes). Must not know: calls, the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from esdb_lite_protos.event_store.client import BadRequest, MaximumAppendEventSizeExceeded, MaximumAppendSizeExceeded

from esdb_lite._status import StatusCode
from esdb_lite._wire.append import Proposed
from esdb_lite._wire.batch_append import BatchOptions, BatchRequest
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.uuids import WireUuid, parse_uuid
from esdb_lite.server.engine.model import LONGEST_NAME
from esdb_lite.server.services.append_room import NoAppendRoom
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.proposals import (
    BAD_UUID,
    NO_UUID,
    EventOverLimit,
    Intake,
    InvalidEvent,
    InvalidExpectation,
    MissingMetadata,
    expected_version,
    id_as_text,
    is_too_long_for_stream,
    writable,
)

_OPEN_BATCH = 1000
"""Bytes that a batch takes besides its events."""
WRITE_TIMEOUT = 2.0
"""Seconds that a batch has at most, from its first chunk to its last."""


class Refused(Exception):
    """A batch ends with an error: the answer to it."""

    stream: str | None = None
    """Whose batch it is, where the chunk itself does not say it."""

    def __init__(self, code: StatusCode, message: str, detail: str, value: bytes = b"") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.detail = detail
        self.value = value

    def of(self, stream: str) -> Refused:
        """Say whose batch it is, and return it."""
        self.stream = stream
        return self


def _bad_request(message: str) -> Refused:
    """The texts are those of a real server: here they are part of an answer that clients compare and log."""
    return Refused(StatusCode.INVALID_ARGUMENT, "BadRequest", "BadRequest", bytes(BadRequest(message)))


def timed_out() -> Refused:
    """The answer to a batch that was not complete or not written in time."""
    return Refused(StatusCode.DEADLINE_EXCEEDED, "Timeout", "Timeout")


def too_busy() -> Refused:
    """The answer to a batch for which there is no room."""
    return Refused(StatusCode.OK, "Server Is Busy", "Empty")


def check_stream(name: str) -> None:
    """Refuse a name that no stream can have. Raises Refused."""
    if is_too_long_for_stream(name):
        raise _bad_request(f"the name of a stream has at most {LONGEST_NAME} bytes in UTF-8")
    if not writable(name):
        raise _bad_request("Specified argument was out of the range of valid values. (Parameter 'eventStreamId')")


def take_events(context: Context, intake: Intake, events: Sequence[Proposed]) -> None:
    """Add events to those of an append. Raises Refused."""
    try:
        intake.take_all(events)
    except MissingMetadata as error:
        raise _bad_request("The given key was not present in the dictionary.") from error
    except InvalidEvent as error:
        raise _bad_request(error.original) from error
    except EventOverLimit as error:
        name = "MaximumAppendEventSizeExceeded"
        event = MaximumAppendEventSizeExceeded(id_as_text(error.id), error.size, context.max_append_event_size)
        raise Refused(StatusCode.INVALID_ARGUMENT, name, name, bytes(event)) from error
    if intake.too_many is not None:
        raise _bad_request(intake.too_many)
    if intake.size > context.max_append_size:
        name = "MaximumAppendSizeExceeded"
        value = bytes(MaximumAppendSizeExceeded(context.max_append_size))
        raise Refused(StatusCode.INVALID_ARGUMENT, name, name, value)


@dataclass(eq=False)
class Batch:
    """A batch of which not all chunks have come."""

    id: WireUuid
    stream: str
    sent: int
    """What the stream is expected to be, in the client's words."""
    expected: int
    """The same in the engine's."""
    intake: Intake
    timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Stop the time limit."""
        if self.timer is not None:
            self.timer.cancel()


class BatchAssembler:
    """The batches of one call of which not all chunks have come."""

    def __init__(self, context: Context, peer: Hashable, expired: Callable[[Batch], None]) -> None:
        """`peer`: whose call it is; `expired` is called with a batch whose last chunk does not come in time."""
        self._context = context
        self._expired = expired
        self._open: dict[bytes, Batch] = {}
        self._held = context.append_room.open(peer, context.max_append_size)
        self._size = 0
        """Bytes that the open batches hold."""

    def is_open(self, id: WireUuid | None) -> bool:
        """Whether chunks of this batch have come before."""
        try:
            return _key(id) in self._open
        except Refused:
            return False

    def take(self, request: BatchRequest) -> Batch | None:
        """Take a chunk; return the batch that it completes. Raises Refused, which says whose batch it ends."""
        key = _key(request.correlation_id)
        batch = self._remove(key) if self._open else None
        if batch is None:
            if request.options is None:
                return None
            batch = self._begin(key, request)
        try:
            take_events(self._context, batch.intake, request.events)
        except Refused as refused:
            batch.close()
            refused.of(batch.stream)
            raise
        if not request.is_final:
            self._keep(key, batch)
            return None
        batch.close()
        batch.id = request.correlation_id or ""
        return batch

    def _keep(self, key: bytes, batch: Batch) -> None:
        self._open[key] = batch
        self._size += batch.intake.held + _OPEN_BATCH
        try:
            self._held.hold(self._size)
        except NoAppendRoom:
            self._remove(key)
            batch.close()
            raise too_busy().of(batch.stream) from None

    def _remove(self, key: bytes) -> Batch | None:
        batch = self._open.pop(key, None)
        if batch is not None:
            self._size -= batch.intake.held + _OPEN_BATCH
            with suppress(NoAppendRoom):
                self._held.hold(self._size)
        return batch

    def expire_all(self) -> None:
        """No more chunks can come."""
        for key in list(self._open):
            self._expire(key)

    def close(self) -> None:
        """Stop all time limits."""
        for batch in self._open.values():
            batch.close()
        self._held.release()

    def _begin(self, key: bytes, request: BatchRequest) -> Batch:
        options = request.options
        if options is None or options.stream is None:
            raise _bad_request("Object reference not set to an instance of an object.")
        timeout = self._timeout(options)
        if timeout <= 0:
            raise timed_out()
        if options.expected is None:
            case = "EventStore.Client.Streams.BatchAppendReq+Types+Options+ExpectedStreamPositionOneofCase"
            raise _bad_request(f'Status(StatusCode="InvalidArgument", Detail="\'None\' is not a valid {case}")')
        try:
            expected = expected_version(options.expected)
        except InvalidExpectation as error:
            raise _bad_request(f"options.stream_position: {error}") from error
        check_stream(options.stream)
        intake = Intake(self._context.max_append_event_size)
        batch = Batch(request.correlation_id or "", options.stream, options.expected, expected, intake)
        if not request.is_final:
            batch.timer = asyncio.get_running_loop().call_later(timeout, self._expire, key)
        return batch

    def _timeout(self, options: BatchOptions) -> float:
        if options.deadline_in is not None:
            return min(options.deadline_in, WRITE_TIMEOUT)
        if options.deadline_at is not None:
            return min(options.deadline_at - self._context.now() / 10_000_000, WRITE_TIMEOUT)
        return WRITE_TIMEOUT

    def _expire(self, key: bytes) -> None:
        """The last chunk did not come in time: discard the batch."""
        batch = self._remove(key)
        if batch is not None:
            batch.close()
            batch.id = key
            self._expired(batch)


def _key(id: WireUuid | None) -> bytes:
    if id is None:
        raise _bad_request(NO_UUID)
    try:
        return parse_uuid(id)
    except WireError as error:
        raise _bad_request(BAD_UUID) from error
