"""All persistent subscription groups of a server: which there are, and what is remembered of them.

Owns: the list of groups and its configuration stream, creating, updating, deleting, the tick of a second.
Must not know: calls, protobuf, the rules of a group.
"""

from __future__ import annotations

import asyncio
import logging
import unicodedata
from collections.abc import Callable
from dataclasses import replace

from esdb_lite.server.database.database import Database, ticks_now
from esdb_lite.server.database.group_commit import new_id
from esdb_lite.server.engine.filters import UnusableFilter
from esdb_lite.server.engine.groups.buffer import MOST_HELD
from esdb_lite.server.engine.groups.config import (
    CONFIG_METADATA,
    CONFIG_STREAM,
    CONFIG_TYPE,
    GroupConfig,
    dump_config,
)
from esdb_lite.server.engine.groups.parking import checkpoint_stream, parked_stream
from esdb_lite.server.engine.groups.queries import has_metadata, stored_groups
from esdb_lite.server.engine.groups.settings import GroupSettings, check_buffers
from esdb_lite.server.engine.model import ANY, METADATA_TYPE, Appended, ProposedEvent, metastream_of
from esdb_lite.server.groups.runner import GroupRunner

log = logging.getLogger("esdb_lite.server")

TICK_SECONDS = 1.0
_HELD_IN_ALL = 128 * 1024 * 1024
"""Bytes of events that all groups may hold; but each may hold a little."""
_LEAST_HELD = 256 * 1024
_LONG_LIST = 64 * 1024
"""Bytes of the list of groups from which on the lists before it are removed at once: each change writes all of it."""
_LONGEST_LIST = 4 * 1024 * 1024


class GroupMissing(Exception):
    """There is no such group."""


class GroupExists(Exception):
    """There is such a group already."""


class NotReady(Exception):
    """Groups are being started or stopped: what there is will be known in a moment, or on another day."""


class NotStored(Exception):
    """The configuration could not be stored, so nothing was changed."""


class PersistentGroups:
    """The groups of one database. Everything is called on its loop, after `start`."""

    def __init__(self, database: Database, *, ticks: Callable[[], int] = ticks_now) -> None:
        """`ticks`: the time in 100 ns since 1970."""
        self._database = database
        self._ticks = ticks
        self._streams: dict[str, dict[str, GroupRunner]] = {}
        """By stream, then by name in the order of creation. A stream stays when its last group is deleted."""
        self._running = False
        self._changing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    # --- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the groups that are remembered. Raises StorageError."""
        found = await self._database.read(stored_groups)
        for fault in found.faults:
            log.error("persistent subscriptions: %s", fault)
        for config in found.groups:
            try:
                self._add(config)
            except UnusableFilter as error:
                log.error("persistent subscription %r is left out: %s", config.key, error)
            except Exception:
                log.exception("persistent subscription %r is left out", config.key)
        self._running = True

    async def stop(self) -> None:
        """Send all consumers away and finish what is being written. Idempotent."""
        async with self._changing:
            await self._stop()

    async def restart(self) -> None:
        """Stop all groups and start them from what is stored."""
        async with self._changing:
            await self._stop()
            await self.start()
        for runner in self._all():
            await runner.settled()

    async def _stop(self) -> None:
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        runners, self._streams = self._all(), {}
        for runner in runners:
            await runner.stop()

    def _add(self, config: GroupConfig) -> GroupRunner:
        runner = GroupRunner(self._database, config, ticks=self._ticks)
        runner.start()
        self._enlist(runner)
        return runner

    def _enlist(self, runner: GroupRunner) -> None:
        config = runner.config
        self._streams.setdefault(config.stream, {})[config.group] = runner
        self._share_room()
        if self._timer is None:
            self._schedule(asyncio.get_running_loop().time() + TICK_SECONDS)

    def _share_room(self) -> None:
        runners = self._all()
        share = min(MOST_HELD, max(_LEAST_HELD, _HELD_IN_ALL // max(len(runners), 1)))
        for runner in runners:
            runner.limit(share)

    def _schedule(self, when: float) -> None:
        """Tick at `when`, then regularly: late ticks do not shift the following ones."""
        self._timer = asyncio.get_running_loop().call_at(when, self._tick, when)

    def _tick(self, when: float) -> None:
        self._timer = None
        runners = self._all()
        for runner in runners:
            try:
                runner.tick()
            except Exception:
                log.exception("persistent subscription %r failed", runner.config.key)
        if runners:
            now = asyncio.get_running_loop().time()
            self._schedule(when + TICK_SECONDS if now < when + TICK_SECONDS else now + TICK_SECONDS)

    # --- groups -----------------------------------------------------------------------------------------------

    def find(self, stream: str, group: str) -> GroupRunner:
        """Return a group. Raises GroupMissing, NotReady."""
        self._check()
        runner = self._streams.get(stream, {}).get(group)
        if runner is None:
            raise GroupMissing
        return runner

    def of_stream(self, stream: str) -> list[GroupRunner]:
        """Return the groups of a stream in order of creation.

        Raises GroupMissing if it never had one since start, NotReady.
        """
        self._check()
        if stream not in self._streams:
            raise GroupMissing
        return list(self._streams[stream].values())

    def all(self) -> list[GroupRunner]:
        """Return all groups: by stream name, punctuation first and case ignored, then in order of creation.

        Raises NotReady.
        """
        self._check()
        return [runner for stream in sorted(self._streams, key=_sort_key) for runner in self._streams[stream].values()]

    def _check(self) -> None:
        if not self._running:
            raise NotReady

    def _all(self) -> list[GroupRunner]:
        return [runner for groups in self._streams.values() for runner in groups.values()]

    async def create(self, config: GroupConfig, *, username: str) -> None:
        """Create a group. Raises GroupExists, InvalidSettings, UnusableFilter, NotReady, NotStored, StorageError."""
        async with self._changing:
            self._check()
            if config.group in self._streams.get(config.stream, {}):
                raise GroupExists
            check_buffers(config.settings.read_batch_size, config.settings.history_buffer_size)
            runner = await self._start_and_store(config, username)
            self._enlist(runner)
        await runner.settled()

    async def _start_and_store(self, config: GroupConfig, username: str) -> GroupRunner:
        """The group is at work before it is written down: one on $all gets the event that tells of it."""
        runner = GroupRunner(self._database, config, ticks=self._ticks)
        runner.start()
        try:
            await runner.placed()
            await self._store([*self._configs(), config], username)
        except BaseException:
            await runner.stop()
            raise
        return runner

    async def update(self, stream: str, group: str, settings: GroupSettings, *, username: str) -> None:
        """Replace the settings of a group. Raises GroupMissing, InvalidSettings, NotStored, StorageError."""
        async with self._changing:
            old = self.find(stream, group)
            check_buffers(settings.read_batch_size, settings.history_buffer_size)
            config = replace(old.config, settings=settings)
            await self._store([config if known is old.config else known for known in self._configs()], username)
            await old.stop()
            runner = self._add(config)
        await runner.settled()

    async def delete(self, stream: str, group: str, *, username: str) -> None:
        """Delete a group with its checkpoints and parked messages. Raises GroupMissing, NotStored, StorageError."""
        async with self._changing:
            runner = self.find(stream, group)
            await self._store([config for config in self._configs() if config is not runner.config], username)
            del self._streams[stream][group]
            self._share_room()
            await runner.stop()
            await runner.forget()
            for written in (checkpoint_stream(stream, group), parked_stream(stream, group)):
                await self._database.delete(written, ANY)

    def _configs(self) -> list[GroupConfig]:
        return [runner.config for runner in self._all()]

    async def _store(self, configs: list[GroupConfig], username: str) -> None:
        metastream = metastream_of(CONFIG_STREAM)
        if not await self._database.read(lambda reader: has_metadata(reader, CONFIG_STREAM)):
            await self._database.append(metastream, ANY, [_json_event(METADATA_TYPE, CONFIG_METADATA)])
        data = dump_config(configs, ticks=self._ticks(), updated_by=username)
        if len(data) > _LONGEST_LIST:
            raise NotStored(f"the list of all groups would have more than {_LONGEST_LIST} bytes")
        outcome = await self._database.append(CONFIG_STREAM, ANY, [_json_event(CONFIG_TYPE, data)])
        if not isinstance(outcome, Appended):
            raise NotStored(f"stream {CONFIG_STREAM} does not take events")
        if len(data) > _LONG_LIST:
            await self._database.clear_stream(CONFIG_STREAM)


def _json_event(type_: str, data: bytes) -> ProposedEvent:
    return ProposedEvent(new_id(), type_, True, data)


def _sort_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """Order names roughly as .NET cultures do: punctuation, then digits, then letters with case and accents last."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return [(2 if char.isalpha() else 1 if char.isdigit() else 0, char) for char in plain], name
