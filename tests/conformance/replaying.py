"""Replays a recorded conversation against a server, over this package's own transport.

Silence is waited for as long as the machine needs to break it, not as long as when it was recorded; what passes of
recorded time passes on the server's clock.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from esdb_lite._rpc.call import ClientCall
from esdb_lite._rpc.deadline import Deadline
from esdb_lite._rpc.pool import ConnectionPool
from esdb_lite._wire.framing import MessageSplitter, frame
from esdb_lite.errors import GrpcError
from tests.conformance.comparing import UNHANDLED, Comparer, Differs, by_name, fill
from tests.conformance.schema import Schema, repeated

Json = Any

_SILENCE, _NAP, _PATIENCE = 0.1, 0.4, 10.0
_NOISE = {"date", "server", "content-length", "content-type", "grpc-status", "grpc-message"}
_DETAILS = "grpc-status-details-bin"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


Skip = Callable[[Json], bool]
"""Says of a step that it is left out."""


def calls_projections(step: Json) -> bool:
    """Whether a step needs projections."""
    rpc: str = step.get("rpc", "")
    return rpc.startswith("Projections/")


class Clock:
    """The server's clock, in 100-ns ticks: real time plus what has been skipped."""

    def __init__(self) -> None:
        self._skipped = 0

    def __call__(self) -> int:
        return time.time_ns() // 100 + self._skipped

    def skip(self, seconds: float) -> None:
        """Let time pass."""
        self._skipped += int(seconds * 10_000_000)


class Conversation:
    """One call: what was received of it so far, and how it ended."""

    def __init__(self, call: ClientCall, schema: Schema, response: str) -> None:
        self._call = call
        self._schema = schema
        self._response = response
        self._splitter = MessageSplitter()
        self.messages: asyncio.Queue[Json] = asyncio.Queue()
        self.error: GrpcError | None = None
        self.task = asyncio.ensure_future(self._receive())

    async def _receive(self) -> None:
        try:
            while data := await self._call.receive():
                for message in self._splitter.feed(data):
                    self.messages.put_nowait(self._schema.decode(self._response, message))
        except GrpcError as error:
            self.error = error
        finally:
            self.messages.put_nowait(None)

    async def send(self, messages: list[bytes], *, end: bool) -> None:
        """Send requests."""
        await self._call.send(frame(messages), end=end)

    async def close(self) -> None:
        """Cancel the call if it has not ended."""
        self._call.close()
        self.task.cancel()
        await asyncio.wait([self.task])


class Replay:
    """One recording, against one server."""

    def __init__(self, schema: Schema, node: ConnectionPool, path: Path, clock: Clock, skip: Skip) -> None:
        self._skip = skip
        self._schema = schema
        self._node = node
        self._clock = clock
        recording = json.loads(path.read_text("utf-8"))
        self._steps: list[Json] = recording["steps"]
        self._user: str = recording.get("user") or ""
        sent = json.dumps([step.get("requests") or step.get("request") for step in self._steps])
        self._comparer = Comparer(set(_UUID.findall(sent)))
        self._answers: dict[str, list[Json]] = {}
        self._open: dict[str, Conversation] = {}
        self._rpc = {step["id"]: step["rpc"] for step in self._steps if step["op"] == "open"}
        self._operations: dict[str, Callable[[Json], Awaitable[None]]] = {
            "call": self._call,
            "open": self._open_call,
            "recv": self._recv,
            "send": self._send,
            "half_close": self._half_close,
            "cancel": self._cancel,
            "sleep": self._sleep,
        }

    async def run(self) -> list[str]:
        """Return what differs, a line for each step."""
        differences = []
        for number, step in enumerate(self._steps, 1):
            if self._skip(step):
                continue
            try:
                await asyncio.wait_for(self._do(step), 30)
            except (Differs, KeyError, IndexError, asyncio.TimeoutError) as error:
                differences.append(f"step {number} {step.get('rpc', step['op'])}: {type(error).__name__} {error}")
        for conversation in self._open.values():
            await conversation.close()
        return differences

    async def _do(self, step: Json) -> None:
        await self._operations[step["op"]](step)

    # --- steps ---

    async def _call(self, step: Json) -> None:
        hung = step["status"] == "DEADLINE_EXCEEDED"
        conversation = await self._start(step, timeout=min(step.get("timeout", 20), 1.0) if hung else 20)
        await conversation.task
        got = []
        while (message := conversation.messages.get_nowait()) is not None:
            got.append(message)
        await conversation.close()
        self._answers[step["id"]] = got
        if hung and step["rpc"] != "Streams/Read":
            return
        self._compare_ends(conversation.error, step)
        if step.get("compare") == "count":
            if len(got) != len(step["responses"]):
                raise Differs(f"{len(got)} messages, recorded {len(step['responses'])}")
        elif step["rpc"] == "Projections/Statistics":
            self._comparer.messages(by_name(step["responses"]), by_name(got), step["rpc"])
        elif step["rpc"] not in ("Monitoring/Stats", "Gossip/Read"):
            self._comparer.messages(step["responses"], got, step["rpc"])

    async def _start(self, step: Json, *, timeout: float | None) -> Conversation:
        method = self._schema.methods[step["rpc"]]
        metadata = [(name, value) for name, value in step.get("metadata") or []]
        if step.get("metadata") is None and self._user:
            metadata = [("authorization", f"Basic {base64.b64encode(self._user.encode()).decode()}")]
        call = ClientCall(self._node, method.path, deadline=Deadline(timeout), metadata=metadata, long=timeout is None)
        await call.open()
        requests = [self._build(method.request, request) for request in step["requests"]]
        conversation = Conversation(call, self._schema, method.response)
        end = step["op"] == "call" or not method.client_streaming
        await conversation.send(requests, end=end)
        return conversation

    async def _open_call(self, step: Json) -> None:
        self._open[step["id"]] = await self._start(step, timeout=None)

    async def _recv(self, step: Json) -> None:
        name, want = step["stream"], step["responses"]
        conversation, got = self._open[name], []
        while len(got) < len(want):
            message = await asyncio.wait_for(conversation.messages.get(), _PATIENCE)
            if message is None:
                raise Differs(f"ended with {conversation.error!r} after {len(got)} of {len(want)} messages")
            got.append(message)
        self._answers[step["id"]] = got
        self._answers.setdefault(name, []).extend(got)
        if self._rpc[name] != "Monitoring/Stats":
            self._comparer.messages(want, got, self._rpc[name])
        if step.get("ended"):
            await asyncio.wait_for(conversation.task, _PATIENCE)
            self._compare_ends(conversation.error, step["ended"])
        elif step.get("quiet"):
            await asyncio.sleep(_SILENCE)
            if not conversation.messages.empty() and (extra := conversation.messages.get_nowait()) is not None:
                raise Differs(f"where there was silence came {str(extra)[:300]}")

    async def _send(self, step: Json) -> None:
        method = self._schema.methods[self._rpc[step["stream"]]]
        await self._open[step["stream"]].send([self._build(method.request, step["request"])], end=False)

    async def _half_close(self, step: Json) -> None:
        await self._open[step["stream"]].send([], end=True)

    async def _cancel(self, step: Json) -> None:
        await self._open[step["stream"]].close()

    async def _sleep(self, step: Json) -> None:
        self._clock.skip(step["seconds"])
        await asyncio.sleep(min(step["seconds"], _NAP))

    def _compare_ends(self, error: GrpcError | None, want: Json) -> None:
        wanted, got = (dict(trailers).get(_DETAILS) for trailers in (want.get("trailers", []), trailers_of(error)))
        _compare_ends(error, want)
        if wanted is not None and (error is None or not UNHANDLED.search(want.get("message") or "")):
            self._comparer.details(*(self._details(value or "") for value in (wanted, got)))

    def _details(self, trailer: str) -> list[Json]:
        """What a status says in `grpc-status-details-bin`: repeated, other than in the Status of proto/."""
        status = base64.b64decode(trailer + "=" * (-len(trailer) % 4))
        return [self._schema.decode("google.protobuf.Any", detail) for detail in repeated(status, 3)]

    # --- requests ---

    def _build(self, kind: str, request: Json) -> bytes:
        return self._schema.encode(kind, self._resolved(request))

    def _resolved(self, value: Json) -> Json:
        """Put values for the references to answers."""
        if isinstance(value, dict):
            return {name: self._resolved(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._resolved(item) for item in value]
        if not isinstance(value, str) or not value.startswith("@") or ":" not in value:
            return value
        if value.startswith("@fill:"):
            return fill(value)
        step, path = value[1:].split(":", 1)
        found: Json = self._answers[step]
        for part in path.split("."):
            found = found[int(part)] if isinstance(found, list) else found[part]
        return found


def trailers_of(error: GrpcError | None) -> tuple[tuple[str, str], ...]:
    """The trailers of an answer."""
    return () if error is None else error.trailers


def _compare_ends(error: GrpcError | None, want: Json) -> None:
    got = "OK" if error is None else error.code.name
    unhandled = want["status"] != "OK" and UNHANDLED.search(want.get("message") or "")
    if got != want["status"] and not (unhandled and error is not None):
        raise Differs(f"{got} {error}, recorded {want['status']} {want.get('message')!r}")
    if unhandled:
        return
    trailers = dict(error.trailers) if error is not None else {}
    for name, value in want.get("trailers", []):
        if name not in _NOISE and name != _DETAILS and trailers.get(name) != value:
            raise Differs(f"trailer {name}: {trailers.get(name)!r}, recorded {value!r}")
    details = error.details if error is not None else ""
    if details != (want.get("message") or "") and got != "DEADLINE_EXCEEDED":
        raise Differs(f"text {details!r}, recorded {want.get('message')!r}")


def recorded_order(path: Path) -> int:
    """When a recording was made: later ones see in $all what earlier ones have written."""
    number: int = json.loads(path.read_text("utf-8")).get("order", 0)
    return number


async def replay_folder(
    schema: Schema,
    paths: list[Path],
    address: tuple[str, int],
    clock: Clock,
    tls: ssl.SSLContext | None = None,
    skip: Skip = calls_projections,
) -> list[str]:
    """Replay recordings one after the other; return what differs."""
    differences = []
    for path in sorted(paths, key=recorded_order):
        node = ConnectionPool(*address, tls=tls)
        try:
            differences += [f"{path.stem}, {line}" for line in await Replay(schema, node, path, clock, skip).run()]
        finally:
            await node.close()
    return differences
