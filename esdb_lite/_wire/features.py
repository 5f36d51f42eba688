"""ServerFeatures/GetSupportedMethods: its answer.

Owns: SupportedMethods, decoded by hand because the first append waits for it. Must not know: who wants to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from esdb_lite._wire.primitives import fields, last_field, text

GET_SUPPORTED_METHODS = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"


@dataclass(frozen=True)
class KnownFeatures:
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
        if tag == 0x0A:
            service, name = text(last_field(raw, 0x12)), text(last_field(raw, 0x0A))
            methods.add(f"{service}/{name}".lower())
    return KnownFeatures(text(last_field(data, 0x12)), frozenset(methods))
