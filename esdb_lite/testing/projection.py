"""A projection under test.

Owns: running a query over events in this thread. Must not know: servers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from esdb_lite import InvalidArgument
from esdb_lite._checks import checked_bool, checked_text
from esdb_lite.server.projections.javascript.definition import QueryFault
from esdb_lite.server.projections.javascript.processing import (
    ROOT,
    Identity,
    ProcessingFault,
    Processor,
    Step,
    own_partitions,
)
from esdb_lite.server.projections.javascript.program import Emitted, QueryProgram
from esdb_lite.server.projections.javascript.quickjs_engine import open_quickjs
from esdb_lite.server.storage import PartitionState
from esdb_lite.testing.delivery import EventDelivery
from esdb_lite.testing.given import EventLike, all_given, from_file, read_text
from esdb_lite.testing.outcome import EmittedEvent, LinkedEvent, ProjectionOutcome, value_of

_STREAM_LINK = "$@"


class Projection:
    """A JavaScript projection, run over events without a server.

    `query` is what a server would be given. It may emit and link, as on a server that has been told `emit=True`
    (`create_projection` does not by default): with `emit=False` the first `emit` or `linkTo` is a fault here, too.
    Categories end at the first `category_separator` of a stream's name. Each run begins anew.

    Needs the extra `projections`.
    """

    def __init__(
        self, query: str, *, name: str = "projection", emit: bool = True, category_separator: str = "-"
    ) -> None:
        self.query = checked_text("query", query)
        self.name = checked_text("name", name)
        self._emit = checked_bool("emit", emit)
        self._separator = checked_text("category_separator", category_separator)
        if len(category_separator) != 1:
            raise InvalidArgument("category_separator", category_separator, "must be one character")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, name: str = "projection", emit: bool = True) -> Projection:
        """Read the query from a file. Raises InvalidArgument, OSError."""
        return cls(read_text(path), name=name, emit=emit)

    def run(self, events: Iterable[EventLike], *, stream: str | None = None) -> ProjectionOutcome:
        """Give the projection events, in the order in which they were appended, and return what it makes of them.

        Streams that the query does not read are left out. `stream` is where events go that name none; by default the
        stream of a query that reads only one. A fault of the query or of a handler is in the outcome, not raised.
        Raises InvalidArgument for what is no event, and what tells what to install where there is no JavaScript engine.
        """
        try:
            program = QueryProgram.load(self.query, open_quickjs)
        except QueryFault as error:
            return ProjectionOutcome(fault=str(error))
        try:
            return _RunOver(program, self).over(events, stream)
        finally:
            program.close()

    def run_file(self, path: str | os.PathLike[str]) -> ProjectionOutcome:
        """Give it the events of a file of JSON lines; see `from_file`. Raises InvalidArgument, OSError."""
        return self.run(from_file(path))

    def __repr__(self) -> str:
        return f"Projection({self.query!r})"


class _RunOver:
    def __init__(self, program: QueryProgram, projection: Projection) -> None:
        definition = program.definition
        self._definition = definition
        self._delivery = EventDelivery(definition, projection._separator)
        self._states: dict[str, PartitionState] = {}
        identity = Identity(projection.name, "6:-1:0:4", projection._emit)
        self._processor = Processor(program, identity, self._delivery.beginning, self._states)
        self._handled = 0
        self._emitted: list[Emitted] = []

    def over(self, events: Iterable[EventLike], stream: str | None) -> ProjectionOutcome:
        sources = self._definition.streams
        given = all_given(events, sources[0] if stream is None and len(sources) == 1 else stream)
        fault = None
        try:
            for event in self._delivery.deliver(given):
                if self._processor.takes(event):
                    partition = self._processor.partition_of(event)
                    if partition is not None:
                        self._add(self._processor.process(event, partition))
        except ProcessingFault as error:
            fault = str(error)
        return self._outcome(fault)

    def _add(self, step: Step) -> None:
        self._handled += 1
        self._emitted += step.emitted

    def _outcome(self, fault: str | None) -> ProjectionOutcome:
        processor = self._processor
        partitions = own_partitions(self._definition, self._states)
        return ProjectionOutcome(
            state=value_of(processor.state_of(ROOT)),
            states={partition: value_of(processor.state_of(partition)) for partition in partitions},
            result=value_of(processor.result_of(ROOT)),
            results={partition: value_of(processor.result_of(partition)) for partition in partitions},
            emitted=[_event(emitted) for emitted in self._emitted if emitted.is_json],
            linked=[_link(emitted) for emitted in self._emitted if not emitted.is_json],
            logged=processor.take_logged(),
            handled=self._handled,
            fault=fault,
        )


def _event(emitted: Emitted) -> EmittedEvent:
    metadata = {name: json.loads(value) for name, value in emitted.metadata}
    return EmittedEvent(emitted.stream, emitted.type, json.loads(emitted.data), metadata)


def _link(emitted: Emitted) -> LinkedEvent:
    metadata = {name: json.loads(value) for name, value in emitted.metadata}
    if emitted.type == _STREAM_LINK:
        return LinkedEvent(emitted.stream, emitted.data, None, metadata)
    number, _, target = emitted.data.partition("@")
    return LinkedEvent(emitted.stream, target, int(number), metadata)
