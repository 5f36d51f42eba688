"""Codecs written by hand take every tag from the schema, and cover every hot message."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable
from pathlib import Path

import pytest
from esdb_lite_protos import tags

import esdb_lite._wire
from esdb_lite.server.faults import admission
from esdb_lite.server.services import authorization, cluster

CODECS = sorted(Path(esdb_lite._wire.__file__).parent.glob("*.py"))
WITH_NUMBERS = ("primitives.py",)
"""Who knows the format itself: the sizes of varints, the fields of any map."""


@pytest.mark.parametrize("path", [path for path in CODECS if path.name not in WITH_NUMBERS], ids=lambda path: path.name)
def test_no_codec_writes_a_tag_by_hand(path: Path) -> None:
    """Tags would be hexadecimal numbers, or bytes that are no words."""
    source = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    numbers = [token.string for token in tokens if token.type == tokenize.NUMBER and token.string.startswith("0x")]
    constants = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    literals = [value for value in constants if isinstance(value, bytes) and not re.fullmatch(rb"[a-z%-]*", value)]
    texts = [
        value for value in constants if isinstance(value, str) and re.match(r"/[a-z_.0-9]+\.[A-Z]\w+/[A-Z]", value)
    ]
    assert (numbers, literals, texts) == ([], [], [])


SHARED = [
    ("PERSISTENT_READ_RESP_READ_EVENT_RECORDED_EVENT_", "STREAMS_READ_RESP_READ_EVENT_RECORDED_EVENT_"),
    ("PERSISTENT_READ_RESP_SUBSCRIPTION_CONFIRMATION_", "STREAMS_READ_RESP_SUBSCRIPTION_CONFIRMATION_"),
    ("STREAMS_READ_RESP_FELL_BEHIND_", "STREAMS_READ_RESP_CAUGHT_UP_"),
    ("STREAMS_BATCH_APPEND_REQ_PROPOSED_MESSAGE_", "STREAMS_APPEND_REQ_PROPOSED_MESSAGE_"),
    ("STREAMS_BATCH_APPEND_RESP_SUCCESS_", "STREAMS_APPEND_RESP_SUCCESS_"),
    ("PERSISTENT_READ_REQ_ACK_", "PERSISTENT_READ_REQ_NACK_"),
    ("STREAMS_READ_REQ_OPTIONS_POSITION_", "SHARED_ALL_STREAM_POSITION_"),
    ("STREAMS_READ_RESP_CHECKPOINT_COMMIT_", "SHARED_ALL_STREAM_POSITION_COMMIT_"),
    ("STREAMS_APPEND_RESP_POSITION_", "SHARED_ALL_STREAM_POSITION_"),
]
"""Messages that one piece of code reads or writes: prefixes of their tags."""


def named(prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): value for name, value in vars(tags).items() if name.startswith(prefix)}


@pytest.mark.parametrize(("one", "other"), SHARED)
def test_messages_that_share_code_share_their_tags(one: str, other: str) -> None:
    first, second = named(one), named(other)
    assert first
    assert first.items() <= second.items()


def test_other_tags_that_code_shares() -> None:
    assert tags.STREAMS_READ_RESP_EVENT == tags.PERSISTENT_READ_RESP_EVENT
    assert tags.STREAMS_READ_RESP_CONFIRMATION == tags.PERSISTENT_READ_RESP_SUBSCRIPTION_CONFIRMATION
    assert named("STREAMS_READ_RESP_READ_EVENT_").items() <= named("PERSISTENT_READ_RESP_READ_EVENT_").items()
    assert tags.STREAMS_BATCH_APPEND_REQ_CORRELATION_ID == tags.STREAMS_BATCH_APPEND_RESP_CORRELATION_ID
    batch, single = named("STREAMS_BATCH_APPEND_REQ_OPTIONS_"), named("STREAMS_APPEND_REQ_OPTIONS_")
    assert batch.pop("STREAM_POSITION") == single.pop("REVISION")
    assert single.items() <= batch.items()


PATHS = set(named("PATH_").values())
TABLES: dict[str, Iterable[str]] = {
    "NEEDS": authorization.NEEDS,
    "_LONG": authorization._LONG,
    "_ASKS": admission._ASKS,
    "_COUNTED": admission._COUNTED,
    "_FEATURES": [f"/{path}" for path in cluster._FEATURES],
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_methods_name_those_that_there_are(table: str) -> None:
    """Redaction has no messages here: it is always refused."""
    assert {path for path in TABLES[table] if "redaction" not in path} <= PATHS
