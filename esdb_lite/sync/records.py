"""The call for atomic appends to several streams, for code without asyncio.

Owns: `AtomicApi`, the part of the client for threads that has it. Must not know: how anything is done. A test holds it
to the part of the client for asyncio.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from esdb_lite._checks import Seconds
from esdb_lite.settings import CredentialsLike

if TYPE_CHECKING:
    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.records import RecordsLike, RecordsResult, StreamCheck
    from esdb_lite.sync.live import Live


class AtomicApi:
    """Atomic appends."""

    _event_types: EventTypes | None

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")

    def append_records(
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
        from esdb_lite.client.append.atomic_request import checked_checks, checked_parts

        given = checked_parts(records, self._event_types)  # here: they may be generators
        states = checked_checks(checks)
        live = self._live()
        return live.portal.run(
            live.client.append_records(given, checks=states, timeout=timeout, credentials=credentials)
        )
