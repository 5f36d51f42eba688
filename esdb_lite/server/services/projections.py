"""The Projections service.

Owns: its messages and its answers (section 20 of the protocol notes), who may do what. Must not know: how projections
are kept and run.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import betterproto
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client import projections as pb
from esdb_lite_protos.tags import PROJECTIONS_RESULT_RESP_RESULT, PROJECTIONS_STATE_RESP_STATE

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite._wire.primitives import block
from esdb_lite._wire.values import encode_value
from esdb_lite.events import JsonValue
from esdb_lite.server.engine.access import Principal
from esdb_lite.server.projections.definitions import Definition, Mode
from esdb_lite.server.projections.managed import ProjectionStatistics
from esdb_lite.server.projections.manager import (
    MOST_TRANSIENT,
    CommandRefused,
    ProjectionConflict,
    ProjectionManager,
    ProjectionMissing,
    SubsystemStopped,
    TooManyProjections,
)
from esdb_lite.server.projections.running import EngineMissing
from esdb_lite.server.services.unary import current_call, encoded, required

_LAST_ENGINE = 2
_MODES = {"transient": Mode.TRANSIENT, "continuous": Mode.CONTINUOUS, "one_time": Mode.ONE_TIME}
# Integers as floats: others than that are not in the message.
_CHARACTERS_KEPT, _ANSWERS_KEPT = 4 * 1024 * 1024, 100
"""Of the states that are kept encoded."""
_decode = json.JSONDecoder(parse_int=float, strict=False).decode


class Projections(pb.ProjectionsBase):
    """The methods of the service."""

    def __init__(self, manager: ProjectionManager, *, second_engine: bool) -> None:
        """`second_engine`: whether projections may be created for it; else nothing is read of engines."""
        super().__init__()
        self._manager = manager
        self._second_engine = second_engine
        self._encoded = _EncodedStates()

    async def create(self, create_req: pb.CreateReq) -> pb.CreateResp:
        """Create a projection."""
        asked = required(create_req.options, "options")
        definition = _asked_for(asked)
        if definition.mode is not Mode.TRANSIENT:
            _operators_only()
        if definition.track_emitted_streams and not definition.emit_enabled:
            raise refusals.thrown_by_handler("options.continuous.track_emitted_streams needs emit_enabled.")
        if self._second_engine and asked.engine_version > 1:
            definition = _for_engine(definition, asked.engine_version)
        with _refusals():
            await self._manager.create(definition)
        return pb.CreateResp()

    async def update(self, update_req: pb.UpdateReq) -> pb.UpdateResp:
        """Replace a query."""
        asked = required(update_req.options, "options")
        which, emits = betterproto.which_one_of(asked, "emit_option")
        if not which:
            raise refusals.invalid_argument("options.emit_option is not set.")
        with _refusals():
            self._check_caller(asked.name)
            if emits is True:
                _operators_only()
            await self._manager.update(
                asked.name, asked.query, emit_enabled=emits is True, on_behalf_of=_ordinary_caller()
            )
        return pb.UpdateResp()

    async def delete(self, delete_req: pb.DeleteReq) -> pb.DeleteResp:
        """Remove a projection that does not run; never one that every server has."""
        asked = required(delete_req.options, "options")
        with _refusals():
            await self._manager.delete(
                asked.name, checkpoints=asked.delete_checkpoint_stream, emitted_streams=asked.delete_emitted_streams
            )
        return pb.DeleteResp()

    async def enable(self, enable_req: pb.EnableReq) -> pb.EnableResp:
        """Let a projection go on."""
        name = required(enable_req.options, "options").name
        with _refusals():
            self._check_caller(name)
            await self._manager.enable(name)
        return pb.EnableResp()

    async def disable(self, disable_req: pb.DisableReq) -> pb.DisableResp:
        """Stop a projection."""
        asked = required(disable_req.options, "options")
        with _refusals():
            self._check_caller(asked.name)
            await self._manager.disable(asked.name, checkpoint=asked.write_checkpoint)
        return pb.DisableResp()

    async def reset(self, reset_req: pb.ResetReq) -> pb.ResetResp:
        """Let a projection start over."""
        name = required(reset_req.options, "options").name
        with _refusals():
            self._check_caller(name)
            await self._manager.reset(name)
        return pb.ResetResp()

    async def state(self, state_req: pb.StateReq) -> pb.StateResp:
        """Return what a projection holds."""
        asked = required(state_req.options, "options")
        text = await self._text(self._manager.state(asked.name, asked.partition))
        return encoded(pb.StateResp, self._encoded.answer(PROJECTIONS_STATE_RESP_STATE, text))

    async def result(self, result_req: pb.ResultReq) -> pb.ResultResp:
        """Return what a projection has put out."""
        asked = required(result_req.options, "options")
        text = await self._text(self._manager.result(asked.name, asked.partition))
        return encoded(pb.ResultResp, self._encoded.answer(PROJECTIONS_RESULT_RESP_RESULT, text))

    async def _text(self, text: Awaitable[str | None]) -> str | None:
        with _refusals():
            return await text

    async def restart_subsystem(self, client_empty: Empty) -> Empty:
        """Stop all projections, and start them again."""
        try:
            await self._manager.restart()
        except SubsystemStopped:
            raise refusals.projections_not_running() from None
        return Empty()

    async def statistics(self, statistics_req: pb.StatisticsReq) -> AsyncIterator[pb.StatisticsResp]:
        """Say what there is to be said of projections."""
        which, value = betterproto.which_one_of(statistics_req.options, "mode")
        name = str(value) if which == "name" and value else None
        with _refusals():
            found = self._manager.statistics(name, _MODES.get(which))
        for one in found:
            yield pb.StatisticsResp(details=_details(one))

    def _check_caller(self, name: str) -> None:
        """Ordinary users may change transient projections only."""
        if self._manager.definition(name).mode is not Mode.TRANSIENT:
            _operators_only()


def _operators_only() -> None:
    if not current_call().principal.is_operator:
        raise refusals.projection_command("NotAuthorized")


def _ordinary_caller() -> Principal | None:
    """Whose rights a projection has that they start; None: all."""
    caller = current_call().principal
    return None if caller.is_operator else caller


@contextmanager
def _refusals() -> Iterator[None]:
    """What is refused, in the words that clients look at."""
    try:
        yield
    except ProjectionMissing as missing:
        raise refusals.projection_not_found(str(missing)) from None
    except ProjectionConflict:
        raise refusals.projection_command("Conflict") from None
    except CommandRefused:
        raise refusals.projection_command("OperationFailed") from None
    except SubsystemStopped:
        raise refusals.not_ready() from None
    except TooManyProjections:
        text = f"There are {MOST_TRANSIENT} transient projections, as many as there may be: delete some."
        raise RpcError(StatusCode.RESOURCE_EXHAUSTED, text) from None
    except EngineMissing as error:
        raise RpcError(StatusCode.UNIMPLEMENTED, str(error)) from None


def _asked_for(asked: pb.CreateReqOptions) -> Definition:
    which, _ = betterproto.which_one_of(asked, "mode")
    caller = current_call().principal.name
    if which == "continuous":
        given = asked.continuous
        emits, tracks = given.emit_enabled, given.track_emitted_streams
        return Definition(
            given.name, asked.query, emit_enabled=emits, track_emitted_streams=tracks, run_as=caller or "$anonymous"
        )
    if which == "transient":
        asker = _ordinary_caller()
        return Definition(asked.transient.name, asked.query, mode=Mode.TRANSIENT, on_behalf_of=asker)
    if which == "one_time":
        return Definition("", asked.query, mode=Mode.ONE_TIME, run_as=caller or "$anonymous")
    raise refusals.invalid_argument("options.mode is not set.")


def _for_engine(definition: Definition, version: int) -> Definition:
    if version > _LAST_ENGINE:
        raise refusals.invalid_argument(f"options.engine_version is {version}; this server knows 1 and {_LAST_ENGINE}.")
    if definition.track_emitted_streams:
        raise refusals.thrown_by_handler("Tracking emitted streams is not supported with engine version 2.")
    return replace(definition, engine_version=version)


def _details(one: ProjectionStatistics) -> pb.StatisticsRespDetails:
    return pb.StatisticsRespDetails(
        version=one.version,
        epoch=one.epoch,
        effective_name=one.name,
        partitions_cached=one.run.partitions_cached,
        status=one.status,
        state_reason=one.state_reason,
        name=one.name,
        mode=one.mode.value,
        position=one.run.position,
        progress=one.run.progress,
        last_checkpoint=one.run.last_checkpoint,
        events_processed_after_restart=one.run.events_processed,
    )


# --- values -----------------------------------------------------------------------------------------------------------


class _EncodedStates:
    """The answers that were asked for last, within so many characters: large ones take some ten milliseconds."""

    def __init__(self) -> None:
        self._answers: dict[tuple[int, str | None], bytes] = {}
        self._characters = 0

    def answer(self, tag: int, text: str | None) -> bytes:
        """Encode an answer with the text of a state."""
        key, size = (tag, text), len(text or "")
        known = self._answers.pop(key, None)
        if known is None:
            known = _answer(tag, text)
            self._characters += size
        self._answers[key] = known
        while self._characters > _CHARACTERS_KEPT or len(self._answers) > _ANSWERS_KEPT:
            _, oldest = key_of_oldest = next(iter(self._answers))
            del self._answers[key_of_oldest]
            self._characters -= len(oldest or "")
        return known


def _answer(tag: int, text: str | None) -> bytes:
    """Encode an answer with the text of a state: nothing is an empty object, what is no JSON is itself.

    By hand: generated messages take seconds for a state of a megabyte.
    """
    found: JsonValue = None
    try:
        found = _decode(text) if text else None
        value = encode_value({} if found is None else found)
    except (ValueError, RecursionError):
        value = encode_value(text)
    return block(tag, value)
