"""Keeps the headers that say who is calling out of the logs.

Owns: what the header compression of HTTP/2 may write into the log. At level DEBUG it writes every header, and the
`authorization` of every call would be in the logs of everybody who turns on DEBUG. Must not know: calls.
"""

from __future__ import annotations

import logging

_LOGGERS = ("hpack.hpack", "hpack.table")


def keep_secrets() -> None:
    """Drop those lines, and all below INFO unless somebody has asked for these loggers by name. Idempotent."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_shows_no_secret)


def _shows_no_secret(record: logging.LogRecord) -> bool:
    if record.levelno < logging.INFO and not _asked_for(record.name):
        return False
    arguments = record.args if isinstance(record.args, tuple) else ()
    # A whole block of headers is coded, not encrypted.
    whole = len(arguments) == 1 and isinstance(arguments[0], (bytes, bytearray, memoryview))
    return not whole and "authorization" not in f"{arguments}".lower()


def _asked_for(name: str) -> bool:
    """Whether a level was set for a logger or its package: that of the root is meant for others."""
    return any(logging.getLogger(each).level for each in (name, name.partition(".")[0]))
