"""The calls that append: to one stream, and to several at once.

Owns: `AsyncAppendApi`, the part of the asynchronous client that has them. Must not know: bytes, connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from esdb_lite import observing
from esdb_lite._checks import Seconds
from esdb_lite.client.append.request import AppendRequest
from esdb_lite.client.arguments import checked_events, checked_stream
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.positions import ExpectedPosition, expectation

if TYPE_CHECKING:
    from esdb_lite.client.append.appender import Appender, AppendRun
    from esdb_lite.client.append.atomic import AtomicAppender
    from esdb_lite.client.append.imports import EventImports
    from esdb_lite.client.core import ClientCore
    from esdb_lite.event_types.likes import EventsLike
    from esdb_lite.events import AppendResult, NewEvent
    from esdb_lite.records import RecordsLike, RecordsResult, StreamCheck
    from esdb_lite.settings import CredentialsLike


NOTHING_EXPECTED: Mapping[str, ExpectedPosition] = MappingProxyType({})
"""Any position will do."""


class AsyncAppendApi:
    """Appends."""

    _core: ClientCore
    _appender: Appender

    async def append_events(
        self,
        stream_name: str,
        expected_position: ExpectedPosition,
        events: EventsLike,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AppendResult:
        """Append one event or several to a stream, all or none, and return the commit position of the last.

        `expected_position`: None means that the stream does not exist, n >= 0 that its last event is at n; or a
        `StreamState` (-1 and -2 are ANY; other negative numbers are refused). `events` are `NewEvent`s, or objects of
        classes that the client's `event_types` have. The result is an int that also has `stream_position`.
        Appending the same events again (same ids, same expectation) changes nothing and succeeds.
        Raises ExpectedPositionError, StreamDeleted, AppendTooLarge; OutcomeUnknown when the events were sent and no
        answer came. The rules are in section 7 of the protocol notes.
        """
        run = self._append_run(stream_name, expected_position, events, timeout=timeout, credentials=credentials)
        return await run.finish()

    def _append_run(
        self,
        stream_name: str,
        expected_position: ExpectedPosition,
        events: EventsLike,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> AppendRun:
        """Return what does what `append_events` does; called on any thread."""
        deadline = self._core.budget(timeout)
        given = checked_events(events, self._core.settings.event_types)
        request = AppendRequest(checked_stream(stream_name), expectation(expected_position), given)
        return self._appender.run(request, deadline, checked_credentials(credentials))

    async def append_records(
        self,
        records: RecordsLike,
        *,
        checks: StreamCheck | Iterable[StreamCheck] = (),
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> RecordsResult:
        """Append records to one or several streams, all or none, if all checks hold.

        `records`: `NewRecord`s, which are written in their order; or events by stream, as `{"stream": [NewEvent(...)]}`
        (or objects of classes that the client's `event_types` have), or as `StreamAppend`s, each with the position at
        which its stream is expected to end. The metadata of such events must be JSON objects, and become properties.
        `checks`: streams, written or not, with the state that each must be in. Sending the same records again (same
        ids, same expectations) changes nothing and succeeds.
        Needs AppendRecords (KurrentDB 26.0.3 and 26.1) for checks of other streams, and AppendSession (25.1) for more
        than one stream; else raises NotSupported, which names the version. Older servers append to one stream.
        Raises ConsistencyError with all violations; StreamDeleted, for a deleted stream on 25.1; AppendTooLarge;
        OutcomeUnknown, with the records, when they were sent and no answer came. The rules are in section B.3 of the
        notes on KurrentDB.
        """
        from esdb_lite.client.append.atomic_request import atomic_request

        deadline = self._core.deadline(timeout)
        request, who = (
            atomic_request(records, checks, self._core.settings.event_types),
            checked_credentials(credentials),
        )
        streams, count = [*request.streams], len(request.records)
        with observing.appending(self._core.settings, "streams.multi-append", streams, count) as marks:
            wanted = request.marked(marks) if marks else request
            return await self._atomic.append(wanted, deadline=deadline, credentials=who)

    async def import_events(
        self,
        events: Iterable[tuple[str, NewEvent]],
        expected_positions: Mapping[str, ExpectedPosition] = NOTHING_EXPECTED,
        *,
        timeout: Seconds | None = None,
        credentials: CredentialsLike = None,
    ) -> int | None:
        """Append events of many streams, in the order in which they are given, as they come from elsewhere.

        `events`: each with its stream. `expected_positions`: where streams are expected to end, by name, in the words
        of `append_events`; any position will do for those that are not named. Returns the commit position of the last
        event that was written, where the server says it.
        It is not all or none: an embedded server writes 1,000 events or 512 KiB together, other servers those of a
        stream that follow each other. A refusal ends it: of what comes behind, an embedded server writes nothing, and
        others may have written the next 256 appends. Imports that begin while others are under way come behind them,
        or fail with them. Importing the same events again with the same expectations writes those that are missing;
        of streams that may end anywhere, servers know only what was written of late.
        Raises what `append_events` raises.
        """
        from esdb_lite.client.append.import_request import ImportRequest

        deadline, who = self._core.deadline(timeout), checked_credentials(credentials)
        request = ImportRequest(events, expected_positions)
        return await self._imports.run(request, deadline, who)

    @cached_property
    def _atomic(self) -> AtomicAppender:
        from esdb_lite.client.append.atomic import AtomicAppender

        return AtomicAppender(self._core, self._appender)

    @cached_property
    def _imports(self) -> EventImports:
        from esdb_lite.client.append.imports import EventImports

        return EventImports(self._core, self._appender)
