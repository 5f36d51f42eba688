"""Names that programs import from a module where kurrentdbclient only uses them: `streams.RecordedEvent`.

Owns: finding them where they are at home. Must not know: what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

HOMES = ("events", "exceptions", "common", "connection_spec", "gossip")
"""The modules that others import values from."""


def elsewhere(module: str) -> Callable[[str], object]:
    """Return the `__getattr__` of a module."""
    package = module.rpartition(".")[0]

    def find(name: str) -> object:
        for home in HOMES:
            found = vars(import_module(f"{package}.{home}"))
            if name in found and not name.startswith("_"):
                return found[name]
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find
