"""What a projection holds for its partitions: those used last here, all others beside the log.

Owns: which of them stay in memory, and which have changed since they were noted. Must not know: how they are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping

from esdb_lite.server.storage import PartitionState

KEPT_BYTES = 8 * 1024 * 1024
_STATE_BYTES = 250


class StateCache(MutableMapping[str, PartitionState]):
    """States by partition, within about so many bytes; what has changed stays until it is noted."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most = most
        self._states: dict[str, PartitionState] = {}
        self._bytes = 0
        self.changed: dict[str, PartitionState] = {}
        """What is not noted yet."""

    def __getitem__(self, partition: str) -> PartitionState:
        return self._states[partition]

    def __setitem__(self, partition: str, state: PartitionState) -> None:
        self.load({partition: state})
        self.changed[partition] = state

    def __delitem__(self, partition: str) -> None:
        self._bytes -= _size(partition, self._states.pop(partition))

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def load(self, states: MutableMapping[str, PartitionState] | dict[str, PartitionState]) -> None:
        """Take what is noted."""
        for partition, state in states.items():
            if partition in self._states:
                del self[partition]
            self._states[partition] = state
            self._bytes += _size(partition, state)

    def use(self, partitions: Iterable[str]) -> list[str]:
        """Keep these longest; answers those that are not here."""
        missing: list[str] = []
        for partition in dict.fromkeys(partitions):
            state = self._states.pop(partition, None)
            if state is None:
                missing.append(partition)
            else:
                self._states[partition] = state
        return missing

    def noted(self) -> None:
        """All that has changed is noted; what has not been used for longest may go, but never what was used last."""
        self.changed = {}
        while self._bytes > self._most and len(self._states) > 2:
            del self[next(iter(self._states))]


def _size(partition: str, state: PartitionState) -> int:
    return _STATE_BYTES + len(partition) + len(state.state) + len(state.result)
