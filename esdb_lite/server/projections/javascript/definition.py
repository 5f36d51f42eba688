"""What a query defines: its sources, its partitions, the types that it handles, where its results go.

Owns: which combinations there are, and the document about them that is kept with the query. Must not know: JavaScript.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SHORTEST_LAG = 50
"""Milliseconds."""


class QueryFault(Exception):
    """A query that defines no projection; the text is the reason that is shown."""


@dataclass(frozen=True)
class QueryDefinition:
    """A projection as its query defines it."""

    all_streams: bool = False
    streams: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    """The types that have a handler; none: every event is handed over."""
    by_stream: bool = False
    by_custom_partitions: bool = False
    handles_deletions: bool = False
    bi_state: bool = False
    output: bool = False
    """Whether results are written to streams."""
    transforms: bool = False
    include_links: bool = False
    reorder_events: bool = False
    processing_lag: int | None = None
    """Milliseconds."""
    result_stream: str | None = None
    result_pattern: str | None = None

    @property
    def is_partitioned(self) -> bool:
        """Whether it keeps a state for each of many partitions, rather than one."""
        return self.by_stream or self.by_custom_partitions

    @property
    def source_streams(self) -> tuple[str, ...]:
        """The streams that it reads; none: the whole log."""
        return (*self.streams, *(f"$ce-{category}" for category in self.categories))

    @property
    def category(self) -> str | None:
        """The category that its events are said to be of."""
        return self.categories[0] if len(self.categories) == 1 and not self.streams else None

    def result_stream_of(self, name: str, partition: str) -> str:
        """The stream of the results of a partition ("": the root's) of the projection of this name."""
        if not partition:
            return self.result_stream or f"$projections-{name}-result"
        if self.result_pattern is not None:
            return self.result_pattern.replace("{0}", partition)
        return f"$projections-{name}-{partition}-result"

    def document(self) -> dict[str, object]:
        """What stands of it in the record that keeps the projection, beside the query."""
        flags = {
            "allEvents": not self.events,
            "allStreams": self.all_streams,
            "byStreams": self.by_stream,
            "byCustomPartitions": self.by_custom_partitions,
        }
        options = {
            "definesStateTransform": self.transforms,
            "definesFold": True,
            "handlesDeletedNotifications": self.handles_deletions,
            "includeLinks": self.include_links,
            "producesResults": self.output,
            "isBiState": self.bi_state,
            "resultStreamName": self.result_stream,
            "partitionResultStreamNamePattern": self.result_pattern,
            "reorderEvents": self.reorder_events,
            "processingLag": self.processing_lag,
        }
        return {
            **_set(flags),
            "categories": list(self.categories),
            "events": list(self.events),
            "streams": list(self.streams),
            "options": _set(options),
        }


def _set(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value not in (False, None)}


def checked(definition: QueryDefinition) -> QueryDefinition:
    """Return it, if its parts go together. Raises QueryFault."""
    sources = definition.source_streams
    if definition.all_streams and sources:
        raise QueryFault("Both FromAll and specific categories/streams cannot be set")
    if not definition.all_streams and not sources:
        raise QueryFault("None of streams and categories are included")
    if definition.by_stream and definition.streams:
        raise QueryFault("foreachStream projections are not supported on stream based sources")
    if definition.reorder_events:
        _check_order(definition)
    return definition


def _check_order(definition: QueryDefinition) -> None:
    if definition.all_streams:
        raise QueryFault("Event reordering cannot be used with fromAll()")
    if len(definition.streams) < 2:
        raise QueryFault("Event reordering is only available in fromStreams([]) projections")
    if (definition.processing_lag or 0) < SHORTEST_LAG:
        raise QueryFault(f"Event reordering requires processing lag at least of {SHORTEST_LAG}ms")
