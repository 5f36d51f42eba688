"""Whether answers agree with recorded ones: as `tests/goldens/replay.py` compares, and what it leaves out besides.

What may differ: timestamps, identifiers that the server makes up, log positions (which must keep their order and be
the same wherever they occur again), figures, texts of errors.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any

Json = Any

UNHANDLED = re.compile(
    r"Exception was thrown by handler|Internal error from Core|Received http2 header with status|Unexpected \w+: Error"
    r"|Unexpected \w+Result(?!: InvalidPosition)|^Deadline Exceeded$"
    r"|Object reference|key was not present|Value cannot be null"
)
_POSITIONS = {"commit_position", "prepare_position"}
_VOLATILE_NAMES = (
    "created timestamp seconds nanos last_updated last_processed_event_position last_known_event_position "
    "last_checkpointed_event_position oldest_parked_message subscription_id read_buffer_count "
    "live_buffer_count retry_buffer_count total_in_flight_messages outstanding_messages_count connections "
    "average_items_per_second average_per_second total_items count_since_last_measurement time_stamp "
    "instance_id address http_end_point scavenge_id event_store_server_version stats available_slots "
    "coreProcessingTime version epoch writesInProgress readsInProgress partitionsCached stateReason progress "
    "eventsProcessedAfterRestart position lastCheckpoint bufferedEvents checkpointStatus "
    "writePendingEventsBeforeCheckpoint writePendingEventsAfterCheckpoint"
)
_INVENTED_NAMES = (
    "$c $p $v $causedBy $eventTimestamp hash salt added updated timestamp scavengeId nodeEndpoint correlationId id"
)
_VOLATILE = set(_VOLATILE_NAMES.split())
_INVENTED = set(_INVENTED_NAMES.split())
"""In documents that a server writes itself."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOG_POSITION = re.compile(r"C:(\d+)/P:\d+")
_ENDS = ("0", str(2**64 - 1))


class Differs(Exception):
    """An answer does not agree with the recorded one."""


class Comparer:
    """Compares the answers of one recording, learning which positions and identifiers stand for the recorded ones."""

    def __init__(self, known_ids: set[str]) -> None:
        self._known_ids = known_ids
        self._ids: dict[str, str] = {}
        self._positions: dict[int, int] = {}

    def messages(self, want: list[Json], got: list[Json], path: str) -> None:
        """Compare lists of messages, and the order of the events' positions in them."""
        if len(want) != len(got):
            raise Differs(f"{path}: {len(got)} messages, recorded {len(want)}: {str(got)[:300]}")
        for index, (a, b) in enumerate(zip(want, got, strict=True)):
            self._value(a, b, f"{path}[{index}]")
        if _order(want) != _order(got):
            raise Differs(f"{path}: positions are not in the recorded order")

    def details(self, want: list[Json], got: list[Json]) -> None:
        """Compare the typed details of a status."""
        self.messages(want, got, "details")

    def _value(self, want: Json, got: Json, path: str) -> None:
        key = re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
        if key in _VOLATILE and not path.startswith("StreamsService/"):
            return
        if key.startswith("$") and key in _INVENTED:
            return
        if isinstance(want, dict) and isinstance(got, dict):
            self._object(want, got, path)
        elif isinstance(want, list) and isinstance(got, list):
            self.messages(want, got, path)
        elif key in _POSITIONS or (key == "position" and path.startswith("StreamsService/")):
            self._position(str(want), str(got), path)
        elif isinstance(want, str) and (recorded := _LOG_POSITION.fullmatch(want)):
            actual = _LOG_POSITION.fullmatch(str(got))
            self._position(recorded[1], actual[1] if actual else "", path)
        elif isinstance(want, str) and _UUID.fullmatch(want) and _UUID.fullmatch(str(got)):
            self._identifier(want, got, path)
        elif isinstance(want, str) and want.startswith("@fill:"):
            self._same(fill(want), got, path)
        elif isinstance(want, str) and want.startswith("{") and want != got:
            self._document(want, str(got), path)
        elif key in ("data", "custom_metadata") and want != got:
            self._payload(want, got, path)
        else:
            self._same(want, got, path)

    def _object(self, want: dict[str, Json], got: dict[str, Json], path: str) -> None:
        if "most_significant_bits" in want and not path.endswith("instance_id.structured"):
            self._identifier(_as_uuid(want), _as_uuid(got), path)
            return
        if different := (want.keys() ^ got.keys()) - _VOLATILE:
            raise Differs(f"{path}: has {sorted(got)}, recorded {sorted(want)}, differs in {sorted(different)}")
        for name in want.keys() & got.keys():
            self._value(want[name], got[name], f"{path}.{name}")

    def _position(self, want: str, got: str, path: str) -> None:
        if want in _ENDS or got in _ENDS:
            return
        if (want == "-1") != (got == "-1"):
            raise Differs(f"{path}: position {got}, recorded {want}")
        known = self._positions.setdefault(int(want), int(got))
        if known != int(got):
            raise Differs(f"{path}: position {want} was {known}, now {got}")

    def _identifier(self, want: str, got: str, path: str) -> None:
        known = want if want in self._known_ids else self._ids.setdefault(want, got)
        self._same(known, got, path)

    @staticmethod
    def _payload(want: str, got: str, path: str) -> None:
        """Payloads written by the server may differ in spelling, not in meaning."""
        Comparer._document(base64.b64decode(want), base64.b64decode(got), path)

    @staticmethod
    def _document(want: str | bytes, got: str | bytes, path: str) -> None:
        try:
            a, b = json.loads(want), json.loads(got)
        except ValueError:
            raise Differs(f"{path}: {got!r}, recorded {want!r}") from None
        Comparer._same(_recorded(a), _recorded(b), path)

    @staticmethod
    def _same(want: Json, got: Json, path: str) -> None:
        if want != got:
            raise Differs(f"{path}: {str(got)[:200]!r}, recorded {str(want)[:200]!r}")


def by_name(statistics: list[Json]) -> list[Json]:
    """Statistics of projections, which are listed in no order; some names are made up by the server."""
    return sorted(statistics, key=lambda message: _UUID.sub("", str(message["details"]["name"])))


def _recorded(value: Json) -> Json:
    """A stored document without what each server makes up; of how far a projection has read streams, their names."""
    if isinstance(value, dict):
        return {name: _recorded_member(name, member) for name, member in value.items()}
    return [_recorded(item) for item in value] if isinstance(value, list) else value


def _recorded_member(name: str, member: Json) -> Json:
    if name in _INVENTED:
        return None
    return sorted(member) if name == "$s" and isinstance(member, dict) else _recorded(member)


def _as_uuid(structured: dict[str, Json]) -> str:
    most, least = (int(structured.get(name, 0)) % 2**64 for name in ("most_significant_bits", "least_significant_bits"))
    return str(uuid.UUID(int=most << 64 | least))


def _order(messages: list[Json]) -> list[int]:
    events = [m["event"].get("event", {}) for m in messages if isinstance(m, dict) and isinstance(m.get("event"), dict)]
    positions = [int(event["commit_position"]) for event in events if "commit_position" in event]
    return sorted(range(len(positions)), key=positions.__getitem__)


def fill(text: str) -> str:
    """Return the base64 of `@fill:BYTE:COUNT`."""
    _, byte, count = text.split(":")
    return base64.b64encode(byte.encode() * int(count)).decode()
