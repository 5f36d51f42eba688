"""Domain values to and from the generated messages, a file a service: for calls that are not hot.

Owns: the shape of cold messages. Must not know: connections, loops. Its modules are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from esdb_lite._convert import gossip as gossip
    from esdb_lite._convert import groups as groups
    from esdb_lite._convert import indexes as indexes
    from esdb_lite._convert import operations as operations
    from esdb_lite._convert import projections as projections
    from esdb_lite._convert import schemas as schemas
    from esdb_lite._convert import streams as streams
    from esdb_lite._convert import users as users


def __getattr__(name: str) -> ModuleType:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
