"""The instrumentors of esdbclient: those of kurrentdbclient under their former names.

Owns: the names. Must not know: spans.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient.instrumentation.opentelemetry import (
    AsyncKurrentDBClientInstrumentor as AsyncEventStoreDBClientInstrumentor,
)
from esdb_lite.compat.kurrentdbclient.instrumentation.opentelemetry import (
    KurrentDBClientInstrumentor as EventStoreDBClientInstrumentor,
)

__all__ = ["AsyncEventStoreDBClientInstrumentor", "EventStoreDBClientInstrumentor"]
