"""What every client consists of: its connections, and the way of its appends.

Owns: putting them together. Must not know: the public methods. It brings all that connects, and is imported when a
client is made: importing a client costs a program less that makes none.
"""

from __future__ import annotations

from esdb_lite.client.append.appender import Appender
from esdb_lite.client.append.repeating import Repeater
from esdb_lite.client.core import ClientCore
from esdb_lite.connection_strings import ConnectionSettings


def parts_of(settings: ConnectionSettings) -> tuple[ClientCore, Appender]:
    """Return the parts of a new client."""
    core = ClientCore(settings)
    return core, Appender(core, Repeater(core))
