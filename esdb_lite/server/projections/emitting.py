"""What projections write, as a rule of the writer: links and events into streams that are theirs alone.

Owns: the numbers of what is written, the metadata of streams that begin, and the refusal of streams that others have
written to (section 4.4 of the notes on projections). Must not know: what makes a projection write something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from esdb_lite.server.engine.append import LogState, Moment
from esdb_lite.server.engine.metadata import min_readable, oldest_readable, with_truncate_before
from esdb_lite.server.engine.model import (
    METADATA_TYPE,
    Appended,
    Decision,
    is_metastream,
    metastream_of,
    place,
    record_length,
)
from esdb_lite.server.storage import TOMBSTONE, Note, Record

_STREAMS_KEPT = 50_000
_STAMP = re.compile(rb'\{"\$v":"(-?\d+):(-?\d+):')
_ACL_OF_SYSTEM = b'{"$acl":{"$r":"$all","$mr":"$all"}}'
_ACL_OF_USERS = b'{"$acl":{}}'


class Owner(NamedTuple):
    """Who writes: what its records say of it."""

    id: int
    epoch: int
    version: int

    @property
    def stamp(self) -> str:
        """What stands in the metadata of all that it writes."""
        return f"{self.id}:{self.epoch}:{self.version}:4"


class Emission(NamedTuple):
    """One event that a projection writes."""

    stream: str
    type: str
    is_json: bool
    data: bytes
    metadata: bytes = b""
    stream_metadata: bytes | None = None
    """The document that the stream gets when it begins; None: the one that all get; empty: none."""
    stamped: bool = True
    """Whether the metadata begin with the owner's stamp, so that it can be seen whose the stream is."""


class EmitRefused(Exception):
    """A stream is not this projection's alone, or is deleted for ever. Nothing has been written."""


class Emit:
    """A rule: writes all emissions, in their order, with notes beside the log, or nothing."""

    def __init__(
        self, owner: Owner, emissions: Sequence[Emission], known: dict[str, int], notes: Sequence[Note] = ()
    ) -> None:
        """`known`: the next number of streams that have been looked at since the start; `accept` adds to it."""
        self.cost = sum([len(emission.data) + len(emission.metadata) + 256 for emission in emissions])
        """Bytes that it holds."""
        self._owner = owner
        self._emissions = emissions
        self._known = known
        self._notes = notes
        self._numbers: Mapping[str, int] = {}
        self.written = range(0)
        """The part of the log that was taken for it."""

    def __call__(self, state: LogState, moment: Moment) -> Decision:
        """Decide. Raises EmitRefused."""
        writing = _Writing(self._owner, self._known, state, moment)
        writing.add(self._emissions)
        # Not into what is known, before all of it is committed.
        self._numbers = writing.numbers
        self.written = range(moment.log_end, writing.end)
        return Decision(Appended(len(writing.records) - 1, None), writing.records, writing.end, self._notes)

    def accept(self) -> None:
        """It has been committed."""
        if len(self._known) > _STREAMS_KEPT:
            self._known.clear()
        self._known.update(self._numbers)


class _Writing:
    def __init__(self, owner: Owner, known: Mapping[str, int], state: LogState, moment: Moment) -> None:
        self.numbers: dict[str, int] = {}
        self.records: list[Record] = []
        self.end = moment.log_end
        self._owner = owner
        self._known = known
        self._state = state
        self._now = moment.now
        self._new_id = moment.new_id

    def add(self, emissions: Sequence[Emission]) -> None:
        numbers, place_next = self.numbers, self._place
        for emission in emissions:
            stream, type, is_json, data, metadata, _, _ = emission
            if stream not in numbers:
                self._begin(emission)
            place_next(stream, type, is_json, data, metadata)

    def _place(self, stream: str, type: str, is_json: bool, data: bytes, metadata: bytes = b"") -> None:
        revision = self.numbers[stream]
        length = record_length(stream, type, len(data), len(metadata))
        position = place(self.end, length)
        self.end = position + length
        self.numbers[stream] = revision + 1
        id = self._new_id()
        # this way it takes half as long
        record = tuple.__new__(Record, (position, stream, revision, id, type, is_json, self._now, data, metadata, None))
        self.records.append(record)

    def _begin(self, emission: Emission) -> None:
        """Look at a stream that has not been written in this transaction."""
        stream, state = emission.stream, self._state
        last = state.last_revision(stream)
        if last == TOMBSTONE:
            raise EmitRefused(f"Stream : {stream} is deleted. Cannot emit events to it")
        self.numbers[stream] = last + 1
        if self._known.get(stream) != last + 1:
            if not self._goes_on(emission, last):
                self._begin_anew(emission, last)
        elif not is_metastream(stream) and state.metadata(stream).soft_deleted:
            document = with_truncate_before(state.metadata_document(stream), last + 1)
            if document is not None:
                self._write_metadata(stream, document)

    def _goes_on(self, emission: Emission, last: int) -> bool:
        """Whether the stream shows what this projection has written since its last reset. Raises EmitRefused."""
        if last < 0 or not self._is_readable(emission.stream, last):
            return False
        if not emission.stamped:
            return True
        record = self._state.last_event(emission.stream)
        found = None if record is None else _STAMP.match(record.metadata)
        owner, stream = self._owner, emission.stream
        if found is None:
            raise EmitRefused(
                f"The '{stream}' stream managed by projection {owner.id} has been written to from the outside."
            )
        if int(found[1]) != owner.id:
            raise EmitRefused(
                f"Multiple projections emitting to the same stream detected.  Stream: '{stream}'. "
                f"Last event projection: '{int(found[1])}'.  Emitting projection: '{owner.id}'"
            )
        return int(found[2]) >= owner.epoch

    def _is_readable(self, stream: str, last: int) -> bool:
        if is_metastream(stream):
            return True
        metadata = self._state.metadata(stream)
        oldest = oldest_readable(metadata, self._now)
        if min_readable(metadata, last) > last:
            return False
        stored = None if oldest is None else self._state.stored(stream, last)
        return stored is None or oldest is None or stored.created >= oldest

    def _begin_anew(self, emission: Emission, last: int) -> None:
        """Give the stream its metadata; what is in it, if there is anything, is gone by that."""
        if is_metastream(emission.stream):
            return
        document = emission.stream_metadata
        if document is None:
            document = _ACL_OF_SYSTEM if emission.stream.startswith("$") else _ACL_OF_USERS
        if last >= 0:
            document = b'{"$tb":%d' % (last + 1) + (b"," + document[1:] if document else b"}")
        if document:
            self._write_metadata(emission.stream, document)

    def _write_metadata(self, stream: str, document: bytes) -> None:
        metastream = metastream_of(stream)
        if metastream not in self.numbers:
            last = self._state.last_revision(metastream)
            if last == TOMBSTONE:
                raise EmitRefused(f"Stream : {metastream} is deleted. Cannot emit events to it")
            self.numbers[metastream] = last + 1
        self._place(metastream, METADATA_TYPE, True, document)


__all__ = ["Emission", "Emit", "EmitRefused", "Owner"]
