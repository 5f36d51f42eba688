"""The records of checkpoints, as a real server writes them; nothing here is read again (the notes beside the log are).

Owns: when one is due, and the records. Must not know: how they are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from esdb_lite.server.projections.definitions import CHECKPOINT_METADATA, checkpoint_stream
from esdb_lite.server.projections.emitting import Emission, Owner
from esdb_lite.server.projections.javascript.tags import Tag
from esdb_lite.server.storage import PartitionState

CHECKPOINT_EVENTS = 4000
"""So many handled events lie between two."""
_OF_PARTITION = b'{"$maxCount":2,"$acl":{"$r":"$all","$mr":"$all"}}'


class Checkpoints:
    """What has happened since the last checkpoint of a projection."""

    def __init__(self, name: str, owner: Owner, *, is_partitioned: bool) -> None:
        self._name = name
        self._owner = owner
        self._is_partitioned = is_partitioned
        self._handled = 0
        self._new: dict[str, None] = {}
        self._touched: dict[str, None] = {}

    def begin_partitions(self, partitions: Iterable[str]) -> None:
        """These partitions are new."""
        if self._is_partitioned:
            self._new.update(dict.fromkeys(partitions))

    def handled(self, partitions: Iterable[str]) -> None:
        """An event of each of these has been handled."""
        for partition in partitions:
            self._handled += 1
            if self._is_partitioned:
                self._touched[partition] = None

    @property
    def is_due(self) -> bool:
        """Whether it is time for one."""
        return self._handled >= CHECKPOINT_EVENTS

    @property
    def touched(self) -> list[str]:
        """The partitions that have handled events since the last one."""
        return list(self._touched)

    def of_partitions(self, states: Mapping[str, PartitionState], tag: Tag) -> list[Emission]:
        """The records of these partitions."""
        records: list[Emission] = []
        for partition, state in states.items():
            stream = f"$projections-{self._name}-{partition}-checkpoint"
            records.append(self._record(stream, "$Checkpoint", _document(state), tag, _OF_PARTITION))
        return records

    @property
    def new(self) -> list[str]:
        """The partitions that have come since the last one."""
        return list(self._new)

    def listed(self, partitions: Iterable[str]) -> list[Emission]:
        """The records that list partitions."""
        listing = f"$projections-{self._name}-partitions"
        return [
            Emission(listing, "$partition", False, partition.encode(), stream_metadata=b"", stamped=False)
            for partition in partitions
        ]

    def of_all(self, state: PartitionState | None, tag: Tag) -> list[Emission]:
        """The record that ends a checkpoint; `state` is that of the root."""
        document = "[]" if self._is_partitioned or state is None else _document(state)
        stream = checkpoint_stream(self._name)
        return [self._record(stream, "$ProjectionCheckpoint", document, tag, CHECKPOINT_METADATA)]

    def _record(self, stream: str, type: str, document: str, tag: Tag, stream_metadata: bytes) -> Emission:
        metadata = f'{{"$v":"{self._owner.stamp}",{tag.metadata}}}'.encode()
        return Emission(stream, type, True, document.encode(), metadata, stream_metadata, stamped=False)

    def written(self) -> None:
        """It has been written."""
        self._handled = 0
        self._new, self._touched = {}, {}


def _document(state: PartitionState) -> str:
    texts = [state.state, *([state.result] if state.result else [])]
    return "[" + ",".join(_json(text) for text in texts) + "]"


def _json(text: str) -> str:
    """A text that is no JSON is written as one that is."""
    try:
        json.loads(text or "null")
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False)
    return text or "null"
