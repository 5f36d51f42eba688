"""Tracing and metrics: a trace goes through the store and back, and the figures are those of what was done."""

from __future__ import annotations

import asyncio
import re
import timeit
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from esdb_lite import (
    AsyncEsdbClient,
    ConsistencyError,
    EmbeddedServer,
    ErrorAction,
    EsdbClient,
    ExpectedPositionError,
    FileCheckpoint,
    NewEvent,
    NewRecord,
    RecordedEvent,
    StreamCheck,
    StreamState,
    observing,
)
from esdb_lite.otel import EsdbInstrumentor
from tests.contract.consuming import Consuming, as_coroutine
from tests.contract.faces import Face, drain


class Seen:
    """What the instrumentation has told."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def spans(self, name: str) -> list[Any]:
        """The finished spans of a name."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def figures(self, name: str, **attributes: str) -> list[Any]:
        """The data points of an instrument with these attributes."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in ([] if data is None else data.resource_metrics)
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if attributes.items() <= dict(point.attributes).items()
        ]


@pytest.fixture
def seen() -> Iterator[Seen]:
    found = Seen()
    instrumentor = EsdbInstrumentor().instrument(tracer_provider=found.tracers, meter_provider=found.meters)
    try:
        yield found
    finally:
        instrumentor.uninstrument()


async def test_an_append(client: Any, stream: str, seen: Seen) -> None:
    with seen.tracers.get_tracer("test").start_as_current_span("command") as outer:
        await client.append_events(stream, None, [NewEvent("A", b"{}"), NewEvent("B", b"", b"\x00")])
    (span,) = seen.spans("streams.append")
    assert span.kind is trace.SpanKind.PRODUCER
    assert span.parent.span_id == outer.get_span_context().span_id
    attributes = dict(span.attributes)
    assert attributes["db.system"] == "kurrentdb"
    assert attributes["db.operation"] == "streams.append"
    assert attributes["db.kurrentdb.stream"] == stream
    assert attributes["server.address"] in ("127.0.0.1", "localhost")
    assert isinstance(attributes["server.port"], int)
    first, second = await drain(client.read_stream_events(stream))
    assert first.metadata_json() == {
        "$traceId": format(span.context.trace_id, "032x"),
        "$spanId": format(span.context.span_id, "016x"),
    }
    assert second.metadata == b"\x00"


async def test_an_append_that_fails(client: Any, stream: str, seen: Seen) -> None:
    with pytest.raises(ExpectedPositionError):
        await client.append_events(stream, 5, NewEvent("A", b"{}"))
    (span,) = seen.spans("streams.append")
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.events[0].name == "exception"
    (figure,) = seen.figures("db.client.operation.duration", **{"error.type": "ExpectedPositionError"})
    assert figure.count == 1
    assert seen.figures("db.kurrentdb.client.events") == []


async def test_checks_are_made_also_where_they_can_be_taken_only_once(client: Any, stream: str, seen: Seen) -> None:
    with pytest.raises(ConsistencyError):
        await client.append_records(
            [NewRecord(stream, "A", b"{}")], checks=(StreamCheck(stream, state) for state in [StreamState.EXISTS])
        )


async def test_records(client: Any, stream: str, seen: Seen) -> None:
    other = f"{stream}-other"
    await client.append_records([NewRecord(stream, "A", b"{}", {"who": "me"})])
    await client.append_records({stream: [NewEvent("B", b"{}")], other: [NewEvent("C", b"{}")]})
    first, second = seen.spans("streams.multi-append")
    event, _ = await drain(client.read_stream_events(stream))
    assert event.properties["$traceId"] == format(first.context.trace_id, "032x")
    assert event.properties["who"] == "me"
    (event,) = await drain(client.read_stream_events(other))
    assert event.properties["$spanId"] == format(second.context.span_id, "016x")


async def test_a_trace_goes_through_the_store_to_a_subscription(client: Any, stream: str, seen: Seen) -> None:
    await client.append_events(stream, None, [NewEvent("A", b"{}"), NewEvent("B", b"", b"\x00")])
    async with await client.subscribe_stream_events(stream) as subscription:
        events = [await subscription.__anext__() for _ in range(2)]
        name = subscription.subscription_id
    (append,), (span,) = seen.spans("streams.append"), seen.spans("streams.subscribe")
    assert span.kind is trace.SpanKind.CONSUMER
    assert span.context.trace_id == append.context.trace_id
    assert (span.parent.span_id, span.parent.is_remote) == (append.context.span_id, True)
    attributes = dict(span.attributes)
    assert attributes["db.kurrentdb.subscription.id"] == name
    assert attributes["db.kurrentdb.event.id"] == str(events[0].id)
    assert attributes["db.kurrentdb.event.type"] == "A"


@pytest.mark.parametrize("how", ["consumer", "group"])
async def test_a_trace_goes_through_the_store_to_a_handler(
    client: Any, stream: str, seen: Seen, tmp_path: Path, how: str
) -> None:
    """And what the handler appends belongs to it."""
    handled: list[Any] = []

    def handle(event: RecordedEvent) -> None:
        handled.append(trace.get_current_span().get_span_context())
        (consumer._inner if isinstance(consumer, Face) else consumer).stop()

    await client.append_events(stream, None, NewEvent("A", b"{}"))
    if how == "consumer":
        consumer = Consuming(client, handle, stream_name=stream, checkpoint=FileCheckpoint(tmp_path / "checkpoint"))
        await consumer.run()
    else:
        await client.create_subscription("g", stream)
        async with await client.read_subscription("g", stream) as consumer:
            function = handle if isinstance(client, Face) else as_coroutine(handle)
            await asyncio.wait_for(consumer.consume(function), 10)
    (append,), (span,) = seen.spans("streams.append"), seen.spans("streams.subscribe")
    assert span.context.trace_id == append.context.trace_id
    assert span.parent.span_id == append.context.span_id
    assert [context.span_id for context in handled] == [span.context.span_id]


async def test_batches_are_linked(client: Any, stream: str, seen: Seen, tmp_path: Path) -> None:
    for number in range(3):
        await client.append_events(stream, None if number == 0 else number - 1, NewEvent("A", b"{}"))
    consumer = Consuming(
        client, lambda _: None, stream_name=stream, batch_size=10, checkpoint=FileCheckpoint(tmp_path / "checkpoint")
    )
    run = consumer.made.run
    await (asyncio.to_thread(run, until_caught_up=True) if consumer.threaded else run(until_caught_up=True))
    (span,) = seen.spans("streams.subscribe")
    expected = {append.context.span_id for append in seen.spans("streams.append")}
    assert {link.context.span_id for link in span.links} == expected
    assert span.parent is None


async def test_failing_handlers(client: Any, stream: str, seen: Seen, tmp_path: Path) -> None:
    def fail(event: RecordedEvent) -> None:
        raise KeyError("no")

    await client.append_events(stream, None, NewEvent("A", b"{}"))
    consumer = Consuming(client, fail, stream_name=stream, checkpoint=FileCheckpoint(tmp_path / "checkpoint"))
    with pytest.raises(KeyError):
        await consumer.run()
    (span,) = seen.spans("streams.subscribe")
    assert span.status.status_code is trace.StatusCode.ERROR
    (figure,) = seen.figures("db.kurrentdb.client.handler.failures", **{"error.type": "KeyError"})
    assert figure.value == 1


@pytest.fixture(params=["async", "sync"])
async def shaky(request: pytest.FixtureRequest) -> AsyncIterator[tuple[EmbeddedServer, Any]]:
    """A server whose faults can be had, and a client of it."""
    with EmbeddedServer() as server:
        made: Any = AsyncEsdbClient(server.uri) if request.param == "async" else Face(EsdbClient(server.uri))
        async with made as client:
            yield server, client


async def test_retries_are_counted(shaky: tuple[EmbeddedServer, Any], stream: str, seen: Seen) -> None:
    server, client = shaky
    await client.append_events(stream, None, NewEvent("A", b"{}"))
    assert seen.figures("db.kurrentdb.client.retries") == []
    server.faults.lose_answers()
    await client.append_events(stream, 0, NewEvent("B", b"{}"))
    assert [point.value for point in seen.figures("db.kurrentdb.client.retries")] == [1]
    assert len(seen.spans("streams.append")) == 2
    (appended,) = seen.figures("db.kurrentdb.client.events", direction="appended")
    assert appended.value == 2
    (duration,) = seen.figures("db.client.operation.duration", **{"db.operation.name": "streams.append"})
    assert duration.count == 2


async def test_reconnects_are_counted(shaky: tuple[EmbeddedServer, Any], stream: str, seen: Seen) -> None:
    """Those of subscriptions, and of consumers of a group."""
    server, client = shaky
    await client.append_events(stream, None, NewEvent("A", b"{}"))
    await client.create_subscription("g", stream)
    for count, opening in ((1, client.subscribe_stream_events(stream)), (2, client.read_subscription("g", stream))):
        async with await opening as subscription:
            assert (await subscription.__anext__()).type == "A"
            server.faults.drop_connections()
            await client.append_events(stream, StreamState.ANY, NewEvent(f"B{count}", b"{}"))
            while (await subscription.__anext__()).type != f"B{count}":
                pass
        assert [point.value for point in seen.figures("db.kurrentdb.client.reconnects")] == [count]


async def test_handlers_that_are_tried_again(client: Any, stream: str, seen: Seen, tmp_path: Path) -> None:
    """Each attempt has its span and, where it fails, its failure; the events have come once."""
    attempts: list[str] = []

    def fail_twice(event: RecordedEvent) -> None:
        attempts.append(event.type)
        if len(attempts) < 3:
            raise KeyError("no")
        consumer.stop()

    await client.append_events(stream, None, NewEvent("A", b"{}"))
    checkpoint = FileCheckpoint(tmp_path / "checkpoint")
    again = {"on_error": lambda event, error, attempt: ErrorAction.RETRY, "retry_pause": 0}
    consumer = Consuming(client, fail_twice, stream_name=stream, checkpoint=checkpoint, **again)
    await consumer.run()
    (failures,) = seen.figures("db.kurrentdb.client.handler.failures")
    assert (failures.value, len(attempts)) == (2, 3)
    codes = [span.status.status_code for span in seen.spans("streams.subscribe")]
    assert codes == [trace.StatusCode.ERROR, trace.StatusCode.ERROR, trace.StatusCode.UNSET]
    (received,) = seen.figures("db.kurrentdb.client.events", direction="received")
    assert received.value == 1
    (append,) = seen.spans("streams.append")
    assert {span.parent.span_id for span in seen.spans("streams.subscribe")} == {append.context.span_id}


async def test_a_trace_goes_on_behind_a_handler(
    shaky: tuple[EmbeddedServer, Any], stream: str, seen: Seen, tmp_path: Path
) -> None:
    """Append, handler, append: one trace with ids of W3C's, each the child of the one before."""
    server, client = shaky
    other = f"{stream}-other"

    def forward(event: RecordedEvent) -> None:
        with EsdbClient(server.uri) as inner:
            inner.append_events(other, None, NewEvent("B", b"{}"))
        consumer.stop()

    with seen.tracers.get_tracer("test").start_as_current_span("request") as request:
        await client.append_events(stream, None, NewEvent("A", b"{}"))
    consumer = Consuming(client, forward, stream_name=stream, checkpoint=FileCheckpoint(tmp_path / "checkpoint"))
    await consumer.run()
    first, second = seen.spans("streams.append")
    (handled,) = seen.spans("streams.subscribe")
    assert (handled.parent.span_id, second.parent.span_id) == (first.context.span_id, handled.context.span_id)
    assert {span.context.trace_id for span in (first, handled, second)} == {request.get_span_context().trace_id}
    (event,) = await drain(client.read_stream_events(other))
    assert re.fullmatch("[0-9a-f]{32}", event.metadata_json()["$traceId"])
    assert re.fullmatch("[0-9a-f]{16}", event.metadata_json()["$spanId"])


async def test_figures(client: Any, stream: str, seen: Seen) -> None:
    await client.append_events(stream, None, [NewEvent("A", b"{}") for _ in range(7)])
    await client.append_events(stream, 6, [NewEvent("A", b"{}") for _ in range(3)])
    assert len(await drain(client.read_stream_events(stream))) == 10
    async with await client.subscribe_stream_events(stream) as subscription:
        for _ in range(10):
            await subscription.__anext__()
    (appended,) = seen.figures("db.kurrentdb.client.events", direction="appended")
    (received,) = seen.figures("db.kurrentdb.client.events", direction="received")
    assert (appended.value, received.value) == (10, 20)
    (sizes,) = seen.figures("db.kurrentdb.client.batch.size", direction="appended")
    assert (sizes.count, sizes.sum, sizes.max) == (2, 10, 7)
    (appends,) = seen.figures("db.client.operation.duration", **{"db.operation.name": "streams.append"})
    (reads,) = seen.figures("db.client.operation.duration", **{"db.operation.name": "streams.read"})
    assert (appends.count, reads.count) == (2, 1)
    assert 0 < appends.max < 10
    (lag,) = seen.figures("db.kurrentdb.client.subscription.lag")
    assert 0 <= lag.min <= lag.max < 10


class Failing(SpanProcessor):
    """A processor with a fault."""

    def __init__(self, when: str) -> None:
        self._when = when

    def on_start(self, span: object, parent_context: object = None) -> None:
        if self._when == "start":
            raise RuntimeError("a fault")

    def on_end(self, span: object) -> None:
        if self._when == "end":
            raise RuntimeError("a fault")


@pytest.fixture(params=["start", "end"])
def failing(request: pytest.FixtureRequest) -> Iterator[None]:
    tracers = TracerProvider()
    tracers.add_span_processor(Failing(request.param))
    instrumentor = EsdbInstrumentor().instrument(tracer_provider=tracers)
    try:
        yield
    finally:
        instrumentor.uninstrument()


@pytest.mark.usefixtures("failing")
async def test_telemetry_that_fails_changes_nothing(
    client: Any, stream: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await client.append_events(stream, None, [NewEvent("A", b"{}"), NewEvent("B", b"{}")])
    await client.append_records([NewRecord(stream, "C", b"{}")])
    with pytest.raises(ExpectedPositionError):
        await client.append_events(stream, None, NewEvent("D", b"{}"))
    async with await client.subscribe_stream_events(stream) as subscription:
        assert [(await subscription.__anext__()).type for _ in range(3)] == ["A", "B", "C"]
    handled: list[str] = []

    def note(event: RecordedEvent) -> None:
        handled.append(event.type)
        if event.type == "C":
            raise ZeroDivisionError

    path = tmp_path / "position"
    consumer = Consuming(client, note, stream_name=stream, checkpoint=FileCheckpoint(path))
    with pytest.raises(ZeroDivisionError):
        await consumer.run()
    assert handled == ["A", "B", "C"]
    assert int(FileCheckpoint(path).load()) == 1  # type: ignore[arg-type]
    (told,) = [record for record in caplog.records if "tracing or metrics fail" in record.message]
    assert "a fault" in told.message


async def test_metadata_of_others(client: Any, stream: str, seen: Seen) -> None:
    """No trace, and half of one: they are events as good as any."""
    broken = [b'{"$traceId":"x","$spanId":"y"}', b'{"$traceId":1}', b'["$traceId"]', b'{"$traceId":"0","$spanId":"0"}']
    await client.append_events(stream, None, [NewEvent("A", b"{}", metadata) for metadata in broken])
    async with await client.subscribe_stream_events(stream) as subscription:
        for _ in broken:
            await subscription.__anext__()
    assert len(seen.spans("streams.subscribe")) <= 1


async def test_without_it_nothing_is_added(client: Any, stream: str) -> None:
    await client.append_events(stream, None, NewEvent("A", b"{}"))
    (event,) = await drain(client.read_stream_events(stream))
    assert event.metadata == b""


def test_without_it_nothing_is_measurable() -> None:
    """What an append and a handler pay for being watched by nobody, beside what an append costs."""
    assert observing.observer is None

    def look() -> None:
        with observing.handling("s", []):
            pass

    with EsdbClient("esdb+embedded:") as client:
        event = NewEvent("A", b"{}")
        append = min(timeit.repeat(lambda: client.append_events("s", StreamState.ANY, event), number=20, repeat=5)) / 20
    assert min(timeit.repeat(look, number=2000, repeat=5)) / 2000 < append / 50


def test_beginning_and_ending(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    assert EsdbInstrumentor().is_instrumented_by_opentelemetry
    before = observing.observer
    EsdbInstrumentor().instrument()
    assert observing.observer is before
    assert [record.getMessage() for record in caplog.records] == [
        "clients are instrumented already: uninstrument() comes first, if that is to change"
    ]
    EsdbInstrumentor().uninstrument()
    EsdbInstrumentor().uninstrument()
    assert not EsdbInstrumentor().is_instrumented_by_opentelemetry
