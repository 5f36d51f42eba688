"""`Faults`: what can be made to go wrong with an embedded server, for tests of code that has to live with it.

Owns: the names, checking the arguments, and getting from any thread to the server's loop. Must not know: which fault
meets which call (`plan`), how it is carried out (`node`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.server.faults import plan
from esdb_lite.server.faults.plan import Plan, Refusal, Rule

_PATIENCE = 10.0
"""Seconds that the server's loop gets to take note of a fault."""

_METHODS = frozenset(
    (
        *("Append", "BatchAppend", "Delete", "Read", "Tombstone"),
        *("Create", "Update", "GetInfo", "List", "ReplayParked", "RestartSubsystem"),
        *("Disable", "Enable", "Details", "ChangePassword", "ResetPassword"),
        *("StartScavenge", "StopScavenge", "Shutdown", "MergeIndexes", "ResignNode", "SetNodePriority"),
        *("RestartPersistentSubscriptions", "Stats", "GetSupportedMethods", "GetEventPositions", "SwitchChunks"),
    )
)
"""Of all services: names that occur in several mean all of these."""


class Site(Protocol):
    """A running server, as far as faults concern it. Everything is called on its loop."""

    def faults_changed(self) -> None:
        """Look at the plan again."""
        ...

    def break_connections(self) -> None:
        """Cut all connections."""
        ...

    def go_away(self, code: int) -> None:
        """Send GOAWAY on all connections."""
        ...

    def end_subscriptions(self) -> None:
        """End all subscriptions."""
        ...


class Fault:
    """A fault that lasts. It ends with `clear()`, at the end of `with`, with `Faults.clear()`, or when used up."""

    def __init__(self, faults: Faults, rule: Rule) -> None:
        """Made by the methods of `Faults`."""
        self._faults = faults
        self._rule = rule

    def clear(self) -> None:
        """End this fault; what was waiting because of it goes on. Idempotent."""
        self._faults._remove(self._rule)

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()

    def __repr__(self) -> str:
        return f"<Fault {self._rule}>"


class Faults:
    """What goes wrong with a server: `server.faults`.

    Every method can be called from any thread, and has taken effect when it returns. Those that last return a `Fault`,
    which is a context manager: `with server.faults.delay(1.0): ...`. Times are in seconds; `times=None` means until it
    is cleared. Faults that are set while the server is stopped wait for its start, and survive a restart; those that
    do something at once do nothing then. Of several faults for appends the one that was set first comes first.

    For tests only. A server without faults pays nothing for them.
    """

    def __init__(self) -> None:
        """Made by the server."""
        self._plan = Plan()
        self._plan.changed = self._changed
        self._site: Site | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    # --- connections ---

    def drop_connections(self) -> None:
        """Cut every connection now: reset, without a word, whatever is under way. New ones are taken."""
        self._do(lambda site: site.break_connections())

    def drop_after(self, events: int, *, times: int | None = 1) -> Fault:
        """Cut the connection of a call once it has been sent so many events, counted for each call from now on.

        Applies to reads, subscriptions and persistent consumers, those under way included. The events arrive.
        """
        _check_count("events", events)
        return self._add(plan.DropAfter(_times(times), events))

    def stall(self, *, connections: bool = True) -> Fault:
        """Never answer anything, until it is cleared; then everything that waits goes on.

        As a process that is stopped (SIGSTOP) or whose packets are dropped: connections are accepted by the system,
        what is sent stays unread, pings are not answered, nothing is sent. With `connections=False` connections and
        pings are well, and only calls (appends of an open BatchAppend, too) are not handled.
        """
        if not isinstance(connections, bool):
            raise WrongArgumentType("connections", connections, "must be True or False")
        return self._add(plan.Stall(connections=connections))

    def refuse_connections(self) -> Fault:
        """Close new connections as soon as they are there; those that are open stay."""
        return self._add(plan.RefuseConnections())

    def go_away(self, code: int = 0) -> None:
        """Send GOAWAY with an HTTP/2 error code on every connection, as a node that shuts down does.

        Calls that are open go on, new calls on these connections are never answered. New connections are well.
        """
        if not isinstance(code, int) or isinstance(code, bool):
            raise WrongArgumentType("code", code, "must be a number")
        if not 0 <= code < 2**32:
            raise InvalidArgument("code", code, "must be between 0 and 4294967295")
        self._do(lambda site: site.go_away(code))

    # --- calls ---

    def delay(self, seconds: float, *, method: str | None = None, times: int | None = None) -> Fault:
        """Let every call, or those of one method ("Append", "Read", "BatchAppend"), wait before it is handled.

        Inside an open BatchAppend each append is a call. `times`: how many calls wait.
        """
        check_seconds("seconds", seconds)
        if method is not None and method not in _METHODS:
            raise InvalidArgument("method", method, "must be the name of a method, such as 'Append' or 'Read'")
        return self._add(plan.Delay(_times(times), float(seconds), method))

    def not_leader(self, host: str, port: int, *, times: int | None = None) -> Fault:
        """Send calls that need a leader to `host` and `port`: NOT_FOUND, with the endpoint in the trailers.

        These are all writes, all calls of persistent subscriptions, and reads with `requires-leader: true`. As on a
        real follower, subscriptions are confirmed before that, and only those end that have something to catch up.
        """
        if not isinstance(host, str) or not host:
            raise InvalidArgument("host", host, "must be the name or address of a host")
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
            raise InvalidArgument("port", port, "must be a number between 1 and 65535")
        return self._add(plan.Misdirect(_times(times), host, port))

    # --- appends ---

    def refuse_appends(self, *, reason: Refusal | str = Refusal.NOT_READY, times: int | None = None) -> Fault:
        """Refuse appends, deletes and tombstones; nothing is written. `reason`: a `Refusal` or its value.

        A refused append of an open BatchAppend is answered there, and the call stays open, except for
        `Refusal.UNKNOWN`, which ends the call.
        """
        try:
            refusal = Refusal(reason)
        except ValueError:
            known = ", ".join(repr(each.value) for each in Refusal)
            raise InvalidArgument("reason", reason, f"must be one of {known}") from None
        return self._add(plan.RefuseAppends(_times(times), refusal))

    def lose_answers(self, *, times: int | None = 1) -> Fault:
        """Write appends, deletes and tombstones, and cut their connection in place of the answer."""
        return self._add(plan.LoseAnswers(_times(times)))

    def time_out_appends(self, *, times: int | None = 1) -> Fault:
        """Write appends, deletes and tombstones, and answer that they were not committed in time: ABORTED.

        In an open BatchAppend: DEADLINE_EXCEEDED, and the call stays open.
        """
        return self._add(plan.TimeOutAppends(_times(times)))

    # --- subscriptions ---

    def consumer_too_slow(self) -> None:
        """End every open subscription as a server does for which a client does not read fast enough: ABORTED.

        Consumers of persistent subscriptions are dropped: CANCELLED.
        """
        self._do(lambda site: site.end_subscriptions())

    # --- all of them ---

    def clear(self) -> None:
        """End all faults; what was waiting because of them goes on. Idempotent."""
        self._on_loop(self._plan.clear)

    # --- inside ---

    def _attach(self, site: Site) -> Plan:
        """A server starts, on this thread."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._site = site
        return self._plan

    def _detach(self) -> None:
        """It is about to stop."""
        self._site = self._loop = None

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
        loop = self._loop
        if loop is None or loop.is_closed() or threading.get_ident() == self._thread:
            action()
            return
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def run() -> None:
            try:
                action()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:  # it has been closed just now
            action()
            return
        try:
            done.result(_PATIENCE)
        except concurrent.futures.TimeoutError:
            raise RuntimeError(f"the server's event loop is stuck: it did nothing for {_PATIENCE:g} seconds") from None


def check_seconds(name: str, value: float) -> None:
    """Refuse what is not a time. Raises InvalidArgument."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WrongArgumentType(name, value, "must be a number of seconds")
    if not 0 <= value < float("inf"):
        raise InvalidArgument(name, value, "must not be negative, nor infinite")


def _check_count(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongArgumentType(name, value, "must be a number")
    if value < 1:
        raise InvalidArgument(name, value, "must be at least 1")


def _times(value: int | None) -> int | None:
    if value is not None:
        _check_count("times", value)
    return value
