"""kurrentdbclient reads by index, on a server that passes for KurrentDB 26.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import ServeProcess

kurrentdbclient = pytest.importorskip("kurrentdbclient", reason="kurrentdbclient is not installed")

pytestmark = pytest.mark.interop


@pytest.fixture
def client(serve: Callable[..., ServeProcess]) -> Iterator[Any]:
    """A client, closed after the test."""
    server = serve("--compatibility", "26.1")
    with kurrentdbclient.KurrentDBClient(f"kurrentdb://{server.address}?Tls=false") as client:
        yield client


def append(client: Any, stream: str, *types: str) -> None:
    events = [kurrentdbclient.NewEvent(type=type, data=b"{}") for type in types]
    client.append_to_stream(stream, current_version=kurrentdbclient.StreamState.ANY, events=events)


def test_read_index(client: Any) -> None:
    append(client, "order-1", "Placed", "Paid")
    append(client, "bill-1", "Sent")
    append(client, "order-2", "Placed")
    by_category = list(client.read_index("$idx-ce-order"))
    assert [(event.stream_name, event.type) for event in by_category] == [
        *(("order-1", "Placed"), ("order-1", "Paid"), ("order-2", "Placed"))
    ]
    second = by_category[1].commit_position
    assert [event.type for event in client.read_index("$idx-ce-order", commit_position=second)] == ["Paid", "Placed"]
    assert [event.stream_name for event in client.read_index("$idx-et-Placed", limit=1)] == ["order-1"]
    with pytest.raises(kurrentdbclient.exceptions.NotFoundError):
        list(client.read_index("$idx-user-none"))


def test_subscribe_to_index(client: Any) -> None:
    append(client, "order-1", "Placed")
    with client.subscribe_to_index("$idx-ce-order") as subscription:
        assert next(subscription).type == "Placed"
        append(client, "bill-1", "Sent")
        append(client, "order-2", "Paid")
        assert next(subscription).type == "Paid"
