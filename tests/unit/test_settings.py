"""Connection strings."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from esdb_lite import InvalidUri, WrongArgumentType
from esdb_lite.settings import Credentials, Embedded, Node, NodePreference, Settings, hide_password, parse_uri

HERE = Node("localhost", 2113)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("localhost:2113", Settings(nodes=(HERE,), tls=False)),
        ("localhost", Settings(nodes=(HERE,), tls=False)),
        (" 10.0.0.1:80 ", Settings(nodes=(Node("10.0.0.1", 80),), tls=False)),
        ("[::1]:2114", Settings(nodes=(Node("::1", 2114),), tls=False)),
        ("esdb://localhost", Settings(nodes=(HERE,))),
        ("esdb://localhost:2113/", Settings(nodes=(HERE,))),
        ("esdb://localhost:2113?Tls=false", Settings(nodes=(HERE,), tls=False)),
        ("esdb://localhost:2113/?TLS=False", Settings(nodes=(HERE,), tls=False)),
        ("kurrentdb://localhost?tls=true", Settings(nodes=(HERE,))),
        ("kdb://localhost", Settings(nodes=(HERE,))),
        ("KURRENT://localhost", Settings(nodes=(HERE,))),
        ("esdb://[fe80::1%25eth0]:5", None),
        ("esdb://[2001:db8::1]:5", Settings(nodes=(Node("2001:db8::1", 5),))),
        (
            "esdb://a,b:5,c",
            Settings(nodes=(Node("a"), Node("b", 5), Node("c")), discover=True),
        ),
        ("esdb+discover://cluster.example", Settings(nodes=(Node("cluster.example"),), discover=True)),
        (
            "esdb://admin:changeit@localhost?tls=false",
            Settings(nodes=(HERE,), tls=False, credentials=Credentials("admin", "changeit")),
        ),
        (
            "esdb://us%3Aer:p%40ss%2F%3F@localhost",
            Settings(nodes=(HERE,), credentials=Credentials("us:er", "p@ss/?")),
        ),
        ("esdb://u:p:q@localhost", Settings(nodes=(HERE,), credentials=Credentials("u", "p:q"))),
        ("esdb+embedded:", Settings(embedded=Embedded(), tls=False)),
        ("esdb+embedded://", Settings(embedded=Embedded(), tls=False)),
        ("esdb+embedded:///var/lib/events.db", Settings(embedded=Embedded("/var/lib/events.db"), tls=False)),
        ("esdb+embedded:events.db", Settings(embedded=Embedded("events.db"), tls=False)),
        ("esdb+embedded:///my%20events.db", Settings(embedded=Embedded("/my events.db"), tls=False)),
        ("esdb+embedded:///C:/data/events.db", Settings(embedded=Embedded("C:/data/events.db"), tls=False)),
        ("kurrentdb+embedded:", Settings(embedded=Embedded(), tls=False)),
    ],
)
def test_what_a_connection_string_says(uri: str, expected: Settings | None) -> None:
    found = parse_uri(uri)
    if expected is not None:
        assert found == expected


@pytest.mark.parametrize(
    ("option", "attribute", "value"),
    [
        ("tlsVerifyCert=false", "tls_verify", False),
        ("TLSCAFILE=/etc/ca.pem", "tls_ca_file", "/etc/ca.pem"),
        ("nodePreference=Follower", "node_preference", NodePreference.FOLLOWER),
        ("nodepreference=readOnlyReplica", "node_preference", NodePreference.READ_ONLY_REPLICA),
        ("defaultDeadline=2500", "default_timeout", 2.5),
        ("keepAliveInterval=-1", "keep_alive_interval", None),
        ("keepAliveInterval=500", "keep_alive_interval", 0.5),
        ("keepAliveTimeout=500", "keep_alive_timeout", 0.5),
        ("gossipTimeout=3", "gossip_timeout", 3.0),
        ("discoveryInterval=250", "discovery_interval", 0.25),
        ("maxDiscoverAttempts=4", "max_discover_attempts", 4),
        ("connectionName=worker%201", "connection_name", "worker 1"),
    ],
)
def test_options(option: str, attribute: str, value: Any) -> None:
    assert getattr(parse_uri(f"esdb://localhost?{option}"), attribute) == value


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("", "host and port"),
        ("http://localhost:2113", "unknown scheme 'http'"),
        ("esdbs://localhost", "unknown scheme 'esdbs'"),
        ("esdb+srv://localhost", r"unknown scheme 'esdb\+srv'"),
        ("://localhost", "unknown scheme"),
        ("localhost:port", "port must be between 1 and 65535, not 'port'"),
        ("localhost:0", "port"),
        ("localhost:65536", "port"),
        ("localhost:-1", "port"),
        ("localhost:", "port"),
        ("localhost:٢", "port"),
        ("local host:2113", "host and port"),
        ("::1:2113", "host and port"),
        ("esdb://", "has no host"),
        ("esdb://?tls=false", "has no host"),
        ("esdb://a,,b", "host and port"),
        ("esdb://a:1:2", "host and port"),
        ("esdb://admin@localhost", "user:password"),
        ("esdb://:secret@localhost", "user:password"),
        ("esdb://localhost?tls=yes", "tls must be true or false, not 'yes'"),
        ("esdb://localhost?maxDiscoverAttempts=0", "maxDiscoverAttempts"),
        ("esdb://localhost?keepAliveInterval=soon", "keepAliveInterval"),
        ("esdb://localhost?nodePreference=best", "nodePreference"),
        ("esdb://localhost?gossipTimeout=nan", "gossipTimeout"),
        ("esdb://localhost?userCertFile=x", "together"),
        ("esdb+embedded://path/to/file", "three slashes"),
        ("esdb+embedded:///a.db?tls=true", "no option 'tls'"),
        ("esdb+embedded:///dir/", "file"),
    ],
)
def test_what_is_none(uri: str, text: str) -> None:
    with pytest.raises(InvalidUri, match=text) as caught:
        parse_uri(uri)
    assert caught.value.argument == "uri"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("uri", [None, 5, b"localhost:2113", ("localhost", 2113)])
def test_wrong_types(uri: Any) -> None:
    with pytest.raises(WrongArgumentType, match="uri"):
        parse_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "esdb://admin:secret@localhost:x",
        "http://admin:secret@localhost",
        "esdb://admin:secret@",
        "esdb://admin:secret@localhost?tls=maybe",
        "admin:secret@localhost:2113",
        "esdb://:secret@localhost",
        "esdb://admin:secret@a:1:1,b",
    ],
)
def test_passwords_are_not_shown(uri: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        parse_uri(uri)
    assert "secret" not in f"{caught.value} {caught.value!r} {caught.value.value} {caught.value.__dict__}"


def test_passwords_are_not_in_reprs() -> None:
    settings = parse_uri("esdb://admin:secret@localhost")
    assert "secret" not in repr(settings)
    assert hide_password("esdb://admin:secret@localhost") == "esdb://admin:***@localhost"
    assert hide_password("esdb://localhost") == "esdb://localhost"


def test_unknown_options_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "esdb_lite"):
        parse_uri("esdb://localhost?tlsVerifyCrt=false&colour=red&throwOnAppendFailure=true")
    first, second = (record.message for record in caplog.records)
    assert "'tlsVerifyCrt'" in first
    assert "did you mean 'tlsverifycert'?" in first
    assert second == "unknown option 'colour' in the connection string"


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        parse_uri("localhost").tls = True  # type: ignore[misc]


def test_nodes_are_shown_as_addresses() -> None:
    assert str(Node("::1", 5)) == "[::1]:5"
    assert str(HERE) == "localhost:2113"
