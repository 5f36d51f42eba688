"""The hand-written requests are what the generated classes make of the same."""

from __future__ import annotations

from typing import Any

import pytest
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client.server_features import SupportedMethod, SupportedMethods
from esdb_lite_protos.event_store.client.streams import (
    DeleteReq,
    DeleteReqOptions,
    DeleteResp,
    DeleteRespPosition,
    ReadReq,
    ReadReqOptions,
    ReadReqOptionsAllOptions,
    ReadReqOptionsControlOption,
    ReadReqOptionsFilterOptions,
    ReadReqOptionsFilterOptionsExpression,
    ReadReqOptionsPosition,
    ReadReqOptionsReadDirection,
    ReadReqOptionsStreamOptions,
    ReadReqOptionsSubscriptionOptions,
    ReadReqOptionsUuidOption,
)

from esdb_lite import Filter
from esdb_lite._convert.requests import (
    BATCH_APPEND,
    UNLIMITED,
    ReadRequest,
    decode_delete,
    decode_features,
    encode_delete,
)

STREAM = StreamIdentifier("größe".encode())
BACKWARDS = ReadReqOptionsReadDirection.Backwards


def options(**more: Any) -> bytes:
    return bytes(
        ReadReq(
            ReadReqOptions(
                uuid_option=ReadReqOptionsUuidOption(string=Empty()),
                control_option=ReadReqOptionsControlOption(compatibility=1),
                **more,
            )
        )
    )


def filtered(**more: Any) -> bytes:
    return options(
        all=ReadReqOptionsAllOptions(start=Empty()),
        subscription=ReadReqOptionsSubscriptionOptions(),
        filter=ReadReqOptionsFilterOptions(max=32, checkpoint_interval_multiplier=32, **more),
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            ReadRequest("größe"),
            options(
                stream=ReadReqOptionsStreamOptions(stream_identifier=STREAM, start=Empty()),
                count=UNLIMITED,
                no_filter=Empty(),
            ),
        ),
        (
            ReadRequest("größe", 0, from_end=True, backwards=True, limit=3, resolve_links=True),
            options(
                stream=ReadReqOptionsStreamOptions(stream_identifier=STREAM, revision=0),
                read_direction=BACKWARDS,
                resolve_links=True,
                count=3,
                no_filter=Empty(),
            ),
        ),
        (
            ReadRequest("größe", from_end=True, limit=None),
            options(
                stream=ReadReqOptionsStreamOptions(stream_identifier=STREAM, end=Empty()),
                subscription=ReadReqOptionsSubscriptionOptions(),
                no_filter=Empty(),
            ),
        ),
        (
            ReadRequest(None, 7, limit=1),
            options(all=ReadReqOptionsAllOptions(position=ReadReqOptionsPosition(7, 7)), count=1, no_filter=Empty()),
        ),
        (
            ReadRequest(None, (7, 0), limit=None),
            options(
                all=ReadReqOptionsAllOptions(position=ReadReqOptionsPosition(7, 0)),
                subscription=ReadReqOptionsSubscriptionOptions(),
                no_filter=Empty(),
            ),
        ),
        (
            ReadRequest(None, from_end=True, backwards=True, limit=1),
            options(all=ReadReqOptionsAllOptions(end=Empty()), read_direction=BACKWARDS, count=1, no_filter=Empty()),
        ),
        (
            ReadRequest(None, limit=None, filter=Filter.by_event_type(include=["a"])),
            filtered(event_type=ReadReqOptionsFilterOptionsExpression(regex="^(?:a)$")),
        ),
        (
            ReadRequest(None, limit=None, filter=Filter.by_stream_name(prefixes=["a", "b"])),
            filtered(stream_identifier=ReadReqOptionsFilterOptionsExpression(prefix=["a", "b"])),
        ),
    ],
)
def test_reads(request_: ReadRequest, expected: bytes) -> None:
    assert request_.encode() == expected


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        (5, {"revision": 5}),
        (0, {"revision": 0}),
        (-1, {"no_stream": Empty()}),
        (-2, {"any": Empty()}),
        (-4, {"stream_exists": Empty()}),
    ],
)
def test_deletes(expected: int, fields: dict[str, Any]) -> None:
    assert encode_delete("größe", expected) == bytes(DeleteReq(DeleteReqOptions(stream_identifier=STREAM, **fields)))


def test_what_a_delete_answers() -> None:
    assert decode_delete(bytes(DeleteResp(position=DeleteRespPosition(8, 8)))) == 8
    assert decode_delete(bytes(DeleteResp(no_position=Empty()))) is None


def test_features() -> None:
    methods = [SupportedMethod("batchappend", "event_store.client.streams.streams", ["deadline_duration"])]
    found = decode_features(bytes(SupportedMethods(methods, "24.10.0")))
    assert found.version == "24.10.0"
    assert found.has(BATCH_APPEND)
    assert not found.has("/event_store.client.streams.Streams/Read")
