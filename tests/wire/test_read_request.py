"""ReadReq as the client writes it: what the generated classes make of the same; the server's half reads it back."""

from __future__ import annotations

from typing import Any

import pytest
from esdb_lite_protos import tags
from esdb_lite_protos.event_store.client import Empty, StreamIdentifier
from esdb_lite_protos.event_store.client import streams as pb

from esdb_lite import Filter
from esdb_lite._wire.primitives import WireError, block, last_field
from esdb_lite._wire.read_request import (
    UNLIMITED,
    AllRange,
    End,
    FilterRequest,
    ReadOptions,
    ReadRequest,
    StreamRange,
    decode_read_request,
)

STREAM = StreamIdentifier("größe".encode())
BACKWARDS = pb.ReadReqOptionsReadDirection.Backwards


def options(**more: Any) -> bytes:
    return bytes(pb.ReadReq(pb.ReadReqOptions(uuid_option=pb.ReadReqOptionsUuidOption(string=Empty()), **more)))


def filtered(**more: Any) -> bytes:
    return options(
        all=pb.ReadReqOptionsAllOptions(start=Empty()),
        subscription=pb.ReadReqOptionsSubscriptionOptions(),
        filter=pb.ReadReqOptionsFilterOptions(max=32, checkpoint_interval_multiplier=32, **more),
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            ReadRequest("größe"),
            options(
                stream=pb.ReadReqOptionsStreamOptions(stream_identifier=STREAM, start=Empty()),
                count=UNLIMITED,
                no_filter=Empty(),
            ),
        ),
        (
            ReadRequest("größe", 7, tells_last=True),
            options(
                stream=pb.ReadReqOptionsStreamOptions(stream_identifier=STREAM, revision=7),
                count=UNLIMITED,
                no_filter=Empty(),
                control_option=pb.ReadReqOptionsControlOption(compatibility=1),
            ),
        ),
        (
            ReadRequest("größe", 0, from_end=True, backwards=True, limit=3, resolve_links=True),
            options(
                stream=pb.ReadReqOptionsStreamOptions(stream_identifier=STREAM, revision=0),
                read_direction=BACKWARDS,
                resolve_links=True,
                count=3,
                no_filter=Empty(),
            ),
        ),
        (
            ReadRequest("größe", from_end=True, limit=None),
            options(
                stream=pb.ReadReqOptionsStreamOptions(stream_identifier=STREAM, end=Empty()),
                subscription=pb.ReadReqOptionsSubscriptionOptions(),
                no_filter=Empty(),
            ),
        ),
        (
            ReadRequest(None, 7, limit=1),
            options(
                all=pb.ReadReqOptionsAllOptions(position=pb.ReadReqOptionsPosition(7, 7)), count=1, no_filter=Empty()
            ),
        ),
        (
            ReadRequest(None, (7, 0), limit=None),
            options(
                all=pb.ReadReqOptionsAllOptions(position=pb.ReadReqOptionsPosition(7, 0)),
                subscription=pb.ReadReqOptionsSubscriptionOptions(),
                no_filter=Empty(),
            ),
        ),
        (
            ReadRequest(None, from_end=True, backwards=True, limit=1),
            options(all=pb.ReadReqOptionsAllOptions(end=Empty()), read_direction=BACKWARDS, count=1, no_filter=Empty()),
        ),
        (
            ReadRequest(None, limit=None, filter=Filter.by_event_type(include=["a"])),
            filtered(event_type=pb.ReadReqOptionsFilterOptionsExpression(regex="^(?:a)$")),
        ),
        (
            ReadRequest(None, limit=None, filter=Filter.by_stream_name(prefixes=["a", "b"])),
            filtered(stream_identifier=pb.ReadReqOptionsFilterOptionsExpression(prefix=["a", "b"])),
        ),
    ],
)
def test_reads(request_: ReadRequest, expected: bytes) -> None:
    assert request_.encode() == expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            ReadRequest("s", 7, backwards=True, limit=3, resolve_links=True, tells_last=True),
            ReadOptions(StreamRange("s", 7), 1, True, 3, False, False, False, 1),
        ),
        (
            ReadRequest("s", from_end=True, limit=None),
            ReadOptions(StreamRange("s", End.END), 0, False, None, True, False, False, 0),
        ),
        (
            ReadRequest(None, (7, 5), filter=Filter.by_stream_name(prefixes=["a", "b"])),
            ReadOptions(
                AllRange((7, 5)),
                0,
                False,
                UNLIMITED,
                False,
                FilterRequest(False, "", ("a", "b"), 32, False, 32),
                False,
                0,
            ),
        ),
    ],
)
def test_the_server_reads_what_the_client_writes(request_: ReadRequest, expected: ReadOptions) -> None:
    assert decode_read_request(request_.encode()) == expected


def test_a_source_that_comes_later_counts() -> None:
    """What stands behind the first field may have been seen before, with other streams in front of it."""
    one, other, all_events = ReadRequest("one", 7), ReadRequest("other", limit=3), ReadRequest(None)
    sent = [*map(_options_of, (one, other, all_events))]
    read = ReadOptions(StreamRange("one", 7), 0, False, UNLIMITED, False, False, False, 0)
    for _ in range(2):  # at first, and when it is remembered
        assert _decoded(sent[0]) == read
        assert _decoded(sent[0] + sent[1]) == read._replace(source=StreamRange("other", End.START), limit=3)
        assert _decoded(sent[0] + sent[2]) == read._replace(source=AllRange(End.START))
        assert _decoded(sent[2] + sent[0]) == read


def test_what_is_remembered_of_a_stream_cut_off_is_refused_as_ever() -> None:
    encoded = _options_of(ReadRequest("stream", 7))
    for stop in range(1, 2 + encoded[1]):
        with pytest.raises(WireError):
            _decoded(encoded[:stop])


def _options_of(request: ReadRequest) -> bytes:
    return last_field(request.encode(), tags.STREAMS_READ_REQ_OPTIONS)


def _decoded(encoded: bytes) -> ReadOptions | None:
    return decode_read_request(block(tags.STREAMS_READ_REQ_OPTIONS, encoded))
