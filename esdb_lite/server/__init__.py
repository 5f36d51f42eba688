"""The embedded server: the EventStoreDB protocol on SQLite.

Owns: `EmbeddedServer`, `SimulatedCluster` and what belongs to them. What they consist of is imported when one starts.
"""

from esdb_lite.server.embedded import EmbeddedServer
from esdb_lite.server.faults.api import Fault, Faults
from esdb_lite.server.faults.plan import Refusal
from esdb_lite.server.options import Compatibility, Durability, RunProjections
from esdb_lite.server.simulation.cluster import SimulatedCluster, SimulatedNode

__all__ = [
    "Compatibility",
    "Durability",
    "EmbeddedServer",
    "Fault",
    "Faults",
    "Refusal",
    "RunProjections",
    "SimulatedCluster",
    "SimulatedNode",
]
