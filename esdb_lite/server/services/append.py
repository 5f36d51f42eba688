"""Streams/Append: one write for each call.

Owns: the order of checks of sections 6 and 9 of the protocol notes, and the answers. Must not know: when a write is
refused (the engine does).
"""

from __future__ import annotations

from functools import partial

from esdb_lite._status import refusals
from esdb_lite._wire.append import (
    AppendOptions,
    Proposed,
    decode_append_request,
    encode_appended,
    encode_conflict,
)
from esdb_lite.server.engine.access import Action
from esdb_lite.server.engine.model import DeletedStream, Outcome, WrongVersion
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.services.append_room import NoAppendRoom
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.proposals import (
    EventOverLimit,
    Intake,
    InvalidEvent,
    MissingMetadata,
    id_as_json,
)
from esdb_lite.server.services.time_limit import TimeLimit
from esdb_lite.server.services.unary import decoded
from esdb_lite.server.services.write_target import check_name, target_of

LONGEST_PAUSE = 30.0
"""Seconds that a call may go on without an event or the end of its requests."""


class Appending:
    """The method Append of the Streams service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def append(self, call: ServerCall) -> None:
        """Serve one call of Append."""
        messages = await call.receive()
        options = decoded(decode_append_request, messages[0]) if messages else None
        if not isinstance(options, AppendOptions):
            raise refusals.invalid_argument("options is missing: it must be the first message.")
        stream, sent, expected = await target_of(call, options, "AppendReq", Action.WRITE, self._context)
        intake = await self._receive(call, messages[1:])
        check_name(stream)
        # The call may have been open for long.
        await self._context.require(call.principal, stream, Action.WRITE)
        write = partial(self._context.database.append, stream, expected, intake.events)
        await call.send([_append_answer(await self._context.write(call, write), sent)])

    async def _receive(self, call: ServerCall, pending: list[bytes]) -> Intake:
        """Take the events of a call until it says that these are all."""
        intake = Intake(self._context.max_append_event_size)
        held = self._context.append_room.open(call.peer, self._context.max_append_size)
        limit = TimeLimit(LONGEST_PAUSE, refusals.timed_out(f"no event has come for {LONGEST_PAUSE:g} seconds"))
        try:
            with limit:
                while pending or (pending := await call.receive()):
                    limit.extend()
                    for message in pending:
                        self._take(intake, decoded(decode_append_request, message))
                    held.hold(intake.held)
                    pending = []
        except NoAppendRoom:
            raise refusals.too_busy() from None
        finally:
            held.release()
        return intake

    def _take(self, intake: Intake, message: AppendOptions | Proposed | None) -> None:
        if not isinstance(message, Proposed):
            raise refusals.invalid_argument("proposed_message is missing: every message after the first must hold one.")
        try:
            intake.measure(message)
            if intake.too_many is not None:
                raise refusals.invalid_argument(intake.too_many)
            if intake.size > self._context.max_append_size:
                raise refusals.maximum_append_size(self._context.max_append_size)
            intake.take(message)
        except MissingMetadata as error:
            raise refusals.missing_required_metadata_property(error.name) from error
        except EventOverLimit as error:
            limit = self._context.max_append_event_size
            raise refusals.maximum_append_event_size(id_as_json(error.id), error.size, limit) from error
        except InvalidEvent as error:
            raise refusals.invalid_argument(str(error)) from error


def _append_answer(outcome: Outcome, sent: int) -> bytes:
    if isinstance(outcome, DeletedStream):
        raise refusals.stream_deleted(outcome.stream)
    if isinstance(outcome, WrongVersion):
        return encode_conflict(_revision(outcome.current), sent)
    return encode_appended(_revision(outcome.revision), outcome.position)


def _revision(number: int) -> int | None:
    return None if number < 0 else number
