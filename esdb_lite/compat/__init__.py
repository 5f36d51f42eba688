"""Programs for kurrentdbclient and esdbclient, over our client and without grpcio.

Owns: putting the adapters under the old names. Must not know: the adapters.

Change the import to `esdb_lite.compat.kurrentdbclient` (or `.esdbclient`), or nothing at all: `python -m
esdb_lite.compat program.py`, or `esdb_lite.compat.install()` before the first import.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules

NAMES = ("kurrentdbclient", "esdbclient")
"""The packages whose names the adapters have."""


def install(*names: str) -> None:
    """Have programs that import kurrentdbclient or esdbclient get the adapters; with names, only those.

    Raises ValueError for other names, and RuntimeError where the package itself has been imported already.
    """
    for name in names or NAMES:
        if name not in NAMES:
            raise ValueError(f"names must be among {', '.join(NAMES)}, and {name!r} is not")
        package = import_module(f"{__name__}.{name}")
        if sys.modules.get(name, package) is not package:
            raise RuntimeError(f"{name} has been imported already: call install() before")
        sys.modules[name] = package
        for module in iter_modules(package.__path__):
            if not module.name.startswith("_"):
                sys.modules[f"{name}.{module.name}"] = import_module(f"{package.__name__}.{module.name}")
