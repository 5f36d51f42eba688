"""The calls about projections.

Owns: `AsyncProjectionApi`, the part of the asynchronous client that creates, steers and asks projections. Must not
know: bytes. What translates the messages is imported when one of the calls is made: few programs need it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from esdb_lite import _convert
from esdb_lite._checks import Seconds, checked_bool, checked_int, checked_text
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._status.projections import ProjectionCall, projection_error
from esdb_lite.client.arguments import checked_position
from esdb_lite.errors import (
    AccessDenied,
    EsdbClientException,
    InvalidArgument,
    ProjectionExists,
    ProjectionNotFound,
    WrongArgumentType,
)
from esdb_lite.events import JsonValue

if TYPE_CHECKING:
    from grpclib.client import Channel

    from esdb_lite.client.core import ClientCore
    from esdb_lite.client.projections.progress import CatchUp
    from esdb_lite.projections import ProjectionInfo, ProjectionMode
    from esdb_lite.settings import CredentialsLike

T = TypeVar("T")

_FIRST_WITH_ENGINES, _SECOND_ENGINE = (26, 1), 2
_CLEANING_UP = 5.0
"""Seconds for removing a query whose caller does not wait any more."""


class AsyncProjectionApi:
    """Projections: queries in JavaScript that the server runs over its events, and the five that it brings along."""

    _core: ClientCore

    # --- steering ---

    async def create_projection(
        self,
        name: str,
        query: str,
        *,
        emit: bool = False,
        track_emitted_streams: bool = False,
        engine_version: int | None = None,
        exist_ok: bool = False,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Create a projection that goes on until it is deleted, and start it.

        `query` is JavaScript. A faulty query raises nothing here: the projection is created, and is faulted
        (`wait_for_projection` raises then). With `emit`, it may write events and links; without, writing them faults
        it. With `track_emitted_streams`, which requires `emit`, the server remembers the streams that it writes to, so
        that `delete_projection` can delete them. `engine_version` 2 is the second engine of KurrentDB 26.1, which
        neither writes results to streams nor tracks streams; None: the server's default. With `exist_ok`, an existing
        projection of this name stays as it is.
        Raises ProjectionExists; NotSupported for an engine that the server does not have; ProjectionFailed for an
        invalid name; OutcomeUnknown when the request was sent and no answer came. The rules are in section 20
        of the protocol notes.
        """
        deadline = self._core.deadline(timeout)
        channel = self._projection_calls(name, deadline, credentials, ProjectionCall.CREATE)
        checked_text("query", query)
        checked_bool("emit", emit)
        if checked_bool("track_emitted_streams", track_emitted_streams) and not emit:
            raise InvalidArgument("track_emitted_streams", track_emitted_streams, "needs emit=True")
        if engine_version == _SECOND_ENGINE and track_emitted_streams:
            raise InvalidArgument("track_emitted_streams", track_emitted_streams, "does not work with engine_version=2")
        engine = 0 if engine_version is None else await self._engine(engine_version, deadline)
        ignored = [ProjectionExists] if checked_bool("exist_ok", exist_ok) else []
        with suppress(*ignored):
            await _convert.projections.create(
                channel,
                name,
                query,
                emit=emit,
                track_emitted_streams=track_emitted_streams,
                engine_version=engine,
            )

    async def update_projection(
        self,
        name: str,
        query: str,
        *,
        emit: bool | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Replace the query of a projection. A running projection continues from its position, with its state.

        `emit`: it may write events and links from now on; servers do not keep what it was before. None: only system
        projections may. Raises ProjectionNotFound.
        """
        channel = self._repeatable(name, timeout, credentials)
        checked_text("query", query)
        emits = name.startswith("$") if emit is None else checked_bool("emit", emit)
        await _convert.projections.update(channel, name, query, emit=emits)

    async def delete_projection(
        self,
        name: str,
        *,
        state_stream: bool = False,
        checkpoint_stream: bool = False,
        emitted_streams: bool = False,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Delete a projection that was disabled or has faulted, and on request some of the streams it has written.

        `emitted_streams`: those that were tracked. Raises ProjectionNotFound; ProjectionFailed while it runs or is
        aborted, and always for system projections; OutcomeUnknown when the request was sent and no answer came.
        """
        await _convert.projections.delete(
            self._projection_calls(name, self._core.deadline(timeout), credentials, ProjectionCall.DELETE),
            name,
            state_stream=checked_bool("state_stream", state_stream),
            checkpoint_stream=checked_bool("checkpoint_stream", checkpoint_stream),
            emitted_streams=checked_bool("emitted_streams", emitted_streams),
        )

    async def enable_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Start a projection where it left off. Does nothing if it is running. Raises ProjectionNotFound."""
        await _convert.projections.enable(self._repeatable(name, timeout, credentials), name)

    async def disable_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Stop a projection, after it has written a checkpoint. Raises ProjectionNotFound."""
        await _convert.projections.disable(self._repeatable(name, timeout, credentials), name, write_checkpoint=True)

    async def abort_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Stop a projection at once; it will continue from its last checkpoint. Raises ProjectionNotFound."""
        await _convert.projections.disable(self._repeatable(name, timeout, credentials), name, write_checkpoint=False)

    async def reset_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Start a projection over from the first event. Its earlier output is replaced as it writes anew.

        Raises ProjectionNotFound.
        """
        await _convert.projections.reset(self._repeatable(name, timeout, credentials), name)

    async def restart_projections(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Restart the projection subsystem. Transient projections are lost. Raises ProjectionFailed."""
        await _convert.projections.restart(self._of_all(timeout, credentials))

    # --- asking ---

    async def get_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> ProjectionInfo:
        """Return the status and the statistics of a projection. Raises ProjectionNotFound."""
        return await self._info(name, self._core.deadline(timeout), credentials)

    async def list_projections(
        self,
        mode: ProjectionMode | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[ProjectionInfo]:
        """Return the status and the statistics of all projections, system ones included, or of those of a mode."""
        from esdb_lite.projections import ProjectionMode

        if mode is not None and not isinstance(mode, ProjectionMode):
            raise WrongArgumentType("mode", mode, "must be a ProjectionMode or None")
        return await _convert.projections.statistics_of_all(self._of_all(timeout, credentials), mode)

    async def get_projection_state(
        self,
        name: str,
        partition: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> JsonValue:
        """Return the state of a projection, or of one of its partitions; None if there is none.

        A query with `foreachStream` or `partitionBy` has a state for each partition only: without `partition`, it is
        None. Servers send numbers as floats; whole ones are returned as int. Raises ProjectionNotFound.
        """
        deadline = self._core.deadline(timeout)
        return await self._ask(name, partition, deadline, credentials, _convert.projections.state)

    async def get_projection_result(
        self,
        name: str,
        partition: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> JsonValue:
        """Return the result of a projection (`transformBy`, `filterBy`); if its query has neither, its state.

        None if there is none; for a query with partitions also without `partition`. Raises ProjectionNotFound.
        """
        deadline = self._core.deadline(timeout)
        return await self._ask(name, partition, deadline, credentials, _convert.projections.result)

    async def wait_for_projection(
        self,
        name: str,
        position: int | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> ProjectionInfo:
        """Wait until a projection has caught up, or a query has completed; return its status and statistics.

        `position` is the commit position of an event that it must have reached (`AppendResult.commit_position`); None:
        the end of the log as the server sees it. It also waits while the projection is stopped: somebody may start it.
        Without a timeout, it logs after 5 seconds what it waits for. If the projection reads what `$by_category` or
        `$by_event_type` writes (`fromCategory`, `$ce-`, `$et-`), it waits for these first.
        Raises ProjectionNotFound; ProjectionFailed when it has faulted; InvalidArgument when the log ends before the
        position.
        """
        deadline = self._core.deadline(timeout)
        from esdb_lite.client.projections.progress import CatchUp

        catch_up = CatchUp(checked_position(position))
        slow = self._core.slow
        waits = slow.begin(f"wait_for_projection({name!r})", catch_up.awaited) if deadline.timeout is None else 0
        try:
            return await self._caught_up(name, position, catch_up, deadline, credentials)
        finally:
            slow.end(waits)

    async def run_query(
        self, query: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> JsonValue:
        """Run a query over all events that there are, and return its result.

        The query runs as a transient projection, which is deleted at the end, also when the call is cancelled.
        Raises ProjectionFailed when the query is faulty, or fails on an event.
        """
        deadline = self._core.deadline(timeout)
        checked_text("query", query)
        name = f"query-{uuid.uuid4()}"
        try:
            await _convert.projections.create_transient(
                self._projection_calls(name, deadline, credentials), name, query
            )
            await self._completed(name, deadline, credentials)
            return await self._ask(name, None, deadline, credentials, _convert.projections.result)
        finally:
            with suppress(EsdbClientException):
                await self.delete_projection(name, timeout=_CLEANING_UP, credentials=credentials)

    # --- steps ---

    async def _caught_up(
        self,
        name: str,
        position: int | None,
        catch_up: CatchUp,
        deadline: Deadline,
        credentials: CredentialsLike,
    ) -> ProjectionInfo:
        from esdb_lite.client.projections.progress import link_writers, pause_to_look, pauses

        pausing = pauses()
        awaited = False
        while True:
            info = await self._info(name, deadline, credentials)
            writers = [] if awaited else link_writers(info)
            for writer in writers:
                awaited = True
                if (await self._info(writer, deadline, credentials)).is_running:
                    left = deadline.remaining()
                    await self.wait_for_projection(writer, position, timeout=left, credentials=credentials)
            if writers:
                continue
            if catch_up.is_done(info):
                if position is not None and not catch_up.has_reached(info):
                    await self._check_in_log(position, deadline, credentials)
                return info
            await pause_to_look(next(pausing), deadline, info)

    async def _check_in_log(self, position: int, deadline: Deadline, credentials: CredentialsLike) -> None:
        """Raise InvalidArgument where the log ends before a position, as far as the caller may know."""
        from esdb_lite._wire.read_request import ReadRequest
        from esdb_lite.client.read.resuming import last_event
        from esdb_lite.client.topology.need import Need

        request = ReadRequest(None, from_end=True, backwards=True, limit=1)
        with suppress(AccessDenied):
            last, _ = await last_event(self._core, request, deadline, credentials, Need.LEADER)
            end = 0 if last is None else last.commit_position or 0
            if end < position:
                raise InvalidArgument("position", position, f"must be in the log, whose last event is at {end}")

    async def _completed(self, name: str, deadline: Deadline, credentials: CredentialsLike) -> None:
        from esdb_lite.client.projections.progress import completed, pause_to_look, pauses

        for pause in pauses():
            info = await self._info(name, deadline, credentials)
            if completed(info):
                return
            await pause_to_look(pause, deadline, info)

    async def _info(self, name: str, deadline: Deadline, credentials: CredentialsLike) -> ProjectionInfo:
        channel = self._projection_calls(name, deadline, credentials, repeatable=True)
        found = await _convert.projections.statistics_of(channel, name)
        if len(found) != 1:
            # One that goes at this moment is not answered at all.
            error = ProjectionNotFound(f"there is no projection {name!r}")
            error.projection_name = name
            raise error
        return found[0]

    async def _ask(
        self,
        name: str,
        partition: str | None,
        deadline: Deadline,
        credentials: CredentialsLike,
        ask: Callable[[Channel, str, str], Coroutine[object, object, T]],
    ) -> T:
        if partition is not None:
            _check_name("partition", partition)
        return await ask(self._projection_calls(name, deadline, credentials, repeatable=True), name, partition or "")

    def _repeatable(self, name: str, timeout: Seconds | None, credentials: CredentialsLike) -> Channel:
        return self._projection_calls(name, self._core.deadline(timeout), credentials, repeatable=True)

    def _projection_calls(
        self,
        name: str,
        deadline: Deadline,
        credentials: CredentialsLike,
        call: ProjectionCall = ProjectionCall.OTHER,
        *,
        repeatable: bool = False,
    ) -> Channel:
        """A channel, on which a refusal means what it means for a projection."""
        _check_name("name", name)
        meaning = partial(projection_error, name=name, call=call)
        return self._core.channel(deadline, credentials, repeatable=repeatable, meaning=meaning)

    def _of_all(self, timeout: Seconds | None, credentials: CredentialsLike) -> Channel:
        meaning = partial(projection_error, name="")
        return self._core.channel(self._core.deadline(timeout), credentials, repeatable=True, meaning=meaning)

    async def _engine(self, version: int, deadline: Deadline) -> int:
        """Older servers would ignore it. Raises NotSupported."""
        checked_int("engine_version", version, 1, _SECOND_ENGINE)
        if version > 1:
            await self._core.require_version(_FIRST_WITH_ENGINES, "engine_version=2", deadline)
        return version


def _check_name(argument: str, value: str) -> None:
    if not checked_text(argument, value).strip():
        raise InvalidArgument(argument, value, "must not be empty")
