"""`export`, `import` and `copy`: byte by byte, again and again, and interrupted."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import EmbeddedServer, EsdbClient, NewEvent, RecordedEvent, StreamMetadata
from esdb_lite.cli import event_files, importer, importing
from esdb_lite.cli.lines import LineError, event_of, line_of
from tests.cli.conftest import Run

CONTENTS = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"",
            b"null",
            b'{"a": 1}',
            b'{"a":1}',
            b' {"a":1}',
            b"{\n}",
            b"NaN",
            b"1 2",
            b'"\\ud800"',
            b'{"data":{"metadata":1}}',
        ]
    ),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    TEXTS | st.just(',"metadata":null,"data":null}'),
    TEXTS | st.just('","data":'),
    CONTENTS,
    CONTENTS,
    st.sampled_from(["application/json", "application/octet-stream"]),
)
def test_lines(stream: str, type: str, data: bytes, metadata: bytes, content_type: str) -> None:
    id = uuid4()
    event = RecordedEvent(type, data, metadata, stream, 5, 700, id=id, content_type=content_type)
    line = line_of(event)
    assert line.count(b"\n") == 1
    found = event_of(line)
    assert (found.stream, found.position) == (stream, 5)
    assert found.event == NewEvent(type, data, metadata, content_type, id)


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b'{"stream":"s"}', b'{"stream":5,"type":"T"}', b'{"stream":"","type":"T"}', b"\xff",
     b'{"stream":"s","type":"T","data_base64":"?"}', b'{"stream":"s","type":"T","id":"x"}',
     b'{"stream":"s","type":"","metadata":null,"data":null}'],
)  # fmt: skip
def test_lines_that_are_none(line: bytes) -> None:
    with pytest.raises(LineError):
        event_of(line)


def test_lines_of_others() -> None:
    """Written by hand, in another order."""
    found = event_of(b'{"data": {"b": [1, 2]}, "type": "T", "stream": "s"}\n')
    assert (found.event.type, found.event.data, found.position) == ("T", b'{"b":[1,2]}', 0)


@pytest.fixture
def target() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def source() -> Iterator[EmbeddedServer]:
    """A server with all kinds of events."""
    with EmbeddedServer() as running, EsdbClient(running.uri) as client:
        for number in range(40):
            events = [NewEvent(f"T{number % 3}", b'{"n": %d}' % number, b'{"m":1}') for _ in range(1 + number % 5)]
            client.append_events(f"order-{number % 7}", -2, events)
        client.append_events("binary", None, NewEvent("B", b"\x00\xff", content_type="application/octet-stream"))
        client.append_events("text", None, NewEvent("T", b"{\n}"))
        client.set_stream_metadata("order-1", StreamMetadata(max_count=1000))
        client.append_events("gone", None, NewEvent("T", b"{}"))
        client.tombstone_stream("gone")
        client.append_events("hidden", None, NewEvent("T", b"{}"))
        client.delete_stream("hidden")
        yield running


def everything(server: EmbeddedServer) -> list[tuple[Any, ...]]:
    """All that users have written, in its order."""
    with EsdbClient(server.uri) as client:
        return [
            (each.stream_name, each.stream_position, each.type, each.data, each.metadata, each.content_type)
            + (() if each.stream_name in ("$$hidden", "gone") else (each.id,))
            for each in client.read_all_events(filter_exclude=())
            if not each.stream_name.startswith(("$projections", "$$$", "$users"))
        ]


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
@pytest.mark.parametrize("options", [[], ["--by-stream"]])
def test_there_and_back(
    run: Run, source: EmbeddedServer, target: EmbeddedServer, tmp_path: Path, name: str, options: list[str]
) -> None:
    path = tmp_path / name
    done = run("export", source.uri, str(path))
    assert (done.status, done.out) == (0, "")
    before = everything(source)
    assert f"exported {len(before):,} events" in done.err
    done = run("import", target.uri, str(path), *options)
    assert done.status == 0, done.err
    assert f"appended {len(before):,} events" in done.err
    after = everything(target)
    assert (sorted(after, key=str) if options else after) == (sorted(before, key=str) if options else before)
    again = run("import", target.uri, str(path), *options)
    assert again.status == 0, again.err
    assert everything(target) == after
    assert run("export", source.uri, str(path)).status == 2


def test_copying(run: Run, source: EmbeddedServer, target: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("copy", source.uri, target.uri).status == 0
    assert everything(target) == everything(source)
    monkeypatch.setenv("ESDB_URI", source.uri)
    with EsdbClient(source.uri) as client:
        client.append_events("order-1", -2, NewEvent("New", b"{}"))
    assert run("copy", target.uri).status == 0
    assert everything(target) == everything(source)
    assert run("copy", source.uri).status == 2


def test_a_part(run: Run, source: EmbeddedServer, tmp_path: Path) -> None:
    def exported(*options: str) -> list[str]:
        path = tmp_path / str(uuid4())
        assert run("export", source.uri, str(path), *options).status == 0
        return [event_of(line).stream for line in path.read_bytes().splitlines()]

    assert set(exported("--category", "order")) == {f"order-{number}" for number in range(7)} | {"$$order-1"}
    assert set(exported("--stream", "order-2")) == {"order-2"}
    assert len(exported("--limit", "3")) == 3
    assert "$$$scavenges" in exported("--system")
    done = run("export", source.uri, "-", "--type", "B")
    assert [each["data_base64"] for each in done.objects] == ["AP8="]


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
@pytest.mark.parametrize("cut", [0, 7])
def test_an_interrupted_export(run: Run, source: EmbeddedServer, tmp_path: Path, name: str, cut: int) -> None:
    """A limit stands for the interruption; some bytes of the end may be missing then."""
    whole, part = tmp_path / f"whole-{name}", tmp_path / name
    run("export", source.uri, str(whole))
    assert run("export", source.uri, str(part), "--limit", "30").status == 0
    if cut:
        part.write_bytes(part.read_bytes()[:-cut])
    done = run("export", source.uri, str(part), "--resume")
    assert done.status == 0, done.err
    first, second = whole.read_bytes(), part.read_bytes()
    assert (gzip.decompress(first) == gzip.decompress(second)) if name.endswith("gz") else (first == second)
    assert list(tmp_path.glob("*.part")) == []
    assert "exported 0 events" in run("export", source.uri, str(part), "--resume").err


@pytest.mark.parametrize("name", ["notes.txt", "notes.gz"])
@pytest.mark.parametrize(
    "content", [b"my thesis, no line feed", b"a\nb", b"PK\x03\x04 a zip", gzip.compress(b"thesis", mtime=0)]
)
def test_nothing_else_is_taken_for_an_interrupted_export(
    run: Run, source: EmbeddedServer, tmp_path: Path, name: str, content: bytes
) -> None:
    """What is not complete is cut off: of the right file."""
    path = tmp_path / name
    path.write_bytes(content)
    done = run("export", source.uri, str(path), "--resume")
    assert done.status == 2
    assert path.read_bytes() == content
    assert "is a folder" in run("export", source.uri, str(tmp_path)).err


def test_going_on_with_a_file_of_another_database(
    run: Run, source: EmbeddedServer, target: EmbeddedServer, tmp_path: Path
) -> None:
    path = tmp_path / "e.jsonl"
    run("export", source.uri, str(path), "--limit", "5")
    with EsdbClient(target.uri) as client:
        client.append_events("order-1", None, [NewEvent("T", b"{}" * 20) for _ in range(50)])
    before = path.read_bytes()
    for server in (target.uri, None):
        with EmbeddedServer() as empty:
            done = run("export", server or empty.uri, str(path), "--resume")
        said = f"esdb-lite: {path} is of another server or database: its last event is not where it was\n"
        assert (done.status, done.err, path.read_bytes()) == (2, said, before)


def test_an_interrupted_import(run: Run, source: EmbeddedServer, target: EmbeddedServer, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    run("export", source.uri, str(path))
    lines = path.read_bytes().splitlines(keepends=True)
    (tmp_path / "part").write_bytes(b"".join(lines[:50]) + b"{broken")
    done = run("import", target.uri, str(tmp_path / "part"))
    assert done.status == 2
    assert "line 51: " in done.err
    (tmp_path / "part").write_bytes(b"".join(lines[:50]))
    assert run("import", target.uri, str(tmp_path / "part")).status == 0
    assert len(everything(target)) == 50
    done = run("import", target.uri, str(path))
    assert done.status == 0, done.err
    assert everything(target) == everything(source)


def test_streams_with_other_events_are_left_alone(
    run: Run, source: EmbeddedServer, target: EmbeddedServer, tmp_path: Path
) -> None:
    path = tmp_path / "e.jsonl"
    run("export", source.uri, str(path), "--category", "order")
    with EsdbClient(target.uri) as client:
        client.append_events("order-2", None, NewEvent("Mine", b"{}"))
        done = run("import", target.uri, str(path))
        assert done.status == 1
        assert "1 streams end with other events: order-2" in done.err
        assert [each.type for each in client.read_stream_events("order-2")] == ["Mine"]
        assert client.get_stream_position("order-3") is not None


def test_counts_of_streams_that_go_on_in_another_chunk(
    run: Run, target: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has come before the last known event was there, too; left out is only what has no such event."""
    monkeypatch.setattr(importing, "_CHUNK", 20)
    path = tmp_path / "e.jsonl"
    with EmbeddedServer() as source, EsdbClient(source.uri) as client:
        for number in range(100):
            client.append_events(f"bulk-{number % 4}", -2, NewEvent("T", b"%d" % number))
        run("export", source.uri, str(path))
    assert "appended 100 events (" in run("import", target.uri, str(path)).err
    done = run("import", target.uri, str(path), "--json")
    assert (done.status, done.objects) == (0, [counts(known=100)])
    assert "appended 0 events, 100 were there" in done.err
    with EsdbClient(target.uri) as client:
        client.append_events("bulk-2", -2, NewEvent("Mine", b"{}"))
    done = run("import", target.uri, str(path), "--json")
    assert (done.status, done.objects) == (1, [counts(known=75, left_out=25, streams=["bulk-2"])])
    assert "25 events were left out: 1 streams end with other events: bulk-2" in done.err


def counts(*, appended: int = 0, known: int = 0, left_out: int = 0, streams: Sequence[str] = ()) -> dict[str, object]:
    found = {"appended": appended, "known": known, "renumbered": False, "left_out": left_out}
    return {**found, "left_out_streams": list(streams)}


def reborn(server: EmbeddedServer) -> None:
    """A stream that was deleted, and begun again, among others."""
    with EsdbClient(server.uri) as client:
        for stream, count in (("other", 3), ("reborn", 3)):
            client.append_events(stream, None, [NewEvent("Old", b"{}") for _ in range(count)])
        client.delete_stream("reborn")
        client.append_events("reborn", None, [NewEvent("New", b"{}") for _ in range(3)])
        client.append_events("other", 2, [NewEvent("Old", b"{}") for _ in range(3)])


def shown(client: EsdbClient, stream: str = "reborn") -> list[tuple[int, str]]:
    return [(each.stream_position, each.type) for each in client.read_stream_events(stream)]


@pytest.mark.parametrize(
    ("size", "options"),
    [*((size, []) for size in (1, 3, 5, 7, 8, 10)), *((size, ["--by-stream"]) for size in (1, 4, 13))],
)
def test_a_stream_that_began_again_does_so_wherever_it_is_cut(
    run: Run, target: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, options: list[str]
) -> None:
    monkeypatch.setattr(importer, "_EVENTS", size)
    with EmbeddedServer() as source:
        reborn(source)
        run("export", source.uri, str(tmp_path / "e.jsonl"))
    assert run("import", target.uri, str(tmp_path / "e.jsonl"), *options).status == 0
    with EsdbClient(target.uri) as client:
        assert shown(client) == [(3, "New"), (4, "New"), (5, "New")]


@pytest.mark.parametrize("lines", [6, 7, 8, 10, 11])
def test_a_stream_that_began_again_does_so_wherever_an_import_was_interrupted(
    run: Run, target: EmbeddedServer, tmp_path: Path, lines: int
) -> None:
    path, part = tmp_path / "e.jsonl", tmp_path / "part.jsonl"
    with EmbeddedServer() as source:
        reborn(source)
        run("export", source.uri, str(path))
    part.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))
    assert run("import", target.uri, str(part)).status == run("import", target.uri, str(path)).status == 0
    with EsdbClient(target.uri) as client:
        assert shown(client) == [(3, "New"), (4, "New"), (5, "New")]
        assert shown(client, "other") == [(number, "Old") for number in range(6)]


def test_metadata_are_not_imported_again_when_their_ids_are_forgotten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with EmbeddedServer(tmp_path / "t.db") as target:
        reborn(target)
        assert run("export", target.uri, str(path)).status == 0
    assert run("scavenge", str(tmp_path / "t.db")).status == 0
    with EmbeddedServer(tmp_path / "t.db") as target, EsdbClient(target.uri) as client:
        done = run("import", target.uri, str(path), "--json")
        assert (done.status, done.objects) == (0, [counts(known=14)])
        assert shown(client) == [(3, "New"), (4, "New"), (5, "New")]


def test_a_stream_with_other_events_keeps_its_metadata(run: Run, target: EmbeddedServer, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with EmbeddedServer() as source, EsdbClient(source.uri) as client:
        client.append_events("gone", None, NewEvent("T", b"{}"))
        client.delete_stream("gone")
        client.set_stream_metadata("empty", {"theirs": 1})
        run("export", source.uri, str(path))
    with EsdbClient(target.uri) as client:
        client.append_events("gone", None, NewEvent("Mine", b"{}"))
        client.append_events("empty", None, NewEvent("Mine", b"{}"))
        done = run("import", target.uri, str(path), "--json")
        assert (done.status, done.objects) == (1, [counts(left_out=3, streams=["gone", "empty"])])
        assert shown(client, "gone") == shown(client, "empty") == [(0, "Mine")]
        assert not client.get_stream_metadata("empty").custom


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_nothing_goes_on_with_a_device(run: Run, source: EmbeddedServer) -> None:
    """Reading it would not end."""
    done = run("export", source.uri, "/dev/full", "--resume")
    assert (done.status, done.err) == (
        2,
        "esdb-lite: /dev/full is not a regular file: --resume cannot go on with it\n",
    )
    assert "not a regular file" in run("export", source.uri, "/dev/full").err


def test_a_line_has_an_end(run: Run, source: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file without line feeds, no more is read than an event can have."""
    monkeypatch.setattr(event_files, "_LONGEST", 5000)
    path = tmp_path / "e.jsonl"
    content = b'{"stream":' + b"0" * 20_000
    path.write_bytes(content)
    done = run("export", source.uri, str(path), "--resume")
    assert (done.status, path.read_bytes()) == (2, content)
    assert "is not what an export has left" in done.err
    assert "more than 5,000 bytes" in run("import", source.uri, str(path)).err


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"stream":"s","id":null}', '"type" is missing'),
        (b'{"type":"T"}', '"stream" is missing'),
        (b'{"stream":"s","type":"T","id":"x"}', '"id" is not a UUID: x'),
        (b'{"stream":"s","type":"T","data_base64":"?"}', '"data_base64" is not base64'),
        (b'{"stream":', "it is not JSON: Expecting value (column 11)"),
        (b'{"stream":"s","type":"T","metadata":null,"data":{a}}', "it is not JSON: Expecting property name"),
        (b"[1]", "it is not a JSON object"),
        (b"\xff", "it is not UTF-8 (byte 1)"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
    ids=range(9),
)
def test_what_is_the_matter_with_a_line(run: Run, uri: str, line: bytes, why: str) -> None:
    done = run("import", uri, "-", stdin=b'\n{"stream":"s","type":"T"}\n' + line)
    assert done.status == 2
    assert done.err.startswith(f"esdb-lite: -, line 3: {why}")
    assert "Error" not in done.err


def test_counts_as_an_object(run: Run, source: EmbeddedServer, target: EmbeddedServer, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    number = len(everything(source))
    assert run("export", source.uri, str(path), "--json").objects == [{"exported": number, "known": 0}]
    (done,) = run("copy", source.uri, target.uri, "--json").objects
    assert (done["appended"], done["known"], done["left_out_streams"]) == (number, 0, [])
    assert len(run("export", source.uri, "-", "--json").objects) == number


def test_files_that_cannot_be_used(run: Run, source: EmbeddedServer, tmp_path: Path) -> None:
    assert run("import", source.uri, str(tmp_path / "none")).status == 2
    assert run("export", source.uri, str(tmp_path / "no" / "folder")).status == 2
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"no gzip")
    assert "damaged" in run("import", source.uri, str(broken)).err


def test_from_a_pipe(run: Run, source: EmbeddedServer, target: EmbeddedServer) -> None:
    lines = run("export", source.uri, "-").out.encode()
    assert run("import", target.uri, "-", stdin=lines).status == 0
    assert len(everything(target)) == len(everything(source))
