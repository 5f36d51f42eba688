"""Every command that talks to a server, in pipes."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from esdb_lite import EsdbClient, NackAction, NewEvent, ProjectionFailed, StreamState
from tests.cli.conftest import Run


@pytest.fixture
def stream() -> str:
    return f"order-{uuid4()}"


def test_reading(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    client.append_events(
        stream,
        None,
        [
            NewEvent("Placed", '{"total": 5, "by": "Zoë\x9b"}'.encode(), b'{"$correlationId":"c"}'),
            NewEvent("Paid", b"\x1b[31m", content_type="application/octet-stream"),
            NewEvent("Sent", b"\xff", b"null", content_type="application/octet-stream"),
        ],
    )
    done = run("read", uri, stream)
    assert (done.status, done.err) == (0, "")
    placed, paid, sent = done.objects
    assert placed["data"] == {"total": 5, "by": "Zoë\x9b"}
    assert placed["metadata"] == {"$correlationId": "c"}
    assert (placed["stream"], placed["position"], placed["type"]) == (stream, 0, "Placed")
    assert paid["data_text"] == "\x1b[31m"
    assert sent["data_base64"] == "/w=="
    assert not {"\x1b", "\x9b"} & set(done.out)
    assert "Zoë" in done.out
    assert [each["position"] for each in run("read", uri, stream, "--backwards", "--limit", "2").objects] == [2, 1]
    assert [each["position"] for each in run("read", uri, stream, "--from", "1").objects] == [1, 2]
    assert [each["type"] for each in run("read", uri, stream, "--type", "Paid").objects] == ["Paid"]
    assert run("read", uri, stream, "--type", "Placed", "--raw").out == '{"total": 5, "by": "Zoë\x9b"}\n'
    assert run("read", uri, stream, "--limit", "0").out == ""


def test_reading_all(run: Run, client: EsdbClient, uri: str) -> None:
    kind = f"k{uuid4().hex}"
    client.append_events(f"{kind}-1", None, [NewEvent(f"{kind}A", b"{}"), NewEvent(f"{kind}B", b"{}")])
    assert len(run("read", uri, "--category", kind).objects) == 2
    assert [each["type"] for each in run("read", uri, "--type", f"{kind}A").objects] == [f"{kind}A"]
    assert len(run("read", uri, "$all", "--filter", f"^{kind}", "--limit", "1").objects) == 1
    assert len(run("read", uri, "--stream-filter", f"^{kind}").objects) == 2
    assert any(each["type"].startswith("$") for each in run("read", uri, "--system").objects)
    assert not any(each["type"].startswith("$") for each in run("read", uri).objects)
    refused = run("read", uri, "--type", "A", "--category", "b")
    assert (refused.status, refused.err.count("\n")) == (2, 1)


def test_following(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    client.append_events(stream, None, [NewEvent("A", b"{}"), NewEvent("B", b"{}"), NewEvent("C", b"{}")])
    assert [each["type"] for each in run("tail", uri, stream, "--from", "0", "--limit", "2").objects] == ["B", "C"]
    done = run("tail", uri, stream, "--from", "0", "--type", "C", "--limit", "1", "--raw")
    assert (done.status, done.out) == (0, "{}\n")


def test_following_has_an_end(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    client.append_events(stream, None, [NewEvent("A", b"{}"), NewEvent("B", b"{}")])
    done = run("tail", uri, stream, "--from", "0", "--timeout", "0.5")
    assert (done.status, [each["type"] for each in done.objects], done.err) == (0, ["B"], "")
    done = run("tail", uri, stream, "--from", "0", "--timeout", "0.5", "--limit", "3")
    assert (done.status, [each["type"] for each in done.objects]) == (3, ["B"])
    assert done.err == "esdb-lite: no event has come for 0.5 s; 2 are missing\n"


def test_links(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    client.append_events(stream, None, NewEvent("A", b'{"n":1}'))
    link = NewEvent("$>", f"0@{stream}".encode(), content_type="application/octet-stream")
    client.append_events(f"links-{stream}", None, link)
    assert run("read", uri, f"links-{stream}").objects[0]["type"] == "$>"
    (found,) = run("read", uri, f"links-{stream}", "--resolve-links").objects
    assert (found["data"], found["link"]) == ({"n": 1}, {"stream": f"links-{stream}", "position": 0})


def test_appending(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    id = str(uuid4())
    done = run("append", uri, stream, "Placed", '{"a": 1}', "--metadata", '{"m":2}', "--id", id, "--expect", "none")
    assert done.objects == [{"appended": 1, "stream": stream, "position": 0, "commit": done.objects[0]["commit"]}]
    refused = run("append", uri, "--expect", "none", stream, "--timeout", "9", "Placed", "{}")
    assert refused.status == 1
    assert stream in refused.err
    assert run("append", uri, stream, "Text", "no json", "--expect", "0").status == 0
    lines = [{"type": "A", "data": {"x": 1}, "metadata": {"m": 1}}, {"type": "B", "data_base64": "/w=="}]
    stdin = "\n".join(map(json.dumps, lines)).encode()
    assert run("append", uri, stream, "--expect", "exists", stdin=stdin).objects[0]["appended"] == 2
    events = list(client.read_stream_events(stream))
    assert (events[0].data, events[0].metadata, str(events[0].id)) == (b'{"a": 1}', b'{"m":2}', id)
    assert (events[1].data, events[1].content_type) == (b"no json", "application/octet-stream")
    assert (events[2].data, events[2].metadata) == (b'{"x":1}', b'{"m":1}')
    assert events[3].data == b"\xff"


@pytest.mark.parametrize("data", ["{amount:5}", '{"a": 1', "['a']"])
def test_what_looks_like_json_and_is_none(run: Run, client: EsdbClient, uri: str, stream: str, data: str) -> None:
    refused = run("append", uri, stream, "T", data)
    assert (refused.status, refused.out) == (2, "")
    assert "DATA looks like JSON, but is not valid" in refused.err
    assert run("append", uri, stream, "T", data, "--text").status == 0
    (event,) = client.read_stream_events(stream)
    assert (event.data, event.content_type) == (data.encode(), "application/octet-stream")


@pytest.mark.parametrize(
    ("stdin", "why"),
    [
        (b"", "stdin has no events"),
        (b"{", "line 1: not JSON"),
        (b'{"type":"A"}\n[]', 'line 2: not an object with a "type"'),
        (b'{"type":"A","data_base64":"?"}', '"data_base64" is not base64'),
        (b'{"type":"A","id":"x"}', "not a UUID: x"),
    ],
)
def test_lines_that_are_no_events(run: Run, uri: str, stdin: bytes, why: str) -> None:
    done = run("append", uri, "s", stdin=stdin)
    assert (done.status, done.out) == (2, "")
    assert why in done.err


def test_metadata_and_the_end(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    client.append_events(stream, None, NewEvent("A", b"{}"))
    assert run("metadata", uri, stream, '{"$maxCount": 5, "$acl": {"$r": "x"}, "mine": 1}').status == 0
    (found,) = run("metadata", uri, stream).objects
    assert (found["max_count"], found["custom"], found["acl"]["read"]) == (5, {"mine": 1}, ["x"])
    assert run("metadata", uri, stream, "5").status == 2
    assert run("delete", uri, stream, "--expect", "7").status == 1
    assert run("delete", uri, stream, "--expect", "0").status == 0
    assert run("read", uri, stream).status == 1
    assert run("tombstone", uri, stream).status == 0
    assert client.append_events  # it is still connected
    assert run("append", uri, stream, "A", "{}").status == 1
    assert run("delete", uri, stream, "--expect", "none").status == 2


def test_names(run: Run, client: EsdbClient, uri: str) -> None:
    kind = f"k{uuid4().hex}"
    client.append_events(f"{kind}-1", None, NewEvent(f"{kind}T", b"{}"))
    assert run("streams", uri, "--prefix", kind).objects == [{"stream": f"{kind}-1"}]
    assert run("streams", uri, "--categories", "--prefix", kind).objects == [{"category": kind}]
    assert run("streams", uri, "--types", "--prefix", kind).objects == [{"type": f"{kind}T"}]
    assert len(run("streams", uri, "--prefix", "$", "--limit", "1").objects) == 1


def test_the_node(run: Run, uri: str) -> None:
    assert len(run("ping", uri, "--count", "2").objects) == 2
    (found,) = run("info", uri).objects
    assert found["nodes"][0]["role"] == "Leader"
    (figures,) = run("stats", uri, "--prefix", "proc-").objects
    assert int(figures["proc-mem"]) > 0
    assert all(name.startswith("proc-") for name in figures)


def test_groups(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    group = str(uuid4())
    client.append_events(stream, None, NewEvent("A", b'{"n":1}'))
    assert run("groups", "create", uri, group, "--stream", stream).status == 0
    assert run("groups", "create", uri, group, "--stream", stream).status == 1
    (row,) = run("groups", "list", uri, "--stream", stream).objects
    assert (row["group"], row["stream"], row["consumers"]) == (group, stream, 0)
    (found,) = run("groups", "info", uri, group, "--stream", stream).objects
    assert found["settings"]["max_retry_count"] == 10
    with client.read_subscription(group, stream) as subscription:
        subscription.nack(next(subscription), NackAction.PARK, "why not")
    (parked,) = run("groups", "parked", uri, group, "--stream", stream).objects
    assert (parked["event"]["data"], parked["number"]) == ({"n": 1}, 0)
    assert run("groups", "replay", uri, group, "--stream", stream).status == 0
    assert run("groups", "truncate", uri, group, "--stream", stream).status == 0
    assert run("groups", "delete", uri, group, "--stream", stream).status == 0
    assert run("groups", "info", uri, group, "--stream", stream).status == 1


def test_groups_that_do_not_exist_have_nothing_parked(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    client.create_subscription(stream, stream)
    assert run("groups", "parked", uri, stream, "--stream", stream) == (0, "", "")
    done = run("groups", "parked", uri, stream)
    assert (done.status, done.out) == (1, "")
    assert done.err == f"esdb-lite: there is no group {stream} on $all; --stream names that of another one\n"


def test_projections(run: Run, client: EsdbClient, uri: str, stream: str, tmp_path: Path) -> None:
    client.append_events(stream, None, NewEvent("A", b"{}"))
    script = tmp_path / "count.js"
    script.write_text(f"fromStream('{stream}').when({{$init: () => ({{n: 0}}), A: (s, e) => {{ s.n++ }}}})")
    assert run("query", uri, f"@{script}").objects == [{"n": 1}]
    name = f"p{uuid4().hex}"
    assert run("projections", "create", uri, name, f"@{script}").status == 0
    client.wait_for_projection(name, timeout=20)
    assert run("projections", "state", uri, name).objects == [{"n": 1}]
    assert run("projections", "result", uri, name).objects == [{"n": 1}]
    assert name in {row["name"] for row in run("projections", "list", uri).objects}
    assert run("projections", "info", uri, name).objects[0]["mode"] == "Continuous"
    assert run("projections", "disable", uri, name).status == 0
    assert run("projections", "reset", uri, name).status == 0
    assert run("projections", "enable", uri, name).status == 0
    assert run("projections", "disable", uri, name).status == 0
    assert run("projections", "delete", uri, name).status == 0
    assert run("query", uri, "@/nowhere").status == 2


def test_steering_projections(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    name = f"p{uuid4().hex}"
    query = f"fromStream('{stream}').when({{$init: () => ({{n: 0}}), A: (s, e) => {{ s.n += 1 }}}})"
    assert run("projections", "create", uri, name, query).status == 0
    position = client.append_events(stream, None, NewEvent("A", b"{}")).commit_position
    assert run("projections", "wait", uri, name, "--position", str(position), "--timeout", "20") == (0, "", "")
    assert run("projections", "state", uri, name).objects == [{"n": 1}]
    assert run("projections", "abort", uri, name) == (0, "", "")
    assert run("projections", "wait", uri, name, "--timeout", "0.5").status == 3
    assert run("projections", "update", uri, name, query.replace("+= 1", "+= 10")).status == 0
    assert run("projections", "enable", uri, name).status == 0
    client.append_events(stream, -2, NewEvent("A", b"{}"))
    assert run("projections", "wait", uri, name, "--timeout", "20").status == 0
    assert run("projections", "state", uri, name).objects[0]["n"] >= 11
    assert run("projections", "disable", uri, name).status == 0
    assert run("projections", "delete", uri, name).status == 0


def test_a_projection_that_has_faulted(run: Run, client: EsdbClient, uri: str, stream: str) -> None:
    client.create_projection(stream, "nothing()")
    with pytest.raises(ProjectionFailed):
        client.wait_for_projection(stream, timeout=20)
    for what in ("state", "result"):
        done = run("projections", what, uri, stream)
        assert (done.status, done.out) == (1, "null\n")
        assert done.err == f"esdb-lite: the projection {stream} has faulted: nothing is not defined\n"


@pytest.mark.parametrize("path", ["q.js", "q(1).js", "queries/totals"])
@pytest.mark.parametrize("command", [["projections", "create", "totals"], ["projections", "update", "t"], ["query"]])
def test_paths_are_no_queries(run: Run, command: list[str], path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESDB_URI", "esdb://localhost:1?tls=false")
    done = run(*command, path)
    assert (done.status, done.out) == (2, "")
    assert f"if it is a file, write @{path}" in done.err


def test_users_take_authentication(run: Run, uri: str) -> None:
    done = run("users", "list", uri)
    assert (done.status, done.out) == (1, "")
    assert "authentication" in done.err


def test_where_the_server_is(run: Run, uri: str, client: EsdbClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client.append_events("a:1", StreamState.ANY, NewEvent("A", b"{}"))
    monkeypatch.delenv("ESDB_URI", raising=False)
    assert "ESDB_URI" in run("read").err
    assert run("ping", "localhost:1").status == 3
    address = uri.removeprefix("esdb://").partition("?")[0]
    assert run("read", address, "a:1").status == 0
    monkeypatch.setenv("ESDB_URI", uri)
    assert run("read", "a:1").status == 0
    assert run("read", address, "a:1").status == 0
    assert run("ping").status == 0
    assert run("ping", "esdb://localhost:1?tls=maybe").status == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["projections", "state", "totals", "order-1"], "if it is a partition, use --partition order-1"),
        (["projections", "result", "totals", "order-1"], "if it is a partition, use --partition order-1"),
        (["groups", "create", "g1", "order-1"], "if it is a stream, use --stream order-1"),
        (["groups", "list", "order-1"], "if it is a stream, use --stream order-1"),
    ],
)
def test_words_that_belong_to_an_option(
    run: Run, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESDB_URI", "esdb://localhost:1?tls=false")
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["raed"], "did you mean 'read'?\n(see esdb-lite --help)\n"),
        (["read", "--limt", "3"], "did you mean '--limit'?\n(see esdb-lite --help and esdb-lite read --help)\n"),
        (["groups", "lst"], "did you mean 'list'?"),
        (["serve", "--prot", "3"], "did you mean '--port'?"),
        (["serve", "events.db"], "unknown argument: events.db"),
        (["read", "a", "b", "c"], "'a' is not a connection string, and unexpected argument 'c'"),
        (["read", "esdb://x", "--limit", "3", "b", "c"], "unexpected argument 'c'"),
        (["read", "a", "--json", "b", "--limt", "3"], "did you mean '--limit'?"),
        (["read", "a", "b"], "'a' is not a connection string"),
        (["append", "esdb://x"], "STREAM is missing"),
        (["read", "--limit", "x"], "--limit"),
        (["verify"], "PATH"),
    ],
)
def test_wrong_words(run: Run, arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 2
    assert done.err.startswith("esdb-lite")


def test_nothing_is_a_question_for_help(run: Run) -> None:
    assert run().out == run("--help").out
