"""Pages about a node, at the paths and in the forms of a real server, for programs and people who look at it.

Owns: what `/info`, `/ping`, `/gossip`, `/stats` and `/metrics` say: nothing that the services do not tell everybody.
Must not know: HTTP, how the figures come about.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from esdb_lite.server.faults.membership import ClusterMember, Membership
from esdb_lite.server.handlers import Page, PageBody
from esdb_lite.server.services.metrics import CONTENT_TYPE, NodeFigures, render

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_DRIVE = re.compile(r"(sys)-(drive)-(.*)-(\w+)")


@dataclass(frozen=True)
class NodePages:
    """What the pages are made of."""

    version: str
    """That it passes for."""
    membership: Membership
    member: ClusterMember
    """This node."""
    projections: bool
    """Whether there are projections."""
    users: bool
    """Whether it has users."""
    now: Callable[[], int]
    """100-ns ticks since 1970."""
    statistics: Callable[[], Mapping[str, str]]
    """By the names of the Monitoring service."""
    figures: Callable[[], NodeFigures]

    def by_path(self) -> Mapping[str, Page]:
        """The pages, each of which is made when it is asked for."""
        return {
            "/info": lambda: _json(self._info()),
            "/ping": lambda: _json({"text": "Ping request successfully handled"}),
            "/gossip": lambda: _json(self._gossip()),
            "/stats": lambda: _json(nested(self.statistics())),
            "/metrics": self._metrics,
        }

    def _metrics(self) -> PageBody:
        prefix = "eventstore" if int(self.version.partition(".")[0]) < 25 else "kurrentdb"
        return PageBody(CONTENT_TYPE, render(self.figures(), prefix).encode())

    def _info(self) -> object:
        features = {"projections": self.projections, "userManagement": self.users, "atomPub": False}
        return {
            "dbVersion": self.version,
            "esVersion": self.version,
            "state": self.member.state.value.lower(),
            "features": features,
            "authentication": {"type": "internal" if self.users else "insecure", "properties": {}},
        }

    def _gossip(self) -> object:
        heard = datetime.fromtimestamp(self.now() / 10_000_000, timezone.utc).isoformat()
        members = [
            {
                "instanceId": str(uuid.UUID(bytes=member.instance)),
                "timeStamp": heard,
                "state": member.state.value,
                "isAlive": member.alive,
                "httpEndPointIp": member.host,
                "httpEndPointPort": member.port,
                "isReadOnlyReplica": member.read_only,
                "esVersion": self.version,
            }
            for member in self.membership.in_order()
        ]
        return {"members": members, "serverIp": self.member.host, "serverPort": self.member.port}


def nested(statistics: Mapping[str, str]) -> dict[str, object]:
    """Return the figures as objects within objects, by the parts of their names; numbers as numbers."""
    found: dict[str, object] = {}
    for name, value in statistics.items():
        drive = _DRIVE.fullmatch(name)
        *parts, last = drive.groups() if drive else name.split("-")
        place = found
        for part in parts:
            inner = place.setdefault(part, {})
            assert isinstance(inner, dict), f"{name} has the name of another figure in it"
            place = inner
        place[last] = json.loads(value) if _NUMBER.fullmatch(value) else value
    return found


def _json(content: object) -> PageBody:
    return PageBody("application/json; charset=utf-8", json.dumps(content, indent=2).encode())
