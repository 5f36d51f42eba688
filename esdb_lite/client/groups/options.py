"""What a consumer of a persistent subscription is asked for.

Owns: the values, checked by their makers. Must not know: calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from esdb_lite._convert.groups import ALL


@dataclass(frozen=True)
class ConsumerOptions:
    """How a consumer behaves."""

    group_name: str
    stream_name: str | None
    buffer_size: int
    ack_batch_size: int
    ack_delay: float
    """Seconds."""
    reconnect: bool

    @property
    def subscription_id(self) -> str:
        """What the server confirms."""
        return f"{ALL if self.stream_name is None else self.stream_name}::{self.group_name}"
