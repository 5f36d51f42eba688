"""Snapshots of states: where they are, and whether they still are of any use.

Owns: reading and writing them. Must not know: how states grow. A snapshot that cannot be used, or cannot be written,
costs time and nothing else: it is logged.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from esdb_lite._checks import checked_int
from esdb_lite.client.decisions.means import Calls, Means
from esdb_lite.decisions import Snapshot, Snapshots
from esdb_lite.errors import StreamNotFound, WrongArgumentType
from esdb_lite.event_types.comparison import difference
from esdb_lite.event_types.registry import EventTypes
from esdb_lite.events import NewEvent, RecordedEvent, StreamState
from esdb_lite.metadata import StreamMetadata
from esdb_lite.positions import LARGEST

if TYPE_CHECKING:
    from esdb_lite.events import JsonValue

_log = logging.getLogger("esdb_lite.client")

TYPE = "Snapshot"


class SnapshotKeeper:
    """The snapshots of one stream."""

    def __init__(self, snapshots: Snapshots, means: Means, stream_name: str) -> None:
        self._snapshots = snapshots
        self._means = means
        self._types = means.types or EventTypes()
        self._stream_name = stream_name
        self._at: int | None = None
        self._bounded = False

    def load(self) -> Calls:
        """Return the snapshot and its state; None where there is none of use."""
        store = self._snapshots.store
        try:
            found = (yield partial(store.load, self._stream_name)) if store is not None else (yield from self._read())
        except Exception as error:
            _log.warning("the snapshot of %r cannot be loaded: %r", self._stream_name, error)
            return None
        if found is None or not isinstance(found, Snapshot):
            if found is not None:
                raise WrongArgumentType("store", store, f"must return a Snapshot or None from load(), not {found!r}")
            return None
        if found.version != self._snapshots.version:
            return None
        try:
            checked_int("position", found.position, 0, LARGEST)
            state: object = self._types.from_plain(self._snapshots.kind, found.state)
        except Exception as error:
            _log.warning("the snapshot of %r is not used: %s", self._stream_name, error)
            return None
        self._at = found.position
        return found, state

    def outlives(self, position: int) -> Calls:
        """Whether a snapshot counts whose event is missing while the next one is there."""
        if (yield from outlives(self._means, self._stream_name, position)):
            return True
        _log.warning(
            "the snapshot of %r is not used: event %d is missing; the stream was deleted, or truncated there",
            self._stream_name,
            position,
        )
        self._at = None
        return False

    def save(self, state: object, position: int, event_id: UUID) -> Calls:
        """Store a state up to an event when it is time for it."""
        if position - (-1 if self._at is None else self._at) < self._snapshots.every:
            return
        try:
            plain = self._plain(state)
            snapshot = Snapshot(plain, position, event_id, self._snapshots.version)
            store = self._snapshots.store
            if store is not None:
                yield partial(store.save, self._stream_name, snapshot)
            else:
                yield from self._write(snapshot)
        except Exception as error:
            _log.warning("there is no snapshot of %r: %s", self._stream_name, error)
            return
        self._at = position

    def _plain(self, state: object) -> JsonValue:
        """The state as JSON values, of which it can be made again. Raises ValueError, TypeError."""
        plain = self._types.to_plain(state)
        changed = difference(state, self._types.from_plain(self._snapshots.kind, plain))
        if changed is not None:
            raise ValueError(changed)
        return plain

    @property
    def _name(self) -> str:
        return self._snapshots.prefix + self._stream_name

    def _read(self) -> Calls:
        reading = self._means.client.read_stream_events(self._name, backwards=True, limit=1, **self._means.options())
        try:
            batch = yield reading.next_batch
        except StreamNotFound:
            return None
        self._bounded = True
        return _snapshot_of(batch[0]) if batch else None

    def _write(self, snapshot: Snapshot) -> Calls:
        client, options = self._means.client, self._means.options()
        if not self._bounded:
            yield partial(client.set_stream_metadata, self._name, StreamMetadata(max_count=1), **options)
            self._bounded = True
        content: dict[str, JsonValue] = {
            "state": snapshot.state,
            "position": snapshot.position,
            "eventId": str(snapshot.event_id),
            "version": snapshot.version,
        }
        event = NewEvent.json(TYPE, content)
        yield partial(client.append_events, self._name, StreamState.ANY, event, **options)


def outlives(means: Means, stream_name: str, position: int) -> Calls:
    """Whether a state counts whose last event is missing while the next one is there.

    A limit of number or age takes events away and leaves `$tb` alone. A stream that goes on after its deletion has
    there where it goes on; so has one that was truncated, and nothing tells them apart.
    """
    metadata = yield partial(means.client.get_stream_metadata, stream_name, **means.options())
    return metadata.truncate_before is None or metadata.truncate_before <= position


def hides(means: Means, stream_name: str, position: int) -> Calls:
    """Whether the metadata of a stream tell why its event there, which is its last one, cannot be read."""
    metadata = yield partial(means.client.get_stream_metadata, stream_name, **means.options())
    truncated = metadata.truncate_before is not None and metadata.truncate_before > position
    return truncated or metadata.max_age is not None


def _snapshot_of(event: RecordedEvent) -> Snapshot | None:
    try:
        said: dict[str, Any] = event.json()
        return Snapshot(said["state"], int(said["position"]), UUID(said["eventId"]), int(said["version"]))
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        _log.warning("%d@%s is no snapshot: %s", event.stream_position, event.stream_name, error)
        return None
