"""What esdbclient knows of projections: what kurrentdbclient knows.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esdb_lite.compat.kurrentdbclient._elsewhere import elsewhere
from esdb_lite.compat.kurrentdbclient.projections import ProjectionState, ProjectionStatistics

ProjectionResult = ProjectionState

__all__ = ["ProjectionResult", "ProjectionState", "ProjectionStatistics"]

if not TYPE_CHECKING:
    __getattr__ = elsewhere(__name__)
