"""The generated classes against recordings of a real server (tests/goldens): nothing is lost, nothing is misread.

The bytes of the server's answers must survive being parsed and written again, and what was parsed must say what
the recorded JSON says, which other software wrote. Requests, and the answers of folders without bytes, go the
other way: from the JSON to bytes and back.

Messages are never compared with ==, which does not see which member of a oneof is set.
"""

from __future__ import annotations

import base64
import functools
import json
import keyword
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import betterproto
import pytest
from betterproto.casing import snake_case
from betterproto.lib.google import protobuf as well_known
from esdb_lite_protos.event_store import client
from esdb_lite_protos.event_store.client import (
    gossip,
    monitoring,
    operations,
    persistent_subscriptions,
    projections,
    server_features,
    streams,
    users,
)

GOLDENS = Path(__file__).parent.parent / "goldens"
FOLDERS = ("cluster", "groups", "insecure", "projections", "random", "tls")
"""Those of 24.10. `test_records` has the messages of the newer services."""
FILES = sorted(path for folder in FOLDERS for path in (GOLDENS / folder).glob("*.json"))
FINER_THAN_MICROSECONDS = re.compile(r"(\.\d{6})\d{3}")
SERVICES = (
    gossip.GossipBase,
    monitoring.MonitoringBase,
    operations.OperationsBase,
    persistent_subscriptions.PersistentSubscriptionsBase,
    projections.ProjectionsBase,
    server_features.ServerFeaturesBase,
    streams.StreamsBase,
    users.UsersBase,
)
# "Streams/Read", as the recordings call it -> how the call is served
METHODS = {
    path.rpartition(".")[2]: handler for service in SERVICES for path, handler in service().__mapping__().items()
}

SNAKE_CASE: Any = betterproto.Casing.SNAKE
SEEN: set[tuple[type, bytes | str]] = set()


class Recorded(NamedTuple):
    """One message of a recording: its class, its JSON without abbreviations, and its bytes if they were kept."""

    kind: type[betterproto.Message]
    json: dict[str, Any]
    raw: bytes | None


@pytest.fixture(autouse=True)
def _quick_type_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """to_dict resolves the annotations of its class again for each message: nine tenths of the time."""
    resolve_hints = functools.cache(betterproto.Message._type_hints.__func__)
    monkeypatch.setattr(betterproto.Message, "_type_hints", classmethod(resolve_hints))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_messages_survive(path: Path) -> None:
    for message in recorded_messages(path):
        if is_news(message):
            check(message)


@pytest.mark.parametrize("folder", FOLDERS)
def test_there_is_something_to_check(folder: str) -> None:
    messages = [message for path in GOLDENS.glob(f"{folder}/*.json") for message in recorded_messages(path)]
    names = {message.kind.__name__ for message in messages}
    assert any(name.endswith(("Req", "Empty")) for name in names)
    assert any(name.endswith(("Resp", "SupportedMethods", "ClusterInfo")) for name in names)
    assert any(message.raw for message in messages) == (folder not in ("groups", "random"))


def test_every_service_was_recorded() -> None:
    used = {step["rpc"].partition("/")[0] for path in FILES for step in load(path) if "rpc" in step}
    assert used == {name.partition("/")[0] for name in METHODS}


def test_a_wrong_oneof_is_noticed() -> None:
    """What == overlooks, the comparison must not."""
    said: dict[str, Any] = {"no_stream": {}}
    assert streams.AppendReqOptions(any=client.Empty()) == streams.AppendReqOptions(no_stream=client.Empty())
    with pytest.raises(AssertionError):
        check(Recorded(streams.AppendReqOptions, said, bytes(streams.AppendReqOptions(any=client.Empty()))))


def test_a_lost_field_is_noticed() -> None:
    with pytest.raises(AssertionError):
        check(Recorded(client.AllStreamPosition, {"commit_position": "5"}, b""))
    with pytest.raises(KeyError):
        check(Recorded(client.AllStreamPosition, {"no_such_field": "5"}, None))


def is_news(message: Recorded) -> bool:
    """Whether nothing like this was checked before: the same bytes or, without bytes, values of the same size.

    betterproto takes milliseconds for a message, and the random programs say the same thousands of times.
    """
    key = (message.kind, message.raw or outline(message.json))
    news = key not in SEEN
    SEEN.add(key)
    return news


def outline(value: Any) -> str:
    """What is there and roughly how long it is, but not what it says."""
    if isinstance(value, dict):
        return str({key: outline(item) for key, item in value.items()})
    if isinstance(value, list):
        return str([outline(item) for item in value])
    return f"{value in ('', '0', 0)} {len(str(value)).bit_length()}"


def check(message: Recorded) -> None:
    """Both directions for one message."""
    meant = meaning(message.kind, message.json)
    if message.raw is None:
        again = message.kind().parse(bytes(message.kind().from_dict(meant)))
        assert again.to_dict(SNAKE_CASE) == meant
        return
    parsed = message.kind().parse(message.raw)
    assert parsed.to_dict(SNAKE_CASE) == meant
    written = bytes(parsed)
    if written != message.raw:
        assert loses_only_nanoseconds(message)
        assert message.kind().parse(written).to_dict(SNAKE_CASE) == meant


def loses_only_nanoseconds(message: Recorded) -> bool:
    """Times become datetimes, which end at microseconds; a server's have one digit more."""
    return bool(FINER_THAN_MICROSECONDS.search(json.dumps(message.json)))


def meaning(kind: type[betterproto.Message], recorded: dict[str, Any]) -> dict[str, Any]:
    """Recorded JSON in the form in which betterproto reads and writes it: snake case, no defaults, no short forms."""
    meant = {}
    for key, value in recorded.items():
        name = snake_case(key)
        field = f"{name}_" if keyword.iskeyword(name) else name
        meta = kind._betterproto.meta_by_field_name[field]
        field_kind = kind._betterproto.cls_by_field[field]
        if meta.group or meta.optional or not is_default(field_kind, meta.proto_type, value):
            meant[name] = field_meaning(field_kind, meta.proto_type, value)
    return meant


def is_default(kind: Any, proto_type: str, value: Any) -> bool:
    """Whether a field with this value is left out of the bytes, unless its presence means something."""
    if isinstance(value, dict):
        return not value and proto_type == betterproto.TYPE_MAP
    if proto_type == betterproto.TYPE_ENUM:
        return int(kind.from_string(value)) == 0
    return value in ("", 0, []) or (value == "0" and proto_type != betterproto.TYPE_STRING)


def field_meaning(kind: type, proto_type: str, value: Any) -> Any:
    """The same for one field: what protobuf's JSON writes in a way of its own is spelled out."""
    if isinstance(value, list):
        return [field_meaning(kind, proto_type, item) for item in value]
    if proto_type != betterproto.TYPE_MESSAGE:
        return value
    if kind is well_known.Any:
        return any_meaning(value)
    if kind is well_known.Value:
        return value_meaning(value)
    if kind is timedelta:
        return f"{float(value[:-1]):.3f}s"
    if kind is datetime:
        return FINER_THAN_MICROSECONDS.sub(r"\1", value)
    return meaning(kind, value)


def any_meaning(value: dict[str, Any]) -> dict[str, str]:
    """A message inside an Any: JSON shows its fields, betterproto its bytes."""
    name = value["@type"].rpartition("/")[2]
    kind = well_known.Empty if name == "google.protobuf.Empty" else getattr(client, name.rpartition(".")[2])
    fields = meaning(kind, {key: item for key, item in value.items() if key != "@type"})
    meant = {"type_url": value["@type"], "value": base64.b64encode(bytes(kind().from_dict(fields))).decode()}
    return {key: item for key, item in meant.items() if item}


def value_meaning(value: Any) -> dict[str, Any]:
    """A google.protobuf.Value: JSON shows the value itself, betterproto the oneof around it."""
    if isinstance(value, dict):
        return {"struct_value": {key: value_meaning(item) for key, item in value.items()}}
    if isinstance(value, list):
        return {"list_value": {"values": [value_meaning(item) for item in value]}}
    if isinstance(value, str):
        return {"string_value": value}
    if value is None:
        return {"null_value": "_"}
    return {"bool_value" if isinstance(value, bool) else "number_value": value}


def recorded_messages(path: Path) -> Iterator[Recorded]:
    """Every message of a recording whose class is known from its step, or from the call that it belongs to."""
    calls: dict[str, str] = {}
    answers: dict[str, list[Any]] = {}
    for step in load(path):
        if step["op"] == "open":
            calls[step["id"]] = step["rpc"]
        stream = step.get("stream", step["id"])
        rpc = step.get("rpc") or calls.get(stream)
        if rpc is None:
            continue
        handler = METHODS[rpc]
        for request in requests_of(step):
            yield Recorded(handler.request_type, resolve(request, answers), None)
        responses = resolve(step.get("responses", []), answers)
        for key in {stream, step["id"]}:
            answers.setdefault(key, []).extend(responses)
        for response, raw in zip(responses, raw_answers(step), strict=True):
            if not is_elided(response):
                yield Recorded(handler.reply_type, response, raw)


def requests_of(step: dict[str, Any]) -> list[dict[str, Any]]:
    """What the client says in a step, if it was kept."""
    requests = step.get("requests", [])
    return [] if is_elided(requests) else [*requests, *([step["request"]] if "request" in step else [])]


def is_elided(value: Any) -> bool:
    """Whether a note stands where a message, or a part of one, was too long to keep."""
    if isinstance(value, dict):
        return any(is_elided(item) for item in value.values())
    return isinstance(value, str) and value.startswith("elided: ")


def raw_answers(step: dict[str, Any]) -> list[bytes | None]:
    """The bytes beside each response; none at all where not all were kept."""
    responses, raw = step.get("responses", []), step.get("raw", [])
    return [base64.b64decode(item) for item in raw] if len(raw) == len(responses) else [None] * len(responses)


def resolve(value: Any, answers: dict[str, list[Any]]) -> Any:
    """Replace what stands for something else: see tests/goldens/README.md."""
    if isinstance(value, dict):
        return {key: resolve(item, answers) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, answers) for item in value]
    if not isinstance(value, str) or not re.match(r"@\w+:", value):
        return value
    if value.startswith("@fill:"):
        _, byte, count = value.split(":")
        return base64.b64encode(byte.encode() * int(count)).decode()
    return lookup(value, answers)


def lookup(reference: str, answers: dict[str, list[Any]]) -> Any:
    """Follow "@STEP:0.success.position" into the answers to an earlier step."""
    step, path = reference[1:].split(":", 1)
    found: Any = answers[step]
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


def load(path: Path) -> list[dict[str, Any]]:
    """The steps of a recording."""
    steps: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["steps"]
    return steps
