"""The rules of access, without a server: callers, access lists, defaults."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite.server.engine.access import ANONYMOUS, SYSTEM, Action, Principal, allowed, parse_defaults
from esdb_lite.server.storage import Record, StreamHead

USER = Principal("user", frozenset({"team"}))
OPS = Principal("ops", frozenset({"$ops"}))
ADMIN = Principal("admin", frozenset({"$admins"}))
EVERYBODY = (ANONYMOUS, USER, OPS, ADMIN)
BASIC = (Action.READ, Action.WRITE, Action.DELETE)


class Streams:
    """A reader of documents: metadata by stream, and what `$settings` says."""

    def __init__(self, metadata: dict[str, bytes] | None = None, settings: bytes | None = None) -> None:
        self._metadata = metadata or {}
        self._settings = settings

    def head(self, stream: str) -> StreamHead | None:
        if stream == "$settings" and self._settings is not None:
            return StreamHead(0, None)
        data = self._metadata.get(stream)
        return None if data is None else StreamHead(0, _record("$$" + stream, data))

    def at(self, stream: str, revisions: Sequence[int]) -> dict[int, Record]:
        return {0: _record(stream, self._settings)} if self._settings is not None else {}


def _record(stream: str, data: bytes) -> Record:
    return Record(548, stream, 0, bytes(16), "$metadata", True, 0, data, b"")


def may(principal: Principal, stream: str, action: Action, reader: Streams | None = None) -> bool:
    return allowed(reader or Streams(), principal, stream, action)  # type: ignore[arg-type]


@pytest.mark.parametrize("action", BASIC)
def test_streams_without_lists(action: Action) -> None:
    assert [may(who, "order", action) for who in EVERYBODY] == [False, True, True, True]
    assert [may(who, "$sys", action) for who in EVERYBODY] == [False, False, False, True]
    assert [may(who, "$users", action) for who in EVERYBODY] == [False, False, False, True]


def test_what_nobody_may() -> None:
    for stream, action in [
        ("$all", Action.WRITE),
        ("$all", Action.DELETE),
        ("$$order", Action.DELETE),
        ("$$$sys", Action.DELETE),
        *(("", action) for action in BASIC),
    ]:
        assert not any(may(who, stream, action) for who in EVERYBODY), (stream, action)
        assert may(SYSTEM, stream, action)


FIELDS = {
    "$r": ("order", Action.READ),
    "$w": ("order", Action.WRITE),
    "$d": ("order", Action.DELETE),
    "$mr": ("$$order", Action.READ),
    "$mw": ("$$order", Action.WRITE),
}


@pytest.mark.parametrize("closed", FIELDS)
@pytest.mark.parametrize("asked", FIELDS)
def test_each_list_falls_back_by_itself(closed: str, asked: str) -> None:
    """An access list for one action says nothing about the others, wherever it is written."""
    acl = b'{"%s":[]}' % closed.encode()
    for reader in (
        Streams({"order": b'{"$acl":' + acl + b"}"}),
        Streams(settings=b'{"$userStreamAcl":' + acl + b"}"),
        Streams({"order": b'{"$acl":' + acl + b"}"}, b'{"$userStreamAcl":{"%s":"$all"}}' % closed.encode()),
    ):
        assert may(USER, *FIELDS[asked], reader) == (asked != closed)
        assert may(ADMIN, *FIELDS[asked], reader)


@pytest.mark.parametrize("field", FIELDS)
def test_settings_for_the_servers_own_streams(field: str) -> None:
    stream, action = FIELDS[field]
    system = stream.replace("order", "$sys")
    reader = Streams(settings=b'{"$systemStreamAcl":{"%s":"team"}}' % field.encode())
    assert [may(who, system, action, reader) for who in EVERYBODY] == [False, True, False, True]
    others = [FIELDS[other] for other in FIELDS if other != field]
    assert not any(may(USER, name.replace("order", "$sys"), other, reader) for name, other in others)
    assert may(OPS, stream, action, reader)  # nothing is said of ordinary streams


def test_settings_govern_the_log_where_its_metadata_says_nothing() -> None:
    settings = b'{"$systemStreamAcl":{"$r":"team"}}'
    assert may(USER, "$all", Action.READ, Streams(settings=settings))
    assert not may(USER, "$all", Action.READ, Streams({"$all": b'{"$acl":{"$r":[]}}'}, settings))


def test_the_log_is_governed_by_its_metadata() -> None:
    assert [may(who, "$all", Action.READ) for who in EVERYBODY] == [False, False, False, True]
    opened = Streams({"$all": b'{"$acl":{"$r":"team"}}'})
    assert [may(who, "$all", Action.READ, opened) for who in EVERYBODY] == [False, True, False, True]
    assert not may(USER, "$all", Action.WRITE, Streams({"$all": b'{"$acl":{"$w":"team"}}'}))


@pytest.mark.parametrize(
    ("acl", "action", "expected"),
    [
        (b'{"$r":"user"}', Action.READ, [False, True, False, True]),
        (b'{"$r":["other","team"]}', Action.READ, [False, True, False, True]),
        (b'{"$r":"$all"}', Action.READ, [False, True, True, True]),
        (b'{"$r":[]}', Action.READ, [False, False, False, True]),
        (b'{"$r":"$ops"}', Action.READ, [False, False, True, True]),
        (b'{"$r":[],"$w":[]}', Action.DELETE, [False, True, True, True]),
        (b'{"$w":"$admins"}', Action.WRITE, [False, False, False, True]),
    ],
)
def test_lists(acl: bytes, action: Action, expected: list[bool]) -> None:
    reader = Streams({"order": b'{"$acl":' + acl + b"}"})
    assert [may(who, "order", action, reader) for who in EVERYBODY] == expected


def test_metadata_streams_are_governed_by_what_they_are_about() -> None:
    reader = Streams({"order": b'{"$acl":{"$mr":"$ops","$mw":[],"$r":"user","$w":"user"}}'})
    assert [may(who, "$$order", Action.READ, reader) for who in EVERYBODY] == [False, False, True, True]
    assert [may(who, "$$order", Action.WRITE, reader) for who in EVERYBODY] == [False, False, False, True]
    assert [may(who, "$$$sys", Action.READ) for who in EVERYBODY] == [False, False, False, True]


def test_metadata_of_metadata_is_not_asked() -> None:
    assert not may(USER, "$$$$order", Action.WRITE, Streams({"$$order": b'{"$acl":{"$mw":"user"}}'}))


def test_malformed_metadata_counts_as_none() -> None:
    assert may(USER, "order", Action.READ, Streams({"order": b'{"$acl":{"$r":[],"unknown":1}}'}))
    assert not may(USER, "$sys", Action.READ, Streams({"$sys": b'{"$acl":{"$r":"user","unknown":1}}'}))


def test_settings_come_before_the_defaults_and_after_the_stream() -> None:
    settings = b'{"$userStreamAcl":{"$r":"$ops"},"$systemStreamAcl":{"$r":"team"}}'
    reader = Streams({"own": b'{"$acl":{"$r":"user"}}'}, settings)
    assert [may(who, "order", Action.READ, reader) for who in EVERYBODY] == [False, False, True, True]
    assert [may(who, "order", Action.WRITE, reader) for who in EVERYBODY] == [False, True, True, True]
    assert [may(who, "own", Action.READ, reader) for who in EVERYBODY] == [False, True, False, True]
    assert [may(who, "$sys", Action.READ, reader) for who in EVERYBODY] == [False, True, False, True]
    assert not may(USER, "order", Action.READ, Streams(settings=b'{"$userStreamAcl":{"$r":[]}}'))


@given(st.binary())
def test_no_settings_open_the_servers_own_streams_by_accident(data: bytes) -> None:
    if b"$systemStreamAcl" not in data:
        assert not may(USER, "$sys", Action.READ, Streams(settings=data))
    parse_defaults(data)


@given(st.text(), st.sampled_from(Action), st.binary())
def test_who_has_not_logged_in_may_nothing(stream: str, action: Action, metadata: bytes) -> None:
    assert not may(ANONYMOUS, stream, action, Streams({stream: metadata, stream[2:]: metadata}, metadata))


@given(st.text())
def test_only_the_first_character_makes_a_stream_the_servers_own(name: str) -> None:
    assert not may(USER, f"$x{name}", Action.READ)
    for other in (f" $x{name}", f"x/../$x{name}", f"\u200b$x{name}", f"\uff04x{name}"):
        assert may(USER, other, Action.READ)


def test_a_name_is_no_group_of_administrators() -> None:
    impostor = Principal("$admins", frozenset())
    assert not impostor.is_admin
    assert not may(impostor, "$sys", Action.READ)
    assert not may(Principal("$ops"), "order", Action.READ, Streams({"order": b'{"$acl":{"$r":"$ops"}}'}))
    assert not may(Principal("$ops", frozenset({"team"})), "$scavenges", Action.READ)
    assert not Principal("admin", frozenset()).is_admin
    assert not Principal("", frozenset({"$admins"}), known=False).is_admin
