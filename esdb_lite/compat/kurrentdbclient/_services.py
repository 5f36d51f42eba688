"""The services that a connection of kurrentdbclient has: other names for the methods of the client.

Owns: which method each is. Must not know: what it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_OF_GROUPS = ("create_subscription", "update_subscription", "read_subscription")
SERVICES: Mapping[str, Mapping[str, str]] = {
    "streams": {
        "append": "append_to_stream",
        "batch_append": "append_to_stream",
        "delete": "delete_stream",
        "tombstone": "tombstone_stream",
        "read": "read",
    },
    "v2streams": {"multi_append": "multi_append_to_stream", "append_records": "append_records"},
    "persistent_subscriptions": {
        "create": "create_subscription",
        "update": "update_subscription",
        "read": "read_subscription",
        "delete": "delete_subscription",
        "get_info": "get_subscription_info",
        "list": "list_subscriptions",
        "replay_parked": "replay_parked_events",
    },
    "projections": {
        "create": "create_projection",
        "update": "update_projection",
        "delete": "delete_projection",
        "enable": "enable_projection",
        "disable": "disable_projection",
        "reset": "reset_projection",
        "get_state": "get_projection_state",
        "get_statistics": "get_projection_statistics",
        "list_statistics": "list_projection_statistics",
        "restart_subsystem": "restart_projections_subsystem",
    },
    "gossip": {"read": "read_gossip"},
}


class Service:
    """One service. Its methods take what those of the client take, and `metadata`, which is ignored."""

    def __init__(self, client: object, name: str) -> None:
        self._client = client
        self._methods = SERVICES[name]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in self._methods:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        known = self._methods[name]

        def method(*args: Any, metadata: object = None, **options: Any) -> Any:
            return getattr(self._client, _chosen(known, options))(*args, **options)

        return method


def _chosen(name: str, options: dict[str, Any]) -> str:
    """Return the method of the client, by what it is to be done with; takes out the options that say so."""
    if name in _OF_GROUPS:
        return f"{name}_{_target(options)}"
    if name == "read":
        return f"subscribe_{_target(options)}" if options.pop("subscribe", False) else f"read_{_target(options)[3:]}"
    if name == "list_subscriptions" and options.get("stream_name") is not None:
        return "list_subscriptions_to_stream"
    if name == "disable_projection":
        return name if options.pop("write_checkpoint", True) else "abort_projection"
    if name == "reset_projection":
        options.pop("write_checkpoint", None)
    if name == "list_projection_statistics":
        return "list_all_projection_statistics" if options.pop("all", False) else f"list_continuous{name[4:]}"
    return name


def _target(options: dict[str, Any]) -> str:
    if options.get("stream_name") is not None:
        return "to_stream"
    options.pop("stream_name", None)
    return "to_all"
