"""Has a Python process that is started by a program of `python -m esdb_lite.compat` get the adapters, too.

Owns: installing them when the process begins, and running the `sitecustomize` that this one hides. Its folder is put
first on PYTHONPATH. Must not know: the adapters.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def _customize() -> None:
    """Run the hidden one, if there is one."""
    own = Path(__file__).parent
    sys.path[:] = [folder for folder in sys.path if Path(folder) != own]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


def _install() -> None:
    try:
        from esdb_lite.compat import install
    except ImportError:  # another interpreter, which does not have it
        return
    install()


try:
    _customize()
finally:
    _install()
