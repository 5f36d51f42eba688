"""The events that a group writes: parked messages, checkpoints, and the metadata of the parked stream.

Owns: stream names and the exact contents (section 19 of the protocol notes). Must not know: when they are written.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from esdb_lite._json import parse_json

from .messages import Message
from .settings import parse_position, position_text

LINK_TYPE = "$>"
CHECKPOINT_TYPE = "$SubscriptionCheckpoint"
METADATA_TYPE = "$metadata"


def checkpoint_stream(stream: str, group: str) -> str:
    """The stream in which a group's checkpoints are."""
    return f"$persistentsubscription-{stream}::{group}-checkpoint"


def parked_stream(stream: str, group: str) -> str:
    """The stream in which a group's parked messages are."""
    return f"$persistentsubscription-{stream}::{group}-parked"


def checkpoint_data(position: int, *, in_log: bool) -> bytes:
    """The data of a checkpoint event: a JSON string."""
    return json.dumps(position_text(position, in_log=in_log)).encode()


def read_checkpoint(data: bytes) -> int | None:
    """The position in a checkpoint event's data; None if it is not one."""
    try:
        value = parse_json(data)
        return parse_position(value if isinstance(value, str) else str(value)).position
    except ValueError:
        return None


def parked_data(message: Message) -> bytes:
    """The data of a parked event: a link to the event, or the broken link itself."""
    event = message.event
    return message.original.data if event is None else f"{event.revision}@{event.stream}".encode()


def parked_metadata(message: Message, reason: str, ticks: int) -> bytes:
    """The metadata of a parked event. `ticks`: now, in 100 ns since 1970."""
    metadata: dict[str, str | int] = {"added": iso_time(ticks), "reason": reason}
    if message.original.revision:
        metadata["subscriptionEventNumber"] = message.original.revision
    return json.dumps(metadata, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")


def truncation_metadata(before: int) -> bytes:
    """The stream metadata that makes parked events below `before` disappear."""
    admins = dict.fromkeys(("$r", "$w", "$d", "$mr", "$mw"), "$admins")
    return json.dumps({"$tb": before, "$acl": admins}, separators=(",", ":")).encode()


def iso_time(ticks: int) -> str:
    """Write a time as .NET does: up to seven digits of a second, zeros at the end left out."""
    seconds, fraction = divmod(ticks, 10_000_000)
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    digits = f"{fraction:07d}".rstrip("0")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{digits}" if digits else "") + "+00:00"
