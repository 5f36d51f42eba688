"""What the services of one server share.

Owns: the server as its services see it, and asking whether somebody may do something. Must not know: the wire, sockets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from esdb_lite._status import refusals
from esdb_lite.server.compatibility import BEHAVIOURS
from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.database.loop_share import LoopShare
from esdb_lite.server.engine.access import Action, Principal, allowed, decide_early
from esdb_lite.server.engine.node_streams import Newest, nothing, with_node_streams
from esdb_lite.server.faults.admission import Admission
from esdb_lite.server.handlers import ServerCall
from esdb_lite.server.indexes.catalogue import Indexes
from esdb_lite.server.options import DEFAULT_COMPATIBILITY
from esdb_lite.server.services.append_room import AppendRoom
from esdb_lite.server.services.live_encodings import LiveEncodings
from esdb_lite.server.services.page_room import PageRoom
from esdb_lite.server.storage import Reader

T = TypeVar("T")

_DEFAULTS = BEHAVIOURS[DEFAULT_COMPATIBILITY]


@dataclass(frozen=True)
class Context:
    """The database of a server, its clock and its limits."""

    database: Database
    now: Callable[[], int] = ticks_now
    """100-ns ticks since 1970."""
    max_append_size: int = _DEFAULTS.max_append_size
    """Bytes that the events of one append may have together."""
    max_append_event_size: int = _DEFAULTS.max_append_event_size
    cold_calls: LoopShare = field(default_factory=LoopShare)
    """Whose turn it is among the calls that are served by generated messages: reads do not wait for them."""
    pages: PageRoom = field(default_factory=PageRoom)
    """Limits what is held of answers that have not been taken."""
    live: LiveEncodings = field(default_factory=LiveEncodings)
    """Encodes live events."""
    append_room: AppendRoom = field(default_factory=AppendRoom)
    """Limits what is held of appends that are not complete."""
    new_id: Callable[[], bytes] = new_id
    """Makes the id of a record that comes without one."""
    admission: Admission = field(default_factory=Admission)
    """Is asked about calls, unless it is idle."""
    node_event: Newest = nothing
    """What the node says about itself, by stream."""
    indexes: Indexes | None = None
    """None: no reads by index."""

    async def read(self, query: Callable[[Reader], T]) -> T:
        """Run a function on one consistent state, with the node's own streams in it. Raises StorageError."""
        return await self.database.read(lambda reader: query(with_node_streams(reader, self.node_event)))

    def read_at_once(self, query: Callable[[Reader], T]) -> T | None:
        """Do the same for a few events now; None, and nothing is read, where that cannot be. Raises StorageError."""
        return self.database.read_at_once(lambda reader: query(with_node_streams(reader, self.node_event)))

    async def permits(self, principal: Principal, stream: str, action: Action) -> bool:
        """Whether somebody may do this with a stream now. Raises StorageError."""
        early = decide_early(principal, stream, action)
        if early is not None:
            return early
        return await self.database.read(lambda reader: allowed(reader, principal, stream, action))

    async def require(self, principal: Principal, stream: str, action: Action) -> None:
        """Refuse those who may not do this with a stream now. Raises RpcError, StorageError."""
        if not principal.trusted and not await self.permits(principal, stream, action):
            raise refusals.access_denied()

    def write(self, call: ServerCall, begin: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Write as faults and the role of the node have it. Raises RpcError, StorageError."""
        return begin() if self.admission.idle else self.admission.write(call, begin)
