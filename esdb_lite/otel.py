"""Tracing and metrics with OpenTelemetry (extra `otel`).

Owns: `EsdbInstrumentor`: spans, attributes and instruments. Must not know: how events are sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import SpanKind
except ImportError as error:  # pragma: no cover - the tests have it
    raise ImportError("esdb_lite.otel needs the package opentelemetry-api: pip install opentelemetry-api") from error

from esdb_lite import _version, observing
from esdb_lite._json import load_json

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider
    from typing_extensions import Self

    from esdb_lite.connection_strings import ConnectionSettings
    from esdb_lite.events import RecordedEvent
    from esdb_lite.observing import Marks

TRACE_ID, SPAN_ID = "$traceId", "$spanId"
"""Names in an event's metadata, as the other clients have them: hexadecimal ids of W3C Trace Context."""

SUBSCRIBE = "streams.subscribe"
SYSTEM = "kurrentdb"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

_log = logging.getLogger("esdb_lite.client")

Attributes = Mapping[str, "str | int"]


class EsdbInstrumentor:
    """Instruments all clients of this process: `EsdbInstrumentor().instrument()`.

    Spans: `streams.append` and `streams.multi-append` around appends; `streams.subscribe` around the handlers of
    consumers and persistent subscriptions, and for each event that a subscription hands out and that has the trace of
    its append with it. Events carry the trace in their metadata (`$traceId`, `$spanId`), where these are a JSON object
    or empty; so it goes through the store. Attributes: `db.system`, `db.operation`, `db.kurrentdb.stream`,
    `db.kurrentdb.subscription.id`, `db.kurrentdb.event.id`, `db.kurrentdb.event.type`, `server.address`, `server.port`,
    `db.user`.

    Metrics: `db.client.operation.duration` (seconds of appends, and of reads until the first events),
    `db.kurrentdb.client.events` (appended and received), `db.kurrentdb.client.batch.size`,
    `db.kurrentdb.client.retries`, `db.kurrentdb.client.reconnects`, `db.kurrentdb.client.subscription.lag` (seconds
    between the recording of an event and its arrival), `db.kurrentdb.client.handler.failures`.

    What a processor, a sampler or an exporter raises is logged once; calls and handlers go on.
    """

    _installed: observing.Observer | None = None

    def instrument(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> Self:
        """Begin. The providers default to the global ones. Returns the object itself.

        Where it has begun already, it goes on with the providers that it has, and says so in the log.
        """
        if observing.observer is not None:
            _log.warning("clients are instrumented already: uninstrument() comes first, if that is to change")
            return self
        telling = _OpenTelemetry(tracer_provider, meter_provider)
        observing.observer = EsdbInstrumentor._installed = observing.GuardedObserver(telling)
        return self

    def uninstrument(self) -> None:
        """End. Idempotent."""
        if EsdbInstrumentor._installed is not None and observing.observer is EsdbInstrumentor._installed:
            observing.observer = None
        EsdbInstrumentor._installed = None

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether clients are instrumented."""
        return observing.observer is not None and observing.observer is EsdbInstrumentor._installed


class _OpenTelemetry:
    """Makes spans and figures of what clients do."""

    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
        version = _version.__version__
        self._tracer = trace.get_tracer("esdb_lite", version, tracers)
        meter = metrics.get_meter("esdb_lite", version, meters)
        self._duration = meter.create_histogram(
            "db.client.operation.duration", "s", "Duration of calls", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._events = meter.create_counter("db.kurrentdb.client.events", "{event}", "Events appended and received")
        self._sizes = meter.create_histogram(
            "db.kurrentdb.client.batch.size",
            "{event}",
            "Events at a time",
            explicit_bucket_boundaries_advisory=_SIZES,
        )
        self._retries = meter.create_counter("db.kurrentdb.client.retries", "{retry}", "Calls made again")
        self._reconnects = meter.create_counter(
            "db.kurrentdb.client.reconnects", "{reconnect}", "Subscriptions that were resumed"
        )
        self._lag = meter.create_histogram(
            "db.kurrentdb.client.subscription.lag",
            "s",
            "Time between recording and arrival",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._failures = meter.create_counter(
            "db.kurrentdb.client.handler.failures", "{failure}", "Handlers that raised"
        )

    @contextmanager
    def append(
        self, settings: ConnectionSettings, operation: str, streams: Sequence[str], count: int
    ) -> Iterator[Marks]:
        attributes = {**_place(settings), "db.operation": operation}
        if len(streams) == 1:
            attributes["db.kurrentdb.stream"] = streams[0]
        began, outcome = time.perf_counter(), {}
        with self._tracer.start_as_current_span(operation, kind=SpanKind.PRODUCER, attributes=attributes) as span:
            try:
                yield _marks(span)
            except BaseException as error:
                outcome = {"error.type": type(error).__name__}
                raise
            finally:
                kind = {"db.operation.name": operation, "db.system.name": SYSTEM}
                self._duration.record(time.perf_counter() - began, {**kind, **outcome})
            self._events.add(count, {"direction": "appended"})
            self._sizes.record(count, {"direction": "appended"})

    def read(self, settings: ConnectionSettings, seconds: float) -> None:
        self._duration.record(seconds, {"db.operation.name": "streams.read", "db.system.name": SYSTEM})

    def received(
        self, settings: ConnectionSettings, subscription: str, events: Sequence[RecordedEvent], *, handled: bool
    ) -> None:
        self._events.add(len(events), {"direction": "received"})
        self._sizes.record(len(events), {"direction": "received"})
        if not subscription:
            return
        recorded = events[-1].original.recorded_at
        if recorded is not None:
            self._lag.record(max(0.0, (datetime.now(timezone.utc) - recorded).total_seconds()))
        for event in () if handled else events:
            parent = _parent_of(event)
            if parent is not None:
                attributes = {**_place(settings), **_about(subscription, event)}
                span = self._tracer.start_span(SUBSCRIBE, parent, kind=SpanKind.CONSUMER, attributes=attributes)
                span.end()

    @contextmanager
    def handling(self, subscription: str, events: RecordedEvent | Sequence[RecordedEvent]) -> Iterator[None]:
        many = events if isinstance(events, Sequence) else [events]
        parents = [parent for event in many if (parent := _parent_of(event)) is not None]
        only = len(many) == 1
        with self._tracer.start_as_current_span(
            SUBSCRIBE,
            parents[0] if only and parents else None,
            kind=SpanKind.CONSUMER,
            attributes=_about(subscription, many[0]) if only else {"db.kurrentdb.subscription.id": subscription},
            links=[] if only else [trace.Link(trace.get_current_span(each).get_span_context()) for each in parents],
        ):
            try:
                yield
            except Exception as error:
                self._failures.add(1, {"error.type": type(error).__name__})
                raise

    def retried(self, operation: str) -> None:
        self._retries.add(1, {"db.operation.name": operation.rpartition("/")[2]})

    def reconnected(self) -> None:
        self._reconnects.add(1)


def _marks(span: Span) -> Marks:
    """What leads to a span from the events; nothing where it is not recorded."""
    found = span.get_span_context()
    if not found.is_valid or not span.is_recording():
        return {}
    return {TRACE_ID: trace.format_trace_id(found.trace_id), SPAN_ID: trace.format_span_id(found.span_id)}


def _parent_of(event: RecordedEvent) -> context.Context | None:
    """The span in which an event was appended; None where its metadata do not say it."""
    if b'"$traceId"' not in event.metadata:
        return None
    try:
        said = load_json(event.metadata)
        assert isinstance(said, dict)
        found = trace.SpanContext(
            int(str(said[TRACE_ID]), 16), int(str(said[SPAN_ID]), 16), True, trace.TraceFlags(trace.TraceFlags.SAMPLED)
        )
    except (ValueError, LookupError, AssertionError):
        return None
    return trace.set_span_in_context(trace.NonRecordingSpan(found), context.Context()) if found.is_valid else None


def _place(settings: ConnectionSettings) -> dict[str, str | int]:
    """Where events go: for a cluster the first address, as the connection string has it."""
    attributes: dict[str, str | int] = {"db.system": SYSTEM}
    if settings.nodes:
        attributes.update({"server.address": settings.nodes[0].host, "server.port": settings.nodes[0].port})
    username = getattr(settings.credentials, "username", None)
    if username:
        attributes["db.user"] = username
    return attributes


def _about(subscription: str, event: RecordedEvent) -> dict[str, str | int]:
    return {
        "db.system": SYSTEM,
        "db.operation": SUBSCRIBE,
        "db.kurrentdb.stream": event.original.stream_name,
        "db.kurrentdb.subscription.id": subscription,
        "db.kurrentdb.event.id": str(event.id),
        "db.kurrentdb.event.type": event.type,
    }
