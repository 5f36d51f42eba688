"""Notes beside the log: how far projections have come, and what they hold.

Owns: their two tables. Must not know: transactions, what the texts mean.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from esdb_lite.server.storage import Forget, GoBack, PartitionState, Progress, StoredPosition

_COME = "INSERT INTO projections VALUES (?, ?, '') ON CONFLICT DO UPDATE SET position=excluded.position"
_CHECKPOINT = "UPDATE projections SET checkpoint=position WHERE id=?"
_HOLD = """
INSERT INTO projection_states (id, partition, state, result) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET state=excluded.state, result=excluded.result
"""
_OF_CHANGED = "INDEXED BY projection_states_changed"
"""What a checkpoint costs goes by what has changed. The condition has to be the index's, word for word."""
_CHANGED = "id=? AND (kept_state IS NOT state OR kept_result IS NOT result)"
_KEEP = f"UPDATE projection_states {_OF_CHANGED} SET kept_state=state, kept_result=result WHERE {_CHANGED}"
_FORGET = ("DELETE FROM projections WHERE id=?", "DELETE FROM projection_states WHERE id=?")
_GO_BACK = (
    "UPDATE projections SET position=checkpoint WHERE id=?",
    f"DELETE FROM projection_states {_OF_CHANGED} WHERE {_CHANGED} AND kept_state IS NULL",
    f"UPDATE projection_states {_OF_CHANGED} SET state=kept_state, result=kept_result WHERE {_CHANGED}",
)
_POSITION = "SELECT position, checkpoint FROM projections WHERE id=?"
_STATE = "SELECT state, result FROM projection_states WHERE id=? AND partition=?"


def save(connection: sqlite3.Connection, note: Progress | Forget | GoBack) -> None:
    """Write a note, within the transaction that is open."""
    if isinstance(note, Progress):
        _save_progress(connection, note)
        return
    for statement in _FORGET if isinstance(note, Forget) else _GO_BACK:
        connection.execute(statement, (note.id,))


def _save_progress(connection: sqlite3.Connection, note: Progress) -> None:
    connection.execute(_COME, (note.id, note.position))
    if note.states:
        rows = [(note.id, partition, *state) for partition, state in note.states.items()]
        connection.executemany(_HOLD, rows)
    if note.checkpoint:
        connection.execute(_CHECKPOINT, (note.id,))
        connection.execute(_KEEP, (note.id,))


def position(connection: sqlite3.Connection, id: int) -> StoredPosition | None:
    """How far a projection has come."""
    row = connection.execute(_POSITION, (id,)).fetchone()
    return None if row is None else StoredPosition(*row)


def states(connection: sqlite3.Connection, id: int, partitions: Sequence[str]) -> dict[str, PartitionState]:
    """What a projection holds for these partitions."""
    found = {partition: connection.execute(_STATE, (id, partition)).fetchone() for partition in partitions}
    return {partition: PartitionState(*row) for partition, row in found.items() if row is not None}


__all__ = ["Forget", "GoBack", "position", "save", "states"]
