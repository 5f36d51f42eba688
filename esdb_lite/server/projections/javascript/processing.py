"""What one projection makes of one event after another: states, results, and what is to be written for them.

Owns: which state a handler gets, when a result is written, faults and their texts. Must not know: where events and
states come from, threads, who writes what is to be written. One `Processor` is used in one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import NamedTuple

from esdb_lite.positions import ALL_STREAM
from esdb_lite.server.projections.javascript.definition import QueryDefinition
from esdb_lite.server.projections.javascript.program import Emitted, Handled, HandlerFault, QueryProgram, StateIs
from esdb_lite.server.projections.javascript.source_event import SourceEvent
from esdb_lite.server.projections.javascript.tags import Tag
from esdb_lite.server.projections.seen import TOO_LONG, have_room, quoted
from esdb_lite.server.storage import PartitionState

ROOT = ""
"""The partition of a projection that has none. Of one that has some: that of the shared state."""
_OWN_OF_ROOT = "own"
"""Where a projection without partitions keeps its own state, if the root is taken by a shared one."""
_EMIT_REFUSED = "'emit' is not allowed by the projection/configuration/mode"
_PARTITION_BY = "partitionBy"
_LINE = "\r\n"
_EMPTY_KEY = "Partition '' state was requested as locked but it is missing in the cache."


class ProcessingFault(Exception):
    """The projection cannot go on; the text is the reason that is shown."""


class Outgoing(NamedTuple):
    """A record to be written."""

    stream: str
    type: str
    is_json: bool
    data: str
    metadata: str
    links_to: str | None = None
    """The stream whose newest record it is a link to: what there is of data then is its number and this stream."""
    is_emitted: bool = False
    """A handler has asked for it; else it is a result, whose stream is not tracked."""


@dataclass(frozen=True)
class Identity:
    """Which projection it is, as what it writes tells."""

    name: str
    stamp: str = ""
    """`$v` of what it writes."""
    emit_enabled: bool = True
    writes_results: bool = True
    """Whether results are written as they change; one-time projections write them at their end."""


@dataclass(frozen=True)
class Step:
    """What an event came to."""

    tag: Tag
    partition: str
    records: list[Outgoing] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)


class Processor:
    """A projection at work: events in the order of their source go in, steps come out.

    Of a projection without transforms no result is kept: its state is its result.
    """

    def __init__(
        self, program: QueryProgram, identity: Identity, tag: Tag, states: MutableMapping[str, PartitionState]
    ) -> None:
        """`tag`: where it goes on. `states`: all that is kept of the partitions of the events that will come; what
        changes is put there."""
        self.tag = tag
        """The last event that has been handled."""
        self._program = program
        self._definition = program.definition
        self._identity = identity
        self._states = states
        self._live: str | None = None
        self._has_shared = not self._definition.bi_state

    def takes(self, event: SourceEvent) -> bool:
        """Whether it has a handler for the event."""
        if event.deletes:
            return self._definition.handles_deletions
        return not self._definition.events or event.type in self._definition.events

    def partition_of(self, event: SourceEvent) -> str | None:
        """The partition of an event; None: it is skipped. Raises ProcessingFault."""
        if self._definition.by_stream:
            return event.of_stream
        if not self._definition.by_custom_partitions:
            return ROOT
        try:
            partition = self._program.partition(event)
        except HandlerFault as error:
            raise ProcessingFault(self._reason(event, str(error), _PARTITION_BY, flaw=error.flaw)) from error
        if partition == "":
            raise ProcessingFault(_EMPTY_KEY)
        if partition is not None and not have_room(partition):
            raise ProcessingFault(self._reason(event, f"a partition {TOO_LONG}", _PARTITION_BY))
        return partition

    def keys(self, partition: str) -> tuple[str, ...]:
        """What has to be in `states`, where it is kept, before an event of the partition is processed."""
        if not self._definition.bi_state:
            return (partition,)
        return (ROOT, partition or _OWN_OF_ROOT)

    def process(self, event: SourceEvent, partition: str) -> Step:
        """Handle an event. Raises ProcessingFault; then everything is as it was before, and nothing can follow."""
        key = self.keys(partition)[-1]
        old = self._states.get(key)
        handled = self._call(event, partition, old)
        if handled.emitted and not self._identity.emit_enabled:
            raise ProcessingFault(_EMIT_REFUSED)
        if any(emitted.stream == ALL_STREAM for emitted in handled.emitted):
            raise ProcessingFault(self._reason(event, f"{ALL_STREAM} is no stream that can be written"))
        if not all(have_room(emitted.stream, emitted.type) for emitted in handled.emitted):
            raise ProcessingFault(self._reason(event, f"what it emits {TOO_LONG}"))
        records = [self._emission(event, emitted) for emitted in handled.emitted]
        kept = self._kept(old, handled)
        if self._definition.output and self._identity.writes_results:
            records += self._results(event, partition, self._result(old), self._result(kept))
        if kept != old:
            self._states[key] = kept
        if handled.shared is not None:
            self._states[ROOT] = PartitionState(handled.shared, "")
        self._live = partition
        self.tag = event.tag
        return Step(event.tag, partition, records, handled.emitted)

    def take_logged(self) -> list[str]:
        """What the query has logged since the last time, a fault's last words too."""
        return self._program.take_logged()

    def state_of(self, partition: str) -> str:
        """The text of a partition's state, or of the shared one; empty: there is none."""
        kept = self._states.get(partition)
        return "" if kept is None else kept.state

    def result_of(self, partition: str) -> str:
        """The text of a partition's result; empty: there is none."""
        return self._result(self._states.get(result_key(self._definition.bi_state, partition)))

    def _result(self, kept: PartitionState | None) -> str:
        if kept is None:
            return ""
        return kept.result if self._definition.transforms else kept.state

    def _call(self, event: SourceEvent, partition: str, old: PartitionState | None) -> Handled:
        state_is, state = self._state_for(partition, old)
        try:
            self._share()
            if event.deletes:
                return self._program.remove(partition, state_is, state)
            return self._program.handle(event, partition, state_is, state)
        except HandlerFault as error:
            raise ProcessingFault(self._reason(event, str(error), flaw=error.flaw)) from error

    def _state_for(self, partition: str, old: PartitionState | None) -> tuple[StateIs, str]:
        if partition == self._live:
            return StateIs.LIVE, ""
        return (StateIs.NEW, "") if old is None else (StateIs.KEPT, old.state)

    def _share(self) -> None:
        if not self._has_shared:
            self._program.share(self.state_of(ROOT))
            self._has_shared = True

    def _kept(self, old: PartitionState | None, handled: Handled) -> PartitionState:
        if not self._definition.transforms:
            return PartitionState(handled.state, "")
        before = "" if old is None else old.result
        return PartitionState(handled.state, before if handled.result is None else handled.result)

    def _emission(self, event: SourceEvent, emitted: Emitted) -> Outgoing:
        metadata = self._metadata(event, emitted.metadata)
        return Outgoing(emitted.stream, emitted.type, emitted.is_json, emitted.data, metadata, is_emitted=True)

    def _results(self, event: SourceEvent, partition: str, old: str, new: str) -> list[Outgoing]:
        if new == old:
            return []
        metadata = self._metadata(event)
        return results(self._definition.result_stream_of(self._identity.name, partition), new, metadata) + (
            [self._result_link(partition, metadata)] if partition else []
        )

    def _result_link(self, partition: str, metadata: str) -> Outgoing:
        of_all = self._definition.result_stream_of(self._identity.name, ROOT)
        of_this = self._definition.result_stream_of(self._identity.name, partition)
        return Outgoing(of_all, "$>", False, "", metadata, of_this)

    def _metadata(self, event: SourceEvent, given: list[tuple[str, str]] | None = None) -> str:
        members = [f'"$v":{quoted(self._identity.stamp)}', event.tag.metadata]
        taken = {"$causedBy"}
        for name, value in given or ():
            if name not in taken:
                members.append(f"{quoted(name)}:{value}")
                taken.add(name)
        if event.id and not event.deletes:
            members.append(f'"$causedBy":{quoted(event.id)}')
            if event.correlation_id and "$correlationId" not in taken:
                members.append(f'"$correlationId":{quoted(event.correlation_id)}')
        return "{" + ",".join(members) + "}"

    def _reason(self, event: SourceEvent, text: str, handler: str = "", *, flaw: str = "") -> str:
        # Operators search for these texts: they are those of a real server, but for the lines that tell the event, and
        # in plain words what is wrong.
        what = "a delete partition notification" if event.deletes else "an event"
        told = [self._told(event, handler), *([f"Reason: {flaw}"] if flaw else [])]
        return (
            f"The {self._identity.name} projection failed to process {what}.\r\n"
            "Handler: EventStore.Projections.Core.Services.Interpreted.JintProjectionStateHandler\r\n"
            f"Event Position: {event.tag}\r\n{_LINE.join(told)}\r\n\r\nMessage:\r\n\r\n{text}"
        )

    def _told(self, event: SourceEvent, handler: str) -> str:
        if event.deletes:
            return f"Event: the deletion of {event.of_stream}, handled by {handler or '$deleted'}"
        handler = handler or (event.type if self._definition.events and event.type else "$any")
        return f"Event: {event.number}@{event.stream}, of type {event.type}, handled by {handler}"


def own_partitions(definition: QueryDefinition, states: Iterable[str]) -> list[str]:
    """The partitions among the keys under which states are kept, without the root."""
    return sorted(key for key in states if key != ROOT) if definition.is_partitioned else []


def result_key(bi_state: bool, partition: str) -> str:
    """Where the result of a partition is kept."""
    return _OWN_OF_ROOT if bi_state and not partition else partition


def results(stream: str, result: str, metadata: str) -> list[Outgoing]:
    """The record of a result, or of that there is none any more."""
    type = "Result" if result else "ResultRemoved"
    return [Outgoing(stream, type, True, result, metadata)]
