"""The Projections service of a server that has the system projections, stopped, and nothing that could run one.

Owns: its messages and its answers (section 20 of the protocol notes). What takes an engine is refused, never
pretended. Must not know: how definitions are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import betterproto
from betterproto.lib.google.protobuf import Struct, Value
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client.projections import (
    CreateReq,
    DeleteReq,
    DisableReq,
    EnableReq,
    ResetReq,
    ResultReq,
    ResultResp,
    StateReq,
    StateResp,
    StatisticsReq,
    StatisticsResp,
    StatisticsRespDetails,
    UpdateReq,
)

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite.server.engine.access import Principal
from esdb_lite.server.engine.projections import NAMES, SYSTEM_PROJECTIONS
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.services.unary import only_request, parse, required

SERVICE = "event_store.client.projections.Projections"

_BEGINNING = "C:0/P:-1"


def handlers() -> Mapping[str, Handler]:
    """The handlers by path."""
    methods: dict[str, Handler] = {
        "Create": _unary(_create),
        "Update": _unary(_update),
        "Delete": _unary(_delete),
        "Statistics": _statistics,
        "Disable": _unary(_disable),
        "Enable": _unary(_enable),
        "Reset": _unary(_reset),
        "State": _unary(_state),
        "Result": _unary(_result),
        "RestartSubsystem": _unary(_restart),
    }
    return {f"/{SERVICE}/{name}": method for name, method in methods.items()}


def _unary(method: Callable[[bytes, Principal], bytes]) -> Handler:
    async def handle(call: ServerCall) -> None:
        await call.send([method(await only_request(call), call.principal)])

    return handle


def _known(name: str) -> str:
    if name not in NAMES:
        raise refusals.projection_not_found(name)
    return name


def _changing(name: str, caller: Principal) -> None:
    """All of them are continuous: ordinary users may change transient ones only."""
    _known(name)
    _operators_only(caller)


def _operators_only(caller: Principal) -> None:
    if not caller.is_operator:
        raise refusals.access_denied()


# --- what takes an engine ---


def _no_engine() -> RpcError:
    return RpcError(StatusCode.UNIMPLEMENTED, "This server has no engine for projections.")


def _create(data: bytes, caller: Principal) -> bytes:
    asked = required(parse(CreateReq, data).options, "options")
    mode, _ = betterproto.which_one_of(asked, "mode")
    if not mode:
        raise refusals.invalid_argument("options.mode is not set.")
    if mode != "transient":
        _operators_only(caller)
    raise _no_engine()


def _update(data: bytes, caller: Principal) -> bytes:
    asked = required(parse(UpdateReq, data).options, "options")
    if not betterproto.which_one_of(asked, "emit_option")[0]:
        raise refusals.invalid_argument("options.emit_option is not set.")
    _changing(asked.name, caller)
    raise _no_engine()


def _enable(data: bytes, caller: Principal) -> bytes:
    _changing(required(parse(EnableReq, data).options, "options").name, caller)
    raise _no_engine()


def _reset(data: bytes, caller: Principal) -> bytes:
    _changing(required(parse(ResetReq, data).options, "options").name, caller)
    raise _no_engine()


# --- what is true of projections that never ran ---


def _delete(data: bytes, _: Principal) -> bytes:
    """System projections cannot be deleted, on a real server neither; clients look at the text."""
    _known(required(parse(DeleteReq, data).options, "options").name)
    raise RpcError(StatusCode.UNKNOWN, "Envelope callback expected Updated, received OperationFailed instead")


def _disable(data: bytes, caller: Principal) -> bytes:
    """They are stopped already."""
    _changing(required(parse(DisableReq, data).options, "options").name, caller)
    return b""


def _state(data: bytes, _: Principal) -> bytes:
    _known(required(parse(StateReq, data).options, "options").name)
    return bytes(StateResp(state=Value(struct_value=Struct())))


def _result(data: bytes, _: Principal) -> bytes:
    _known(required(parse(ResultReq, data).options, "options").name)
    return bytes(ResultResp(result=Value(struct_value=Struct())))


def _restart(data: bytes, _: Principal) -> bytes:
    """Nothing runs, so there is nothing to stop and to start."""
    parse(Empty, data)
    return b""


async def _statistics(call: ServerCall) -> None:
    asked = parse(StatisticsReq, await only_request(call)).options
    which, value = betterproto.which_one_of(asked, "mode")
    names = [projection.name for projection in SYSTEM_PROJECTIONS]
    if which == "name" and value:
        names = [_known(str(value))]
    elif which in ("transient", "one_time"):
        names = []
    await call.send([bytes(StatisticsResp(details=_stopped(name))) for name in names])


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
