"""Nonsense in every argument of every public call: refused with the argument's name, before anything is sent.

The client has nobody to talk to, so that a call which tried to send would raise ServiceUnavailable. No value here makes
sense for any argument, whatever it is for.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from esdb_lite import (
    AsyncEsdbClient,
    BearerToken,
    Credentials,
    DefaultAccess,
    EmbeddedServer,
    EsdbClient,
    FileCheckpoint,
    Filter,
    FilterBy,
    IndexQuery,
    InvalidArgument,
    InvalidUri,
    LinkError,
    NackAction,
    NewEvent,
    NewRecord,
    RetryPolicy,
    SimulatedCluster,
    StreamAppend,
    StreamCheck,
)
from esdb_lite.client.groups.acks import checked_nack, reason_of

NONSENSE = (object(), "\ud800", b"\xff", math.nan, [None], {"a": 1, 2: "b"})
MAKES_SENSE = {"definition": (bytes,)}
"""Types whose values these arguments take, whatever is in them."""
SENSE: dict[str, Any] = {
    "stream_name": "s",
    "events": NewEvent("A", b"{}"),
    "expected_position": None,
    "name": "n",
    "query": "fromAll()",
    "group_name": "g",
    "login_name": "u",
    "password": "p",
    "full_name": "f",
    "groups": (),
    "index": IndexQuery.all(),
    "handler": print,
    "checkpoint": (print, print),
    "records": NewRecord("s", "T", b""),
    "metadata": {},
    "current_password": "a",
    "new_password": "b",
    "path": "p",
    "filter": None,
    "scavenge_id": "s",
    "priority": 1,
    "access": DefaultAccess(),
    "definition": b"{}",
    "numbers": 1,
    "version_id": uuid4(),
    "schema": "s",
    "fold": print,
    "decide": print,
    "stream_names": ("s",),
    "initial": 0,
}
ANYTHING = {"initial"}
"""What may be anything."""
NOT_ASKED = {"consume", "close", "connect"}  # consume: the same arguments as consumer; the others take none of theirs


def of_calls(face: type) -> list[tuple[str, str]]:
    """Every argument of every public call of a client."""
    found = []
    for name, call in inspect.getmembers(face, inspect.isfunction):
        if not name.startswith("_") and name not in NOT_ASKED:
            found += [(name, argument) for argument in named(call)]
    return found


def named(call: Callable[..., object]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = inspect.signature(call).parameters.values()
    return [each.name for each in found if each.kind in kinds and each.name not in ("self", *ANYTHING)]


def sensible(name: str, argument: str, value: object) -> dict[str, Any]:
    """What a call cannot do without, and one argument as it is given."""
    call = getattr(EsdbClient, name)
    needed = {each.name for each in inspect.signature(call).parameters.values() if each.default is each.empty}
    found = {each: SENSE[each] for each in [*named(call), *ANYTHING] if each in needed}
    if name == "create_index":
        found["filter"] = "rec => true"
    if name == "import_events":
        found["events"] = [("s", NewEvent("A", b"{}"))]
    if name == "update_schema":
        found["tags"] = {}
    return {**found, argument: value}


@pytest.mark.parametrize(("name", "argument"), of_calls(EsdbClient))
def test_of_the_client(name: str, argument: str) -> None:
    def ask(value: object) -> None:
        found = getattr(client, name)(**sensible(name, argument, value))
        if isinstance(found, Iterator):
            next(found)

    with EsdbClient("localhost:1", retry=RetryPolicy(attempts=1)) as client:
        for value in nonsense(argument):
            with pytest.raises(InvalidArgument) as refused:
                ask(value)
            assert refused.value.argument in told_as(argument)


@pytest.mark.parametrize(("name", "argument"), of_calls(AsyncEsdbClient))
def test_of_the_client_for_asyncio(name: str, argument: str) -> None:
    async def ask(client: AsyncEsdbClient, value: object) -> None:
        found = getattr(client, name)(**sensible(name, argument, value))
        if isinstance(found, AsyncIterator):
            await found.__anext__()
        elif inspect.isawaitable(found):
            await found

    async def ask_all() -> None:
        async with AsyncEsdbClient("localhost:1", retry=RetryPolicy(attempts=1)) as client:
            for value in nonsense(argument):
                with pytest.raises(InvalidArgument) as refused:
                    await ask(client, value)
                assert refused.value.argument in told_as(argument)

    asyncio.run(ask_all())


@pytest.mark.parametrize("name", sorted({name for name, _ in of_calls(EsdbClient)}))
def test_times(name: str) -> None:
    """Every argument that is a time may be a timedelta, as well as a number."""
    call = getattr(EsdbClient, name)
    times = [each.name for each in inspect.signature(call).parameters.values() if "Seconds" in str(each.annotation)]
    assert "timeout" in times
    with EsdbClient("localhost:1", retry=RetryPolicy(attempts=1)) as client:
        for argument in times:
            for value in (timedelta(seconds=5), 5, 5.0):
                checkpoint = FileCheckpoint("unused")
                given = {
                    **sensible(name, argument, value),
                    **({"checkpoint": checkpoint} if name == "consumer" else {}),
                }
                try:
                    found = getattr(client, name)(**given)
                    if isinstance(found, Iterator):
                        next(found)
                except LinkError:
                    pass


def nonsense(argument: str) -> list[object]:
    """Values that an argument cannot have."""
    return [value for value in NONSENSE if not isinstance(value, MAKES_SENSE.get(argument, ()))]


def told_as(argument: str) -> set[str]:
    """An argument that holds others may name the one of them that is wrong."""
    return {argument} | {"metadata": {"custom"}, "records": {"events", "stream_name"}}.get(argument, set())


@pytest.mark.parametrize("face", [EmbeddedServer, SimulatedCluster])
def test_of_servers(face: type) -> None:
    for argument in named(face):
        for value in NONSENSE:
            with pytest.raises(InvalidArgument) as refused:
                face(**{argument: value})
            assert refused.value.argument == argument


def test_that_a_path_has_no_nul() -> None:
    with pytest.raises(InvalidArgument, match="path: must be a path, without a NUL in it"):
        EmbeddedServer("events\0.db")


def test_that_standard_projections_need_projections() -> None:
    with pytest.raises(InvalidArgument, match="run_projections: must be 'system' or 'all' with start_standard_pro"):
        EmbeddedServer(start_standard_projections=True)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda wrong: Filter(FilterBy.EVENT_TYPE, regex=wrong), "regex"),
        (lambda wrong: Filter(FilterBy.EVENT_TYPE, prefixes=wrong), "prefixes"),
        (lambda wrong: NewEvent(wrong, b""), "type"),
        (lambda wrong: StreamAppend("s", None, wrong), "events"),
        (lambda wrong: StreamCheck(wrong, None), "stream_name"),
        (lambda wrong: IndexQuery(wrong), "index"),
        (lambda wrong: IndexQuery.category(wrong), "category"),
    ],
)
def test_of_values(make: Callable[[Any], object], argument: str) -> None:
    for value in NONSENSE:
        with pytest.raises(InvalidArgument) as refused:
            make(value)
        assert refused.value.argument == argument


def test_what_is_secret_is_not_shown() -> None:
    client = EsdbClient("localhost:1")
    for wrong in (("anna", "secret\ud800"), ("secret\ud800", ""), Credentials("secret", 7)):  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match=r"^credentials: ") as refused:
            client.get_stream_position("s", credentials=wrong)
        assert "secret" not in str(refused.value)
        assert refused.value.value is None
    client.close()


def test_what_goes_into_a_header_is_short() -> None:
    client = EsdbClient("localhost:1")
    for large in (("anna", "s" * 12_300), ("n" * 12_300, ""), BearerToken("t" * 16_400)):
        with pytest.raises(InvalidArgument, match=r"^credentials: .* at most"):
            client.get_stream_position("s", credentials=large)
        with pytest.raises(InvalidArgument, match=r"^credentials: .* at most"):
            EsdbClient("localhost:1", credentials=large)
    with pytest.raises(InvalidArgument, match=r"^credentials: .* at most"):
        EsdbClient(f"esdb://anna:{'s' * 12_300}@localhost:1")
    with pytest.raises(InvalidUri, match="connectionName"):
        EsdbClient(f"esdb://localhost:1?connectionName={'n' * 1001}")
    client.close()


def test_a_failed_handler_can_always_be_told_of() -> None:
    assert reason_of(ValueError("\ud800")) == r"ValueError: \ud800"
    with pytest.raises(InvalidArgument, match="reason: must be encodable"):
        checked_nack(NackAction.PARK, "\ud800")
