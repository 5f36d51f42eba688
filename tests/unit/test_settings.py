"""Connection strings: rows of connection_strings.json, and what holds for any text."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esdb_lite import InvalidUri, WrongArgumentType
from esdb_lite.connection_strings import ConnectionSettings, hide_password, parse_uri
from esdb_lite.settings import Address, Credentials, Embedded, NodePreference

ROWS: dict[str, list[Any]] = json.loads(Path(__file__).with_name("connection_strings.json").read_text(encoding="utf-8"))
HERE = Address("localhost", 2113)


def expected(row: dict[str, Any]) -> ConnectionSettings:
    """What a row of the table says."""
    values = dict(row["is"])
    if "embedded" in values:
        values["embedded"] = Embedded(values["embedded"])
    if "nodes" in values:
        values["nodes"] = tuple(node(text) for text in values["nodes"])
    if "credentials" in values:
        values["credentials"] = Credentials(*values["credentials"])
    if "node_preference" in values:
        values["node_preference"] = NodePreference(values["node_preference"])
    return ConnectionSettings(**values)


def node(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


@contextlib.contextmanager
def logged() -> Iterator[io.StringIO]:
    """What is logged at any level."""
    log, stream = logging.getLogger("esdb_lite"), io.StringIO()
    handler, level = logging.StreamHandler(stream), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def everything_in(error: BaseException | None) -> str:
    """What can be read of an error and of those that it came from."""
    text = ""
    while error is not None:
        text += f"{error} {error!r} {error.__dict__} {getattr(error, 'object', '')}\n"
        error = error.__cause__ or error.__context__
    return text


@pytest.mark.parametrize("row", ROWS["accepted"], ids=lambda row: row["uri"])
def test_what_a_connection_string_says(row: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "esdb_lite"):
        assert parse_uri(row["uri"]) == expected(row)
    lines, parts = [record.getMessage() for record in caplog.records], row.get("warns", [])
    assert len(lines) == len(parts), lines
    for line, part in zip(lines, parts, strict=True):
        assert part in line


def test_each_warning_ends_with_the_hint_or_has_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "esdb_lite"):
        parse_uri("esdb://localhost?tlsVerifyCrt=false&colour=red&throwOnAppendFailure=true")
    first, second = (record.message for record in caplog.records)
    assert first.endswith("did you mean 'tlsVerifyCert'?")
    assert second == "unknown option 'colour' in the connection string"


def test_options_without_effect_leave_a_line_for_those_who_look() -> None:
    with logged() as log:
        parse_uri("esdb://localhost?throwonappendfailure=true&feature=x&feature=y")
    assert [line.split()[1] for line in log.getvalue().splitlines()] == ["throwOnAppendFailure", "feature"]


@pytest.mark.parametrize("row", ROWS["refused"], ids=lambda row: row["uri"].encode("ascii", "replace").decode())
def test_what_is_none(row: dict[str, Any]) -> None:
    with logged() as log, pytest.raises(InvalidUri) as caught:
        parse_uri(row["uri"])
    assert row["error"] in str(caught.value)
    assert caught.value.argument == "uri"
    assert isinstance(caught.value, ValueError)
    assert "secret" not in everything_in(caught.value) + log.getvalue()


VALUES = {
    **dict.fromkeys(("tls", "tlsVerifyCert", "dnsDiscover"), "false"),
    "sendCredentialsInsecurely": "true",
    **dict.fromkeys(("defaultDeadline", "keepAliveInterval", "keepAliveTimeout", "discoveryInterval"), "250"),
    **dict.fromkeys(("timeout", "operationTimeout", "discoverInterval"), "250"),
    **dict.fromkeys(("gossipTimeout", "maxDiscoverAttempts", "tlsCaFile", "connectionName"), "25"),
    "userCertFile": "x&userKeyFile=y",
    "userKeyFile": "y&userCertFile=x",
    "nodePreference": "follower",
}


def spellings(name: str) -> list[str]:
    words = re.sub("([A-Z])", r"_\1", name)
    return [name.lower(), name.upper(), words.lower(), words.upper(), words.replace("_", "-"), name.swapcase()]


@pytest.mark.parametrize("name", VALUES)
def test_options_are_known_however_they_are_spelled(name: str) -> None:
    meant = parse_uri(f"esdb+discover://localhost?{name}={VALUES[name]}")
    assert meant != parse_uri("esdb+discover://localhost")
    with logged() as log:
        for spelling in spellings(name):
            assert parse_uri(f"esdb+discover://localhost?{spelling}={VALUES[name]}") == meant
    assert log.getvalue() == ""


def test_the_table_of_the_manual_has_every_option() -> None:
    manual = Path(__file__).parents[2].joinpath("esdb_lite", "client", "README.md").read_text(encoding="utf-8")
    table = manual.partition("| option | meaning |")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert set(re.findall("`(.+?)`", "".join(cells))) == {*VALUES, *ROWS["no_effect"]}


@pytest.mark.parametrize("name", ROWS["no_effect"])
def test_options_of_others_are_accepted_without_a_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "esdb_lite"):
        for spelling in spellings(name):
            assert parse_uri(f"esdb://localhost?{spelling}=x") == ConnectionSettings(nodes=(HERE,))
    assert not caplog.records


@pytest.mark.parametrize("uri", [None, 5, b"localhost:2113", ("localhost", 2113)])
def test_wrong_types(uri: Any) -> None:
    with pytest.raises(WrongArgumentType, match="uri"):
        parse_uri(uri)


@pytest.mark.parametrize("uri", ROWS["no_password_is_shown"])
def test_passwords_are_not_shown(uri: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        parse_uri(uri)
    assert "secret" not in everything_in(caught.value)


def test_passwords_are_not_in_reprs() -> None:
    settings = parse_uri("esdb://admin:secret@localhost")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("esdb://admin:secret@localhost", "esdb://admin:***@localhost"),
        ("esdb://localhost", "esdb://localhost"),
        ("esdb://a:1,[::1]:2/?tls=false", "esdb://a:1,[::1]:2/?tls=false"),
        ("esdb://admin:a@b//c:d@localhost", "esdb://admin:***@localhost"),
        ("esdb://secret@localhost", "esdb://:***@localhost"),
        ("admin://secret@localhost", "admin:***@localhost"),
        ("http://admin:secret", "http://***"),
        ("esdb://admin%3Asecret@localhost", "esdb://admin:***@localhost"),
        ("esdb://admin:secret", "esdb://***"),
        ("esdb://a,admin:secret/x", "esdb://***"),
        ("admin:secret@localhost", "admin:***@localhost"),
        ("localhost:2113", "localhost:2113"),
        ("esdb+embedded:///a.db", "esdb+embedded:///a.db"),
    ],
)
def test_what_is_shown_of_a_connection_string(uri: str, shown: str) -> None:
    assert hide_password(uri) == shown


def test_long_values_are_shortened() -> None:
    with pytest.raises(InvalidUri) as caught:
        parse_uri("esdb://localhost?tls=" + "x" * 1000)
    assert len(str(caught.value)) < 150
    with logged() as log:
        parse_uri("esdb://localhost?" + "x" * 1000)
    assert len(log.getvalue()) < 150


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        parse_uri("localhost").tls = True  # type: ignore[misc]


def test_nodes_are_shown_as_addresses() -> None:
    assert str(Address("::1", 5)) == "[::1]:5"
    assert str(HERE) == "localhost:2113"


# --- any text ---------------------------------------------------------------------------------------------------------

PIECES = [
    *("esdb", "KurrentDB", "kdb", "+discover", "+embedded", "://", ":", "//", "/", "?", "&", "=", "@", "#", ",", " "),
    *("[", "]", "::1", "%", "%25", "%FF", "%00", "%40", "\0", "\n", "\ud800", "\ufffd", "é", "٢", "127.0.0.1", "2113"),
    *("0", "-1", "9" * 5000, "localhost", "admin", "tls", "true", "false", "gossipTimeout", "nodePreference", "leader"),
    *("tlsCaFile", "userCertFile", "connectionName", "keepAliveTimeout", "maxDiscoverAttempts", "colour", "+", "_"),
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
@example("esdb://localhost:" + "1" * 5000)
@example("esdb://localhost?maxDiscoverAttempts=" + "1" * 5000)
@example("esdb://localhost?gossipTimeout=" + "1" * 5000)
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        settings = parse_uri(text)
    except InvalidUri:
        return
    assert (settings.embedded is None) == bool(settings.nodes)
    assert all(node.host and 1 <= node.port <= 65535 for node in settings.nodes)


MARK = "sEcReT"
RAW = st.text(st.sampled_from(":/?#@[]%&=,;+ 1a\\\0\n€"), max_size=6)
BEFORE = st.sampled_from(["esdb://", "kdb+discover://", "http://", "esdb:", "esdb+embedded://", "esdb+embedded:", ""])
AFTER = st.sampled_from(
    [
        "@localhost",
        "@a:1,b",
        "@localhost:x",
        "@local host",
        "@",
        "@h?tls=x",
        "@h/?colour=red",
        "@h/x",
        "@h#x",
        "@[::1]:0",
    ]
)


@given(BEFORE, RAW, RAW, AFTER)
@example("esdb://", "1?", "", "@localhost")
@example("esdb://", "1?tls=", "&x", "@localhost")
@example("esdb://", "a//", "", "@local host")
@example("esdb+embedded://", "1?", "", "@")
def test_a_password_is_never_shown(before: str, start: str, end: str, after: str) -> None:
    # However it is written: what is no valid connection string has the same right to be kept from logs.
    uri = f"{before}admin:{start}{MARK}{end}{after}"
    with logged() as log:
        try:
            found = repr(replace(parse_uri(uri), embedded=None))
        except InvalidUri as error:
            found = everything_in(error)
    assert MARK not in found
    assert MARK not in log.getvalue()
    assert MARK not in hide_password(uri)


@given(st.text(min_size=1), st.text())
def test_any_user_and_password_can_be_given_encoded(name: str, password: str) -> None:
    try:
        uri = f"esdb://{quote(name, safe='')}:{quote(password, safe='')}@localhost?tls=false"
    except UnicodeEncodeError:
        return
    assert parse_uri(uri) == ConnectionSettings(nodes=(HERE,), tls=False, credentials=Credentials(name, password))


# --- there and back ---------------------------------------------------------------------------------------------------

NAMES = st.text(string.ascii_letters + string.digits + "-_.", min_size=1)
HOSTS = NAMES | st.ip_addresses().map(str)
NODES = st.builds(Address, HOSTS, st.integers(1, 65535))
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
MILLISECONDS = st.integers(1, 2**31 - 1).map(lambda number: number / 1000)
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(lambda t: t == t.strip())


@st.composite
def networks(draw: st.DrawFn) -> ConnectionSettings:
    """Settings that a connection string can say."""
    nodes = tuple(draw(st.lists(NODES, min_size=1, max_size=3)))
    return ConnectionSettings(
        nodes=nodes,
        discover=len(nodes) > 1 or draw(st.booleans()),
        tls=draw(st.booleans()),
        tls_verify=draw(st.booleans()),
        tls_ca_file=draw(st.none() | PATHS),
        credentials=draw(st.none() | st.builds(Credentials, PATHS, PATHS)),
        node_preference=draw(st.sampled_from(NodePreference)),
        default_timeout=draw(st.none() | MILLISECONDS),
        keep_alive_interval=draw(st.none() | MILLISECONDS),
        keep_alive_timeout=draw(MILLISECONDS),
        gossip_timeout=draw(st.integers(1, 2_147_483)),
        discovery_interval=draw(MILLISECONDS),
        max_discover_attempts=draw(st.none() | st.integers(1, 2**31 - 1)),
        connection_name=draw(st.none() | PRINTABLE),
    )


def written(settings: ConnectionSettings) -> str:
    """The connection string that says the same."""
    options = {
        "tls": str(settings.tls),
        "tlsVerifyCert": str(settings.tls_verify),
        "tlsCaFile": settings.tls_ca_file,
        "nodePreference": settings.node_preference.value,
        "defaultDeadline": milliseconds(settings.default_timeout),
        "keepAliveInterval": milliseconds(settings.keep_alive_interval),
        "keepAliveTimeout": milliseconds(settings.keep_alive_timeout),
        "gossipTimeout": str(settings.gossip_timeout),
        "discoveryInterval": milliseconds(settings.discovery_interval),
        "maxDiscoverAttempts": str(settings.max_discover_attempts or -1),
        "connectionName": settings.connection_name,
    }
    query = "&".join(f"{name}={quote(text, safe='')}" for name, text in options.items() if text is not None)
    who, user = settings.credentials, ""
    if isinstance(who, Credentials):
        user = f"{quote(who.username, safe='')}:{quote(who.password, safe='')}@"
    scheme = "esdb+discover" if settings.discover and len(settings.nodes) == 1 else "esdb"
    return f"{scheme}://{user}{','.join(map(str, settings.nodes))}/?{query}"


def milliseconds(seconds: float | None) -> str:
    return "-1" if seconds is None else str(round(seconds * 1000))


@given(networks())
def test_settings_that_are_written_down_are_read_again(settings: ConnectionSettings) -> None:
    assert parse_uri(written(settings)) == settings
