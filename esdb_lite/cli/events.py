"""Events as the command line shows them.

Owns: an event as an object and as a line. Must not know: where events come from.
"""

from __future__ import annotations

import json
from base64 import b64encode

from esdb_lite import RecordedEvent
from esdb_lite.cli.terminal import JsonObject, Output, as_json, shown


def event_object(event: RecordedEvent) -> JsonObject:
    """Return an event as an object; what is no JSON comes as a text, or in base64."""
    at = event.recorded_at
    found: dict[str, object] = {
        "stream": event.stream_name,
        "position": event.stream_position,
        "commit": event.commit_position,
        "type": event.type,
        "id": str(event.id),
        "recorded": None if at is None else at.isoformat(),
        **_content("data", event.data),
        **_content("metadata", event.metadata),
    }
    if event.content_type != "application/json":
        found["content_type"] = event.content_type
    if event.link is not None:
        found["link"] = {"stream": event.link.stream_name, "position": event.link.stream_position}
    return found


def _content(name: str, content: bytes) -> JsonObject:
    if not content:
        return {name: None}
    try:
        return {name: json.loads(content)}
    except (ValueError, RecursionError):
        pass
    try:
        return {f"{name}_text": content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(content).decode()}


def print_event(output: Output, event: RecordedEvent) -> None:
    """Print an event: a line for people, or an object."""
    if output.json:
        output.one(event_object(event))
        return
    at = event.recorded_at
    when = "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    where = f"{event.stream_position}@{event.stream_name}"
    via = (
        "" if event.link is None else output.styled(f" <- {event.link.stream_position}@{event.link.stream_name}", "dim")
    )
    head = f"{output.styled(when, 'dim')}  {output.styled(where, 'cyan')}{via}  {output.styled(event.type, 'green')}"
    metadata = "" if not event.metadata else output.styled(f"  {_text(event.metadata)}", "dim")
    output.line(f"{head}  {_text(event.data)}{metadata}")


def _text(content: bytes) -> str:
    try:
        return as_json(json.loads(content))
    except (ValueError, RecursionError):
        return shown(content.decode("utf-8", "backslashreplace"))
