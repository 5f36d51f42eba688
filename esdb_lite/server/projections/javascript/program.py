"""A query, read by an engine: its definition, and calls of its handlers.

Owns: the calls into the script and the reading of their answers, the two limits of time. Must not know: which engine
there is, where states are kept, what becomes of what is emitted.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import NamedTuple

from esdb_lite.server.projections.javascript.definition import QueryDefinition, QueryFault, checked
from esdb_lite.server.projections.javascript.engine import Opener, Script, ScriptError, ScriptTimeout
from esdb_lite.server.projections.javascript.source_event import SourceEvent

COMPILE_SECONDS = 0.5
HANDLE_SECONDS = 0.25
_LONGEST_FAULT = 4000
_SPOILED = "the query has changed what JavaScript's own objects do"
_NOT_OURS = (KeyError, TypeError, ValueError, AttributeError)
"""What comes of an answer that is not as our own script gives it."""
_MOST_LINES, _LONGEST_LINE = 100, 2000
"""Of what a handler logs for one event."""


class HandlerFault(Exception):
    """A handler that failed; the text is the engine's, or that of what it threw."""

    def __init__(self, text: str, flaw: str = "") -> None:
        super().__init__(text)
        self.flaw = flaw
        """What is wrong, where that can be said in plainer words; or empty."""


class Emitted(NamedTuple):
    """What a handler asked to be written."""

    stream: str
    type: str
    is_json: bool
    data: str
    metadata: list[tuple[str, str]]
    """Names, and values as JSON."""


class StateIs(float, enum.Enum):
    """Where a handler's state comes from."""

    LIVE = 0.0
    """What the last call has left."""
    KEPT = 1.0
    """The text that is given; an empty one: `$init`."""
    NEW = 2.0
    """`$init`, then `$created`."""


@dataclass(frozen=True)
class Handled:
    """What a handler has made."""

    state: str
    """Text of the state; empty where there is none."""
    result: str | None = None
    """Text of what the transforms have made of it; None: they have not run."""
    shared: str | None = None
    """Text of the shared state."""
    emitted: list[Emitted] = field(default_factory=list)


class QueryProgram:
    """A query's handlers. Used in the thread that made it, and not after it has failed."""

    def __init__(self, definition: QueryDefinition, script: Script) -> None:
        self.definition = definition
        self._script = script
        self._logged: list[str] = []

    @classmethod
    def load(cls, query: str, opener: Opener) -> QueryProgram:
        """Read a query. Raises QueryFault, JavaScriptMissing."""
        try:
            script = opener(_source())
            answer = _document(script.call("load", query, seconds=COMPILE_SECONDS))
        except ScriptTimeout as error:
            raise QueryFault(_took_too_long("compile", error.took, COMPILE_SECONDS)) from error
        except ScriptError as error:
            raise QueryFault(str(error)) from error
        try:
            if "fault" in answer:
                raise QueryFault(_shortened(_text(str(answer["fault"]))))
            program = cls(checked(_definition(answer["definition"])), script)
        except _NOT_OURS as error:
            script.close()
            raise QueryFault(_SPOILED) from error
        except QueryFault:
            script.close()
            raise
        program._logged += _logged(answer)
        return program

    def close(self) -> None:
        """Give up the engine's memory. Idempotent."""
        self._script.close()

    def partition(self, event: SourceEvent) -> str | None:
        """The key of `partitionBy`; None: the event is skipped. Raises HandlerFault."""
        key = _member(self._call("partition", *_arguments(event)), "partition")
        return None if key is None else _text(str(key))

    def share(self, text: str) -> str:
        """Make a text the shared state, or what `$initShared` gives; answers its text. Raises HandlerFault."""
        return _text(str(_member(self._call("share", text), "shared")))

    def handle(self, event: SourceEvent, partition: str, state_is: StateIs, state: str) -> Handled:
        """Call the handler of an event. Raises HandlerFault."""
        return _handled(self._call("handle", state_is.value, state, partition, *_arguments(event)))

    def remove(self, partition: str, state_is: StateIs, state: str) -> Handled:
        """Call `$deleted`. Raises HandlerFault."""
        return _handled(self._call("remove", state_is.value, state, partition))

    def take_logged(self) -> list[str]:
        """What has been logged since the last time."""
        logged, self._logged = self._logged, []
        return logged

    def _call(self, function: str, *arguments: str | float | bool | None) -> dict[str, object]:
        try:
            answer = _document(self._script.call(function, *arguments, seconds=HANDLE_SECONDS))
        except ScriptTimeout as error:
            raise HandlerFault(_took_too_long("execute", error.took, HANDLE_SECONDS)) from error
        except ScriptError as error:
            raise HandlerFault(str(error)) from error
        self._logged += _logged(answer)
        if "fault" in answer:
            raise HandlerFault(*(_shortened(_text(str(answer.get(name) or ""))) for name in ("fault", "flaw")))
        return answer


@cache
def _source() -> str:
    """The script that reads queries: each file is a function, the second takes what the first gives."""
    values, surface = (
        resources.files("esdb_lite.server.projections.javascript").joinpath(name).read_text(encoding="utf-8")
        for name in ("values.js", "surface.js")
    )
    return f"{surface}({values}())"


def _arguments(event: SourceEvent) -> tuple[str | float | bool | None, ...]:
    return (
        event.created,
        event.data,
        event.metadata,
        event.stream,
        event.id,
        event.type,
        event.link_metadata,
        event.is_json,
        event.category,
        float(event.number),  # engines take integers of 32 bits only
    )


def _took_too_long(what: str, took: float, allowed: float) -> str:
    return f"Projection script took too long to {what} (took: {_span(took)}, allowed: {_span(allowed)}"


def _span(seconds: float) -> str:
    return f"00:00:{seconds:010.7f}"


def _text(text: str) -> str:
    """JSON can hold halves of surrogate pairs, UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _document(answer: str) -> dict[str, object]:
    """What a script answers. Raises ScriptError: queries can change what JSON itself is made of."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ScriptError(_SPOILED) from error
    if not isinstance(found, dict):
        raise ScriptError(_SPOILED)
    return found


def _member(answer: dict[str, object], name: str) -> object:
    if name not in answer:
        raise HandlerFault(_SPOILED)
    return answer[name]


def _handled(answer: dict[str, object]) -> Handled:
    emitted, result, shared = answer.get("emitted"), answer.get("result"), answer.get("shared")
    try:
        return Handled(
            _text(str(answer["state"])),
            None if result is None else _text(str(result)),
            None if shared is None else _text(str(shared)),
            [_emitted(*parts) for parts in emitted] if isinstance(emitted, list) else [],
        )
    except _NOT_OURS as error:
        raise HandlerFault(_SPOILED) from error


def _shortened(fault: str) -> str:
    return fault if len(fault) <= _LONGEST_FAULT else f"{fault[:_LONGEST_FAULT]}..."


def _logged(answer: dict[str, object]) -> list[str]:
    logged = answer.get("logged")
    if not isinstance(logged, list):
        return []
    lines = [_text(str(line))[:_LONGEST_LINE] for line in logged[:_MOST_LINES]]
    return [*lines, f"(and {len(logged) - _MOST_LINES} more lines)"] if len(logged) > _MOST_LINES else lines


def _emitted(stream: str, type: str, is_json: bool, data: str, metadata: list[list[str]]) -> Emitted:
    pairs = [(_text(name), _text(value)) for name, value in metadata]
    return Emitted(_text(stream), _text(type), is_json, _text(data), pairs)


def _definition(raw: object) -> QueryDefinition:
    if not isinstance(raw, dict):
        raise TypeError("no definition")

    def texts(name: str) -> tuple[str, ...]:
        values = raw[name]
        return tuple(_text(str(value)) for value in values) if isinstance(values, list) else ()

    def text(name: str) -> str | None:
        return None if raw[name] is None else _text(str(raw[name]))

    lag = raw["lag"]
    return QueryDefinition(
        all_streams=bool(raw["all"]),
        streams=texts("streams"),
        categories=texts("categories"),
        events=texts("events"),
        by_stream=bool(raw["byStream"]),
        by_custom_partitions=bool(raw["byCustom"]),
        handles_deletions=bool(raw["deleted"]),
        bi_state=bool(raw["biState"]),
        output=bool(raw["output"]),
        transforms=bool(raw["transforms"]),
        include_links=bool(raw["includeLinks"]),
        reorder_events=bool(raw["reorder"]),
        processing_lag=int(lag) if isinstance(lag, (int, float)) else None,
        result_stream=text("resultStream"),
        result_pattern=text("resultPattern"),
    )
