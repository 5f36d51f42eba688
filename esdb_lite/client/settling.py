"""Finding out whether events are written whose append was not answered.

Owns: looking for them in their stream. Must not know: how they were sent, what is done about the answer.

A server that is asked again with the same ids and an exact expectation knows the events itself. Where any end of the
stream will do, it remembers only the ids of late, and none from before it was started; so the client looks first.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from esdb_lite._convert import ReadRequest
from esdb_lite._wire.appending import Appended
from esdb_lite.client.choosing import Need
from esdb_lite.client.reading import Reading
from esdb_lite.client.security import checked_credentials
from esdb_lite.errors import EsdbClientException, StreamNotFound
from esdb_lite.events import RecordedEvent

if TYPE_CHECKING:
    from esdb_lite._rpc.deadline import Deadline
    from esdb_lite.client.appending import AppendRequest
    from esdb_lite.client.session import Session
    from esdb_lite.settings import CredentialsLike

LOOK_BACK = 10_000
"""Events at the end of the stream that are looked at."""
CLOCKS = timedelta(minutes=5)
"""By how much the server's clock may be behind the client's."""


class CannotTell(EsdbClientException):
    """The stream does not show what has been written since."""


async def find_written(
    session: Session, request: AppendRequest, since: datetime, deadline: Deadline, credentials: CredentialsLike
) -> Appended | None:
    """Return where the events are; None when they have not been written since a time. Raises CannotTell."""
    wanted, oldest = request.events[-1].id, since - CLOCKS
    read = ReadRequest(request.stream_name, from_end=True, backwards=True, limit=LOOK_BACK)
    reading = Reading(session, read, deadline, checked_credentials(credentials), need=Need.LEADER)
    last: RecordedEvent | None = None
    try:
        while items := await reading.batch():
            for event in items:
                if not isinstance(event, RecordedEvent):
                    continue
                if event.id == wanted:
                    return Appended(event.stream_position, event.commit_position)
                last = event
                if event.recorded_at is not None and event.recorded_at < oldest:
                    return None
    except StreamNotFound:
        return None
    except EsdbClientException as error:
        if reading.node is not None:
            session.failed(reading.node, error)
        raise
    finally:
        reading.close()
    if (reading.last_stream_position is None and last is None) or (last is not None and last.stream_position == 0):
        return None
    raise CannotTell(f"stream {request.stream_name!r} does not show all that was appended since {since:%H:%M:%S} UTC")
