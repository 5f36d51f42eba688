"""The service, under uvicorn, as browsers see it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from esdb_lite import EmbeddedServer, EsdbClient, NewEvent
from tests.recipes.conftest import Start
from tests.recipes.page import write
from tests.support import PATIENCE

OPEN = re.compile(r"^\w*current_incoming_grpc_calls(?:\{[^}]*\})? ([\d.]+)$", re.MULTILINE)


class Service:
    """The service, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            self.log.append(line)
            if found := re.search(r"running on http://([\d.]+):(\d+)", line):
                self.host, self.port = found[1], int(found[2])
                return
        raise AssertionError("".join(self.log))

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and content of an answer."""
        data = None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
        request = urllib.request.Request(f"http://{self.host}:{self.port}{path}", data, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def follow(self, path: str, last: str = "") -> EventSource:
        """Open a stream of server-sent events."""
        connection = socket.create_connection((self.host, self.port), timeout=PATIENCE)
        again = f"Last-Event-ID: {last}\r\n" if last else ""
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n{again}\r\n".encode())
        return EventSource(connection)

    def end(self) -> str:
        """Stop it; what it has said."""
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return "".join(self.log) + rest


class EventSource:
    """What a browser does with a stream of events."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("r", encoding="utf-8", newline="\n")
        assert "200 OK" in self._file.readline()

    def next(self) -> dict[str, str]:
        """The next event."""
        found: dict[str, str] = {}
        for line in self._file:
            key, separator, value = line.strip().partition(": ")
            if separator and key in ("id", "event", "data"):
                found[key] = value
            if not line.strip() and "data" in found:
                return found
        raise AssertionError("the stream has ended")

    def close(self) -> None:
        """Go away without a word."""
        self._file.close()
        self._connection.close()


@pytest.fixture
def service(tmp_path: Path, start: Start) -> Service:
    write(tmp_path, "shop_api.py")
    arguments = ("-X", "dev", "-m", "uvicorn", "shop_api:app", "--port", "0", "--timeout-graceful-shutdown", "1")
    return Service(start(*arguments, SALES="sales.db"))


def open_calls(server: EmbeddedServer) -> int:
    """How many calls the server has open: the consumer's, and one for each that follows."""
    page = f"http://{server.uri.partition('://')[2].partition('?')[0]}/metrics"
    with urllib.request.urlopen(page, timeout=PATIENCE) as answer:
        found = OPEN.search(answer.read().decode())
    assert found
    return int(float(found[1]))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # only looking tells


def test_orders(service: Service, client: EsdbClient) -> None:
    tea = {"item": "tea", "price": 4}
    assert service.ask("PUT", "/orders/1", tea) == (201, None)
    assert service.ask("PUT", "/orders/1", tea) == (201, None)
    assert service.ask("PUT", "/orders/2", tea) == (201, None)
    assert service.ask("GET", "/orders/1") == (200, [tea])
    assert service.ask("GET", "/sales/tea") == (200, 8)
    assert service.ask("GET", "/orders/3") == (404, {"detail": "there is no such order"})
    status, health = service.ask("GET", "/health")
    assert (status, health["failure"]) == (200, "")
    assert health["lag"] < PATIENCE
    said = service.end()
    assert "Application shutdown complete" in said
    assert "Traceback" not in said
    assert "Warning" not in said
    assert len(list(client.read_all_events())) == 2


def test_a_consumer_that_fails(service: Service, client: EsdbClient) -> None:
    client.append_events("purchase-1", None, NewEvent.json("ItemBought", {"item": "tea", "price": "four"}))
    wait_until(lambda: service.ask("GET", "/health")[0] == 503)
    assert "price" in service.ask("GET", "/health")[1]["failure"]
    assert service.ask("GET", "/orders/1") == (200, [{"item": "tea", "price": "four"}])
    assert "EventValueError" in service.end()


def test_the_deadline(service: Service, server: EmbeddedServer) -> None:
    service.ask("PUT", "/orders/1", {"item": "tea", "price": 4})
    with server.faults.stall():
        status, said = service.ask("GET", "/orders/1", X_Timeout="0.3")
        assert status == 503
        assert re.search(r"did not end within 0\.[0-2]\d+ seconds", said["detail"])
    assert service.ask("GET", "/orders/1")[0] == 200
    assert service.ask("GET", "/orders/1", X_Timeout="0")[0] == 422


def test_following(service: Service, server: EmbeddedServer, client: EsdbClient) -> None:
    service.ask("PUT", "/orders/0", {"item": "tea", "price": 4})
    client.append_events("warm", None, NewEvent.json("Warm", {}))
    calls = open_calls(server)  # with those on which both clients append
    first, second = (service.follow("/orders/1/events") for _ in range(2))
    service.ask("PUT", "/orders/1", {"item": "tea", "price": 4})
    expected = {"id": "0", "event": "ItemBought", "data": '{"item":"tea","price":4}'}
    assert first.next() == second.next() == expected
    first.close()
    third = service.follow("/orders/1/events", last="0")
    client.append_events("purchase-1", 0, NewEvent.json("OrderPaid", {}))
    assert second.next() == third.next() == {"id": "1", "event": "OrderPaid", "data": "{}"}
    assert open_calls(server) >= calls + 2
    second.close()
    third.close()
    wait_until(lambda: open_calls(server) <= calls)  # nobody is there any more: nothing is left behind
    last = service.follow("/orders/1/events")
    last.next()
    said = service.end()  # with somebody who follows
    last.close()
    assert "was destroyed" not in said
    assert "never awaited" not in said
