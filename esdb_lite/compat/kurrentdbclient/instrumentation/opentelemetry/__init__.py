"""The instrumentors of kurrentdbclient: other names for `esdb_lite.otel.EsdbInstrumentor`.

Owns: that both may be on at a time. Must not know: spans. They have the names and attributes that our client gives
them, which are those of kurrentdbclient where it has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from esdb_lite.otel import EsdbInstrumentor

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class _Instrumentor:
    """Instruments all clients of this process, with asyncio or without, while there is one that is on."""

    _on: ClassVar[set[type[_Instrumentor]]] = set()

    def instrument(self, *, tracer_provider: TracerProvider | None = None, **_: object) -> None:
        """Begin. Other options of kurrentdbclient, about reads, have no meaning."""
        if not _Instrumentor._on:
            EsdbInstrumentor().instrument(tracer_provider=tracer_provider)
        _Instrumentor._on.add(type(self))

    def uninstrument(self, **_: object) -> None:
        """End. Idempotent."""
        _Instrumentor._on.discard(type(self))
        if not _Instrumentor._on:
            EsdbInstrumentor().uninstrument()

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether this one is on."""
        return type(self) in _Instrumentor._on


class KurrentDBClientInstrumentor(_Instrumentor):
    """The one for the client without asyncio."""


class AsyncKurrentDBClientInstrumentor(_Instrumentor):
    """The one for the client with asyncio."""
