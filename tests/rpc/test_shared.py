"""One run of something for all who ask for it meanwhile."""

from __future__ import annotations

import asyncio

from esdb_lite import ServiceUnavailable
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.shared import Shared


async def test_each_asker_gets_an_exception_of_its_own() -> None:
    """One for all would show, in the traceback of each, the lines of all others."""
    reason = OSError("no route")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ServiceUnavailable("cannot connect") from reason

    shared = Shared(fail)
    first, second = await asyncio.gather(*(shared.get(Deadline(None)) for _ in range(2)), return_exceptions=True)
    assert first is not second
    for error in (first, second):
        assert isinstance(error, ServiceUnavailable)
        assert str(error) == "cannot connect"
        assert error.__cause__ is reason
        assert _functions_in(error) == ["get", "fail"]


def _functions_in(error: BaseException) -> list[str]:
    found, traceback = [], error.__traceback__
    while traceback is not None:
        found.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return found
