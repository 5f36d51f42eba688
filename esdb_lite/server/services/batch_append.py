"""Streams/BatchAppend: many appends over one call.

Owns: receiving and answering side by side, one answer for each batch (section 8 of the protocol notes).
Must not know: how batches are put together (`batch_assembly`), when a write is refused (the engine does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from esdb_lite_protos.event_store.client import StreamDeleted, StreamIdentifier

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite._wire.batch_append import (
    BatchRequest,
    decode_batch_request,
    encode_batch_error,
    encode_batch_success,
    encode_wrong_expected_version,
)
from esdb_lite._wire.uuids import WireUuid
from esdb_lite.server.database.database import Pending
from esdb_lite.server.engine.access import Action
from esdb_lite.server.engine.model import Appended, DeletedStream, Outcome, WrongVersion
from esdb_lite.server.faults.admission import WriteRefused
from esdb_lite.server.faults.plan import BATCH_APPEND, Refusal
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.services.batch_assembly import Batch, BatchAssembler, Refused, timed_out, too_busy
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.unary import decoded, storage_failure
from esdb_lite.server.storage.errors import StorageClosed, StorageError

_AT_ONCE = 12
"""Answers that are sent without waiting for others of the same commit: the client goes on with them meanwhile."""
_MAX_UNANSWERED = 4096
"""Batches of a call that are being written, and answers that wait for the client: beyond this nothing is received."""


async def serve_batch_append(context: Context, call: ServerCall) -> None:
    """Serve one call: ends when all that was asked for has been answered and nothing more can be asked."""
    await _BatchAppending(context, call).run()


class _BatchAppending:
    """One call."""

    def __init__(self, context: Context, call: ServerCall) -> None:
        self._context = context
        self._call = call
        self._assembler = BatchAssembler(context, call.peer, self._expire)
        self._writes: dict[Batch, Pending] = {}
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
            self._assembler.close()
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
        """Send an answer at once if no other is expected, or if some wait; otherwise it goes with others soon."""
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
        self._answer(encode_refused(id, stream, refused))

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
                    batch = self._assemble(request)
                    if batch is not None and not self._publish(batch):
                        database.commit()
                        await self._publish_in_turn(batch)
                    if self._unanswered >= _MAX_UNANSWERED:
                        database.commit()
                        await self._wait_for_room()
            finally:
                database.commit()
        self._assembler.expire_all()
        self._ending = True
        self._changed.set()

    async def _denied(self, request: BatchRequest) -> bool:
        """Refuse a batch that the caller may not write. Further chunks of it will be of no batch that is known."""
        options = request.options
        if options is None or self._assembler.is_open(request.correlation_id):
            return False
        if options.stream is None:
            if self._call.principal.known:
                return False  # only those who may write hear what is wrong with the batch
        elif await self._context.permits(self._call.principal, options.stream, Action.WRITE):
            return False
        self._refuse(request.correlation_id, options.stream, access_denied())
        return True

    def _assemble(self, request: BatchRequest) -> Batch | None:
        """Take a chunk; return the batch that it completes."""
        try:
            return self._assembler.take(request)
        except Refused as refused:
            of_chunk = None if request.options is None else request.options.stream
            self._refuse(request.correlation_id, refused.stream or of_chunk, refused)
            return None

    def _expire(self, batch: Batch) -> None:
        self._refuse(batch.id, batch.stream, timed_out())

    # --- writes ---

    def _publish(self, batch: Batch) -> bool:
        """Have the batch written; False where the writer has no room for it now."""
        if self._held or not self._context.admission.idle:
            held = asyncio.ensure_future(self._publish_when_let(batch))
            self._held.add(held)
            held.add_done_callback(self._let)
            return True
        intake = batch.intake
        job = self._context.database.begin_append(
            batch.stream, batch.expected, intake.events, intake.held, partial(self._written, batch)
        )
        if job is None:
            return False
        self._writes[batch] = job
        return True

    async def _publish_in_turn(self, batch: Batch) -> None:
        """Have the batch written when there is room, and receive nothing until then."""
        result: Outcome | StorageError
        try:
            result = await self._context.database.append(batch.stream, batch.expected, batch.intake.events)
        except StorageError as error:
            result = error
        self._written(batch, result)

    async def _publish_when_let(self, batch: Batch) -> None:
        """Have the batch written, refused or left unanswered as faults and the role of the node have it."""
        admission, database = self._context.admission, self._context.database
        result: object
        try:
            async with self._turn:
                await admission.enter(BATCH_APPEND)
                fate = admission.fate(self._call)
                if not fate.writes:
                    await admission.settle(self._call, fate)
                result = await database.append(batch.stream, batch.expected, batch.intake.events)
            if fate.refused is not None or not fate.answered:
                await admission.settle(self._call, fate)
        except (StorageError, WriteRefused) as error:
            result = error
        self._written(batch, result)

    def _let(self, held: asyncio.Task[None]) -> None:
        self._held.discard(held)
        self._changed.set()

    def _written(self, batch: Batch, result: object) -> None:
        self._writes.pop(batch, None)
        if isinstance(result, WriteRefused) and result.reason not in _REFUSALS:
            self._failed = result
            self._changed.set()
            return
        try:
            self._answer(_success(batch, result))
        except Refused as refused:
            self._refuse(batch.id, batch.stream, refused)


def _success(batch: Batch, result: object) -> bytes:
    if isinstance(result, Appended):
        revision = None if result.revision < 0 else result.revision
        return encode_batch_success(batch.id, batch.stream, revision, result.position)
    raise refusal_of(result, batch.sent)


def refusal_of(result: object, sent: int) -> Refused:
    """Return the refusal that a result is; `sent`: what the stream was expected to be, in the client's words."""
    if isinstance(result, DeletedStream):
        name, value = "StreamDeleted", bytes(StreamDeleted(StreamIdentifier(result.stream.encode())))
        return Refused(StatusCode.NOT_FOUND, name, name, value)
    if isinstance(result, WrongVersion):
        current = None if result.current < 0 else result.current
        name, value = "WrongExpectedVersion", encode_wrong_expected_version(current, sent)
        return Refused(StatusCode.ALREADY_EXISTS, name, name, value)
    if isinstance(result, StorageClosed):
        return _not_ready()
    if isinstance(result, StorageError):
        failure = storage_failure(result)
        return Refused(failure.code, failure.message, "Unknown")
    if isinstance(result, WriteRefused):
        return _REFUSALS[result.reason]()
    return Refused(StatusCode.UNKNOWN, f"Unknown: {result}", "Unknown")


def access_denied() -> Refused:
    """The refusal for those who may not write the stream."""
    return Refused(StatusCode.PERMISSION_DENIED, "AccessDenied", "AccessDenied")


def encode_refused(id: WireUuid | None, stream: str | None, refused: Refused) -> bytes:
    """Encode the answer that a refusal is."""
    return encode_batch_error(
        id, stream, code=refused.code, message=refused.message, detail=refused.detail, value=refused.value
    )


def _not_ready() -> Refused:
    return Refused(StatusCode.OK, refusals.not_ready().message, "Empty")


_REFUSALS: Mapping[Refusal | None, Callable[[], Refused]] = {
    Refusal.NOT_READY: _not_ready,
    Refusal.TOO_BUSY: too_busy,
    Refusal.TIMED_OUT: timed_out,
}
"""What refuses one append. Any other refusal ends the call."""
