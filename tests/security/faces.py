"""Both clients, the same way."""

from __future__ import annotations

from typing import Any

from esdb_lite import AsyncEsdbClient, EsdbClient
from tests.contract.faces import Face

KINDS = ("async", "sync")


def client_of(kind: str, uri: str, **options: Any) -> Any:
    """A client, which is used like the one for asyncio."""
    return AsyncEsdbClient(uri, **options) if kind == "async" else Face(EsdbClient(uri, **options))
