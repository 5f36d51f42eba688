"""The application works: commands, reading one's own writes, a worker, a rebuilt read model; and it is small."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from esdb_lite import EmbeddedServer, EsdbClient, RecordedEvent
from tests.applications.orders import domain, web, worker

HERE = Path(__file__).parent / "orders"
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(run_projections="system", start_standard_projections=True) as made:
        yield made


@pytest.fixture
def ask(server: EmbeddedServer) -> Iterator[Ask]:
    """The service, as a browser sees it."""
    started = threading.Event()

    class Serving(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    config = uvicorn.Config(web.make_app(server.uri, ":memory:"), port=0, log_level="warning")
    serving = Serving(config)
    thread = threading.Thread(target=serving.run)
    thread.start()
    assert started.wait(20)
    host, port = serving.servers[0].sockets[0].getsockname()[:2]

    def call(method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{host}:{port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    try:
        yield call
    finally:
        serving.should_exit = True
        thread.join()


def test_an_order(server: EmbeddedServer, ask: Ask) -> None:
    with EsdbClient(server.uri, event_types=domain.events) as client:
        assert ask("PUT", "/orders/1", {"customer": "ann", "total": "9.90"}) == (201, None)
        assert ask("PUT", "/orders/1", {"customer": "ann", "total": "9.90"}) == (201, None)
        assert ask("POST", "/orders/1/payments", {"amount": "4"}) == (200, {"due": "5.90"})
        assert ask("GET", "/customers/ann") == (200, {"spent": 4.0})
        assert ask("POST", "/orders/1/payments", {"amount": "100"}) == (409, {"error": "5.90 is due"})

        handled = threading.Event()

        def handle(event: RecordedEvent) -> None:
            worker.handle(client, event)
            handled.set()

        with worker.subscribe(client) as subscription:
            working = threading.Thread(target=subscription.consume, args=(handle,))
            working.start()
            assert handled.wait(20)  # the first payment, for which nothing is shipped
            assert ask("POST", "/orders/1/payments", {"amount": "5.90"}) == (200, {"due": "0.00"})
            with client.subscribe_stream_events("order-1", 2, timeout=20) as events:
                shipped = next(events)
            subscription.stop()
            working.join()
        (paid,) = client.read_stream_events("order-1", 2, limit=1)
        assert shipped.value == domain.OrderShipped(f"parcel-{paid.id}")
        assert shipped.metadata_json() == {"$correlationId": str(paid.id), "$causationId": str(paid.id)}
        assert ask("GET", "/customers/ann") == (200, {"spent": 9.9})


def test_it_is_small() -> None:
    lines = [line for path in HERE.glob("*.py") for line in path.read_text("utf-8").splitlines()]
    assert sum(1 for line in lines if line.strip()) < 150


def test_it_is_typed() -> None:
    pytest.importorskip("mypy")
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(HERE)], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout
