"""The command line, as processes of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import esdb_lite
from esdb_lite import AppendTooLarge, EsdbClient, EventTooLarge, NewEvent, ServiceUnavailable, StreamState
from tests.support import Finished, ServeProcess, environment, run_command
from tests.support import command as support_command

Serve = Callable[..., ServeProcess]

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def refused(done: Finished) -> str:
    """The one line with which a command has refused to run."""
    assert (done.status, done.out) == (2, ""), done
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("esdb-lite: ")
    return done.err


def test_version() -> None:
    assert run_command("--version") == Finished(0, f"esdb-lite {esdb_lite.__version__}\n", "")


@pytest.mark.parametrize("command", ["", "serve", "demo", "backup", "scavenge", "verify", "web"])
def test_help(command: str) -> None:
    done = run_command(*filter(None, [command]), "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("usage: esdb-lite")
    assert max(map(len, done.out.splitlines())) <= 130


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["serve", "--port", "65536"],
        ["serve", "--port", "x"],
        ["serve", "--durability", "some"],
        ["verify"],
    ],
)
def test_wrong_arguments(arguments: list[str]) -> None:
    done = run_command(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("esdb-lite")
    assert "Traceback" not in done.err


def test_demo(tmp_path: Path) -> None:
    done = run_command("demo", folder=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "ExpectedPositionError" in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_serve_says_where_it_is_and_stops_cleanly(serve: Serve, number: signal.Signals) -> None:
    server = serve()
    assert server.uri.startswith("esdb://127.0.0.1:")
    with EsdbClient(server.uri) as client:
        assert client.append_events("stream", None, NewEvent("Type", b"")).stream_position == 0
    assert server.stop(number) == Finished(0, "", "")


@pytest.mark.parametrize("number", SIGNALS)
def test_serve_stops_with_subscriptions_open(serve: Serve, number: signal.Signals) -> None:
    server = serve()
    with EsdbClient(server.uri) as client, client.subscribe_all_events():
        assert server.stop(number) == Finished(0, "", "")
        with pytest.raises(ServiceUnavailable):
            client.get_commit_position(timeout=5)


def test_serve_keeps_a_file(serve: Serve, tmp_path: Path) -> None:
    for expected in (None, 0, 1):
        server = serve("--db", tmp_path / "events.db")
        with EsdbClient(server.uri) as client:
            client.append_events("stream", expected, NewEvent("Type", b""))
        assert server.stop().status == 0


def test_serve_logs_to_stderr(serve: Serve) -> None:
    server = serve("--log-level", "debug")
    with EsdbClient(server.uri) as client:
        client.get_commit_position()
    done = server.stop()
    assert (done.status, done.out) == (0, "")
    assert done.err


def test_sizes_are_taken_from_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESDB_MAX_APPEND_SIZE", "2000")
    monkeypatch.setenv("ESDB_MAX_APPEND_EVENT_SIZE", "500")
    with EsdbClient(serve().uri) as client:
        with pytest.raises(EventTooLarge) as one:
            client.append_events("s", None, NewEvent("T", b"x" * 600))
        with pytest.raises(AppendTooLarge) as all_of_them:
            client.append_events("s", None, [NewEvent("T", b"x" * 400) for _ in range(5)])
        assert (one.value.limit, all_of_them.value.limit) == (500, 2000)
    with EsdbClient(serve("--max-append-event-size", "1000").uri) as client:
        client.append_events("s", None, NewEvent("T", b"x" * 600))


def test_a_size_of_the_environment_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESDB_MAX_APPEND_SIZE", "1 MB")
    done = run_command("serve", "--port", "0")
    assert done.status == 2
    assert "--max-append-size: not a number of bytes" in done.err


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in refused(run_command("serve", "--port", str(port)))


def test_host_that_is_not_ours() -> None:
    assert "192.0.2.1" in refused(run_command("serve", "--port", "0", "--host", "192.0.2.1", "--insecure"))


def not_sqlite(path: Path) -> None:
    """Some file."""
    path.write_bytes(b"This is a letter to the editor.\n" * 200)


def of_another_program(path: Path) -> None:
    """An SQLite database with tables of somebody else."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()


def folder(path: Path) -> None:
    """A folder where a file should be."""
    path.mkdir()


BAD_FILES = [not_sqlite, of_another_program, folder]


@pytest.mark.parametrize("make", BAD_FILES)
@pytest.mark.parametrize("command", [["serve", "--port", "0", "--db"], ["verify"], ["scavenge"], ["backup"]])
def test_bad_files(tmp_path: Path, command: list[str], make: Callable[[Path], None]) -> None:
    path = tmp_path / "bad.db"
    make(path)
    target = [tmp_path / "copy.db"] if command == ["backup"] else []
    assert str(path) in refused(run_command(*command, path, *target))
    assert [file.name for file in tmp_path.iterdir()] == ["bad.db"]


@pytest.mark.parametrize("command", ["verify", "scavenge", "backup"])
def test_missing_files(tmp_path: Path, command: str) -> None:
    path = tmp_path / "missing.db"
    target = [tmp_path / "copy.db"] if command == "backup" else []
    assert str(path) in refused(run_command(command, path, *target))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "events.db"
    assert str(path) in refused(run_command("serve", "--port", "0", "--db", path))


@pytest.mark.parametrize("command", [["serve", "--port", "0", "--db"], ["verify"], ["scavenge"], ["backup"]])
def test_a_file_of_a_later_version(serve: Serve, tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "events.db"
    serve("--db", path).stop()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=1000000")
    connection.close()
    target = [tmp_path / "copy.db"] if command == ["backup"] else []
    line = refused(run_command(*command, path, *target))
    assert str(path) in line
    assert "1000000" in line


def test_two_servers_for_one_file(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    first = serve("--db", path)
    assert str(path) in refused(run_command("serve", "--port", "0", "--db", path))
    with EsdbClient(first.uri) as client:
        client.append_events("stream", None, NewEvent("Type", b""))


@pytest.fixture
def database(serve: Serve, tmp_path: Path) -> Path:
    """The file of a server that is running, with three events of which one can be read."""
    path = tmp_path / "events.db"
    with EsdbClient(serve("--db", path).uri) as client:
        client.append_events("kept", None, NewEvent("Type", b"HAYSTACK"))
        client.append_events("deleted", None, [NewEvent("Type", bytes(500_000)), NewEvent("Type", bytes(500_000))])
        client.delete_stream("deleted", 1)
    return path


def test_verify(database: Path) -> None:
    assert run_command("verify", database) == Finished(0, f"{database}: no faults in 6 events\n", "")


def test_verify_finds_a_changed_byte(serve: Serve, database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert run_command("backup", database, copy).status == 0
    copy.write_bytes(copy.read_bytes().replace(b"HAYSTACK", b"HAYSTICK"))
    done = run_command("verify", copy)
    assert (done.status, done.err) == (1, "")
    assert "'kept'" in done.out
    assert done.out.count("\n") == 1


def test_backup_of_a_database_in_use_can_be_served(serve: Serve, database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert run_command("backup", database, copy) == Finished(0, f"{copy} is a copy of {database}\n", "")
    with EsdbClient(serve("--db", copy).uri) as client:
        assert [event.data for event in client.read_stream_events("kept")] == [b"HAYSTACK"]


def test_backup_overwrites_nothing(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("mine")
    assert str(copy) in refused(run_command("backup", database, copy))
    assert copy.read_text() == "mine"


def test_scavenge_beside_a_server(database: Path) -> None:
    done = run_command("scavenge", database)
    assert (done.status, done.err) == (0, "")
    # the last event of a deleted stream stays, because it says how the stream goes on
    match = re.fullmatch(r".*: events removed: 1, bytes given back: (\d+)\n", done.out)
    assert match, done.out
    assert int(match[1]) > 400_000
    assert run_command("verify", database).status == 0


@pytest.mark.parametrize("command", [["serve", "--port", "0", "--db"], ["verify"], ["scavenge"]])
def test_an_empty_name_is_no_file(command: list[str]) -> None:
    assert "is empty ('')" in refused(run_command(*command, ""))


def test_a_database_that_has_lost_appends(serve: Serve, tmp_path: Path) -> None:
    path, copy = tmp_path / "events.db", tmp_path / "copy.db"
    server = serve("--db", path)
    with EsdbClient(server.uri) as client:
        client.append_events("stream", None, NewEvent("Type", b""))
        server.process.kill()
        server.process.wait()
    (tmp_path / "events.db-wal").unlink()
    for command in (["serve", "--port", "0", "--db", path], ["scavenge", path], ["backup", path, copy]):
        line = refused(run_command(*command))
        assert "appends up to position" in line
        assert "backup --salvage" in line
    found = run_command("verify", path)
    assert (found.status, found.out.count("were confirmed, and it ends at")) == (1, 1)
    assert run_command("backup", "--salvage", path, copy).status == 0
    assert run_command("verify", copy) == Finished(0, f"{copy}: no faults in 0 events\n", "")


def test_a_damaged_database_is_not_copied_in_silence(serve: Serve, tmp_path: Path) -> None:
    """An event that is another one now: nobody would learn of it before the copy is needed."""
    path, copy = tmp_path / "events.db", tmp_path / "copy.db"
    server = serve("--db", path)
    with EsdbClient(server.uri) as client:
        client.append_events("stream", None, [NewEvent("Type", b"HAYSTACK"), NewEvent("Type", b"NEEDLE")])
    server.stop()
    path.write_bytes(path.read_bytes().replace(b"NEEDLE", b"noodle"))
    line = refused(run_command("backup", path, copy))
    assert "has a wrong checksum: not copied" in line
    assert "verify" in line
    assert "--salvage" in line
    assert not copy.exists()
    assert run_command("backup", "--salvage", path, copy).out.endswith("known to be missing: 1\n")
    assert run_command("backup", copy, tmp_path / "again.db").status == 0


def test_commands_leave_nothing_beside_a_file(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    serve("--db", path).stop()
    assert run_command("verify", path).status == 0
    assert run_command("backup", path, tmp_path / "copy.db").status == 0
    assert run_command("verify", tmp_path / "copy.db").status == 0
    assert run_command("scavenge", tmp_path / "copy.db").status == 0
    assert {file.name for file in tmp_path.iterdir() if ".db" in file.name} == {"events.db", "copy.db"}


def test_progress_is_shown_on_a_terminal(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with EsdbClient(serve("--db", path).uri) as client:
        for _ in range(6):
            client.append_events("stream", StreamState.ANY, [NewEvent("Type", b"")] * 2000)
    assert run_command("verify", path).err == ""
    shown, terminal = os.openpty()
    done = subprocess.run(
        support_command("verify", path), stdout=subprocess.PIPE, stderr=terminal, env=environment(), check=True
    )
    os.close(terminal)
    assert done.stdout.decode() == f"{path}: no faults in 12,002 events\n"
    assert b"10,000 events checked" in os.read(shown, 1000)
    os.close(shown)
