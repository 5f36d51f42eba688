"""No public name, parameter or default of kurrentdbclient is missing: compared with the package itself."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import esdb_lite.compat.kurrentdbclient as ours

theirs = pytest.importorskip("kurrentdbclient", reason="kurrentdbclient is not installed")

pytestmark = pytest.mark.interop

MODULES = (
    *("client", "asyncio_client", "common", "connection", "connection_spec", "events", "exceptions", "gossip"),
    *("persistent", "projections", "streams", "v2streams"),
)
OF_GRPC = re.compile(
    r"\w*(Grpc(?!Error|Deadline)|Service$|ReadReqs|RequestIterator)\w*"
    r"|handle_(streams_)?rpc_error|construct_recorded_event|unpack_status_details|autoreconnect|retrygrpc"
    r"|BasicAuthCallCredentials|CONSUMER_STRATEGIES|GOSSIP_API_NODE_STATES_MAPPING|BatchAppendResponse"
    r"|Base(ReadResponse|PersistentSubscription)|TYPE_CHECKING"
)
"""What is made of messages and calls of gRPC, or of the client's own inner parts."""

OF_STREAMERS = ("add_to_steamers", "init", "check_confirmation")
"""What their clients call on what they return."""


def public(module: types.ModuleType) -> Iterator[str]:
    """The names in one of their modules that come from their package, or are constants."""
    for name, value in vars(module).items():
        if name.startswith("_") or isinstance(value, types.ModuleType) or OF_GRPC.fullmatch(name):
            continue
        constant = isinstance(value, (str, int, float, tuple, list, dict))
        if constant or getattr(value, "__module__", "").startswith("kurrentdbclient"):
            yield name


@pytest.mark.parametrize("name", MODULES)
def test_names(name: str) -> None:
    module, adapter = import_module(f"kurrentdbclient.{name}"), import_module(f"{ours.__name__}.{name}")
    names = list(public(module))
    assert names
    for each in names:
        value, other = getattr(module, each), getattr(adapter, each)
        if isinstance(value, (str, int, float, tuple, list, dict)) and each != "MAPPING_INT_TO_STREAM_STATE":
            assert other == value, each


def test_what_is_exported() -> None:
    assert sorted(ours.__all__) == sorted(theirs.__all__)
    assert ours.__version__ == theirs.__version__


def parameters(function: Any) -> dict[str, tuple[object, object]]:
    """Names, kinds and defaults, in their order; of values of theirs only what they are."""
    found = inspect.signature(function).parameters.values()
    return {each.name: (each.kind, repr(each.default)) for each in found if each.name != "self"}


@pytest.mark.parametrize("name", ["KurrentDBClient", "AsyncKurrentDBClient"])
def test_methods(name: str) -> None:
    expected, found = getattr(theirs, name), getattr(ours, name)
    methods = [each for each in dir(expected) if not each.startswith("_")] + ["__init__"]
    assert len(methods) > 40
    for method in methods:
        value, other = getattr(expected, method), getattr(found, method)
        if not callable(value):
            assert isinstance(other, property), method
            continue
        assert list(parameters(other).items()) == list(parameters(value).items()), method
        assert inspect.iscoroutinefunction(other) == inspect.iscoroutinefunction(inspect.unwrap(value)), method
        assert other.__doc__, method


@pytest.mark.parametrize("name", sorted(set(ours.__all__) - {"ContentType"}))
def test_constructors_and_members(name: str) -> None:
    expected, found = getattr(theirs, name), getattr(ours, name)
    if not inspect.isclass(expected) or "Client" in name:
        return
    for member in dir(expected):
        assert member.startswith("_") or hasattr(found, member) or member in OF_STREAMERS, f"{name}.{member}"
    if name.endswith(("Response", "Subscription")) or name == "StreamState":
        return  # nobody makes them
    required = parameters(found)
    for parameter, (kind, default) in parameters(expected).items():
        assert required[parameter][0] == kind
        assert "empty" in str(default) or "factory" in str(default) or required[parameter][1] == default


def test_exceptions() -> None:
    """They are caught where theirs are."""
    theirs_errors, ours_errors = (
        import_module("kurrentdbclient.exceptions"),
        import_module(f"{ours.__name__}.exceptions"),
    )
    for name, cls in vars(theirs_errors).items():
        if inspect.isclass(cls) and issubclass(cls, Exception):
            found = getattr(ours_errors, name)
            bases = {each.__name__ for each in cls.__mro__ if each.__module__ == cls.__module__}
            assert bases <= {each.__name__ for each in found.__mro__}, name
            assert parameters(cls.__init__).keys() - {"args", "kwargs"} <= parameters(found.__init__).keys(), name


def test_connection_strings() -> None:
    expected, found = (import_module(f"{package}.connection_spec") for package in ("kurrentdbclient", ours.__name__))
    for uri in (
        "kdb://localhost?Tls=false&NodePreference=FOLLOWER",
        "kdb+discover://admin:ch%40nge@host.example:2111?MaxDiscoverAttempts=3&DiscoveryInterval=50&GossipTimeout=7",
        "esdb://a:b@one,two:2,[::1]:3?tlsverifycert=false&ConnectionName=me&DefaultDeadline=9&KeepAliveInterval=10",
        "kurrentdb://h?Tls=false&KeepAliveTimeout=11&TlsCaFile=/ca&UserCertFile=/cert&UserKeyFile=/key",
    ):
        one, other = expected.ConnectionSpec(uri), found.ConnectionSpec(uri)
        for name in ("uri", "scheme", "username", "password"):
            assert getattr(one, name) == getattr(other, name)
        assert list(one.targets) == list(other.targets) or "[::1]" in uri  # which theirs cannot read
        options = [each for each in dir(type(one.options)) if not each.startswith("_")]
        for name in set(options) - (set() if "ConnectionName" in uri else {"connection_name"}):
            assert getattr(one.options, name) == getattr(other.options, name), name
    for uri in ("http://h", "kdb://", "kdb+discover://a,b", "kdb://h", "kdb://h?Tls=x", "kdb://h?Tls=false&What=1"):
        for package in (expected, found):
            with pytest.raises(ValueError, match=r"\w+"):
                package.ConnectionSpec(uri)
