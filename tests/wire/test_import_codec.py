"""Imports: what is encoded comes back, by us and by the generated messages; what makes no sense is refused."""

from __future__ import annotations

import pytest
from esdb_lite_protos.esdb_lite.imports import ImportReq, ImportResp
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite._wire import imports
from esdb_lite._wire.append import decode_proposed, encode_proposed
from esdb_lite._wire.batch_append import encode_batch_error
from esdb_lite._wire.primitives import WireError

EVENTS = st.builds(
    encode_proposed,
    id=st.uuids().map(str),
    type=st.sampled_from(["A", "B"]),
    content_type=st.sampled_from(["application/json", "application/octet-stream"]),
    metadata=st.sampled_from([b"", b"{}", b"x" * 200]),
    data=st.sampled_from([b"", b"{}", b"y" * 200]),
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[str], list[int], list[int], list[bytes]]:
    names = draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), min_size=1, max_size=5))
    expected = draw(st.lists(st.integers(-4, 2**63 - 1), min_size=len(names), max_size=len(names)))
    events = draw(st.lists(EVENTS, max_size=6))
    places = draw(st.lists(st.integers(0, len(names) - 1), min_size=len(events), max_size=len(events)))
    return names, expected, places, events


@given(requests())
def test_requests(given: tuple[list[str], list[int], list[int], list[bytes]]) -> None:
    names, expected, places, events = given
    data = imports.encode_import_request(names, expected, places, events)
    wanted = imports.SentImport(names, tuple(expected), tuple(places), [*map(decode_proposed, events)])
    assert imports._usual_request(data) == imports.decode_import_request(data) == wanted
    generated = ImportReq().parse(data)
    assert (generated.streams, generated.expected, generated.stream_of) == (names, expected, places)
    assert [bytes(event.data) for event in generated.events] == [event.data for event in wanted.events]


@given(requests(), st.data())
def test_changed_requests_are_left_to_the_rules(
    given: tuple[list[str], list[int], list[int], list[bytes]], data: st.DataObject
) -> None:
    changed = bytearray(imports.encode_import_request(*given))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    for each in (bytes(changed), bytes(changed[: data.draw(st.integers(0, len(changed)))])):
        try:
            usual = imports._usual_request(each)
        except WireError:
            continue
        if usual is not None:
            found = imports._any_request(each)
            assert [[*part] for part in usual] == [[*part] for part in found]


@pytest.mark.parametrize(
    ("names", "expected", "places"), [(["s"], [], [0]), (["s"], [0], []), (["s"], [0], [1]), ([], [], [0])]
)
def test_requests_that_make_no_sense(names: list[str], expected: list[int], places: list[int]) -> None:
    event = encode_proposed(id="x" * 36, type="T", content_type="c", metadata=b"", data=b"")
    with pytest.raises(WireError):
        imports.decode_import_request(imports.encode_import_request(names, expected, places, [event]))


def test_answers() -> None:
    assert imports.decode_import_answer(imports.encode_imported(0)) == (0, None)
    assert imports.decode_import_answer(imports.encode_imported(7_000)) == (7_000, None)
    error = encode_batch_error(None, "s", code=6, message="m", detail="Unknown")
    data = imports.encode_import_refusal(error)
    assert ImportResp().parse(data).refusal.error.message == "m"
    answer = imports.decode_import_answer(data)
    assert answer.refusal is not None
    assert answer.refusal.stream == "s"
