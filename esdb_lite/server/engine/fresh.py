"""What a new database holds before anybody has written to it.

Owns: the first records. Must not know: how they are kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from esdb_lite.server.engine.metadata import TICKS_PER_SECOND
from esdb_lite.server.storage import FIRST_POSITION, Record

EPOCH_POSITION = 231
_EPOCH_STREAM = "$epoch-information"
_SCAVENGES = "$$$scavenges"
SCAVENGES_METADATA = b'{"$maxAge":2592000,"$acl":{"$r":"$ops","$w":[],"$d":[],"$mr":[],"$mw":[]}}'
_EPOCH = (
    '{{"EpochPosition":231,"EpochNumber":0,"EpochId":"{epoch}","TimeStamp":"{time}Z","LeaderInstanceId":"{leader}"}}'
)


def contents(now: int, new_id: Callable[[], bytes]) -> list[Record]:
    """The first two records: the hidden epoch at 231, and the metadata of `$scavenges` at 548."""
    seconds, fraction = divmod(now, TICKS_PER_SECOND)
    time = f"{datetime(1970, 1, 1) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:07}"
    epoch = _EPOCH.format(epoch=uuid.UUID(bytes=new_id()), leader=uuid.UUID(bytes=new_id()), time=time)
    return [
        Record(EPOCH_POSITION, _EPOCH_STREAM, 0, new_id(), _EPOCH_STREAM, True, now, epoch.encode(), b""),
        Record(FIRST_POSITION, _SCAVENGES, 0, new_id(), "$metadata", True, now, SCAVENGES_METADATA, b""),
    ]
