"""What notebooks show of events.

Owns: the table of an event. Must not know: who asks. Everything in it is text, which does not run.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from esdb_lite._event_fields import shown

if TYPE_CHECKING:
    from esdb_lite.events import RecordedEvent

_LONGEST = 2000


def as_html(event: RecordedEvent) -> str:
    """Return a table of what one looks for."""
    recorded = event.recorded_at
    rows = {
        event.type: f"{event.stream_position}@{event.stream_name}",
        "data": _readable(event.data),
        "metadata": _readable(event.metadata),
        "id": str(event.id),
        "recorded": "" if recorded is None else recorded.isoformat(),
        "commit position": "" if event.commit_position is None else str(event.commit_position),
    }
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"


def _readable(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return shown(data)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(data)} bytes)"
