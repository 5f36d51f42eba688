"""`import` and `copy` are killed in the midst, or their server: nothing is lost or there twice, and the order stays."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import pytest

from esdb_lite import EsdbClient
from tests.support import PATIENCE, ServeProcess, command, environment, free_port, start_serve

EVENTS, HALF = 12_000, 8_000
KILLED_AFTER = 3_000


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Events of 300 streams by chance, and of their metadata."""
    chance, path = Random(3), tmp_path / "events.jsonl"
    numbers: dict[str, int] = {}
    with path.open("w") as file:
        for number in range(EVENTS):
            stream = f"order-{chance.randrange(300)}"
            if number % 100 == 50:
                stream = f"$${stream}"
            position = numbers[stream] = numbers.get(stream, -1) + 1
            line = {"stream": stream, "position": position, "type": "Placed", "id": str(uuid4())}
            if stream.startswith("$$"):
                line["type"] = "$metadata"
            file.write(json.dumps({**line, "metadata": None, "data": {"maxCount": number}}) + "\n")
    return path


def ids_of(path: Path) -> list[UUID]:
    return [UUID(json.loads(line)["id"]) for line in path.read_text().splitlines()]


def ids_in(uri: str) -> list[UUID]:
    with EsdbClient(uri) as client:
        events = client.read_all_events(filter_exclude=())
        return [each.id for each in events if each.stream_name.startswith(("order-", "$$order-"))]


class Command:
    """`import` or `copy`, as a process."""

    def __init__(self, *arguments: str | Path, uri: str) -> None:
        env = {**environment(), "ESDB_URI": uri}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command(*arguments), stdin=pipe, stderr=pipe, text=True, env=env)

    def give(self, lines: list[str]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.writelines(lines)
        self.process.stdin.flush()

    def end(self) -> None:
        """Wait until it is done."""
        _, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, err

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


def until_some_are_there(uri: str) -> None:
    with EsdbClient(uri) as client, client.subscribe_all_events() as events:
        for _ in zip(range(KILLED_AFTER), events, strict=False):
            pass


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[[str, int], ServeProcess]]:
    """Starts `serve` on a file and a port."""
    started: list[ServeProcess] = []

    def start(name: str, port: int) -> ServeProcess:
        options = ("--port", str(port), "--durability", "relaxed")
        started.append(start_serve("--db", tmp_path / name, *options, folder=tmp_path))
        return started[-1]

    yield start
    for served in started:
        served.kill()


def test_the_command_is_killed(exported: Path, servers: Callable[[str, int], ServeProcess]) -> None:
    lines = exported.read_text().splitlines(keepends=True)
    served = servers("to.db", free_port())
    first = Command("import", "-", uri=served.uri)
    first.give(lines[:HALF])
    until_some_are_there(served.uri)
    first.kill()
    Command("import", exported, uri=served.uri).end()
    assert ids_in(served.uri) == ids_of(exported)


def test_the_server_is_killed(exported: Path, servers: Callable[[str, int], ServeProcess]) -> None:
    """The command goes on when it is there again."""
    lines, port = exported.read_text().splitlines(keepends=True), free_port()
    served = servers("to.db", port)
    importing = Command("import", "-", uri=served.uri)
    importing.give(lines[:HALF])
    until_some_are_there(served.uri)
    served.kill()
    servers("to.db", port)
    importing.give(lines[HALF:])
    importing.end()
    assert ids_in(served.uri) == ids_of(exported)


def test_the_target_of_a_copy_is_killed(exported: Path, servers: Callable[[str, int], ServeProcess]) -> None:
    source, port = servers("from.db", free_port()), free_port()
    Command("import", exported, uri=source.uri).end()
    served = servers("to.db", port)
    copying = Command("copy", source.uri, served.uri, uri=source.uri)
    until_some_are_there(served.uri)
    served.kill()
    servers("to.db", port)
    copying.end()
    assert ids_in(served.uri) == ids_of(exported)
