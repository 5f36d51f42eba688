"""The calls about projections, for code without asyncio.

Owns: `ProjectionApi`, the part of the client for threads that creates, steers and asks projections.
Must not know: how anything is done. A test holds it to the part of the client for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite._checks import Seconds
from esdb_lite.events import JsonValue
from esdb_lite.settings import CredentialsLike

if TYPE_CHECKING:
    from esdb_lite.projections import ProjectionInfo, ProjectionMode
    from esdb_lite.sync.live import Live


class ProjectionApi:
    """Projections: queries in JavaScript that the server runs over its events, and the five that it brings along."""

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")

    def create_projection(
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

        `query`: JavaScript. A wrong one is no error here: the projection is there, and has faulted
        (`wait_for_projection` raises then). `emit`: it may write events and links. `track_emitted_streams`: the server
        remembers the streams that it writes to, so that `delete_projection` can delete them; takes `emit`.
        `engine_version` 2 is the engine that KurrentDB 26.1 has besides, which writes no results to streams and tracks
        none; None: the server's default. With `exist_ok`, a projection of this name stays as it is.
        Raises ProjectionExists; NotSupported for an engine that the server does not know of; ProjectionFailed for a
        name that cannot be; OutcomeUnknown when the request was sent and no answer came. The rules are in section 20
        of the protocol notes.
        """
        live = self._live()
        live.portal.run(
            live.client.create_projection,
            name,
            query,
            emit=emit,
            track_emitted_streams=track_emitted_streams,
            engine_version=engine_version,
            exist_ok=exist_ok,
            timeout=timeout,
            credentials=credentials,
        )

    def update_projection(
        self,
        name: str,
        query: str,
        *,
        emit: bool | None = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> None:
        """Replace the query of a projection. What runs goes on with it where it was, with the state that it had.

        `emit`: it may write events and links from now on; servers do not keep what it was before. None: only system
        projections may. Raises ProjectionNotFound.
        """
        live = self._live()
        live.portal.run(live.client.update_projection, name, query, emit=emit, timeout=timeout, credentials=credentials)

    def delete_projection(
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
        live = self._live()
        live.portal.run(
            live.client.delete_projection,
            name,
            state_stream=state_stream,
            checkpoint_stream=checkpoint_stream,
            emitted_streams=emitted_streams,
            timeout=timeout,
            credentials=credentials,
        )

    def enable_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Let a projection go on where it was. Does nothing when it runs. Raises ProjectionNotFound."""
        live = self._live()
        live.portal.run(live.client.enable_projection, name, timeout=timeout, credentials=credentials)

    def disable_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Stop a projection and have written down what it holds. Raises ProjectionNotFound."""
        live = self._live()
        live.portal.run(live.client.disable_projection, name, timeout=timeout, credentials=credentials)

    def abort_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Stop a projection at once; enabled again, it goes on from its last checkpoint. Raises ProjectionNotFound."""
        live = self._live()
        live.portal.run(live.client.abort_projection, name, timeout=timeout, credentials=credentials)

    def reset_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> None:
        """Let a projection start over from the first event. What it has written goes as it writes it anew.

        Raises ProjectionNotFound.
        """
        live = self._live()
        live.portal.run(live.client.reset_projection, name, timeout=timeout, credentials=credentials)

    def restart_projections(self, *, timeout: Seconds | None = None, credentials: CredentialsLike = None) -> None:
        """Restart everything that runs projections on the server. Transient ones are gone. Raises ProjectionFailed."""
        live = self._live()
        live.portal.run(live.client.restart_projections, timeout=timeout, credentials=credentials)

    def get_projection(
        self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> ProjectionInfo:
        """Return what the server says of a projection. Raises ProjectionNotFound."""
        live = self._live()
        return live.portal.run(live.client.get_projection, name, timeout=timeout, credentials=credentials)

    def list_projections(
        self, mode: ProjectionMode | None = None, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> list[ProjectionInfo]:
        """Return what the server says of all projections, or of those of a mode; system projections are among them."""
        live = self._live()
        return live.portal.run(live.client.list_projections, mode, timeout=timeout, credentials=credentials)

    def get_projection_state(
        self,
        name: str,
        partition: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> JsonValue:
        """Return what a projection holds, or holds for a partition. None where there is nothing.

        Servers have numbers as floats; whole ones are returned as int. Raises ProjectionNotFound.
        """
        live = self._live()
        return live.portal.run(
            live.client.get_projection_state, name, partition, timeout=timeout, credentials=credentials
        )

    def get_projection_result(
        self,
        name: str,
        partition: str | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> JsonValue:
        """Return what a projection has put out (`transformBy`, `filterBy`); where it does neither, its state.

        None where there is nothing. Raises ProjectionNotFound.
        """
        live = self._live()
        return live.portal.run(
            live.client.get_projection_result, name, partition, timeout=timeout, credentials=credentials
        )

    def wait_for_projection(
        self,
        name: str,
        position: int | None = None,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> ProjectionInfo:
        """Wait until a projection runs and has caught up, or has come to the end of a query; return what is said of it.

        `position`: the commit position of an event that it must have come to (`AppendResult.commit_position`); None:
        the end of the log as the server sees it. A projection that is stopped is waited for. Where it reads what
        `$by_category` or `$by_event_type` writes (`fromCategory`, `$ce-`, `$et-`), these are waited for first.
        Raises ProjectionNotFound, ProjectionFailed when it has faulted.
        """
        live = self._live()
        return live.portal.run(
            live.client.wait_for_projection, name, position, timeout=timeout, credentials=credentials
        )

    def run_query(
        self, query: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
    ) -> JsonValue:
        """Run a query over all events that there are, and return its result.

        It is a transient projection, which is removed at the end.
        Raises ProjectionFailed when the query is wrong or cannot handle an event.
        """
        live = self._live()
        return live.portal.run(live.client.run_query, query, timeout=timeout, credentials=credentials)
