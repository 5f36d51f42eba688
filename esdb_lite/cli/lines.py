"""Events as lines of a file, and back, byte by byte.

Owns: the format. Must not know: files, servers.

A line is a JSON object: stream, position in it, commit position, type, id, recorded; `content_type` where it is not
JSON; then `metadata` and `data`, last and as they are: JSON on one line stands there unchanged, so that it can be cut
out again. Where one of them is no such JSON, both come as `data_text`, or as `data_base64`; what is empty, as null.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import NamedTuple, NoReturn
from uuid import UUID

from esdb_lite import NewEvent, RecordedEvent

JSON = "application/json"
TOMBSTONE = "$streamDeleted"
_METADATA, _DATA = ',"metadata":', ',"data":'
_NULL = b"null"


class LineError(ValueError):
    """A line is not what it should be."""


class FileEvent(NamedTuple):
    """An event as a line has it."""

    stream: str
    position: int
    event: NewEvent


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_strict = json.JSONDecoder(parse_constant=_refuse)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


BEGINNING = b'{"stream":'
"""How each line begins."""


def line_of(event: RecordedEvent) -> bytes:
    """Return the line for an event, line feed included."""
    at = event.recorded_at
    content_type = "" if event.content_type == JSON else f',"content_type":{_encode(event.content_type)}'
    head = (
        f'{{"stream":{_encode(event.stream_name)},"position":{event.stream_position},'
        f'"commit":{_encode(event.commit_position)},"type":{_encode(event.type)},"id":"{event.id}",'
        f'"recorded":{_encode(None if at is None else at.isoformat())}{content_type}'
    )
    metadata, data = _verbatim(event.metadata), _verbatim(event.data)
    if metadata is not None and data is not None:
        return b"".join((head.encode(), b',"metadata":', metadata, b',"data":', data, b"}\n"))
    # Both as texts: only side by side can they be cut out of the line again.
    return b"".join((head.encode(), _part("metadata", event.metadata), _part("data", event.data), b"}\n"))


def _verbatim(content: bytes) -> bytes | None:
    """Return content as it can stand in a line; None where it cannot."""
    if not content:
        return _NULL
    if content == _NULL or b"\n" in content or b"\r" in content:
        return None
    try:
        text = content.decode()
        _, end = _strict.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return content if end == len(text) else None


def _part(name: str, content: bytes) -> bytes:
    if not content:
        return f',"{name}":null'.encode()
    try:
        return f',"{name}_text":{_encode(content.decode())}'.encode()
    except UnicodeDecodeError:
        return f',"{name}_base64":"{b64encode(content).decode()}"'.encode()


def event_of(line: bytes) -> FileEvent:
    """Read a line. Raises LineError."""
    try:
        text = line.decode().rstrip("\r\n")
        # In the names and numbers before it, a quotation mark would have a backslash: it is the first of its kind.
        at = text.find(_METADATA)
        return _quickly(text, at) if at > 0 else _slowly(text)
    except LineError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LineError(_why(error)) from error


def _why(error: Exception) -> str:
    """Say in plain words what is the matter with a line."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON: {error.msg} (column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start + 1})"
    if isinstance(error, KeyError):
        return f'"{error.args[0]}" is missing'
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) if isinstance(error, ValueError) else "its values are not those of an event"


def _quickly(text: str, at: int) -> FileEvent:
    begin = at + len(_METADATA)
    _, end = _strict.raw_decode(text, begin)
    if not text.startswith(_DATA, end):
        return _slowly(text)
    first = end + len(_DATA)
    _, last = _strict.raw_decode(text, first)
    if text[last:] != "}":
        return _slowly(text)
    found = json.loads(text[:at] + "}")
    return _made(found, _cut(text[first:last]), _cut(text[begin:end]))


def _cut(text: str) -> bytes:
    return b"" if text == "null" else text.encode()


def _slowly(text: str) -> FileEvent:
    """Read a line whose members have another order, or other forms."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise LineError("it is not a JSON object")
    return _made(found, content_of(found, "data"), content_of(found, "metadata"))


def content_of(found: dict[str, object], name: str) -> bytes:
    """Return data or metadata of an object, in whichever form they are there. Raises LineError."""
    if (text := found.get(f"{name}_text")) is not None:
        return str(text).encode()
    if (coded := found.get(f"{name}_base64")) is not None:
        try:
            return b64decode(str(coded), validate=True)
        except ValueError:
            raise LineError(f'"{name}_base64" is not base64') from None
    value = found.get(name)
    return b"" if value is None else _encode(value).encode()


def _made(found: dict[str, object], data: bytes, metadata: bytes) -> FileEvent:
    stream, position = found["stream"], found.get("position", 0)
    if not isinstance(stream, str) or not stream or not isinstance(position, int):
        raise LineError('"stream" and "position" must be a text and a number')
    event = NewEvent(
        str(found["type"]),
        data,
        metadata,
        str(found.get("content_type", JSON)),
        _id(found.get("id")),
    )
    return FileEvent(stream, position, event)


def _id(found: object) -> UUID | None:
    try:
        return None if found is None else UUID(str(found))
    except ValueError:
        raise LineError(f'"id" is not a UUID: {found}') from None


def commit_of(line: bytes) -> tuple[int | None, int, str]:
    """Return commit position, position and id of a line. Raises LineError."""
    try:
        found = json.loads(line)
        commit = found.get("commit")
        return (None if commit is None else int(commit)), int(found["position"]), str(found["id"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LineError(_why(error)) from error
