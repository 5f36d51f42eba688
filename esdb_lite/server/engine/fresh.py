"""What a new database holds before the first append, and what an election adds.

Owns: these records. Must not know: how they are kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from esdb_lite.server.engine.append import LogState, Moment
from esdb_lite.server.engine.metadata import TICKS_PER_SECOND
from esdb_lite.server.engine.model import Appended, Decision, length_of, place
from esdb_lite.server.storage import FIRST_POSITION, Record

EPOCH_POSITION = 231
_EPOCH_STREAM = "$epoch-information"
_SCAVENGES = "$$$scavenges"
SCAVENGES_METADATA = b'{"$maxAge":2592000,"$acl":{"$r":"$ops","$w":[],"$d":[],"$mr":[],"$mw":[]}}'
_EPOCH = (
    '{{"EpochPosition":{position},"EpochNumber":{number},"EpochId":"{epoch}","TimeStamp":"{time}Z",'
    '"LeaderInstanceId":"{leader}"}}'
)


def contents(now: int, new_id: Callable[[], bytes]) -> list[Record]:
    """The first two records: the hidden epoch at 231, and the metadata of `$scavenges` at 548."""
    return [
        _epoch(EPOCH_POSITION, 0, now, new_id),
        Record(FIRST_POSITION, _SCAVENGES, 0, new_id(), "$metadata", True, now, SCAVENGES_METADATA, b""),
    ]


def elect(state: LogState, moment: Moment) -> Decision:
    """Begin a new epoch: the node has been elected, again."""
    number = state.last_revision(_EPOCH_STREAM) + 1
    record = _epoch(moment.log_end, number, moment.now, moment.new_id)
    position = place(moment.log_end, length_of(record))
    if position != moment.log_end:
        record = _epoch(position, number, moment.now, moment.new_id)
    return Decision(Appended(number, position), [record], position + length_of(record))


def _epoch(position: int, number: int, now: int, new_id: Callable[[], bytes]) -> Record:
    seconds, fraction = divmod(now, TICKS_PER_SECOND)
    data = _EPOCH.format(
        position=position,
        number=number,
        epoch=uuid.UUID(bytes=new_id()),
        leader=uuid.UUID(bytes=new_id()),
        time=f"{datetime(1970, 1, 1) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:07}",
    )
    return Record(position, _EPOCH_STREAM, number, new_id(), _EPOCH_STREAM, True, now, data.encode(), b"")
