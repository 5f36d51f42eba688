"""Handlers that fail: said in the log, with the event, the decision and the traceback, and on the exception."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    EmbeddedServer,
    ErrorAction,
    EsdbClient,
    NackAction,
    NewEvent,
    RecordedEvent,
    SubscriptionSettings,
)

NOTES = sys.version_info >= (3, 11)


@pytest.fixture(params=["async", "sync"])
def face(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def consume_group(
    uri: str, face: str, handler: Callable[[RecordedEvent, Callable[[], None]], None], **options: Any
) -> None:
    """Consume group `g` of stream `order-1` until the handler calls `stop` of what it gets as second argument."""
    if face == "sync":
        with EsdbClient(uri) as client, client.read_subscription("g", "order-1") as subscription:
            subscription.consume(lambda event: handler(event, subscription.stop), **options)
        return

    async def main() -> None:
        async with AsyncEsdbClient(uri) as client, await client.read_subscription("g", "order-1") as subscription:

            async def handle(event: RecordedEvent) -> None:
                handler(event, subscription.stop)

            await subscription.consume(handle, **options)

    asyncio.run(main())


@pytest.fixture
def uri() -> Any:
    with EmbeddedServer() as server, EsdbClient(server.uri) as client:
        client.append_events("order-1", None, [NewEvent("OrderPaid", b""), NewEvent("Last", b"")])
        client.create_subscription("g", "order-1", settings=SubscriptionSettings())
        yield server.uri


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records if "failed" in record.getMessage()]


def test_a_handler_of_a_group(uri: str, face: str, caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    def fail(event: RecordedEvent, stop: Callable[[], None]) -> None:
        nonlocal attempts
        if event.type == "OrderPaid":
            attempts += 1
            raise KeyError("typo in handler")
        if attempts == 3:
            stop()
            return
        raise LookupError("wait for the others")

    consume_until_parked(uri, face, fail)
    head = "consumer of order-1::g: handler failed with KeyError on OrderPaid 0@order-1"
    paid = [entry for entry in said(caplog) if "OrderPaid" in entry[1]]
    assert paid == [
        (logging.WARNING, f"{head}, attempt 1: retry"),
        (logging.WARNING, f"{head}, attempt 2: retry"),
        (logging.ERROR, f"{head}, attempt 3: park"),
    ]
    (record, *_) = [record for record in caplog.records if "OrderPaid" in record.getMessage()]
    assert record.exc_info is not None
    error = record.exc_info[1]
    assert isinstance(error, KeyError)
    assert error.__traceback__ is not None
    if NOTES:
        assert error.__notes__ == ["while handling OrderPaid 0@order-1"]


def consume_until_parked(uri: str, face: str, handler: Any) -> None:
    def decide(event: RecordedEvent, error: Exception) -> NackAction:
        if event.type == "Last":
            return NackAction.RETRY
        return NackAction.RETRY if (event.retry_count or 0) < 2 else NackAction.PARK

    consume_group(uri, face, handler, on_error=decide)


def test_a_decision_that_fails(uri: str, face: str) -> None:
    def fail(event: RecordedEvent, stop: Callable[[], None]) -> None:
        raise KeyError(event.type)

    def decide(event: RecordedEvent, error: Exception) -> NackAction:
        raise ArithmeticError("no idea")

    with pytest.raises(ArithmeticError) as caught:
        consume_group(uri, face, fail, on_error=decide)
    if NOTES:
        assert caught.value.__notes__ == ["while handling OrderPaid 0@order-1"]


def run_consumer(uri: str, face: str, **options: Any) -> None:
    """Consume `order-1` with a handler that fails for the first event."""

    def handle(event: RecordedEvent) -> None:
        if event.type == "OrderPaid":
            raise ZeroDivisionError
        consumer.stop()

    checkpoint = (lambda: None, lambda position: None)
    if face == "sync":
        with EsdbClient(uri) as client:
            consumer: Any = client.consumer(handle, checkpoint=checkpoint, stream_name="order-1", **options)
            consumer.run()
        return

    async def main() -> None:
        nonlocal consumer

        async def handler(event: RecordedEvent) -> None:
            handle(event)

        async with AsyncEsdbClient(uri) as client:
            consumer = client.consumer(handler, checkpoint=checkpoint, stream_name="order-1", **options)
            await consumer.run()

    asyncio.run(main())


def test_a_handler_with_a_checkpoint(uri: str, face: str, caplog: pytest.LogCaptureFixture) -> None:
    run_consumer(uri, face, on_error=lambda event, error, attempts: ErrorAction.SKIP)
    text = "consumer of stream order-1: handler failed with ZeroDivisionError on OrderPaid 0@order-1, attempt 1: skip"
    assert said(caplog) == [(logging.WARNING, text)]
    assert next(record for record in caplog.records if "failed" in record.getMessage()).exc_info is not None


def test_an_exception_says_which_event_it_comes_from(uri: str, face: str) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_consumer(uri, face)
    if NOTES:
        assert caught.value.__notes__ == ["while handling OrderPaid 0@order-1"]
