"""What one sees: texts of exceptions, short tracebacks, `repr`, hints."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import esdb_lite
from esdb_lite import (
    AccessDenied,
    AsyncEsdbClient,
    DatabaseInUse,
    EmbeddedServer,
    EsdbClient,
    EsdbClientException,
    ExpectedPositionError,
    FileCheckpoint,
    GrpcError,
    InvalidArgument,
    NewEvent,
    PortInUse,
    RecordedEvent,
    ServiceUnavailable,
    StreamNotFound,
    WrongContext,
)
from esdb_lite._texts import printable
from esdb_lite.client.face import OTHER_NAMES
from esdb_lite.server.errors import ServerStartError

PACKAGE = str(Path(esdb_lite.__file__).parent)


def frames(error: BaseException) -> int:
    """How many lines of this package a traceback shows, in all of its parts."""
    return "".join(traceback.format_exception(error)).count(f'File "{PACKAGE}')


# --- tracebacks ---------------------------------------------------------------------------------------------------


def test_tracebacks_of_the_client_for_threads(server: EmbeddedServer) -> None:
    with EsdbClient(server.uri) as client:
        client.append_events("s", None, NewEvent("T", b""))
        with pytest.raises(ExpectedPositionError) as conflict:
            client.append_events("s", None, NewEvent("T", b""))
        with pytest.raises(StreamNotFound) as missing:
            list(client.read_stream_events("nope"))
    with EsdbClient("localhost:1") as client, pytest.raises(ServiceUnavailable) as refused:
        client.append_events("s", None, NewEvent("T", b""))
    assert [frames(error.value) for error in (conflict, missing, refused)] == [2, 2, 2]
    assert isinstance(refused.value.__cause__, OSError)


async def test_tracebacks_of_the_client_for_asyncio(server: EmbeddedServer) -> None:
    async with AsyncEsdbClient(server.uri) as client:
        await client.append_events("s", None, NewEvent("T", b""))
        with pytest.raises(ExpectedPositionError) as conflict:
            await client.append_events("s", None, NewEvent("T", b""))
        with pytest.raises(StreamNotFound) as missing:
            async for _ in client.read_stream_events("nope"):
                pass
    async with AsyncEsdbClient("localhost:1") as client:
        with pytest.raises(ServiceUnavailable) as refused:
            await client.append_events("s", None, NewEvent("T", b""))
    assert [frames(error.value) for error in (conflict, missing, refused)] == [1, 2, 1]


def test_tracebacks_are_complete_with_debug_logs(server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "esdb_lite.client")
    with EsdbClient(server.uri) as client, pytest.raises(StreamNotFound) as missing:
        list(client.read_stream_events("nope"))
    assert frames(missing.value) > 5


def test_a_mistake_of_the_handler_keeps_its_traceback(server: EmbeddedServer) -> None:
    def wrong() -> Iterator[NewEvent]:
        yield NewEvent.json("T", 1 // int("0"))

    with EsdbClient(server.uri) as client, pytest.raises(ZeroDivisionError) as caught:
        client.append_events("s", None, wrong())
    assert 'int("0")' in "".join(traceback.format_exception(caught.value))


def test_failures_of_ours_in_a_handler_say_where_it_is(server: EmbeddedServer, tmp_path: Path) -> None:
    with EsdbClient(server.uri) as client:
        client.append_events("s", None, NewEvent("T", b""))

        def handler(_: object) -> None:
            client.append_events("s", None, NewEvent("again", b""))

        with pytest.raises(ExpectedPositionError) as consuming:
            client.consume(handler, checkpoint=FileCheckpoint(tmp_path / "place"))
        with pytest.raises(ExpectedPositionError) as deciding:
            client.decide("s", lambda state, _: state, 0, handler)  # type: ignore[arg-type]
    for error in (consuming.value, deciding.value):
        assert 'NewEvent("again", b"")' in "".join(traceback.format_exception(error))
        assert frames(error) <= 3


async def test_failures_of_ours_in_a_coroutine_function_say_where_it_is(server: EmbeddedServer, tmp_path: Path) -> None:
    async with AsyncEsdbClient(server.uri) as client:
        await client.append_events("s", None, NewEvent("T", b""))

        async def handler(_: object) -> None:
            await client.append_events("s", None, NewEvent("again", b""))

        def decide(_: int) -> list[NewEvent]:
            raise EsdbClientException("again")

        with pytest.raises(ExpectedPositionError) as consuming:
            await client.consume(handler, checkpoint=FileCheckpoint(tmp_path / "place"))
        with pytest.raises(EsdbClientException, match="again") as deciding:
            await client.decide("s", lambda state, _: state, 0, decide)
    assert 'NewEvent("again", b"")' in "".join(traceback.format_exception(consuming.value))
    assert 'EsdbClientException("again")' in "".join(traceback.format_exception(deciding.value))
    assert [frames(error) for error in (consuming.value, deciding.value)] == [1, 1]


# --- texts --------------------------------------------------------------------------------------------------------


def test_nothing_of_elsewhere_does_something_to_a_terminal() -> None:
    assert printable("übel → ok") == "übel → ok"
    assert printable("a\x1b[2J\r\nb\u202e") == "a\\x1b[2J\\r\\nb\\u202e"
    assert str(GrpcError("\x1b]0;mine\x07")) == "\\x1b]0;mine\\x07"
    assert GrpcError(details="a\nb").details == "a\nb"
    assert "\x1b" not in str(InvalidArgument("stream_name", "\x1b[2J", "must not be so"))


def test_what_has_been_said_is_not_said_again() -> None:
    assert str(InvalidArgument("stream_name", "", "must not be empty")) == "stream_name: must not be empty"
    assert str(InvalidArgument("paramstyle", None, "must be given: ...")) == "paramstyle: must be given: ..."
    assert str(InvalidArgument("limit", None, "must be an int")) == "limit: must be an int, not None"
    assert str(InvalidArgument("emit", True, "needs a query")) == "emit: needs a query"


def test_data_that_is_no_bytes_hints_at_json() -> None:
    with pytest.raises(InvalidArgument, match=r"data: must be bytes \(NewEvent.json makes an event of a JSON value\)"):
        NewEvent("T", {"a": 1})  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(BaseException, "add_note"), reason="exceptions take notes since Python 3.11")
def test_data_that_is_not_json_says_whose_it_is() -> None:
    with pytest.raises(ValueError, match="Expecting value") as caught:
        RecordedEvent("Odd", b"", b"", "s", 3, 17).json()
    assert caught.value.__notes__ == ["in the data of Odd 3@s"]


def test_failures_of_servers_are_in_the_tree(tmp_path: Path, server: EmbeddedServer) -> None:
    assert issubclass(ServerStartError, EsdbClientException)
    with pytest.raises(PortInUse):
        EmbeddedServer(port=server.port).start()
    uri = f"esdb+embedded://{tmp_path}/events.db"
    with EmbeddedServer(tmp_path / "events.db"), EsdbClient(uri) as client, pytest.raises(DatabaseInUse) as caught:
        client.get_commit_position()
    assert isinstance(caught.value, EsdbClientException)


def test_refusals_of_deletes_speak_like_those_of_appends(server: EmbeddedServer) -> None:
    with EsdbClient(server.uri) as client:
        with pytest.raises(ExpectedPositionError, match=r"^stream 'never' does not exist, expected any$") as missing:
            client.delete_stream("never")
        assert "WrongExpectedVersion" in missing.value.details
        client.append_events("s", None, NewEvent("T", b""))
        client.tombstone_stream("s")
        for _ in range(2):
            with pytest.raises(esdb_lite.StreamDeleted, match=r"^stream 's' is deleted$"):
                client.append_events("s", None, NewEvent("T", b""))
            with pytest.raises(esdb_lite.StreamDeleted, match=r"^stream 's' is deleted$"):
                client.get_stream_position("s")


# --- repr ---------------------------------------------------------------------------------------------------------


def test_what_the_objects_of_the_client_for_threads_look_like(server: EmbeddedServer) -> None:
    client = EsdbClient(server.uri)
    address = f"127.0.0.1:{server.port}"
    assert repr(client) == f"<EsdbClient {address}, not connected>"
    client.append_events("s", None, NewEvent("T", b""))
    assert repr(client) == f"<EsdbClient {address}, connected>"
    events = client.read_stream_events("s")
    assert repr(events) == "<ReadResponse of stream 's'>"
    next(events)
    assert repr(events) == "<ReadResponse of stream 's', at 0>"
    assert list(events) == []
    assert repr(events) == "<ReadResponse that has ended>"
    with client.subscribe_all_events() as subscription:
        event = next(subscription)
        assert repr(subscription) == f"<Subscription of all events, at {event.commit_position}>"
    client.create_subscription("g", "s")
    with client.read_subscription("g", "s") as consumer:
        assert repr(consumer) == "<PersistentSubscription s::g, consuming>"
    assert repr(consumer) == "<PersistentSubscription s::g, closed>"
    checkpoint = (lambda: None, lambda position: None)
    counting = client.consumer(lambda event: counting.stop(), checkpoint=checkpoint, stream_name="s")
    assert repr(counting) == "<Consumer of stream s>"
    counting.run()
    assert repr(counting) == "<Consumer of stream s, at 0>"
    client.close()
    assert repr(client) == f"<EsdbClient {address}, closed>"
    assert repr(EsdbClient("esdb+embedded:")) == "<EsdbClient embedded, not connected>"


async def test_what_the_objects_of_the_client_for_asyncio_look_like(server: EmbeddedServer) -> None:
    async with AsyncEsdbClient(server.uri) as client:
        assert repr(client) == f"<AsyncEsdbClient 127.0.0.1:{server.port}, not connected>"
        async with await client.subscribe_stream_events("s") as subscription:
            assert repr(subscription) == "<AsyncSubscription of stream 's'>"
    assert repr(client) == f"<AsyncEsdbClient 127.0.0.1:{server.port}, closed>"


# --- hints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [EsdbClient, AsyncEsdbClient])
@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names_of_other_clients(cls: Any, name: str) -> None:
    client = cls("localhost:2113")
    assert hasattr(client, OTHER_NAMES[name])
    with pytest.raises(AttributeError, match=f"has no attribute {name!r}: it is called {OTHER_NAMES[name]!r} here"):
        getattr(client, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'$"):
        client.nothing  # noqa: B018


MISFITS = [
    ("create_user", ("anna", "secret", "Anna"), {}, "create_user() too many positional arguments"),
    ("delete_stream", (), {}, "delete_stream() missing a required argument: 'stream_name'"),
    ("read_stream_events", ("s",), {"stream_position": 3}, "'stream_position': it is called 'position' here"),
    ("delete_stream", ("s",), {"current_version": 3}, "'current_version': it is called 'expected_position' here"),
    ("subscribe_all_events", (), {"commit_position": 3}, "'commit_position': it is called 'position' here"),
    ("ping", (), {"current_version": 3}, "ping() got an unexpected keyword argument 'current_version'"),
]


@pytest.mark.parametrize(("method", "args", "kwargs", "text"), MISFITS, ids=[text for *_, text in MISFITS])
def test_arguments_that_a_method_does_not_have(method: str, args: Any, kwargs: Any, text: str) -> None:
    with EsdbClient("localhost:1") as client, pytest.raises(TypeError, match=re.escape(text)) as caught:
        getattr(client, method)(*args, **kwargs)
    assert str(caught.value).startswith(f"EsdbClient.{method}() ")
    assert frames(caught.value) <= 3


async def test_arguments_that_a_coroutine_function_does_not_have() -> None:
    async with AsyncEsdbClient("localhost:1") as client:
        with pytest.raises(TypeError, match=r"^AsyncEsdbClient.delete_stream\(\) .*called 'expected_position' here"):
            await client.delete_stream("s", current_version=3)  # type: ignore[call-arg]


CALLS = [
    (kind, name)
    for kind in (AsyncEsdbClient, EsdbClient)
    for name, _ in inspect.getmembers(kind, inspect.isfunction)
    if not name.startswith("_")
]


@pytest.mark.parametrize(("kind", "name"), CALLS, ids=[f"{kind.__name__}.{name}" for kind, name in CALLS])
async def test_arguments_that_do_not_fit_name_the_call(kind: type[Any], name: str) -> None:
    """Whatever class has the method: nobody has typed the name of that class."""
    client = kind("localhost:1")

    async def call(*args: Any, **kwargs: Any) -> None:
        await getattr(client, name)(*args, **kwargs)

    try:
        misfits: list[Any] = [call(no_such_option=1), call(*[None] * 20)]
        if any(each.default is each.empty for each in inspect.signature(getattr(client, name)).parameters.values()):
            misfits.append(call())
        for misfit in misfits:
            with pytest.raises(TypeError, match=rf"^{kind.__name__}\.{name}\(\) "):
                await misfit
    finally:
        await AsyncEsdbClient.close(client) if kind is AsyncEsdbClient else client.close()


def test_a_mistake_of_what_is_given_keeps_its_text(server: EmbeddedServer) -> None:
    def wrong() -> Iterator[NewEvent]:
        yield NewEvent.json("T", len(3))  # type: ignore[arg-type]

    with EsdbClient(server.uri) as client, pytest.raises(TypeError, match=r"has no len\(\)"):
        client.append_events("s", None, wrong())


async def test_a_for_that_should_be_an_async_for(server: EmbeddedServer) -> None:
    async with AsyncEsdbClient(server.uri) as client:
        with pytest.raises(WrongContext, match="use `async for`"):
            list(client.read_stream_events("s"))  # type: ignore[call-overload]


# --- who it was ---------------------------------------------------------------------------------------------------


def test_refusals_say_who_was_refused(tmp_path: Path) -> None:
    with EmbeddedServer(dev_certificate=tmp_path) as server:
        anna = EsdbClient(server.uri, credentials=("anna", "wrong"))
        with anna, pytest.raises(esdb_lite.Unauthenticated) as wrong:
            anna.append_events("s", None, NewEvent("T", b""))
        with EsdbClient(server.uri) as client:
            with pytest.raises(AccessDenied) as reading:
                client.get_commit_position()
            with pytest.raises(AccessDenied) as appending:
                client.append_events("$s", None, NewEvent("T", b""))
        with EsdbClient(server.uri, credentials=("ops", "changeit")) as ops, pytest.raises(AccessDenied) as managing:
            ops.create_user("bert", "secret")
    assert str(wrong.value) == "the server does not accept the credentials of user 'anna'"
    assert str(reading.value) == "Read: access denied without credentials"
    assert str(appending.value) == "append to stream '$s': access denied without credentials"
    assert str(managing.value) == "Create: access denied to user 'ops'"
    assert reading.value.details == "Access Denied"
    assert asyncio.iscoroutinefunction(AsyncEsdbClient.append_events)
