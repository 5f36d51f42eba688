"""Metadata in the forms in which other clients write it: read as values, set again without a loss."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from esdb_lite import NewEvent, StreamAcl, StreamMetadata
from tests.contract.faces import drain

FORMS: dict[str, tuple[bytes, StreamMetadata]] = {
    "everything": (
        b'{"$maxAge":86400,"$maxCount":3,"$tb":1,"$cacheControl":15,'
        b'"$acl":{"$r":["$all"],"$w":["$admins","ops"],"$d":[],"$mr":"anna","$mw":["anna"]},"team":"sales"}',
        StreamMetadata(
            max_age=timedelta(days=1),
            max_count=3,
            truncate_before=1,
            cache_control=timedelta(seconds=15),
            acl=StreamAcl(
                read=("$all",), write=("$admins", "ops"), delete=(), meta_read=("anna",), meta_write=("anna",)
            ),
            custom={"team": "sales"},
        ),
    ),
    "with blanks, indented": (
        b'{\r\n  "$maxCount": 3,\r\n  "$acl": {\r\n    "$r": "$all"\r\n  },\r\n  "custom": { "a" : 1 }\r\n}',
        StreamMetadata(max_count=3, acl=StreamAcl(read=("$all",)), custom={"custom": {"a": 1}}),
    ),
    "a mark at the beginning": (b'\xef\xbb\xbf{"$maxCount":3}', StreamMetadata(max_count=3)),
    "escaped": ('{"\\u0024maxCount":3,"ü":"\\u00fc"}'.encode(), StreamMetadata(max_count=3, custom={"ü": "ü"})),
    "values of all kinds": (
        b'{"null":null,"true":true,"float":2.5,"large":12345678901234567890,"nested":{"list":[1,[],{},"x"]}}',
        StreamMetadata(
            custom={
                "null": None,
                "true": True,
                "float": 2.5,
                "large": 12345678901234567890,
                "nested": {"list": [1, [], {}, "x"]},
            }
        ),
    ),
    "what later servers may know": (
        b'{"$tmp":true,"$new":{"$x":[1]},"$maxCount":3}',
        StreamMetadata(max_count=3, custom={"$tmp": True, "$new": {"$x": [1]}}),
    ),
    "a list for actions that nobody knows": (
        b'{"$acl":{"$r":["a"],"$x":["b"]},"$maxCount":3}',
        StreamMetadata(max_count=3, custom={"$acl": {"$r": ["a"], "$x": ["b"]}}),
    ),
    "an empty list": (b'{"$acl":{}}', StreamMetadata(acl=StreamAcl())),
    "nothing": (b"{}", StreamMetadata()),
}


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """A lone role and a list of one are the same."""
    acl = document.get("$acl")
    if not isinstance(acl, dict):
        return document
    return {**document, "$acl": {key: [names] if isinstance(names, str) else names for key, names in acl.items()}}


@pytest.mark.parametrize("form", FORMS)
async def test_forms(client: Any, stream: str, form: str) -> None:
    data, expected = FORMS[form]
    await client.append_events(stream, None, [NewEvent("T", str(number).encode()) for number in range(5)])
    written = await client.append_events(f"$${stream}", None, NewEvent("$metadata", data))
    read = await client.get_stream_metadata(stream)
    assert read == expected
    assert read.position == written.stream_position == 0

    await client.set_stream_metadata(stream, replace(read, max_count=1), expected_position=read.position)
    (event,) = await drain(client.read_stream_events(f"$${stream}"))
    assert plain(event.json()) == plain({**json.loads(data), "$maxCount": 1})
    assert event.stream_position == 1
    # A list that servers do not understand makes them ignore all of the metadata: it is kept all the same.
    readable = 5 if "$x" in str(expected.custom.get("$acl")) else 1
    assert len(await drain(client.read_stream_events(stream))) == readable
    assert await client.get_stream_metadata(stream) == replace(expected, max_count=1)


async def test_what_is_taken_away_is_gone(client: Any, stream: str) -> None:
    await client.append_events(stream, None, [NewEvent("T", b"{}") for _ in range(3)])
    whole = StreamMetadata(max_count=1, max_age=timedelta(hours=1), acl=StreamAcl(read=("$all",)), custom={"a": 1})
    await client.set_stream_metadata(stream, whole)
    read = await client.get_stream_metadata(stream)
    await client.set_stream_metadata(stream, replace(read, max_count=None, acl=None, custom={}))
    (event,) = await drain(client.read_stream_events(f"$${stream}"))
    assert event.json() == {"$maxAge": 3600}
    assert len(await drain(client.read_stream_events(stream))) == 3
