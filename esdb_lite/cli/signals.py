"""The signals that end a process that serves.

Owns: what the first one does, and the second. Must not know: what is served.
"""

from __future__ import annotations

import asyncio
import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals(stop: asyncio.Event) -> None:
    """The first signal sets `stop` and gives both signals their usual meaning back."""
    loop = asyncio.get_running_loop()

    def first_signal(*_: object) -> None:
        loop.call_soon_threadsafe(stop.set)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, first_signal)
        except NotImplementedError:  # Windows: its loops have no signal handlers
            signal.signal(number, first_signal)
