"""Parameters that several calls of kurrentdbclient share, written once.

Owns: the settings of groups with their defaults, and showing them in the signatures of the calls that take them.
Must not know: what the calls do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from typing_extensions import TypedDict

import esdb_lite
from esdb_lite.compat.kurrentdbclient import common

if TYPE_CHECKING:
    F = TypeVar("F", bound=Callable[..., Any])

ConsumerStrategy = Literal["DispatchToSingle", "RoundRobin", "Pinned", "PinnedByCorrelation"]


CallCredentials = esdb_lite.Credentials | None
"""What `construct_call_credentials` returns."""


class CallOptions(TypedDict, total=False):
    """What every call takes."""

    timeout: float | None
    credentials: CallCredentials


class GroupSettings(TypedDict, total=False):
    """The settings of a group."""

    consumer_strategy: ConsumerStrategy
    message_timeout: float
    max_retry_count: int
    min_checkpoint_count: int
    max_checkpoint_count: int
    checkpoint_after: float
    max_subscriber_count: int
    live_buffer_size: int
    read_batch_size: int
    history_buffer_size: int
    extra_statistics: bool


class GroupChanges(TypedDict, total=False):
    """The settings of a group that an update changes; None: as they are."""

    resolve_links: bool | None
    consumer_strategy: ConsumerStrategy | None
    message_timeout: float | None
    max_retry_count: int | None
    min_checkpoint_count: int | None
    max_checkpoint_count: int | None
    checkpoint_after: float | None
    max_subscriber_count: int | None
    live_buffer_size: int | None
    read_batch_size: int | None
    history_buffer_size: int | None
    extra_statistics: bool | None


SETTINGS: Mapping[str, object] = {
    name: getattr(common, f"DEFAULT_PERSISTENT_SUB_{name.upper()}", False) for name in GroupSettings.__annotations__
} | {"consumer_strategy": "DispatchToSingle"}
"""Those of a new group, by default."""

OPTIONS: Mapping[str, object] = dict.fromkeys(("timeout", "credentials"))
"""Those of every call: what `**options` stands for."""

CHANGES: Mapping[str, object] = dict.fromkeys(("resolve_links", *SETTINGS))


def taking(parameters: Mapping[str, object]) -> Callable[[F], F]:
    """Show keyword parameters with their defaults in the place of `**`, and refuse others."""

    def decorate(function: F) -> F:
        function.__signature__ = spelled_out(inspect.signature(function), parameters)  # type: ignore[attr-defined]
        return function

    return decorate


def spelled_out(signature: inspect.Signature, parameters: Mapping[str, object]) -> inspect.Signature:
    """Return a signature with keyword parameters and their defaults in the place of `**`, before `timeout`."""
    before = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    names = [each.name for each in before]
    place = names.index("timeout") if "timeout" in names else len(names)
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [inspect.Parameter(name, kind, default=default) for name, default in parameters.items()]
    return signature.replace(parameters=[*before[:place], *more, *before[place:]])


def checked_names(given: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Refuse names that are no settings. Raises TypeError."""
    for name in given:
        if name not in known:
            raise TypeError(f"got an unexpected keyword argument {name!r}")
