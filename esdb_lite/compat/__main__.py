"""`python -m esdb_lite.compat program.py` (or `-m module`, `-c code`, `-`), with the arguments of the program behind.

Owns: running it as `python` does, and having the processes that it starts get the adapters.
Must not know: the adapters.
"""

from __future__ import annotations

import builtins
import os
import runpy
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from esdb_lite.compat import install

_USAGE = "usage: python -m esdb_lite.compat [-m MODULE | -c CODE | FILE | -] [ARGUMENT ...]"
_CHILDREN = str(Path(__file__).resolve().parent / "children")


def main(arguments: Sequence[str]) -> int:
    """Run a program that imports kurrentdbclient or esdbclient over our client; returns the exit status."""
    first, *rest = arguments or ("",)
    if first in ("-h", "--help"):
        print(_USAGE)
        return 0
    kind = first[:2] if first[:2] in ("-m", "-c") else ""
    if kind and not first[2:] and not rest:
        return _refused(f"argument expected for the {kind} option\n{_USAGE}")
    if not kind and first != "-" and first[:1] in ("", "-"):
        return _refused(f"unknown option {first}\n{_USAGE}" if first else _USAGE)
    if kind:
        program, *rest = [first[2:], *rest] if first[2:] else rest
    else:
        program = first
    install()
    _install_in_children()
    sys.argv[:] = [kind or program, *rest]
    return _run(kind, program)


def _install_in_children() -> None:
    """Have processes that are started get the adapters: those of multiprocessing, pytest-xdist and subprocess."""
    others = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder not in ("", _CHILDREN)]
    os.environ["PYTHONPATH"] = os.pathsep.join([_CHILDREN, *others])


def _run(kind: str, program: str) -> int:
    if kind == "-m":
        return _run_module(program)
    if kind == "-c" or program == "-":
        sys.path[0] = ""
        return _execute(program, "<string>") if kind else _execute(sys.stdin.buffer.read(), "<stdin>")
    return _run_file(program)


def _run_module(name: str) -> int:
    try:
        found = find_spec(name)
        if found is not None and found.submodule_search_locations is not None:
            found, name = find_spec(f"{name}.__main__"), f"{name}.__main__"
    except (ImportError, ValueError) as error:
        return _refused(f"cannot find the module {name!r}: {error}", 1)
    if found is None:
        return _refused(f"No module named {name}", 1)
    runpy.run_module(name.removesuffix(".__main__"), run_name="__main__", alter_sys=True)
    return 0


def _run_file(program: str) -> int:
    path = Path(program)
    where = os.path.abspath(program)  # as `python` does: links stay
    if path.is_dir() or (path.is_file() and (path.suffix == ".pyc" or zipfile.is_zipfile(path))):
        sys.path[0] = str(path.resolve().parent) if path.suffix == ".pyc" else where
        runpy.run_path(program, run_name="__main__")
        return 0
    try:
        source = path.read_bytes()
    except OSError as error:
        return _refused(f"can't open file {where!r}: [Errno {error.errno}] {error.strerror}")
    sys.path[0] = str(path.resolve().parent)
    return _execute(source, where, __file__=where)


def _execute(source: str | bytes, name: str, **more: object) -> int:
    """Run a program as the main module, so that its classes can be pickled."""
    code = compile(source, name, "exec", dont_inherit=True)
    sys.modules["__main__"] = module = ModuleType("__main__")
    vars(module).update(more, __builtins__=builtins)
    exec(code, vars(module))
    return 0


def _refused(text: str, status: int = 2) -> int:
    print(text if text == _USAGE else f"{sys.executable}: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
