"""The container and the units: what they start exists, understands its options, and serves.

Nothing here runs Docker: its images come from elsewhere. The commands of the image are run as they are.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from esdb_lite import EsdbClient, NewEvent
from esdb_lite.cli.parser import parser
from tests.recipes.page import blocks, files
from tests.support import command, environment, run_command, start_serve

INSTRUCTIONS = {
    *("FROM", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "ENV", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
}


def instructions() -> list[tuple[str, str]]:
    """What the Dockerfile says: names and their arguments."""
    (text,) = blocks("dockerfile")
    lines = text.replace("\\\n", " ").strip().splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def arguments(name: str) -> list[str]:
    """The words of a command of the image."""
    (found,) = (rest for instruction, rest in instructions() if instruction == name)
    words: list[str] = json.loads(found[found.index("[") :])
    return words


def section(name: str) -> dict[str, list[str]]:
    """The settings of a unit."""
    found: dict[str, list[str]] = {}
    for line in files("ini")[name].splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def understood(words: list[str]) -> None:
    """The command line takes these words. Raises SystemExit where it does not."""
    assert words[0].rpartition("/")[2] == "esdb-lite"
    parser().parse_args(words[1:])


def test_the_image_is_well_formed() -> None:
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    assert set(names) == INSTRUCTIONS
    assert len(names) == len(INSTRUCTIONS)
    understood(arguments("ENTRYPOINT") + arguments("CMD"))
    understood(arguments("HEALTHCHECK"))
    with pytest.raises(SystemExit):
        understood([*arguments("ENTRYPOINT"), "--nonsense"])


def test_the_image_serves(tmp_path: Path) -> None:
    words = arguments("ENTRYPOINT") + arguments("CMD")
    serving = [str(tmp_path / "events.db") if word == "/data/events.db" else word for word in words[2:]]
    process = start_serve(*serving, folder=tmp_path)
    try:
        (given,) = (rest for name, rest in instructions() if name == "ENV")
        variable, _, uri = given.partition("=")
        port = process.address.rpartition(":")[2]
        ping = [*command(*arguments("HEALTHCHECK")[1:])]
        health = {**environment(), variable: uri.replace("2113", port)}
        assert subprocess.run(ping, env=health, capture_output=True, timeout=30, check=False).returncode == 0
        assert process.stop().status == 0
        assert subprocess.run(ping, env=health, capture_output=True, timeout=30, check=False).returncode == 3
    finally:
        process.kill()


@pytest.mark.parametrize("name", sorted(files("ini")))
def test_units_start_what_there_is(name: str) -> None:
    starts = [shlex.split(line) for line in section(name)["ExecStart"]]
    ours = [words for words in starts if "esdb-lite" in words[0]]
    assert ours
    for words in ours:
        understood(words)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    paths = []
    for name, text in files("ini").items():
        paths.append(tmp_path / name)
        paths[-1].write_text(text.replace("/opt/esdb-lite/bin/esdb-lite", sys.executable), "utf-8")
    verify = ["systemd-analyze", "verify", "--man=no", *map(str, paths)]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if re.search(r"esdb-\w+\.service", line)]
    assert not ours, done.stderr


def test_the_backup_of_the_unit(tmp_path: Path) -> None:
    """While the server runs; the copy has what it had."""
    process = start_serve("--db", tmp_path / "events.db", folder=tmp_path)
    try:
        with EsdbClient(process.uri) as client:
            client.append_events("order-1", None, NewEvent.json("OrderPlaced", {}))
        words = shlex.split(section("esdb-backup.service")["ExecStart"][0])
        names = {"/var/lib/esdb-lite": tmp_path, "/var/backups": tmp_path}
        given = [str(names.get(str(Path(word).parent), "")) + "/" + Path(word).name for word in words[2:]]
        assert run_command(words[1], *given).status == 0
    finally:
        process.kill()
    with EsdbClient(f"esdb+embedded://{tmp_path}/events.db.new") as client:
        assert client.get_stream_position("order-1") == 0
