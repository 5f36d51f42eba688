"""What the stream of a group's parked events holds.

Owns: reading it out of a link and its metadata (section 19 of the protocol notes). Must not know: how it is read.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

from esdb_lite.events import RecordedEvent
from esdb_lite.groups import ParkedEvent

_LINK = "$>"
_TOO_FINE = re.compile(r"(\.\d{6})\d+")
_ZONE = re.compile(r"Z$")


def parked_event(event: RecordedEvent) -> ParkedEvent:
    """Read one event of the stream, links resolved."""
    link = event.original
    said = link.properties
    reason, added = said.get("reason"), said.get("added")
    return ParkedEvent(
        position=link.stream_position,
        reason=reason if isinstance(reason, str) else "",
        original=None if event.link is None and event.type == _LINK else event,
        parked_at=_time(added) if isinstance(added, str) else None,
    )


def _time(text: str) -> datetime | None:
    """Read a time as .NET writes it: with up to seven digits of a second."""
    try:
        found = datetime.fromisoformat(_ZONE.sub("+00:00", _TOO_FINE.sub(r"\1", _padded(text))))
    except ValueError:
        return None
    return found.astimezone(timezone.utc)


def _padded(text: str) -> str:
    """With six digits of a second at least, as Python 3.10 wants them."""
    return re.sub(r"\.(\d{1,5})(?!\d)", lambda match: "." + match[1].ljust(6, "0"), text)
