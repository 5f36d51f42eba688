"""Imports/ImportEvents: events of many streams over one call, in the order in which they are to be in the log.

Owns: one message after the other, each written whole or not at all; the first that is refused ends the call.
Must not know: when a write is refused (the engine does).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from esdb_lite_protos.tags import PATH_IMPORTS_IMPORT_EVENTS

from esdb_lite._status import refusals
from esdb_lite._wire.imports import SentImport, decode_import_request, encode_import_refusal, encode_imported
from esdb_lite.server.engine.access import Action
from esdb_lite.server.engine.model import (
    ANY,
    EXISTS,
    SOFT_DELETED,
    TOMBSTONED,
    DeletedStream,
    RecordsRejected,
    WrongVersion,
)
from esdb_lite.server.engine.records.requests import AtomicAppend
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.services.batch_append import access_denied, encode_refused, refusal_of
from esdb_lite.server.services.batch_assembly import Refused, check_stream, take_events
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.proposals import Intake
from esdb_lite.server.services.unary import decoded


class Imports:
    """The method of the service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by path."""
        return {PATH_IMPORTS_IMPORT_EVENTS: self._import}

    async def _import(self, call: ServerCall) -> None:
        while messages := await call.receive():
            for message in messages:
                request = decoded(decode_import_request, message)
                try:
                    position = await self._write(call, request)
                except Refused as refused:
                    await call.send([encode_import_refusal(encode_refused(None, refused.stream, refused))])
                    return
                await call.send([encode_imported(position)])

    async def _write(self, call: ServerCall, request: SentImport) -> int:
        """Write what a request has, and return where its last event is. Raises Refused."""
        append = await self._taken(call, request)
        write = partial(self._context.database.import_events, append)
        admission = self._context.admission
        outcome = await (write() if admission.idle else admission.write(call, write, leader_only=True))
        if isinstance(outcome, RecordsRejected):
            first = outcome.violations[0]
            deleted = first.actual in (SOFT_DELETED, TOMBSTONED)
            result = DeletedStream(first.stream) if deleted else WrongVersion(first.actual)
            raise refusal_of(result, first.expected).of(first.stream)
        return outcome.position or 0

    async def _taken(self, call: ServerCall, request: SentImport) -> AtomicAppend:
        """Check all that can be wrong with a request and with who sends it. Raises Refused, RpcError."""
        expected = dict(zip(request.streams, request.expected, strict=True))
        if len(expected) < len(request.streams):
            raise refusals.invalid_argument("streams: a stream is named twice.")
        for stream, number in expected.items():
            if number < ANY and number != EXISTS:
                raise refusals.invalid_argument(f"expected: {number} is neither a revision nor a state of a stream.")
            await self._check(call, stream)
        intake = Intake(self._context.max_append_event_size)
        take_events(self._context, intake, request.events)
        streams = [request.streams[index] for index in request.stream_of]
        return AtomicAppend(expected, list(zip(streams, intake.events, strict=True)))

    async def _check(self, call: ServerCall, stream: str) -> None:
        principal = call.principal
        if not principal.trusted and not await self._context.permits(principal, stream, Action.WRITE):
            raise access_denied().of(stream)
        try:
            check_stream(stream)
        except Refused as refused:
            refused.of(stream)
            raise
