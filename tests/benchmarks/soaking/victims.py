"""Clients in processes of their own, which are killed.

Owns: starting such a process again where the last one was, and entering what it says into the ledger. Must not know:
what it does (`victim` does).
"""

from __future__ import annotations

import asyncio
import sys
from random import Random
from time import monotonic

from tests.benchmarks.soaking.subscribing import Group
from tests.benchmarks.soaking.victim import DONE, PROCESSED, TRIES
from tests.benchmarks.soaking.world import KEEP_ALIVE, World
from tests.support import PATIENCE, environment


class Victim:
    """A process that writes and consumes; there is always one, the one after the other."""

    def __init__(self, world: World) -> None:
        self.group: Group | None = None
        self._world = world
        self._book = world.ledger.book("victim", "soak-victim")
        self._process: asyncio.subprocess.Process | None = None
        self._trying = 1

    async def run(self) -> None:
        """Start it again whenever it has ended, until it is enough."""
        while self._world.writing:
            await self._live()

    async def _live(self) -> None:
        """From the start of a process to its end."""
        book = self._book
        assert self.group is not None
        arguments = (book.acknowledged, book.position, self._trying)
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.soaking.victim"),
            *(f"{self._world.uri}&{KEEP_ALIVE}", book.name, self.group.name, *map(str, arguments)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        stopping = asyncio.ensure_future(self._stop(process.stdin))
        begun = monotonic()
        while line := await process.stdout.readline():
            if line.endswith(b"\n"):
                self._note(line.decode().split(), begun)
                begun = monotonic() if line.startswith(TRIES.encode()) else begun
        status = await process.wait()
        stopping.cancel()
        await asyncio.wait({stopping})
        if status not in (0, -9):
            self._world.ledger.violations.add(f"victim: has ended with status {status}")

    async def _stop(self, stdin: asyncio.StreamWriter) -> None:
        """Let it come to its end when all do."""
        try:
            while self._world.writing:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        finally:
            stdin.close()

    def _note(self, words: list[str], begun: float) -> None:
        book, word = self._book, words[0]
        if word == TRIES:
            self._trying = int(words[1])
            book.started = book.acknowledged + self._trying
            book.reach = book.position + self._trying
            book.appends += 1
        elif word == DONE:
            if int(words[1]) != book.reach:
                self._world.ledger.violations.add(f"victim: was told {words[1]} in place of {book.reach}")
            book.acknowledged, book.position, book.last = book.started, book.reach, monotonic()
            book.longest = max(book.longest, monotonic() - begun)
        elif word == PROCESSED and self.group is not None:
            self.group.saw_number(words[1], int(words[2]))

    async def kill(self, rng: Random) -> None:
        """SIGKILL; returns when it is dead."""
        process = self._process
        if process is not None and process.returncode is None:
            await asyncio.sleep(rng.random() * 0.1)
            process.kill()
            await asyncio.wait_for(process.wait(), PATIENCE)
