"""The command line: running one, and how it ends.

Owns: exit statuses, and what a command that fails says. Must not know: arguments, how anything is done; each command
imports what it needs when it is called.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

OK = 0
WRONG = 1
FOUND_FAULTS = WRONG
REFUSED = 2
UNREACHABLE = 3
INTERRUPTED = 130
PIPE_CLOSED = 141
NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""What a file says that takes no more."""


class CommandFailed(Exception):
    """A command ends with one line on stderr and an exit status."""

    def __init__(self, message: str, status: int = REFUSED) -> None:
        super().__init__(message)
        self.status = status


def run(arguments: Sequence[str]) -> int:
    """Run one command line; wrong arguments exit at once with 2, as argparse does."""
    from esdb_lite.cli.parser import command_line

    try:
        try:
            return command_line(arguments)
        finally:
            sys.stdout.flush()
    except CommandFailed as failure:
        print(f"esdb-lite: {failure}", file=sys.stderr)
        return failure.status
    except BrokenPipeError:
        _hush()
        return PIPE_CLOSED
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        _hush()
        print(f"esdb-lite: {error.filename or 'the output'} cannot be written: {error.strerror}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _hush() -> None:
    """Nobody takes any more: nor is anything said when the interpreter closes its output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
