"""Filters and selectors: JavaScript functions of one argument, read and called.

Owns: what counts as such a function, the record that they see, their limits of time. Must not know: which engine there
is, where entries are kept. Used in the thread that made it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

from esdb_lite._json import parse_json
from esdb_lite._wire.uuids import format_uuid
from esdb_lite.records import SchemaFormat
from esdb_lite.server.engine.records.properties import FORMAT_NAMES, SCHEMA_ID
from esdb_lite.server.indexes.definition import IndexDefinition
from esdb_lite.server.projections.javascript.engine import Opener, Script, ScriptError
from esdb_lite.server.storage import Record

log = logging.getLogger("esdb_lite.server")

BATCH = 200
"""Records that are evaluated in one call."""
_LONGEST_FAULT = 300
_LONGEST_VALUE = 4096
"""Characters: all values are kept in memory."""
_READ_SECONDS = 0.5
_RECORD_SECONDS = 0.25
_TICKS = 10_000
_COMMENT_OR_BLANK = re.compile(r"(?:\s|//[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`)|(?P<comment>//[^\n]*|/\*.*?\*/)"""
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<comma>,)|(?P<other>.)",
    re.DOTALL,
)


@cache
def _prelude() -> str:
    return resources.files("esdb_lite.server.indexes").joinpath("functions.js").read_text(encoding="utf-8")


def is_function(text: str, opener: Opener) -> bool:
    """Whether a text is an expression that is a function of exactly one argument. Raises JavaScriptMissing."""
    if not text.strip():
        return False
    script = opener(_prelude())
    try:
        source = script.call("read", text, seconds=_READ_SECONDS)
    except ScriptError:
        return False
    finally:
        script.close()
    return source != "" and _bare(text) == source and _parameters(source) == 1


def _bare(text: str) -> str:
    """An expression without what may stand around it."""
    while True:
        text = text[_blanks(text) :].rstrip().removesuffix(";").rstrip()
        if not (text.startswith("(") and text.endswith(")") and _closes(text) == len(text) - 1):
            return text
        text = text[1:-1]


def _blanks(text: str) -> int:
    found = _COMMENT_OR_BLANK.match(text)
    return 0 if found is None else found.end()


def _closes(text: str) -> int:
    """Where the first bracket of a text is closed; -1: nowhere."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if token.lastgroup == "close" and depth == 0:
            return token.start()
    return -1


def _parameters(source: str) -> int:
    """How many parameters the source of a function declares."""
    head, arrow, _ = source.partition("=>")
    if arrow and "(" not in head:
        return 1
    start = source.find("(")
    parameters = source[start + 1 : start + max(_closes(source[start:]), 0)]
    depth = commas = 0
    last = ""
    for token in _TOKEN.finditer(parameters):
        kind = token.lastgroup
        if kind == "comment" or not token.group().strip():
            continue
        depth += (kind == "open") - (kind == "close")
        last = "," if kind == "comma" and depth == 0 else "x"
        commas += last == ","
    return commas + (last == "x")


class IndexFunctions:
    """The functions of one index."""

    def __init__(self, definition: IndexDefinition, opener: Opener) -> None:
        """Raises JavaScriptMissing."""
        self._definition = definition
        self._opener = opener
        self._script: Script | None = None
        self._together = BATCH
        """Records in the next call: fewer where one takes too long."""
        self._told = False

    def evaluate_some(self, records: Sequence[Record]) -> list[str | None]:
        """Return for the first of these records, or for none, what the index keeps of them, each in its place.

        That is a text ("" without a field); None: it is not in it, also because its functions take too long, or give a
        text that is too long. One call of the engine, so that others have their turn after it.
        """
        some = records[: self._together]
        try:
            sent = json.dumps([_shown(record) for record in some])
            found = _answers(self._loaded().call("evaluate", sent, seconds=_RECORD_SECONDS), len(some))
        except ScriptError as error:
            self.close()
            alone, self._together = self._together == 1 or len(some) == 1, max(1, len(some) // 2)
            if not alone:
                return []
            self._tell(some[0], str(error))
            return [None]
        self._together = min(2 * self._together, BATCH)
        return [self._kept(record, each) for record, each in zip(some, found, strict=False)]

    def _kept(self, record: Record, found: object) -> str | None:
        if isinstance(found, dict):
            self._tell(record, str(found.get("fault")))
            return None
        return None if found is None or len(str(found)) > _LONGEST_VALUE else str(found)

    def _tell(self, record: Record, fault: str) -> None:
        """Log the first fault: a function that fails for one event may fail for all."""
        if not self._told:
            self._told = True
            log.warning(
                "index %r leaves out event %d@%r, for which its functions fail, and does not log further ones: %r",
                self._definition.name,
                record.revision,
                record.stream[:_LONGEST_FAULT],
                fault[:_LONGEST_FAULT],
            )

    def _loaded(self) -> Script:
        if self._script is None:
            field = self._definition.field
            selector, kind = ("", "") if field is None else (field.selector, field.type.name)
            script = self._opener(_prelude())
            script.call("load", self._definition.filter.strip(), selector, kind, seconds=_READ_SECONDS)
            self._script = script
        return self._script

    def close(self) -> None:
        """Give up the memory of the engine. Idempotent."""
        script, self._script = self._script, None
        if script is not None:
            script.close()


def _answers(text: str, count: int) -> list[object]:
    """What the script has found. Raises ScriptError: functions can change what JSON itself is made of."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScriptError("its functions have changed what JavaScript's own objects do") from error
    if not isinstance(found, list) or not 0 < len(found) <= count:
        raise ScriptError("its functions have changed what JavaScript's own objects do")
    return found


def _shown(record: Record) -> list[object]:
    schema = record.schema
    if schema is None:
        kind = FORMAT_NAMES[SchemaFormat.JSON if record.is_json else SchemaFormat.BYTES]
    else:
        kind = FORMAT_NAMES[schema.format]
    metadata = record.metadata.decode("utf-8", "replace") if record.metadata else None
    data = record.data.decode("utf-8", "replace") if record.data and record.is_json else None
    return [
        format_uuid(record.id),
        record.created / _TICKS,
        record.stream,
        record.revision,
        record.position,
        record.type,
        kind,
        _schema_id(metadata) if schema is not None else None,
        data,
        metadata,
    ]


def _schema_id(metadata: str | None) -> object:
    if metadata is None or SCHEMA_ID not in metadata:
        return None
    try:
        document = parse_json(metadata.encode())
    except ValueError:
        return None
    return document.get(SCHEMA_ID) if isinstance(document, dict) else None
