"""The Projections service of a server that has the system projections, stopped, and nothing that could run one.

Owns: its messages and its answers (section 20 of the protocol notes). What takes an engine is refused, never
pretended. Must not know: how definitions are kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import betterproto
from betterproto.lib.google.protobuf import Struct, Value
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client.projections import (
    CreateReq,
    CreateResp,
    DeleteReq,
    DeleteResp,
    DisableReq,
    DisableResp,
    EnableReq,
    EnableResp,
    ProjectionsBase,
    ResetReq,
    ResetResp,
    ResultReq,
    ResultResp,
    StateReq,
    StateResp,
    StatisticsReq,
    StatisticsResp,
    StatisticsRespDetails,
    UpdateReq,
    UpdateResp,
)

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite.server.engine.projections import NAMES, SYSTEM_PROJECTIONS
from esdb_lite.server.services.unary import current_call, required

_BEGINNING = "C:0/P:-1"


class Projections(ProjectionsBase):
    """The methods of the service."""

    # --- what takes an engine ---

    async def create(self, create_req: CreateReq) -> CreateResp:
        """Refuse."""
        asked = required(create_req.options, "options")
        mode, _ = betterproto.which_one_of(asked, "mode")
        if not mode:
            raise refusals.invalid_argument("options.mode is not set.")
        if mode != "transient":
            _operators_only()
        raise _no_engine()

    async def update(self, update_req: UpdateReq) -> UpdateResp:
        """Refuse."""
        asked = required(update_req.options, "options")
        if not betterproto.which_one_of(asked, "emit_option")[0]:
            raise refusals.invalid_argument("options.emit_option is not set.")
        _changing(asked.name)
        raise _no_engine()

    async def enable(self, enable_req: EnableReq) -> EnableResp:
        """Refuse."""
        _changing(required(enable_req.options, "options").name)
        raise _no_engine()

    async def reset(self, reset_req: ResetReq) -> ResetResp:
        """Refuse."""
        _changing(required(reset_req.options, "options").name)
        raise _no_engine()

    # --- what is true of projections that never ran ---

    async def delete(self, delete_req: DeleteReq) -> DeleteResp:
        """Refuse: not even a real server deletes system projections. Clients look at the text."""
        _known(required(delete_req.options, "options").name)
        raise RpcError(StatusCode.UNKNOWN, "Envelope callback expected Updated, received OperationFailed instead")

    async def disable(self, disable_req: DisableReq) -> DisableResp:
        """Do nothing: they are stopped already."""
        _changing(required(disable_req.options, "options").name)
        return DisableResp()

    async def state(self, state_req: StateReq) -> StateResp:
        """Tell that there is none."""
        _known(required(state_req.options, "options").name)
        return StateResp(state=Value(struct_value=Struct()))

    async def result(self, result_req: ResultReq) -> ResultResp:
        """Tell that there is none."""
        _known(required(result_req.options, "options").name)
        return ResultResp(result=Value(struct_value=Struct()))

    async def restart_subsystem(self, client_empty: Empty) -> Empty:
        """Do nothing: nothing runs, so there is nothing to stop and to start."""
        return Empty()

    async def statistics(self, statistics_req: StatisticsReq) -> AsyncIterator[StatisticsResp]:
        """Tell that they are stopped."""
        which, value = betterproto.which_one_of(statistics_req.options, "mode")
        names = [projection.name for projection in SYSTEM_PROJECTIONS]
        if which == "name" and value:
            names = [_known(str(value))]
        elif which in ("transient", "one_time"):
            names = []
        for name in names:
            yield StatisticsResp(details=_stopped(name))


def _known(name: str) -> str:
    if name not in NAMES:
        raise refusals.projection_not_found(name)
    return name


def _changing(name: str) -> None:
    """All of them are continuous: ordinary users may change transient ones only."""
    _known(name)
    _operators_only()


def _operators_only() -> None:
    if not current_call().principal.is_operator:
        raise refusals.access_denied()


def _no_engine() -> RpcError:
    return RpcError(StatusCode.UNIMPLEMENTED, "This server has no engine for projections.")


def _stopped(name: str) -> StatisticsRespDetails:
    return StatisticsRespDetails(
        epoch=-1,
        effective_name=name,
        partitions_cached=1,
        status="Stopped",
        name=name,
        mode="Continuous",
        position=_BEGINNING,
        progress=-1.0,
        last_checkpoint=_BEGINNING,
    )
