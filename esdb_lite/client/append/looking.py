"""Finding out whether the events of an unanswered append were written.

Owns: looking for them in their stream, and remembering for which that has to be done. Must not know: how they were
sent, what is done about the answer.

A server that is asked again with the same ids and an exact expectation knows the events itself. Where any end of the
stream will do, it remembers only the ids of late, and none from before it was started; so the client looks first. What
that is good for when an earlier attempt may yet be written, `expectations` says.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

from esdb_lite._wire.append import AppendAnswer
from esdb_lite._wire.read_request import ReadRequest
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.client.topology.need import Need
from esdb_lite.errors import EsdbClientException, OutcomeUnknown, StreamNotFound
from esdb_lite.events import RecordedEvent
from esdb_lite.positions import NO_STREAM

if TYPE_CHECKING:
    from esdb_lite._rpc.deadline import Deadline
    from esdb_lite.client.core import ClientCore
    from esdb_lite.settings import CredentialsLike

LOOK_BACK = 200_000
"""Events at the end of the stream that are looked at."""
CLOCKS = timedelta(minutes=5)
"""By how much clocks of servers may differ, and what the time that one says may be late."""
REMEMBERED = 10_000
"""Appends whose outcome is unknown that a client remembers, for when they are made again."""


Wanted = tuple[str, UUID]
"""A stream, and the id of the last event that an append has for it."""


class Repeatable(Protocol):
    """An append that may be sent again, with the same ids."""

    @property
    def wanted(self) -> Sequence[Wanted]:
        """What there is to look for; nothing where the append has no events."""
        ...

    @property
    def first_expected(self) -> int:
        """What the first of these streams is expected to be, as on the wire."""
        ...

    @property
    def uncertain(self) -> bool:
        """Whether a server may fail to recognise the events, because some stream may end anywhere."""
        ...

    def tell(self, unknown: OutcomeUnknown) -> None:
        """Say what it was."""
        ...


class LookStart(NamedTuple):
    """When an append was made first: what was stored before need not be looked at."""

    time: float
    """By the clock of this machine, in seconds, which may be wrong, and may be set meanwhile."""
    elapsing: float
    """By a clock that is never set, and may stand still while the machine sleeps."""
    position: int
    """Where the log had got to, as far as the client knew: the commit position of an event that it had appended."""

    def before(self, server_time: datetime | None) -> datetime | None:
        """Return what was certainly before it by the clock of the server, which says what time it is now.

        None where the server does not say it: its clock and that of this machine may differ by any amount.
        """
        if server_time is None:
            return None
        elapsed = max(time.time() - self.time, time.monotonic() - self.elapsing)
        return server_time - timedelta(seconds=elapsed) - CLOCKS

    def comes_after(self, event: RecordedEvent, before: datetime | None) -> bool:
        """Whether the event was certainly there before."""
        if event.commit_position is not None and event.commit_position <= self.position:
            return True
        return before is not None and event.recorded_at is not None and event.recorded_at < before


class Unsettled:
    """The appends of one client whose outcome nobody knows and any end of the stream would have done for."""

    def __init__(self) -> None:
        self._starts: OrderedDict[Wanted, LookStart] = OrderedDict()

    def add(self, request: Repeatable, start: LookStart) -> None:
        """Remember an append, and when it was made first."""
        if request.uncertain:
            self._starts[request.wanted[0]] = start
            if len(self._starts) > REMEMBERED:
                self._starts.popitem(last=False)

    def take(self, request: Repeatable) -> LookStart | None:
        """Forget an append that is made again; return when it was made first, None where it was not."""
        return self._starts.pop(request.wanted[0], None) if self._starts and request.wanted else None


class StreamLook(NamedTuple):
    """What a stream has shown."""

    found: AppendAnswer | None
    """Where the last event is; None when it has not been written."""
    end: int | None
    """Where the stream ended: the number of its last event, NO_STREAM where it has no events to show; or not seen."""


class CannotTell(EsdbClientException):
    """The stream does not show what has been written since."""


async def find_written(
    core: ClientCore,
    wanted: Wanted,
    start: LookStart,
    deadline: Deadline,
    credentials: CredentialsLike,
    seen: int = NO_STREAM,
) -> StreamLook:
    """Look for an event that was perhaps written since an append was made first. Raises CannotTell.

    `seen`: up to this number the stream was looked at before.
    """
    stream_name, wanted_id = wanted
    read = ReadRequest(stream_name, from_end=True, backwards=True, limit=LOOK_BACK, tells_last=True)
    from esdb_lite.client.read.call import ReadCall

    call = ReadCall(core, read, deadline, checked_credentials(credentials), need=Need.LEADER)
    end: int | None = None
    last: RecordedEvent | None = None
    before: datetime | None = None
    try:
        while items := await call.batch():
            for event in items:
                if not isinstance(event, RecordedEvent):
                    continue
                if last is None:  # a server that does not say what time it is has recorded this, its newest one, before
                    said = None if call.stream is None else call.stream.server_time
                    before = start.before(said or event.recorded_at)
                    end = event.stream_position
                if event.id == wanted_id:
                    return StreamLook(AppendAnswer(event.stream_position, event.commit_position), end)
                last = event
                if event.stream_position <= seen or start.comes_after(event, before):
                    return StreamLook(None, end)
    except StreamNotFound:
        return StreamLook(None, NO_STREAM)
    except EsdbClientException as error:
        if call.node is not None:
            core.failed(call.node, error)
        raise
    finally:
        call.close()
    if (call.last_stream_position is None and last is None) or (last is not None and last.stream_position == 0):
        return StreamLook(None, end)
    since = datetime.fromtimestamp(start.time, timezone.utc)
    raise CannotTell(f"stream {stream_name!r} does not show all that was appended since {since:%H:%M:%S} UTC")
