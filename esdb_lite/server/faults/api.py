"""`Faults`: what tests can break about an embedded server.

Owns: the names, checking the arguments, and getting from any thread to the server's loop. Must not know: which fault
meets which call (`plan`), how it is carried out (`node`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from esdb_lite_protos import tags

from esdb_lite._checks import Seconds, checked_bool, checked_int, checked_seconds
from esdb_lite._loop_thread import LoopCalls, LoopEnded
from esdb_lite.errors import InvalidArgument
from esdb_lite.server.faults import plan
from esdb_lite.server.faults.plan import Plan, Refusal, Rule

_PATIENCE = 10.0
"""Seconds that the server's loop gets to take note of a fault."""

_METHODS = {
    *(path.rpartition("/")[2] for name, path in vars(tags).items() if name.startswith("PATH_")),
    *("GetEventPositions", "SwitchChunks"),  # of Redaction, whose messages are not in the schema
}
"""Of all services: names that occur in several mean all of these."""


class Site(Protocol):
    """A running server, as far as faults concern it. Everything is called on its loop."""

    def faults_changed(self) -> None:
        """Look at the plan again."""
        ...

    def break_connections(self) -> None:
        """Cut all connections."""
        ...

    def go_away(self, code: int, reset_after: float) -> None:
        """Send GOAWAY on all connections, and reset them after so many seconds."""
        ...

    def end_subscriptions(self) -> None:
        """End all subscriptions."""
        ...


class Fault:
    """A lasting fault. It ends with `clear()`, at the end of `with`, with `Faults.clear()`, or when it is used up."""

    def __init__(self, faults: Faults, rule: Rule) -> None:
        """Made by the methods of `Faults`."""
        self._faults = faults
        self._rule = rule

    def clear(self) -> None:
        """End this fault; what it held back goes on. Idempotent."""
        self._faults._remove(self._rule)

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __repr__(self) -> str:
        return f"<Fault {self._rule}>"


class Faults:
    """What goes wrong with a server, for tests only: `server.faults`.

    Every method works from any thread, and has taken effect when it returns. Lasting faults return a `Fault`, which is
    a context manager: `with server.faults.delay(1.0): ...`. Times are in seconds; `times=None` means until it is
    cleared. A fault set while the server is stopped waits for its start, and survives a restart; one that acts at once
    does nothing then. Of several faults for appends, the one set first comes first. All methods raise InvalidArgument.
    A server without faults pays nothing for them.
    """

    def __init__(self) -> None:
        """Made by the server."""
        self._plan = Plan()
        self._plan.changed = self._changed
        self._site: Site | None = None
        self._calls: LoopCalls | None = None

    # --- connections ---

    def drop_connections(self) -> None:
        """Reset every connection now, whatever is under way. New connections are accepted."""
        self._do(lambda site: site.break_connections())

    def drop_after(self, events: int, *, times: int | None = 1) -> Fault:
        """Cut a call's connection after so many events, counted for each call from now on.

        Applies to reads, subscriptions and consumers of groups, running ones included. The events arrive.
        """
        return self._add(plan.DropAfter(_times(times), checked_int("events", events, 1)))

    def stall(self, *, connections: bool = True) -> Fault:
        """Answer nothing until it is cleared; then everything that waits goes on.

        Like a stopped process (SIGSTOP), or one whose packets are dropped: the system accepts connections, requests
        stay unread, pings are not answered. With `connections=False`, connections and pings work, and only calls hang,
        appends in an open BatchAppend included.
        """
        return self._add(plan.Stall(connections=checked_bool("connections", connections)))

    def refuse_connections(self) -> Fault:
        """Close new connections at once; open ones stay."""
        return self._add(plan.RefuseConnections())

    def go_away(self, code: int = 0, *, reset_after: Seconds = 5.0) -> None:
        """Send GOAWAY with an HTTP/2 error code on every connection and reset it later, as a node that shuts down does.

        Until the reset, so many seconds later, open calls go on and new calls on these connections hang. New
        connections work. Some proxies do not mind the GOAWAY, and go on to use the connection until it is reset.
        """
        error, seconds = checked_int("code", code, 0, 2**32 - 1), checked_seconds("reset_after", reset_after)
        self._do(lambda site: site.go_away(error, seconds))

    # --- calls ---

    def delay(self, seconds: Seconds, *, method: str | None = None, times: int | None = None) -> Fault:
        """Delay every call, or those of one method (such as "Append", "Read" or "BatchAppend").

        In an open BatchAppend, each append counts as a call. `times`: how many calls wait.
        """
        if method is not None and method not in _METHODS:
            raise InvalidArgument("method", method, "must be the name of a method, such as 'Append' or 'Read'")
        return self._add(plan.Delay(_times(times), checked_seconds("seconds", seconds), method))

    def not_leader(self, host: str, port: int, *, times: int | None = None) -> Fault:
        """Send calls that need a leader to `host` and `port`: NOT_FOUND, with the endpoint in the trailers.

        These are all writes, all calls of persistent subscriptions, and reads with `requires-leader: true`. As on a
        real follower, subscriptions are confirmed first, and only those with something to catch up end. The rules are
        in section 3 of the notes on clusters.
        """
        if not isinstance(host, str) or not host:
            raise InvalidArgument("host", host, "must be the name or address of a host")
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
            raise InvalidArgument("port", port, "must be a number between 1 and 65535")
        return self._add(plan.Misdirect(_times(times), host, port))

    # --- appends ---

    def refuse_appends(self, *, reason: Refusal | str = Refusal.NOT_READY, times: int | None = None) -> Fault:
        """Refuse appends, deletes and tombstones; nothing is written. `reason` is a `Refusal` or its value.

        In an open BatchAppend, the append gets its answer and the call stays open; only `Refusal.UNKNOWN` ends it.
        """
        try:
            refusal = Refusal(reason)
        except ValueError:
            known = ", ".join(repr(each.value) for each in Refusal)
            raise InvalidArgument("reason", reason, f"must be one of {known}") from None
        return self._add(plan.RefuseAppends(_times(times), refusal))

    def lose_answers(self, *, times: int | None = 1) -> Fault:
        """Write appends, deletes and tombstones, and cut the connection instead of answering."""
        return self._add(plan.LoseAnswers(_times(times)))

    def time_out_appends(self, *, times: int | None = 1) -> Fault:
        """Write appends, deletes and tombstones, and answer that they timed out: ABORTED.

        In an open BatchAppend: DEADLINE_EXCEEDED, and the call stays open.
        """
        return self._add(plan.TimeOutAppends(_times(times)))

    # --- subscriptions ---

    def consumer_too_slow(self) -> None:
        """End every open subscription as old servers do when a client reads too slowly: ABORTED.

        Consumers of persistent subscriptions are dropped: CANCELLED.
        """
        self._do(lambda site: site.end_subscriptions())

    # --- all of them ---

    def clear(self) -> None:
        """End all faults; what they held back goes on. Idempotent."""
        self._on_loop(self._plan.clear)

    # --- inside ---

    def _attach(self, site: Site) -> Plan:
        """A server starts, on this thread."""
        self._calls = LoopCalls(asyncio.get_running_loop()).here()
        self._site = site
        return self._plan

    def _detach(self) -> None:
        """It is about to stop."""
        self._site = self._calls = None

    def _changed(self) -> None:
        if self._site is not None:
            self._site.faults_changed()

    def _add(self, rule: Rule) -> Fault:
        self._on_loop(lambda: self._plan.add(rule))
        return Fault(self, rule)

    def _remove(self, rule: Rule) -> None:
        self._on_loop(lambda: self._plan.remove(rule))

    def _do(self, action: Callable[[Site], None]) -> None:
        self._on_loop(lambda: None if self._site is None else action(self._site))

    def _on_loop(self, action: Callable[[], None]) -> None:
        """Run on the server's loop, or here where it is not running; return when it is done."""
        calls = self._calls
        if calls is None or calls.inside:
            action()
            return

        async def act() -> None:
            action()

        try:
            calls.run(act, patience=_PATIENCE)
        except LoopEnded:
            action()
        except TimeoutError:
            raise RuntimeError(f"the server's event loop is stuck: it did nothing for {_PATIENCE:g} seconds") from None


def _times(value: int | None) -> int | None:
    return None if value is None else checked_int("times", value, 1)
