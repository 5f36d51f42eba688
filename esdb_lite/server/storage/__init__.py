"""The storage protocol: what the engine and the services may ask of the storage.

Owns: the record type and the two protocols. Must not know: SQLite, threads, asyncio, protobuf.
`sqlite_reader` and `sqlite_writer` are the implementation; tests of the engine use a naive one in memory.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from esdb_lite.positions import LARGEST
from esdb_lite.records import SchemaFormat

TOMBSTONE = LARGEST
"""The revision of a tombstone event, and the value of `$tb` that marks a soft-deleted stream."""

FIRST_POSITION = 548
"""The position of the first event of a fresh database (section 4.1 of the protocol notes)."""


class StoredSchema(NamedTuple):
    """What is kept of a record of the newer protocol beside what its readers see."""

    format: SchemaFormat
    size: int
    """Bytes that its properties take in the log, which has them in another form than `metadata`."""


class Record(NamedTuple):
    """One event as stored. Positions are byte offsets in the log that a real server would have written."""

    position: int
    stream: str
    revision: int
    id: bytes
    """16 bytes, big-endian (RFC 4122)."""
    type: str
    is_json: bool
    created: int
    """100-ns ticks since 1970-01-01 UTC."""
    data: bytes
    metadata: bytes
    schema: StoredSchema | None = None
    """None: an event of the older protocol."""


class Sketch(NamedTuple):
    """What is looked at of an event by those who look for few among many."""

    position: int
    number: int
    """Of its stream or its type; it never changes."""


class StreamHead(NamedTuple):
    """What is known of a stream that has events or metadata."""

    last_revision: int
    """Number of the last event ever written, -1: none; unaffected by truncation; TOMBSTONE when tombstoned."""
    metadata: Record | None
    """The last event of `$$stream`, unparsed, or None. (For a stream whose name starts with `$$`: always None.)"""


class PartitionState(NamedTuple):
    """What a projection holds for one partition, as text; empty: nothing."""

    state: str
    result: str


class Progress(NamedTuple):
    """A note beside the log: how far a projection has come, and what it holds by that."""

    id: int
    """The projection's."""
    position: str
    """Up to where, in the projection's own words."""
    states: Mapping[str, PartitionState] = {}
    """By partition: those that have changed."""
    checkpoint: bool = False
    """Whether `GoBack` leads here from now on."""


class Forget(NamedTuple):
    """A note beside the log: a projection starts over, or is gone."""

    id: int


class GoBack(NamedTuple):
    """A note beside the log: what was noted at the last checkpoint holds again."""

    id: int


class IndexProgress(NamedTuple):
    """A note beside the log: what of it is in an index that a user has defined."""

    id: int
    """The index's: the position of the event that has defined it."""
    position: int
    """Up to where all events have been looked at."""
    entries: Sequence[tuple[int, bytes]]
    """Positions of events that are in it, with their values."""


class ForgetIndex(NamedTuple):
    """A note beside the log: an index is gone. Of a large one a part, until it has no position any more."""

    id: int


class ReplayNote(NamedTuple):
    """A note beside the log: parked events that are being delivered again, and are not parked any more."""

    stream: str
    """In which they are."""
    first: int | None
    """The lowest number of one that is not done; None: all are."""


IndexNote: TypeAlias = "IndexProgress | ForgetIndex"
Note: TypeAlias = "Progress | Forget | GoBack | IndexNote | ReplayNote"
"""Something that is remembered in the transaction that writes events, and is no event."""


class StoredPosition(NamedTuple):
    """How far a projection has come; empty: nowhere."""

    position: str
    checkpoint: str


class LogSelection(NamedTuple):
    """The events of the log that are not the server's own: neither stream nor type begins with `$`."""

    category: str | None = None
    """Those of streams of this category: the name up to its first hyphen, or all of it. None: of all streams."""
    type: str | None = None
    """Those of this type; None: of all types."""


class Named(enum.Enum):
    """What has a name that is kept as long as the database: also when no event has it any more."""

    STREAM = "streams"
    TYPE = "types"


class SelectedPage(NamedTuple):
    """Events that were looked for in a part of the log, which may hold none of them."""

    records: list[Record]
    following: int | None
    """The position to go on from, in the direction of the search; None: there is nothing more to look at."""


class Reader(Protocol):
    """A consistent view of what is committed. Used by one thread at a time, for one page at a time.

    The four page methods are bounded by bytes as well: a page ends early once it holds about 256 KiB, so that a page
    shorter than `limit` does not mean the end; an empty page does. Damaged events raise `StorageCorrupted`.
    """

    def head(self, stream: str) -> StreamHead | None:
        """None when the stream has neither events nor metadata."""
        ...

    def stream_forward(self, stream: str, first: int, limit: int) -> list[Record]:
        """Up to `limit` stored events with revision >= first, ascending. Metadata rules are not applied here."""
        ...

    def stream_backward(self, stream: str, first: int, limit: int) -> list[Record]:
        """Up to `limit` stored events with revision <= first, descending."""
        ...

    def log_forward(self, first: int, limit: int) -> list[Record]:
        """Up to `limit` events with position >= first, ascending, of all streams."""
        ...

    def log_sketched(self, what: Named, first: int, limit: int) -> list[Sketch]:
        """Up to `limit` events with position >= first, ascending, by the numbers of their streams or types.

        Not bounded by bytes, and nothing is checked.
        """
        ...

    def name_of(self, what: Named, number: int) -> str:
        """The name of a stream or type, given its number."""
        ...

    def log_of_users(self, first: int, before: int, limit: int) -> list[Record]:
        """Up to `limit` events with first <= position < before, ascending, of streams that are no system streams.

        Metadata streams of such streams are among them.
        """
        ...

    def log_backward(self, before: int, limit: int) -> list[Record]:
        """Up to `limit` events with position < before, descending, of all streams."""
        ...

    def log_at(self, positions: Sequence[int]) -> list[Record]:
        """The events at these positions, in this order; missing ones are left out. Ends early as the pages do."""
        ...

    def selected_forward(self, selection: LogSelection, first: int, limit: int) -> SelectedPage:
        """Up to `limit` selected events with position >= first, ascending, out of a part of the log."""
        ...

    def selected_backward(self, selection: LogSelection, last: int, limit: int) -> SelectedPage:
        """Up to `limit` selected events with position <= last, descending, out of a part of the log."""
        ...

    def log_end(self) -> int:
        """The position that the next record will get."""
        ...

    def last_position(self) -> int:
        """The position of the last event in the log (0 when there is none)."""
        ...

    def at(self, stream: str, revisions: Sequence[int]) -> dict[int, Record]:
        """The stored events of a stream with these revisions; missing ones are left out."""
        ...

    def names(self, what: Named, first: str, limit: int) -> list[str]:
        """Up to `limit` names from `first` on, in the order of their code points."""
        ...

    def projection_position(self, id: int) -> StoredPosition | None:
        """How far a projection has come, as noted; None when nothing is noted."""
        ...

    def projection_states(self, id: int, partitions: Sequence[str]) -> dict[str, PartitionState]:
        """What a projection holds for these partitions, as noted; those without a note are left out."""
        ...

    def replayed_from(self, stream: str) -> int | None:
        """The lowest number of a parked event that was replayed and is not done, as noted; None: nothing is noted."""
        ...

    def index_position(self, id: int) -> int | None:
        """Up to where an index of a user's has been filled, as noted; None when nothing is noted."""
        ...

    def index_forward(self, id: int, value: bytes | None, first: int, limit: int) -> SelectedPage:
        """Up to `limit` events of such an index (None: with any value) with position >= first, ascending."""
        ...

    def index_backward(self, id: int, value: bytes | None, last: int, limit: int) -> SelectedPage:
        """Up to `limit` events of such an index (None: with any value) with position <= last, descending."""
        ...
