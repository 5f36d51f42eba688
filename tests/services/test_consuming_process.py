"""Consumers in processes of their own: killed at any moment, they lose nothing; told to end, they end in order."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from esdb_lite import EmbeddedServer, EsdbClient, NewEvent
from tests.support import PATIENCE, environment

from .consuming_process import DATABASE, EFFECTS, POSITION

KILLS = 24
EACH = 60
"""Events that are appended before each kill, so that there is always something to do."""
EVENTS = KILLS * EACH
LAST = EVENTS - 1


@pytest.fixture
def uri() -> Iterator[str]:
    with EmbeddedServer() as server:
        yield server.uri


def append(uri: str, count: int) -> None:
    with EsdbClient(uri) as client:
        client.append_events("s", -2, [NewEvent("A", b"{}") for _ in range(count)])


class Consumer:
    """A process that consumes."""

    def __init__(self, uri: str, kind: str, face: str, folder: Path) -> None:
        """It ends when it has handled the event after LAST."""
        command = [sys.executable, "-m", "tests.services.consuming_process", uri, kind, face, str(folder)]
        command.append(str(LAST + 1))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())

    def read(self, lines: int) -> list[int]:
        """Wait until so many events have been handled."""
        assert self.process.stdout is not None
        return [int(line) for _ in range(lines) if (line := self.process.stdout.readline())]

    def kill(self) -> int:
        """Kill it, if it still runs; returns how it has ended."""
        self.process.kill()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; returns its status."""
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@pytest.mark.slow
def test_killed_at_any_moment_every_effect_is_there_exactly_once(uri: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("CREATE TABLE effects (number INTEGER)")
    moments, ends = random.Random(1), []
    for kill in range(KILLS):
        append(uri, EACH)
        consumer = Consumer(uri, "sqlite", ("async", "sync")[kill % 2], tmp_path)
        consumer.read(moments.randrange(1, EACH - 10))
        assert consumer.kill() == -signal.SIGKILL
        effects, position = stored_effects(tmp_path)
        assert effects == list(range(len(effects)))
        assert position == (str(len(effects) - 1) if effects else "-")
        ends.append(len(effects))
    assert len(set(ends)) > KILLS / 2  # it did go on
    append(uri, 1)
    assert Consumer(uri, "sqlite", "sync", tmp_path).wait() == 0
    assert stored_effects(tmp_path) == (list(range(EVENTS + 1)), str(LAST + 1))


def stored_effects(folder: Path) -> tuple[list[int], str]:
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        effects = [number for (number,) in database.execute("SELECT number FROM effects ORDER BY rowid")]
        tables = database.execute("SELECT name FROM sqlite_master WHERE name = 'esdb_checkpoints'").fetchall()
        found = database.execute("SELECT stored_position FROM esdb_checkpoints").fetchall() if tables else []
    return effects, found[0][0].partition("@")[0] if found else "-"


@pytest.mark.slow
def test_killed_at_any_moment_every_effect_is_there_at_least_once_and_in_order(uri: str, tmp_path: Path) -> None:
    moments = random.Random(2)
    position, before = -1, 0
    for kill in range(KILLS):
        append(uri, EACH)
        consumer = Consumer(uri, "file", ("sync", "async")[kill % 2], tmp_path)
        consumer.read(moments.randrange(1, EACH - 10))
        assert consumer.kill() == -signal.SIGKILL
        effects = written_effects(tmp_path)
        fresh, before = effects[before:], len(effects)
        # goes on after what is stored, without a gap, and at most the last event comes twice
        assert fresh == list(range(position + 1, position + 1 + len(fresh)))
        position = stored_position(tmp_path)
        assert fresh[-1] - position in (0, 1)
    append(uri, 1)
    assert Consumer(uri, "file", "async", tmp_path).wait() == 0
    assert written_effects(tmp_path)[before:] == list(range(position + 1, EVENTS + 1))
    assert stored_position(tmp_path) == LAST + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [EFFECTS, POSITION]


def written_effects(folder: Path) -> list[int]:
    return [int(line) for line in (folder / EFFECTS).read_text().splitlines()]


def stored_position(folder: Path) -> int:
    path = folder / POSITION
    return int(json.loads(path.read_text())["position"].partition("@")[0]) if path.exists() else -1


@pytest.mark.parametrize("face", ["async", "sync"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_stores_its_position(uri: str, tmp_path: Path, face: str, number: signal.Signals) -> None:
    """While it waits for events, and with a position that is stored seldom."""
    append(uri, 20)
    for round_ in (1, 2):
        consumer = Consumer(uri, "seldom", face, tmp_path)
        assert consumer.read(20) == list(range(20 * (round_ - 1), 20 * round_))
        consumer.process.send_signal(number)
        assert consumer.wait() == 0
        assert stored_position(tmp_path) == 20 * round_ - 1
        append(uri, 20)


@pytest.mark.parametrize("face", ["async", "sync"])
def test_told_to_end_while_it_is_busy(uri: str, tmp_path: Path, face: str) -> None:
    append(uri, EVENTS)
    consumer = Consumer(uri, "seldom", face, tmp_path)
    consumer.read(5)
    consumer.process.send_signal(signal.SIGTERM)
    assert consumer.wait() == 0
    effects = written_effects(tmp_path)
    assert effects == list(range(len(effects)))
    assert stored_position(tmp_path) == effects[-1]
