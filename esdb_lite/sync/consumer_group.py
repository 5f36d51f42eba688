"""Several consumers, run, stopped and looked at as one, for code without asyncio.

Owns: `ConsumerGroup`, and the threads that its consumers run on. Must not know: what the consumers do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from esdb_lite._checks import checked_bool
from esdb_lite.client.consumers.several import checked_consumers, on_signals
from esdb_lite.consumers import ConsumerHealth
from esdb_lite.errors import ClientClosed
from esdb_lite.sync.consumer import Consumer

if TYPE_CHECKING:
    from typing_extensions import Self


class ConsumerGroup:
    """Runs several consumers side by side: all end when one fails, or with `stop()`. Nothing of it is on the server.

    `group.run()` runs them to their end, each on a thread of its own: a store with a connection needs one that threads
    may share. In `with` they run in the background, and are stopped on leaving.
    """

    def __init__(self, consumers: Mapping[str, Consumer]) -> None:
        """`consumers` by names of your own. Raises InvalidArgument, WrongArgumentType."""
        self._consumers = checked_consumers(consumers, Consumer)
        self._threads: dict[str, threading.Thread] = {}
        self._failures: dict[str, BaseException] = {}
        self._stopped = False
        self._pid = 0
        """Of the process in which they run."""
        self._ended = {name: threading.Event() for name in self._consumers}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._consumers)}>"

    def run(self, *, until_caught_up: bool = False, signals: bool = False) -> None:
        """Run all consumers until `stop()`; when one fails, the others are stopped, and its exception is raised.

        With `until_caught_up` it ends when all have handled everything that was stored. With `signals`, SIGINT and
        SIGTERM stop it as `stop()` does: that is for the main thread. Ctrl-C without it stops it, too, and is raised.
        The second signal does what it did before: Ctrl-C ends it without waiting for handlers any longer. Raises
        ClientClosed if it ran before.
        """
        checked_bool("until_caught_up", until_caught_up)
        with on_signals(self.stop, checked_bool("signals", signals)):
            self._start(until_caught_up)
            try:
                self._join()
            except BaseException:
                if not self._stopped:  # otherwise nobody waits for its handlers any longer
                    self.stop()
                    self._join()
                raise
        self._raise()

    def stop(self) -> None:
        """End gracefully: running handlers finish, positions are stored, and `run()` returns.

        From any thread, and when a signal arrives.
        """
        self._stopped = True
        for consumer in self._consumers.values():
            consumer.stop()

    def health(self) -> Mapping[str, ConsumerHealth]:
        """Return the health of each consumer, by name."""
        return {name: self._health(name, consumer) for name, consumer in self._consumers.items()}

    def _health(self, name: str, consumer: Consumer) -> ConsumerHealth:
        thread = self._threads.get(name)
        running = thread is not None and thread.is_alive()
        return ConsumerHealth(running, self._failures.get(name), consumer.progress)

    def _start(self, until_caught_up: bool) -> None:
        if self._threads:
            raise ClientClosed("a group of consumers runs once; make another one")
        for name in self._consumers:
            self._threads[name] = threading.Thread(
                target=self._run, args=(name, until_caught_up), name=f"esdb-lite-consumer-{name}", daemon=True
            )
        self._pid = os.getpid()
        for thread in self._threads.values():
            thread.start()

    def _run(self, name: str, until_caught_up: bool) -> None:
        try:
            self._consumers[name].run(until_caught_up=until_caught_up)
        except BaseException as error:
            self._failures[name] = error
            self.stop()
        finally:
            self._ended[name].set()

    def _join(self) -> None:
        """Wait for all. Before Python 3.13, a `join` takes a thread for ended when Ctrl-C has interrupted it before."""
        for name in self._threads:
            self._ended[name].wait()
        for thread in self._threads.values():
            thread.join()

    def _raise(self) -> None:
        for failure in self._failures.values():
            raise failure

    def __enter__(self) -> Self:
        self._start(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid != os.getpid():
            return  # its threads are in the process from which this one was forked
        self.stop()
        self._join()
        if error is None:
            self._raise()
