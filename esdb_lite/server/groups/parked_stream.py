"""The stream of a group's parked events: where it begins, and the note of those that are being delivered again.

Owns: how both are written. Must not know: when, the rules of a group.
"""

from __future__ import annotations

from functools import partial

from esdb_lite.server.database.database import Database
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.engine import append as appending
from esdb_lite.server.engine.append import LogState, Moment, Rule
from esdb_lite.server.engine.groups.parking import parked_stream, truncation_metadata
from esdb_lite.server.engine.model import ANY, METADATA_TYPE, Appended, Decision, ProposedEvent, metastream_of
from esdb_lite.server.storage import ReplayNote


class ParkedStream:
    """The stream of one group."""

    def __init__(self, database: Database, stream: str, group: str) -> None:
        self.name = parked_stream(stream, group)
        self._database = database

    async def begin_with(self, number: int, unfinished_from: int | None) -> None:
        """Let it begin with a number, and note from where on events before that are not done. Raises StorageError."""
        event = ProposedEvent(new_id(), METADATA_TYPE, True, truncation_metadata(number))
        append = partial(appending.append, stream=metastream_of(self.name), expected=ANY, events=[event])
        await self._write(append, unfinished_from)

    async def note(self, unfinished_from: int | None) -> None:
        """Note that alone. Raises StorageError."""
        await self._write(_nothing, unfinished_from)

    async def _write(self, rule: Rule, unfinished_from: int | None) -> None:
        outcome = await self._database.execute(partial(_noted, rule, ReplayNote(self.name, unfinished_from)))
        if not isinstance(outcome, Appended):
            raise RuntimeError(f"{self.name} does not take events: {outcome}")


def _noted(rule: Rule, note: ReplayNote, state: LogState, moment: Moment) -> Decision:
    """What a rule decides, and a note with it unless it is refused."""
    decision = rule(state, moment)
    return decision._replace(notes=[note]) if isinstance(decision.outcome, Appended) else decision


def _nothing(_: LogState, moment: Moment) -> Decision:
    return Decision(Appended(-1, None), (), moment.log_end)
