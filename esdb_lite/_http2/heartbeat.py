"""A connection that notices when its peer is gone, whichever side it is on.

Owns: the timer that drives a `Pulse`, and pings. Must not know: requests, what happens to a dead connection.
"""

from __future__ import annotations

import asyncio

from esdb_lite._http2.keepalive import Act, KeepAlive, Pulse
from esdb_lite._http2.protocol import FastProtocol

_PING = b"esdblite"
"""What pings carry: eight bytes of any kind."""


class HeartbeatProtocol(FastProtocol):
    """Subclasses note in `heard` when something comes, and start and stop the heartbeat."""

    heard: float = 0.0
    """When something has come last, on the clock of the loop."""
    _heartbeat: asyncio.TimerHandle | None = None

    def start_heartbeat(self, keep_alive: KeepAlive) -> None:
        """Ask the peer for a sign of life whenever it is silent."""
        self.stop_heartbeat()
        loop = asyncio.get_running_loop()
        self.heard = loop.time()
        self._check_again(loop, Pulse(keep_alive, self.heard))

    def stop_heartbeat(self) -> None:
        """Ask no more. Idempotent."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None

    def last_sign(self, now: float) -> float:
        """Return when there was a sign of life last."""
        return self.heard

    def give_up(self, silence: float) -> None:
        """The peer has not answered; nothing has come for so many seconds."""
        raise NotImplementedError

    def _check_again(self, loop: asyncio.AbstractEventLoop, pulse: Pulse) -> None:
        self._heartbeat = loop.call_at(pulse.due, self._check, loop, pulse)

    def _check(self, loop: asyncio.AbstractEventLoop, pulse: Pulse) -> None:
        if self.connection.is_closing():
            return
        now = loop.time()
        pulse.heard = self.last_sign(now)
        act = pulse.check(now)
        if act is Act.GIVE_UP:
            self.give_up(now - self.heard)
            return
        if act is Act.ASK:
            self._h2.ping(_PING)
            self.connection.flush()
        self._check_again(loop, pulse)
