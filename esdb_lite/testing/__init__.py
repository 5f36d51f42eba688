"""Tests of projections without a server: give a query events, look at what it makes of them.

Owns: what tests of projections are written with. Must not know: servers that run, the log, the wire.
"""

from esdb_lite.testing.given import GivenEvent, deletion, from_async_server, from_file, from_server
from esdb_lite.testing.outcome import EmittedEvent, LinkedEvent, ProjectionOutcome
from esdb_lite.testing.projection import Projection

__all__ = [
    "EmittedEvent",
    "GivenEvent",
    "LinkedEvent",
    "Projection",
    "ProjectionOutcome",
    "deletion",
    "from_async_server",
    "from_file",
    "from_server",
]
