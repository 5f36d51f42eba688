"""The rules of the five system projections, event by event; recordings say more (tests/conformance)."""

from __future__ import annotations

import json

import pytest

from esdb_lite.server.projections.emitting import Emission, Owner
from esdb_lite.server.projections.seen import Seen, as_arrived, as_written, is_taken
from esdb_lite.server.projections.system import QueryDoesNotFit, SystemIndex
from esdb_lite.server.storage import TOMBSTONE, Record

OWNER = Owner(3, -1, 1)
CAUSE = '"$causedBy":"01010101-0101-0101-0101-010101010101"'
DELETION = b'{"$tb":9223372036854775807}'


def record(
    stream: str = "order-1", revision: int = 0, type: str = "T", data: bytes = b"{}", metadata: bytes = b""
) -> Record:
    # 2020-09-13T12:26:40.1234567Z
    created = 16_000_000_001_234_567
    return Record(100, stream, revision, b"\1" * 16, type, type != "$>", created, data, metadata)


def written(name: str, seen: Record | Seen, query: str = "") -> tuple[str, str, str, str] | None:
    """Stream, type, data and metadata behind the position of what is written."""
    event = as_written(seen) if isinstance(seen, Record) else seen
    found = [] if event is None else SystemIndex(name, query, OWNER).handle([event])
    if not found:
        return None
    [emission] = found
    beginning = '{"$v":"3:-1:1:4","$c":100,"$p":100'
    text = emission.metadata.decode()
    assert text.startswith(beginning)
    json.loads(text)
    assert not emission.is_json
    return emission.stream, emission.type, emission.data.decode(), text[len(beginning) :]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("$streams", ("$streams", "$>", "0@order-1", f",{CAUSE}}}")),
        ("$stream_by_category", ("$category-order", "$@", "order-1", f",{CAUSE}}}")),
        ("$by_category", ("$ce-order", "$>", "0@order-1", f',"$o":"order-1",{CAUSE}}}')),
        ("$by_event_type", ("$et-T", "$>", "0@order-1", f",{CAUSE}}}")),
        ("$by_correlation_id", None),
    ],
)
def test_an_event(name: str, expected: object) -> None:
    assert written(name, record()) == expected


@pytest.mark.parametrize("name", ["$streams", "$stream_by_category"])
def test_later_events_do_not_list_a_stream(name: str) -> None:
    assert written(name, record(revision=1)) is None


@pytest.mark.parametrize(
    ("query", "stream", "category"),
    [
        ("", "a-b-c", "a"),
        ("first\r\n-", "a-b-c", "a"),
        ("last\n-", "a-b-c", "a-b"),
        (" LAST \n - ", "a-b-c", "a-b"),
        ("-", "a-b-c", "a-b"),
        ("first\n_", "a_b-c", "a"),
        ("", "cats-", "cats"),
        ("", "cats--x", "cats"),
        ("", "-cats", None),
        ("", "cats", None),
        ("", "$$cats-1", None),
    ],
)
def test_categories(query: str, stream: str, category: str | None) -> None:
    found = written("$by_category", record(stream), query)
    assert (None if found is None else found[0]) == (None if category is None else f"$ce-{category}")


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("$by_category", "middle\n-"),
        ("$by_category", "first\n--"),
        ("$by_category", "first\n-\n-"),
        ("$streams", "x"),
        ("$by_event_type", "x"),
        ("$by_correlation_id", "x"),
        ("$by_correlation_id", "[]"),
        ("$by_correlation_id", '{"correlationIdProperty":5}'),
    ],
)
def test_queries_that_do_not_fit(name: str, query: str) -> None:
    with pytest.raises(QueryDoesNotFit):
        SystemIndex(name, query, OWNER)


def test_soft_deletions() -> None:
    deletion = record("$$order-1", 4, "$metadata", DELETION)
    assert written("$by_category", deletion) == (
        "$ce-order", "$>", "4@$$order-1", f',"$o":"order-1","$deleted":-1,{CAUSE}}}',
    )  # fmt: skip
    assert written("$by_event_type", deletion) == ("$et-$deleted", "$>", "4@order-1", f',"$deleted":-1,{CAUSE}}}')
    metadata = record("$$order-1", 4, "$metadata", b'{"$tb":5}')
    assert written("$by_category", metadata) is None
    assert written("$by_event_type", metadata) == ("$et-$metadata", "$>", "4@order-1", f",{CAUSE}}}")


def test_tombstones() -> None:
    tombstone = record("order-1", TOMBSTONE, "$streamDeleted", b"")._replace(is_json=False)
    data = f"{TOMBSTONE}@order-1"
    assert written("$by_category", tombstone) == ("$ce-order", "$>", data, f',"$o":"order-1","$deleted":-1,{CAUSE}}}')
    assert written("$by_event_type", tombstone) == ("$et-$deleted", "$>", data, f',"$deleted":-1,{CAUSE}}}')
    assert written("$streams", tombstone) is None


def test_correlation_ids() -> None:
    event = record(metadata=b'{"$correlationId":"a\\"b","x":1}')
    assert written("$by_correlation_id", event) == (
        '$bc-a"b', "$>", "0@order-1",
        f',"$eventTimestamp":"2020-09-13T12:26:40.123456Z",{CAUSE},"$correlationId":"a\\"b"}}',
    )  # fmt: skip
    found = written("$by_category", event)
    assert found is not None
    assert found[3].endswith(f'{CAUSE},"$correlationId":"a\\"b"}}')
    assert written("$by_category", event._replace(is_json=False)) == written("$by_category", record())


@pytest.mark.parametrize(
    ("metadata", "stream"),
    [
        (b'{"$correlationId":""}', "$bc-"),
        (b'{"$correlationId":17}', "$bc-17"),
        (b'{"$correlationId":true}', "$bc-True"),
        (b'{"\\u0024correlationId":"x"}', "$bc-x"),
        (b'{"$correlationId":"a","$correlationId":"b"}', "$bc-b"),
        (b'{"$correlationId":{"a":[1]}}', '$bc-{"a":[1]}'),
        (b'{"$correlationId":null}', None),
        (b'{"$correlationId"', None),
        (b'["$correlationId"]', None),
        (b"{}", None),
    ],
)
def test_forms_of_correlation_ids(metadata: bytes, stream: str | None) -> None:
    found = written("$by_correlation_id", record(metadata=metadata))
    assert (None if found is None else found[0]) == stream


def test_of_two_correlation_ids_links_carry_the_first() -> None:
    found = written("$by_category", record(metadata=b'{"$correlationId":"a","$correlationId":"b"}'))
    assert found is not None
    assert found[3].endswith(',"$correlationId":"a"}')


def test_another_property() -> None:
    event = record(metadata=b'{"own":"x","$correlationId":"y"}')
    found = written("$by_correlation_id", event, '{"correlationIdProperty":"own"}')
    assert found is not None
    assert found[0] == "$bc-x"
    assert found[3].endswith(',"$correlationId":"y"}')


LINK = record("order-2", type="$>", data=b"5@other-1")


def test_links_as_they_stand() -> None:
    found = written("$by_category", LINK)
    assert found is not None
    assert found[:3] == ("$ce-order", "$>", "5@other-1")
    assert written("$by_event_type", LINK) is None
    assert written("$by_correlation_id", LINK._replace(metadata=b'{"$correlationId":"x"}')) is None


def test_links_as_they_arrive() -> None:
    target = record("other-1", 5)._replace(id=b"\2" * 16)
    found = written("$by_category", Seen(LINK, target))
    assert found is not None
    assert found[2:] == ("5@other-1", ',"$o":"order-2","$causedBy":"02020202-0202-0202-0202-020202020202"}')
    assert written("$by_category", Seen(LINK, None)) == ("$ce-order", "$>", "-1@", ',"$o":"order-2"}')
    of_link = written("$by_category", Seen(LINK, record("other-1", 5, "$>", b"7@third")))
    assert of_link is not None
    assert of_link[2] == "7@third"
    for name in ("$by_event_type", "$by_correlation_id"):
        assert written(name, Seen(LINK, target)) is None


def test_what_is_seen() -> None:
    assert [is_taken(stream) for stream in ("a", "$$a", "$a", "$$$a", "$$$$a")] == [True, True, False, False, False]
    assert as_written(record(data=b"{broken")) is None
    assert as_written(record(data=b"{broken")._replace(is_json=False)) is not None
    assert as_arrived(LINK, record(data=b"")) is None
    assert as_arrived(LINK, None) is not None


def test_names_are_escaped() -> None:
    found = written("$by_category", record('a-"\u2028é'))
    assert found is not None
    assert found[3].startswith(',"$o":"a-\\"\\u2028é"')


def test_only_event_types_are_marked() -> None:
    index = SystemIndex("$by_event_type", "", OWNER)
    assert index.mark() == [
        Emission("$et", "$Checkpoint", True, b'{"$c":0,"$p":-1}', b'{"$v":"3:-1:1:4","$c":0,"$p":-1}')
    ]
    seen = as_written(record())
    assert seen is not None
    index.handle([seen])
    assert index.mark()[0].data == b'{"$c":100,"$p":100}'
    assert SystemIndex("$by_category", "", OWNER).mark() == []
