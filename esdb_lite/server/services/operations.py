"""The Operations service: scavenges, and other requests of administrators.

Owns: the answers of its methods, and the streams in which scavenges are noted (section 22 of the protocol notes).
Must not know: what a scavenge removes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping

from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client import operations as pb

from esdb_lite._status import refusals
from esdb_lite.server.database.database import Database
from esdb_lite.server.database.scavenging import Scavenge
from esdb_lite.server.engine.fresh import SCAVENGES_METADATA, elect
from esdb_lite.server.engine.model import ANY, METADATA_TYPE, ProposedEvent, metastream_of
from esdb_lite.server.storage.errors import StorageError

log = logging.getLogger("esdb_lite.server")

_AT_LEAST = 0.25
"""Seconds that a scavenge is reported as running: who starts it twice learns of the first, as from a real server."""


class Operations(pb.OperationsBase):
    """The methods of the service."""

    def __init__(
        self,
        database: Database,
        *,
        shut_down: Callable[[], None],
        restart_groups: Callable[[], Awaitable[None]],
        resign: Callable[[], None] | None = None,
    ) -> None:
        """`shut_down` makes the server stop soon, `resign` makes another node lead soon (None: there is none).

        `restart_groups` restarts the persistent subscriptions.
        """
        self._database = database
        self._shut_down = shut_down
        self._restart_groups = restart_groups
        self._resign = resign
        self._running: tuple[Scavenge, asyncio.Task[None]] | None = None

    async def stop(self) -> None:
        """Stop a running scavenge and wait for its end. Idempotent."""
        if self._running is not None:
            scavenge, task = self._running
            scavenge.stop()
            task.cancel()
            await asyncio.wait([task])

    async def start_scavenge(self, start_scavenge_req: pb.StartScavengeReq) -> pb.ScavengeResp:
        """Begin to remove what is not needed any more."""
        if not start_scavenge_req.is_set("options"):
            raise refusals.invalid_argument("options is missing: a scavenge needs it; it may be empty.")
        if self._running is not None:
            return _scavenge(self._running[0].id, pb.ScavengeRespScavengeResult.InProgress)
        scavenge = await self._database.start_scavenge()
        self._running = (scavenge, asyncio.get_running_loop().create_task(self._watch(scavenge)))
        return _scavenge(scavenge.id, pb.ScavengeRespScavengeResult.Started)

    async def _watch(self, scavenge: Scavenge) -> None:
        """Note a scavenge's beginning and end in the log."""
        shortest = asyncio.get_running_loop().time() + _AT_LEAST
        try:
            await self._note(scavenge, "$scavengeStarted", {})
            await self._database.scavenge_ended()
            await asyncio.sleep(shortest - asyncio.get_running_loop().time())
            result = "Stopped" if scavenge.stopped else "Success"
            await self._note(scavenge, "$scavengeCompleted", {"result": result, "spaceSaved": scavenge.freed})
        except StorageError as error:
            log.error("scavenge %s failed: %s", scavenge.id, error)
        finally:
            self._running = None

    async def _note(self, scavenge: Scavenge, type_: str, more: Mapping[str, object]) -> None:
        stream = f"$scavenges-{scavenge.id}"
        if type_ == "$scavengeStarted":
            await self._append("$scavengePoints", "$scavengePoint", b'{"threshold":0}')
            await self._append(metastream_of(stream), METADATA_TYPE, SCAVENGES_METADATA)
        data = json.dumps({"scavengeId": scavenge.id, "nodeEndpoint": "", **more}, indent=2).encode()
        await self._append(stream, type_, data)
        number = 0 if type_ == "$scavengeStarted" else 1
        await self._append("$scavenges", "$>", f"{number}@{stream}".encode(), is_json=False)

    async def _append(self, stream: str, type_: str, data: bytes, *, is_json: bool = True) -> None:
        await self._database.append(stream, ANY, [ProposedEvent(uuid.uuid4().bytes, type_, is_json, data)])

    async def stop_scavenge(self, stop_scavenge_req: pb.StopScavengeReq) -> pb.ScavengeResp:
        """Stop the scavenge that runs."""
        if not stop_scavenge_req.is_set("options"):
            raise refusals.invalid_argument("options is missing: it names the scavenge to stop.")
        running = self._running
        asked = stop_scavenge_req.options.scavenge_id
        if running is None or asked not in (running[0].id, "current"):
            raise refusals.scavenge_not_found("" if running is None else running[0].id)
        running[0].stop()
        return _scavenge(running[0].id, pb.ScavengeRespScavengeResult.Stopped)

    async def shutdown(self, client_empty: Empty) -> Empty:
        """Have the server stop soon."""
        self._shut_down()
        return Empty()

    async def resign_node(self, client_empty: Empty) -> Empty:
        """Have another node lead soon."""
        if self._resign is not None:
            self._resign()
        else:  # there is no other node: this one is elected again
            await self._database.execute(elect)
        return Empty()

    async def merge_indexes(self, client_empty: Empty) -> Empty:
        """Do nothing: there is one index."""
        return Empty()

    async def set_node_priority(self, set_node_priority_req: pb.SetNodePriorityReq) -> Empty:
        """Do nothing: no election asks for it."""
        return Empty()

    async def restart_persistent_subscriptions(self, client_empty: Empty) -> Empty:
        """Restart all persistent subscriptions."""
        await self._restart_groups()
        return Empty()


def _scavenge(scavenge_id: str, result: int) -> pb.ScavengeResp:
    return pb.ScavengeResp(scavenge_id=scavenge_id, scavenge_result=pb.ScavengeRespScavengeResult(result))
