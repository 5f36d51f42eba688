"""The calls that tell what there is, for code without asyncio.

Owns: `NameApi`, the part of the client for threads that lists streams, categories and types of events.
Must not know: how anything is done. A test holds it to the part of the client for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite._checks import Seconds

if TYPE_CHECKING:
    from esdb_lite.administration import ProgressHandler
    from esdb_lite.settings import CredentialsLike
    from esdb_lite.sync.live import Live


class NameApi:
    """Lists of what there is on a server."""

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")

    def list_streams(
        self,
        prefix: str = "",
        *,
        limit: int | None = None,
        progress: ProgressHandler = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[str]:
        """Return the names of streams that begin with `prefix`, sorted; the first `limit` that are found.

        Names that begin with `$` are left out, unless `prefix` begins with it. An embedded server answers at once.
        With a real one, the stream `$streams` is read if its projection runs, otherwise all events: that takes as
        long as reading them, and `progress` is told now and then how far it is (on the thread of the client). Both may
        name streams that have been deleted since; `$streams` lacks streams that begin with what is flagged JSON and is
        none. It takes the right to read $all.
        """
        live = self._live()
        return live.portal.run(
            live.client.list_streams, prefix, limit=limit, progress=progress, timeout=timeout, credentials=credentials
        )

    def list_categories(
        self,
        prefix: str = "",
        *,
        limit: int | None = None,
        progress: ProgressHandler = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[str]:
        """Return the categories of streams that begin with `prefix`, sorted; the first `limit` that are found.

        The category of a stream is its name up to the first hyphen, or all of it. Otherwise like `list_streams`.
        """
        live = self._live()
        return live.portal.run(
            live.client.list_categories,
            prefix,
            limit=limit,
            progress=progress,
            timeout=timeout,
            credentials=credentials,
        )

    def list_event_types(
        self,
        prefix: str = "",
        *,
        limit: int | None = None,
        progress: ProgressHandler = None,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> list[str]:
        """Return the types of events that begin with `prefix`, sorted; the first `limit` that are found.

        Also those of events that have been deleted since. With a real server all events are read. Otherwise like
        `list_streams`.
        """
        live = self._live()
        return live.portal.run(
            live.client.list_event_types,
            prefix,
            limit=limit,
            progress=progress,
            timeout=timeout,
            credentials=credentials,
        )
