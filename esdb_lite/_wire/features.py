"""ServerFeatures/GetSupportedMethods: its answer.

Owns: SupportedMethods, decoded by hand because the first append waits for it. Must not know: who wants to know.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from esdb_lite_protos import tags

from esdb_lite._wire.primitives import fields, last_field, text

GET_SUPPORTED_METHODS = tags.PATH_SERVER_FEATURES_GET_SUPPORTED_METHODS


class KnownFeatures(NamedTuple):
    """What a server can do."""

    version: str = ""
    methods: frozenset[str] = frozenset()
    """`package.service/method`, in lower case."""

    def has(self, method: str) -> bool:
        """Whether the server has the call with this path."""
        return _normal(method) in self.methods


@lru_cache(64)
def _normal(method: str) -> str:
    return method.lower().lstrip("/")


def decode_features(data: bytes) -> KnownFeatures:
    """Read SupportedMethods."""
    methods = set()
    for tag, _, raw in fields(data):
        if tag == tags.FEATURES_SUPPORTED_METHODS_METHODS:
            service = text(last_field(raw, tags.FEATURES_SUPPORTED_METHOD_SERVICE_NAME))
            name = text(last_field(raw, tags.FEATURES_SUPPORTED_METHOD_METHOD_NAME))
            methods.add(f"{service}/{name}".lower())
    version = text(last_field(data, tags.FEATURES_SUPPORTED_METHODS_EVENT_STORE_SERVER_VERSION))
    return KnownFeatures(version, frozenset(methods))
