"""`python -m esdb_lite.compat program.py` (or `-m module`, or `-c code`), with the arguments of the program behind.

Owns: running it as `python` does. Must not know: the adapters.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from esdb_lite.compat import install

_USAGE = "usage: python -m esdb_lite.compat [-m MODULE | -c CODE | FILE] [ARGUMENT ...]"


def main(arguments: Sequence[str]) -> int:
    """Run a program that imports kurrentdbclient or esdbclient over our client; returns the exit status."""
    kind = arguments[0] if arguments and arguments[0] in ("-m", "-c") else ""
    program, *rest = arguments[1:] if kind else arguments or ("",)
    if not program or program in ("-h", "--help"):
        print(_USAGE, file=sys.stdout if program else sys.stderr)
        return 0 if program else 2
    install()
    _run(kind, program, rest)
    return 0


def _run(kind: str, program: str, rest: Sequence[str]) -> None:
    sys.argv[:] = [kind if kind == "-c" else program, *rest]
    sys.path[0] = "" if kind else str(Path(program).resolve().parent)
    if kind == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    elif kind == "-c":
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    else:
        runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
