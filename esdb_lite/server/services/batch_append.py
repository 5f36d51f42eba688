"""Streams/BatchAppend: many appends over one call.

Owns: batches in chunks, their time limits, and one answer for each (section 8 of the protocol notes).
Must not know: when a write is refused (the engine does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite._wire.append import Proposed
from esdb_lite._wire.batch_append import (
    BatchOptions,
    BatchRequest,
    decode_batch_request,
    encode_bad_request,
    encode_batch_error,
    encode_batch_success,
    encode_maximum_append_size,
    encode_maximum_event_size,
    encode_stream_deleted,
    encode_wrong_expected_version,
)
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.uuids import WireUuid, parse_uuid
from esdb_lite.server.database.database import Pending
from esdb_lite.server.engine.access import Action
from esdb_lite.server.engine.model import Appended, DeletedStream, Outcome, WrongVersion
from esdb_lite.server.faults.admission import WriteRefused
from esdb_lite.server.faults.plan import BATCH_APPEND, Refusal
from esdb_lite.server.handlers import ServerCall
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
    writable,
)
from esdb_lite.server.services.unary import decoded
from esdb_lite.server.storage.errors import StorageClosed, StorageError

WRITE_TIMEOUT = 2.0
"""Seconds that a batch has at most, from its first chunk to its last."""

_AT_ONCE = 12
"""Answers that are sent without waiting for others of the same commit: the client goes on with them meanwhile."""
_MAX_UNANSWERED = 4096
"""Batches of a call that are being written, and answers that wait for the client: beyond this nothing is received."""


class Refused(Exception):
    """A batch ends with an error: the answer to it."""

    def __init__(self, code: StatusCode, message: str, detail: str, value: bytes = b"") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.detail = detail
        self.value = value


def _bad_request(message: str) -> Refused:
    """The texts are those of a real server: here they are part of an answer that clients compare and log."""
    return Refused(StatusCode.INVALID_ARGUMENT, "BadRequest", "BadRequest", encode_bad_request(message))


def _timeout() -> Refused:
    return Refused(StatusCode.DEADLINE_EXCEEDED, "Timeout", "Timeout")


class _PendingBatch:
    """A batch of which not all chunks have come."""

    def __init__(self, id: WireUuid, stream: str, sent: int, expected: int, intake: Intake) -> None:
        self.id = id
        self.stream = stream
        self.sent = sent
        self.expected = expected
        self.intake = intake
        self.timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Stop the time limit."""
        if self.timer is not None:
            self.timer.cancel()


class BatchAppending:
    """The method BatchAppend of the Streams service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, call: ServerCall) -> None:
        """Serve one call: ends when all that was asked for has been answered and nothing more can be asked."""
        await _BatchAppendHandler(self._context, call).run()


class _BatchAppendHandler:
    """One call."""

    def __init__(self, context: Context, call: ServerCall) -> None:
        self._context = context
        self._call = call
        self._open: dict[bytes, _PendingBatch] = {}
        self._writes: dict[_PendingBatch, Pending] = {}
        self._held: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        """Appends that are held up are written in the order in which they came."""
        self._failed: RpcError | None = None
        self._answers: list[bytes] = []
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._sending = False
        self._ending = False

    async def run(self) -> None:
        """Receive and answer side by side."""
        sending = asyncio.ensure_future(self._send())
        receiving = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for batch in self._open.values():
                batch.close()
            for job in self._writes.values():
                self._context.database.abandon(job)
            tasks = sending, receiving, *self._held
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results[:2]:
            if isinstance(result, Exception):
                raise result

    # --- answers ---

    async def _send(self) -> None:
        while not (self._ending and not self._unanswered):
            await self._changed.wait()
            self._changed.clear()
            messages, self._answers = self._answers, []
            self._sending = True
            await self._call.send(messages)
            self._sending = False
            self._make_room()
            if self._failed is not None:
                raise self._failed

    def _answer(self, message: bytes) -> None:
        """Send an answer at once where no other is to be expected, or there are some; else it goes with others soon."""
        self._answers.append(message)
        more = self._writes or self._held or self._ending
        waits = self._sending or (more and len(self._answers) < _AT_ONCE)
        if waits or not self._call.send_at_once(self._answers):
            self._changed.set()
        else:
            self._answers = []
            self._make_room()
            if self._ending:
                self._changed.set()  # it may have been the last one

    def _refuse(self, id: WireUuid | None, stream: str | None, refused: Refused) -> None:
        self._answer(
            encode_batch_error(
                id, stream, code=refused.code, message=refused.message, detail=refused.detail, value=refused.value
            )
        )

    @property
    def _unanswered(self) -> int:
        return len(self._writes) + len(self._held) + len(self._answers)

    def _make_room(self) -> None:
        if self._unanswered < _MAX_UNANSWERED:
            self._room.set()

    async def _wait_for_room(self) -> None:
        while self._unanswered >= _MAX_UNANSWERED:
            self._room.clear()
            await self._room.wait()

    # --- requests ---

    async def _receive(self) -> None:
        database, trusted = self._context.database, self._call.principal.trusted
        while messages := await self._call.receive():
            try:
                for message in messages:
                    request = decoded(decode_batch_request, message)
                    if not trusted and await self._denied(request):
                        continue
                    batch = self._chunk(request)
                    if batch is not None and not self._publish(batch):
                        database.commit()
                        await self._publish_in_turn(batch)
                    if self._unanswered >= _MAX_UNANSWERED:
                        database.commit()
                        await self._wait_for_room()
            finally:
                database.commit()
        for key in list(self._open):
            self._expire(key)  # the rest of it cannot come any more
        self._ending = True
        self._changed.set()

    async def _denied(self, request: BatchRequest) -> bool:
        """Refuse a batch that the caller may not write. Further chunks of it will be of no batch that is known."""
        options = request.options
        if options is None or self._is_open(request.correlation_id):
            return False
        if options.stream is None:
            if self._call.principal.known:
                return False  # what is wrong with the batch is said to those who may know
        elif await self._context.permits(self._call.principal, options.stream, Action.WRITE):
            return False
        denied = Refused(StatusCode.PERMISSION_DENIED, "AccessDenied", "AccessDenied")
        self._refuse(request.correlation_id, options.stream, denied)
        return True

    def _is_open(self, id: WireUuid | None) -> bool:
        try:
            return _key(id) in self._open
        except Refused:
            return False

    def _chunk(self, request: BatchRequest) -> _PendingBatch | None:
        """Take a chunk; return the batch that it completes."""
        stream = None if request.options is None else request.options.stream
        try:
            key = _key(request.correlation_id)
            batch = self._open.pop(key, None)
            if batch is None:
                if request.options is None:
                    return None
                batch = self._begin(key, request)
        except Refused as refused:
            self._refuse(request.correlation_id, stream, refused)
            return None
        try:
            self._take(batch, request.events)
        except Refused as refused:
            batch.close()
            self._refuse(request.correlation_id, batch.stream, refused)
            return None
        if not request.is_final:
            self._open[key] = batch
            return None
        batch.close()
        batch.id = request.correlation_id or ""
        return batch

    def _begin(self, key: bytes, request: BatchRequest) -> _PendingBatch:
        options = request.options
        if options is None or options.stream is None:
            raise _bad_request("Object reference not set to an instance of an object.")
        timeout = self._timeout(options)
        if timeout <= 0:
            raise _timeout()
        if options.expected is None:
            case = "EventStore.Client.Streams.BatchAppendReq+Types+Options+ExpectedStreamPositionOneofCase"
            raise _bad_request(f'Status(StatusCode="InvalidArgument", Detail="\'None\' is not a valid {case}")')
        try:
            expected = expected_version(options.expected)
        except InvalidExpectation as error:
            raise _bad_request(f"options.stream_position: {error}") from error
        if not writable(options.stream):
            raise _bad_request("Specified argument was out of the range of valid values. (Parameter 'eventStreamId')")
        intake = Intake(self._context.max_append_event_size)
        batch = _PendingBatch(request.correlation_id or "", options.stream, options.expected, expected, intake)
        if not request.is_final:
            batch.timer = asyncio.get_running_loop().call_later(timeout, self._expire, key)
        return batch

    def _timeout(self, options: BatchOptions) -> float:
        if options.deadline_in is not None:
            return min(options.deadline_in, WRITE_TIMEOUT)
        if options.deadline_at is not None:
            return min(options.deadline_at - self._context.now() / 10_000_000, WRITE_TIMEOUT)
        return WRITE_TIMEOUT

    def _take(self, batch: _PendingBatch, events: Sequence[Proposed]) -> None:
        measure, take = batch.intake.measure, batch.intake.take
        for proposed in events:
            try:
                measure(proposed)
                take(proposed)
            except MissingMetadata as error:
                raise _bad_request("The given key was not present in the dictionary.") from error
            except InvalidEvent as error:
                raise _bad_request(error.original) from error
            except EventOverLimit as error:
                raise self._event_too_large(error) from error
        limit = self._context.max_append_size
        if batch.intake.size > limit:
            name = "MaximumAppendSizeExceeded"
            raise Refused(StatusCode.INVALID_ARGUMENT, name, name, encode_maximum_append_size(limit))

    def _event_too_large(self, error: EventOverLimit) -> Refused:
        name = "MaximumAppendEventSizeExceeded"
        value = encode_maximum_event_size(id_as_text(error.id), error.size, self._context.max_append_event_size)
        return Refused(StatusCode.INVALID_ARGUMENT, name, name, value)

    def _expire(self, key: bytes) -> None:
        """The last chunk did not come in time: discard the batch."""
        batch = self._open.pop(key)
        batch.close()
        self._refuse(key, batch.stream, _timeout())

    # --- writes ---

    def _publish(self, batch: _PendingBatch) -> bool:
        """Have the batch written; False where the writer has no room for it now."""
        if self._held or not self._context.gate.calm:
            held = asyncio.ensure_future(self._publish_when_let(batch))
            self._held.add(held)
            held.add_done_callback(self._let)
            return True
        job = self._context.database.begin_append(
            batch.stream, batch.expected, batch.intake.events, partial(self._written, batch)
        )
        if job is None:
            return False
        self._writes[batch] = job
        return True

    async def _publish_in_turn(self, batch: _PendingBatch) -> None:
        """Have the batch written when there is room, and receive nothing until then."""
        result: Outcome | StorageError
        try:
            result = await self._context.database.append(batch.stream, batch.expected, batch.intake.events)
        except StorageError as error:
            result = error
        self._written(batch, result)

    async def _publish_when_let(self, batch: _PendingBatch) -> None:
        """Have the batch written, refused or left unanswered as faults and the role of the node have it."""
        gate, database = self._context.gate, self._context.database
        result: object
        try:
            async with self._turn:
                await gate.enter(BATCH_APPEND)
                fate = gate.fate(self._call)
                if not fate.writes:
                    await gate.settle(self._call, fate)
                result = await database.append(batch.stream, batch.expected, batch.intake.events)
            if fate.refused is not None or not fate.answered:
                await gate.settle(self._call, fate)
        except (StorageError, WriteRefused) as error:
            result = error
        self._written(batch, result)

    def _let(self, held: asyncio.Task[None]) -> None:
        self._held.discard(held)
        self._changed.set()

    def _written(self, batch: _PendingBatch, result: object) -> None:
        self._writes.pop(batch, None)
        if isinstance(result, WriteRefused) and result.reason not in _REFUSALS:
            self._failed = result
            self._changed.set()
            return
        try:
            self._answer(_success(batch, result))
        except Refused as refused:
            self._refuse(batch.id, batch.stream, refused)


def _key(id: WireUuid | None) -> bytes:
    if id is None:
        raise _bad_request(NO_UUID)
    try:
        return parse_uuid(id)
    except WireError as error:
        raise _bad_request(BAD_UUID) from error


def _success(batch: _PendingBatch, result: object) -> bytes:
    if isinstance(result, Appended):
        revision = None if result.revision < 0 else result.revision
        return encode_batch_success(batch.id, batch.stream, revision, result.position)
    if isinstance(result, DeletedStream):
        name, value = "StreamDeleted", encode_stream_deleted(result.stream)
        raise Refused(StatusCode.NOT_FOUND, name, name, value)
    if isinstance(result, WrongVersion):
        current = None if result.current < 0 else result.current
        name, value = "WrongExpectedVersion", encode_wrong_expected_version(current, batch.sent)
        raise Refused(StatusCode.ALREADY_EXISTS, name, name, value)
    if isinstance(result, StorageClosed):
        raise _not_ready()
    if isinstance(result, WriteRefused):
        raise _REFUSALS[result.reason]()
    raise Refused(StatusCode.UNKNOWN, f"Unknown: {result}", "Unknown")


def _not_ready() -> Refused:
    return Refused(StatusCode.OK, refusals.not_ready().message, "Empty")


_REFUSALS: Mapping[Refusal | None, Callable[[], Refused]] = {
    Refusal.NOT_READY: _not_ready,
    Refusal.TOO_BUSY: lambda: Refused(StatusCode.OK, "Server Is Busy", "Empty"),
    Refusal.TIMED_OUT: lambda: _timeout(),
}
"""What refuses one append. Any other refusal ends the call."""
