"""The calls that tell what there is: streams, their categories, types of events.

Owns: `AsyncNameApi`, the part of the asynchronous client that lists them, and where it looks: an embedded server knows
them, `$streams` has the names of streams where that projection runs, and elsewhere all events are read.
Must not know: bytes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from esdb_lite import _convert
from esdb_lite._checks import Seconds, checked_int, checked_text
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import NotSupported, ServerAnswer, StreamNotFound, WrongArgumentType
from esdb_lite.filters import Filter

if TYPE_CHECKING:
    from esdb_lite.administration import ProgressHandler, ScanProgress
    from esdb_lite.client.core import ClientCore
    from esdb_lite.client.read.iterators import AsyncReadResponse
    from esdb_lite.events import RecordedEvent
    from esdb_lite.projections import ProjectionInfo
    from esdb_lite.settings import CredentialsLike

STREAMS_PROJECTION = "$streams"
_EVERY = 1000
"""Events after which progress is told again."""


class AsyncNameApi:
    """Lists of what there is on a server."""

    _core: ClientCore

    if TYPE_CHECKING:  # another part of the client has it

        async def get_projection(
            self, name: str, *, timeout: Seconds | None = None, credentials: CredentialsLike = None
        ) -> ProjectionInfo: ...

    async def list_streams(
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
        return await self._list("streams", prefix, limit, progress, timeout, credentials)

    async def list_categories(
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
        return await self._list("categories", prefix, limit, progress, timeout, credentials)

    async def list_event_types(
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
        return await self._list("types", prefix, limit, progress, timeout, credentials)

    # --- inside ---

    async def _list(
        self,
        what: str,
        prefix: str,
        limit: int | None,
        progress: ProgressHandler,
        timeout: Seconds | None,
        credentials: CredentialsLike,
    ) -> list[str]:
        deadline = self._core.deadline(timeout)
        checked_text("prefix", prefix)
        if progress is not None and not callable(progress):
            raise WrongArgumentType("progress", progress, "must be a function")
        most = None if limit is None else checked_int("limit", limit, 0)
        if most == 0 or (what == "categories" and "-" in prefix):
            return []
        checked_credentials(credentials)
        try:
            return await self._asked(what, prefix, most, deadline, credentials)
        except NotSupported:
            return await self._collected(what, prefix, most, progress, deadline, credentials)

    async def _asked(
        self, what: str, prefix: str, limit: int | None, deadline: Deadline, credentials: CredentialsLike
    ) -> list[str]:
        """Ask an embedded server."""
        found: dict[str, None] = {}  # a category may come twice
        end = ""
        while True:
            channel = self._core.channel(deadline, credentials, need=Need.PREFERRED, repeatable=True)
            left = 0 if limit is None else limit - len(found)
            names, end = await _convert.operations.names(channel, what, prefix, end, min(left, 2**32 - 1))
            found.update(dict.fromkeys(names))
            if not end or (limit is not None and len(found) >= limit):
                return sorted(found)[:limit]

    async def _collected(
        self,
        what: str,
        prefix: str,
        limit: int | None,
        progress: ProgressHandler,
        deadline: Deadline,
        credentials: CredentialsLike,
    ) -> list[str]:
        """Read the names out of events."""
        found: set[str] = set()
        if what != "types" and await self._streams_are_listed(deadline, credentials):
            names = self._named_by_links(deadline, credentials)
        else:
            names = self._named_by_events(what, prefix, progress, deadline, credentials)
        async with aclosing(names):
            async for name in names:
                if not name.startswith(prefix) or (name.startswith("$") and not prefix.startswith("$")):
                    continue
                found.add(name.partition("-")[0] if what == "categories" else name)
                if limit is not None and len(found) >= limit:
                    break
        return sorted(found)

    async def _streams_are_listed(self, deadline: Deadline, credentials: CredentialsLike) -> bool:
        """Whether the projection runs that makes links to the first events of streams."""
        try:
            about = await self.get_projection(STREAMS_PROJECTION, timeout=deadline.remaining(), credentials=credentials)
        except ServerAnswer:  # there are no projections, or they are of no concern to the caller
            return False
        return about.is_running

    async def _named_by_links(self, deadline: Deadline, credentials: CredentialsLike) -> AsyncGenerator[str, None]:
        request = ReadRequest(STREAMS_PROJECTION)
        try:
            async for event in self._events(request, deadline, credentials):
                yield event.data.decode("utf-8", "replace").partition("@")[2]
        except StreamNotFound:
            return

    async def _named_by_events(
        self, what: str, prefix: str, progress: ProgressHandler, deadline: Deadline, credentials: CredentialsLike
    ) -> AsyncGenerator[str, None]:
        from esdb_lite.client.read.resuming import last_event

        newest, _ = await last_event(
            self._core, ReadRequest(None, from_end=True, backwards=True, limit=1), deadline, credentials
        )
        end = 0 if newest is None or newest.commit_position is None else newest.commit_position
        tell = _Telling(progress, end)
        types = what == "types"
        request = ReadRequest(None, filter=_filter(types, prefix))
        async for event in self._events(request, deadline, credentials):
            tell(event)
            if (event.commit_position or 0) > end:
                return
            yield event.type if types else event.stream_name

    def _events(self, request: ReadRequest, deadline: Deadline, credentials: CredentialsLike) -> AsyncReadResponse:
        from esdb_lite.client.read.iterators import AsyncReadResponse
        from esdb_lite.client.read.resuming import HealingReading

        reading = HealingReading(self._core, request, deadline, checked_credentials(credentials))
        return AsyncReadResponse(reading, owner=self)


class _Telling:
    """Tells somebody now and then how far a scan has come."""

    def __init__(self, progress: ProgressHandler, end: int) -> None:
        self._progress: Callable[[ScanProgress], None] | None = progress
        self._end = end
        self._events = 0

    def __call__(self, event: RecordedEvent) -> None:
        self._events += 1
        if self._progress is not None and self._events % _EVERY == 0:
            from esdb_lite.administration import ScanProgress

            self._progress(ScanProgress(self._events, event.commit_position or 0, self._end))


def _filter(types: bool, prefix: str) -> Filter | None:
    """Have the server leave out what cannot matter."""
    by = Filter.by_event_type if types else Filter.by_stream_name
    if prefix:
        return by(prefixes=[prefix])
    return by(exclude=[r"\$.*"])
