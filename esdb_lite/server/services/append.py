"""Streams/Append, Delete and Tombstone: one write for each call.

Owns: the order of checks of sections 6 and 9 of the protocol notes, and the answers. Must not know: when a write is
refused (the engine does).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from esdb_lite._status import RpcError, refusals
from esdb_lite._wire.append import (
    AppendOptions,
    Proposed,
    decode_append_request,
    decode_options,
    encode_appended,
    encode_conflict,
)
from esdb_lite._wire.primitives import block, encode_pair
from esdb_lite._wire.read_response import last_of
from esdb_lite.server.engine.access import Action
from esdb_lite.server.engine.model import DeletedStream, Outcome, WrongVersion
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.proposals import (
    EventOverLimit,
    Intake,
    InvalidEvent,
    InvalidExpectation,
    MissingMetadata,
    expected_version,
    id_as_json,
    writable,
)
from esdb_lite.server.services.unary import decoded, only_request


class Appending:
    """The methods Append, Delete and Tombstone of the Streams service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def append(self, call: ServerCall) -> None:
        """Serve one call of Append."""
        messages = await call.receive()
        options = decoded(decode_append_request, messages[0]) if messages else None
        if not isinstance(options, AppendOptions):
            raise refusals.invalid_argument("options is missing: it must be the first message.")
        stream, sent, expected = await self._target(call, options, "AppendReq", Action.WRITE)
        intake = Intake(self._context.max_append_event_size)
        pending = messages[1:]
        while pending or (pending := await call.receive()):
            for message in pending:
                self._take(intake, decoded(decode_append_request, message))
            pending = []
        if not writable(stream):
            raise _unwritable(stream)
        # The call may have been open for long.
        await self._context.require(call.principal, stream, Action.WRITE)
        write = partial(self._context.database.append, stream, expected, intake.events)
        await call.send([_append_answer(await self._write(call, write), sent)])

    def _write(self, call: ServerCall, write: Callable[[], Awaitable[Outcome]]) -> Awaitable[Outcome]:
        admission = self._context.admission
        return write() if admission.idle else admission.write(call, write)

    def _take(self, intake: Intake, message: AppendOptions | Proposed | None) -> None:
        if not isinstance(message, Proposed):
            raise refusals.invalid_argument("proposed_message is missing: every message after the first must hold one.")
        try:
            intake.measure(message)
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

    async def delete(self, call: ServerCall) -> None:
        """Serve one call of Delete."""
        await self._delete(call, "DeleteReq", self._context.database.delete)

    async def tombstone(self, call: ServerCall) -> None:
        """Serve one call of Tombstone."""
        await self._delete(call, "TombstoneReq", self._context.database.tombstone)

    async def _delete(self, call: ServerCall, name: str, delete: Callable[[str, int], Awaitable[Outcome]]) -> None:
        options = decoded(_decode_delete, await only_request(call))
        if options is None:
            raise refusals.invalid_argument("options is missing.")
        stream, _, expected = await self._target(call, options, name, Action.DELETE)
        if not writable(stream):
            raise _unwritable(stream)
        outcome = await self._write(call, partial(delete, stream, expected))
        await call.send([_delete_answer(stream, expected, outcome)])

    async def _target(
        self, call: ServerCall, options: AppendOptions, request: str, action: Action
    ) -> tuple[str, int, int]:
        """Return the stream, and the expected version as sent and as meant; in the order of a real server's checks."""
        if options.expected is None:
            raise refusals.not_a_valid("None", f"Streams.{request}+Types+Options+ExpectedStreamRevisionOneofCase")
        await self._context.require(call.principal, options.stream or "", action)
        if options.stream is None:
            raise refusals.invalid_argument("options.stream_identifier is missing.")
        try:
            return options.stream, options.expected, expected_version(options.expected)
        except InvalidExpectation as error:
            raise refusals.invalid_argument(f"options.revision: {error}") from error


def _unwritable(stream: str) -> RpcError:
    return refusals.invalid_argument(f"options.stream_identifier: a stream cannot have the name '{stream}'.")


def _append_answer(outcome: Outcome, sent: int) -> bytes:
    if isinstance(outcome, DeletedStream):
        raise refusals.stream_deleted(outcome.stream)
    if isinstance(outcome, WrongVersion):
        return encode_conflict(_revision(outcome.current), sent)
    return encode_appended(_revision(outcome.revision), outcome.position)


def _revision(number: int) -> int | None:
    return None if number < 0 else number


def _delete_answer(stream: str, expected: int, outcome: Outcome) -> bytes:
    if isinstance(outcome, DeletedStream):
        raise refusals.stream_deleted(outcome.stream)
    if isinstance(outcome, WrongVersion):
        raise refusals.wrong_expected_version_for_delete(stream, expected, outcome.current)
    position = outcome.position
    return b"\x12\0" if position is None else block(0x0A, encode_pair(position, position))


def _decode_delete(request: bytes) -> AppendOptions | None:
    options = last_of(request, (0x0A,))
    return None if options is None else decode_options(options.raw)
