"""StreamsService/AppendSession and AppendRecords: one atomic append to several streams for each call.

Owns: the order of the checks (section B.1 of the notes on KurrentDB), and the answers. Must not know: when records are
refused (the engine does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from esdb_lite_protos.tags import PATH_STREAMS_SERVICE_APPEND_RECORDS, PATH_STREAMS_SERVICE_APPEND_SESSION

from esdb_lite._status import RpcError, refusals, typed_refusals
from esdb_lite._wire.primitives import WireError
from esdb_lite._wire.record_requests import SentAppend, decode_records_request, decode_session_request
from esdb_lite._wire.record_responses import encode_appended_records
from esdb_lite.server.engine.access import Action, Principal
from esdb_lite.server.engine.model import (
    SOFT_DELETED,
    TOMBSTONED,
    RecordsAppended,
    RecordsOutcome,
    RecordsRejected,
    StateViolation,
)
from esdb_lite.server.engine.records.refusals import (
    EmptySession,
    InvalidRecords,
    MeaninglessRecords,
    RecordsRefused,
    RecordTooLarge,
    StreamTwice,
    TransactionTooLarge,
)
from esdb_lite.server.engine.records.requests import AtomicAppend, RecordLimits, RecordsSession, records_append
from esdb_lite.server.faults.admission import WriteRefused
from esdb_lite.server.faults.plan import Refusal
from esdb_lite.server.handlers import Handler, QuickAnswer, QuickMethod, ServerCall
from esdb_lite.server.services.append import LONGEST_PAUSE
from esdb_lite.server.services.append_room import NoAppendRoom
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.time_limit import TimeLimit
from esdb_lite.server.services.unary import decoded, failure_of, only_request


class AtomicAppends:
    """The two methods."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = RecordLimits(context.max_append_event_size, context.max_append_size)

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by path."""
        return {
            PATH_STREAMS_SERVICE_APPEND_SESSION: self._session,
            PATH_STREAMS_SERVICE_APPEND_RECORDS: self._records,
        }

    async def _session(self, call: ServerCall) -> None:
        session = RecordsSession(self._limits, self._context.new_id)
        held = self._context.append_room.open(call.peer, self._context.max_append_size)
        try:
            with TimeLimit(
                LONGEST_PAUSE, refusals.timed_out(f"nothing has come for {LONGEST_PAUSE:g} seconds")
            ) as limit:
                while messages := await call.receive():
                    limit.extend()
                    for message in messages:
                        await self._take(session, call, decoded(decode_session_request, message))
                    held.hold(session.held)
            if not session.append.writes:
                raise EmptySession
        except RecordsRefused as refused:
            raise _refusal(refused) from None
        except NoAppendRoom:
            raise refusals.too_busy() from None
        finally:
            held.release()
        outcome = await self._write(call, session.append, "Append session")
        if isinstance(outcome, RecordsRejected):
            raise _conflict(outcome)
        await call.send([_answer(outcome)])

    async def _take(self, session: RecordsSession, call: ServerCall, request: SentAppend) -> None:
        session.check(request)
        await self._require(call.principal, request.stream, Action.WRITE)
        session.take(request)

    async def _records(self, call: ServerCall) -> None:
        request = decoded(decode_records_request, await only_request(call))
        try:
            append = records_append(request, self._limits, self._context.new_id)
        except RecordsRefused as refused:
            raise _refusal(refused) from None
        written = append.written
        for stream in written:
            await self._require(call.principal, stream, Action.WRITE)
        for stream in append.expected:
            if stream not in written:
                await self._require(call.principal, stream, Action.READ)
        outcome = await self._write(call, append, "Append records")
        if isinstance(outcome, RecordsRejected):
            raise typed_refusals.consistency_violation(outcome.violations)
        await call.send([_answer(outcome)])

    async def _require(self, principal: Principal, stream: str, action: Action) -> None:
        if not principal.trusted and not await self._context.permits(principal, stream, action):
            operation = f"streams:{action.value}:{stream}"
            raise typed_refusals.insufficient_permissions(operation, principal.name if principal.known else None)

    async def _write(self, call: ServerCall, append: AtomicAppend, operation: str) -> RecordsOutcome:
        admission = self._context.admission
        write = partial(self._context.database.append_records, append)
        try:
            return await (write() if admission.idle else admission.write(call, write, leader_only=True))
        except WriteRefused as refused:
            raise _as_typed(refused, operation) from None


def quick_method(path: str, context: Context) -> QuickMethod | None:
    """Return what serves a path quickly where everybody may do everything; None: nothing."""
    return _QuickRecords(context) if path == PATH_STREAMS_SERVICE_APPEND_RECORDS else None


class _QuickRecords:
    """AppendRecords. Whatever is refused before anything is written is left to the handler."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = RecordLimits(context.max_append_event_size, context.max_append_size)

    def begin(self, request: bytes, answer: QuickAnswer) -> Callable[[], None] | None:
        """See `QuickMethod`."""
        database = self._context.database
        try:
            append = records_append(decode_records_request(request), self._limits, self._context.new_id)
        except (RecordsRefused, WireError):
            return None
        job = database.begin_records(append, lambda outcome: answer(_quick_answer(outcome)))
        return None if job is None else partial(database.abandon, job)

    def commit(self) -> None:
        """See `QuickMethod`."""
        self._context.database.commit()


def _quick_answer(outcome: object) -> bytes | RpcError:
    if isinstance(outcome, RecordsAppended):
        return _answer(outcome)
    if isinstance(outcome, RecordsRejected):
        return typed_refusals.consistency_violation(outcome.violations)
    return failure_of(outcome)


def _answer(outcome: RecordsAppended) -> bytes:
    return encode_appended_records(outcome.revisions, -1 if outcome.position is None else outcome.position)


def _conflict(rejected: RecordsRejected) -> RpcError:
    """The first failing stream is named, also where it is another that is deleted."""
    first: StateViolation = rejected.violations[0]
    if any(violation.actual in (SOFT_DELETED, TOMBSTONED) for violation in rejected.violations):
        return typed_refusals.stream_tombstoned(first.stream)
    return typed_refusals.revision_conflict(first.stream, first.expected, first.actual)


def _refusal(refused: RecordsRefused) -> RpcError:
    text = str(refused)
    if isinstance(refused, InvalidRecords):
        return typed_refusals.bad_request(text, refused.violations)
    if isinstance(refused, MeaninglessRecords):
        return refusals.invalid_argument(text)
    if isinstance(refused, RecordTooLarge):
        return typed_refusals.record_size_exceeded(text, refused.stream, refused.record_id, refused.size, refused.limit)
    if isinstance(refused, TransactionTooLarge):
        return typed_refusals.transaction_size_exceeded(text, refused.size, refused.limit)
    if isinstance(refused, StreamTwice):
        return typed_refusals.stream_already_in_session(text, refused.stream)
    return typed_refusals.session_without_requests(text)


def _as_typed(refused: WriteRefused, operation: str) -> RpcError:
    """What has been decided about a write, as these methods say it."""
    leader = refused.leader
    if leader is not None:
        return typed_refusals.not_leader_node(leader.host, leader.port, leader.node_id)
    if refused.reason is Refusal.NOT_READY:
        return typed_refusals.server_not_ready()
    if refused.reason is Refusal.TIMED_OUT:
        return typed_refusals.operation_timeout(operation)
    if refused.reason is Refusal.TOO_BUSY:
        return typed_refusals.server_overloaded()
    return refused
