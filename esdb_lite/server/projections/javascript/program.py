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


class HandlerFault(Exception):
    """A handler that failed; the text is the engine's, or that of what it threw."""


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
            answer = json.loads(script.call("load", query, seconds=COMPILE_SECONDS))
        except ScriptTimeout as error:
            raise QueryFault(_took_too_long("compile", error.took, COMPILE_SECONDS)) from error
        except ScriptError as error:
            raise QueryFault(str(error)) from error
        if "fault" in answer:
            script.close()
            raise QueryFault(_text(answer["fault"]))
        try:
            program = cls(checked(_definition(answer["definition"])), script)
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
        key = self._call("partition", *_arguments(event))["partition"]
        return None if key is None else _text(str(key))

    def share(self, text: str) -> str:
        """Make a text the shared state, or what `$initShared` gives; answers its text. Raises HandlerFault."""
        return _text(str(self._call("share", text)["shared"]))

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
            answer: dict[str, object] = json.loads(self._script.call(function, *arguments, seconds=HANDLE_SECONDS))
        except ScriptTimeout as error:
            raise HandlerFault(_took_too_long("execute", error.took, HANDLE_SECONDS)) from error
        except ScriptError as error:
            raise HandlerFault(str(error)) from error
        self._logged += _logged(answer)
        if "fault" in answer:
            raise HandlerFault(_text(str(answer["fault"])))
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


def _handled(answer: dict[str, object]) -> Handled:
    # The script's answers are ours: what stands in them is of these types.
    emitted, result, shared = answer.get("emitted"), answer.get("result"), answer.get("shared")
    return Handled(
        _text(str(answer["state"])),
        None if result is None else _text(str(result)),
        None if shared is None else _text(str(shared)),
        [_emitted(*parts) for parts in emitted] if isinstance(emitted, list) else [],
    )


def _logged(answer: dict[str, object]) -> list[str]:
    logged = answer.get("logged")
    return [_text(line) for line in logged] if isinstance(logged, list) else []


def _emitted(stream: str, type: str, is_json: bool, data: str, metadata: list[list[str]]) -> Emitted:
    pairs = [(_text(name), _text(value)) for name, value in metadata]
    return Emitted(_text(stream), _text(type), is_json, _text(data), pairs)


def _definition(raw: dict[str, object]) -> QueryDefinition:
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
