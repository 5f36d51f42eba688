"""The PersistentSubscriptions service.

Owns: its methods and what their failures are on the wire (section 18 of the protocol notes).
Must not know: the rules of a group, how groups are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from esdb_lite._status import refusals
from esdb_lite.server.engine.dotnet_regex import UnsupportedRegex
from esdb_lite.server.engine.groups.config import GroupConfig
from esdb_lite.server.engine.groups.settings import (
    ALL_STREAM,
    GroupSettings,
    InvalidSettings,
    check_start_in_log,
    check_stop_at,
    strategy_of,
)
from esdb_lite.server.groups.registry import GroupExists, GroupMissing, NotReady, NotStored, PersistentGroups
from esdb_lite.server.groups.runner import GroupRunner
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.services import group_requests as requests
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.group_consumers import serve_consumer
from esdb_lite.server.services.group_info import encode_info, encode_list
from esdb_lite.server.services.group_requests import Definition, GroupName
from esdb_lite.server.services.unary import unary, unary_by_caller

PACKAGE = "event_store.client.persistent_subscriptions"
SERVICE = f"{PACKAGE}.PersistentSubscriptions"


class PersistentSubscriptions:
    """The methods of the service over the groups of one server."""

    def __init__(self, groups: PersistentGroups, context: Context) -> None:
        self._context = context
        self._groups = groups

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by path."""
        handlers = {
            "Create": unary_by_caller(self._create),
            "Update": unary_by_caller(self._update),
            "Delete": unary_by_caller(self._delete),
            "Read": self._read,
            "GetInfo": unary(self._get_info),
            "ReplayParked": unary(self._replay_parked),
            "List": unary(self._list),
            "RestartSubsystem": unary(self._restart),
        }
        return {f"/{SERVICE}/{name}": _when_ready(handler) for name, handler in handlers.items()}

    async def _read(self, call: ServerCall) -> None:
        await serve_consumer(call, self._groups, self._context)

    async def _create(self, data: bytes, username: str) -> bytes:
        asked = requests.create_request(data)
        try:
            config = GroupConfig(*asked.name, self._checked(asked), asked.filter)
            await self._groups.create(config, username=username)
        except GroupExists:
            raise refusals.subscription_exists(*asked.name) from None
        except UnsupportedRegex as error:
            raise refusals.invalid_argument(f"options.all.filter: {error}") from error
        except (InvalidSettings, NotStored) as error:
            raise refusals.subscription_failed(*asked.name, str(error)) from error
        return b""

    async def _update(self, data: bytes, username: str) -> bytes:
        asked = requests.update_request(data)
        self._find(asked.name)
        try:
            await self._groups.update(*asked.name, self._checked(asked), username=username)
        except GroupMissing:
            raise refusals.subscription_does_not_exist(*asked.name) from None
        except (InvalidSettings, NotStored) as error:
            raise refusals.subscription_failed(*asked.name, str(error)) from error
        return b""

    def _checked(self, asked: Definition) -> GroupSettings:
        """The settings, checked in the order of a real server as far as that does not need the group."""
        if not asked.name.stream:
            raise InvalidSettings("Bad stream name.")
        settings = replace(asked.settings, strategy=strategy_of(asked.strategy))
        if asked.name.stream == ALL_STREAM:
            check_start_in_log(settings.start, self._context.database.last_position)
        return settings

    async def _delete(self, data: bytes, username: str) -> bytes:
        name = requests.delete_request(data)
        try:
            await self._groups.delete(*name, username=username)
        except GroupMissing:
            raise refusals.subscription_does_not_exist(*name) from None
        except NotStored as error:
            raise refusals.subscription_failed(*name, str(error)) from error
        return b""

    async def _get_info(self, data: bytes) -> bytes:
        runner = self._find(requests.info_request(data))
        return encode_info(runner.config, runner.info())

    async def _list(self, data: bytes) -> bytes:
        stream = requests.list_request(data)
        try:
            runners = self._groups.all() if stream is None else self._groups.of_stream(stream)
        except GroupMissing:
            raise refusals.subscription_does_not_exist(stream or "", "") from None
        return encode_list((runner.config, runner.info()) for runner in runners)

    async def _replay_parked(self, data: bytes) -> bytes:
        asked = requests.replay_request(data)
        try:
            check_stop_at(0 if asked.stop_at is None else asked.stop_at)
        except InvalidSettings as error:
            raise refusals.subscription_failed(*asked.name, str(error)) from error
        self._find(asked.name).replay(asked.stop_at)
        return b""

    async def _restart(self, data: bytes) -> bytes:
        await self._groups.restart()
        return b""

    def _find(self, name: GroupName) -> GroupRunner:
        try:
            return self._groups.find(*name)
        except GroupMissing:
            raise refusals.subscription_does_not_exist(*name) from None


def _when_ready(handler: Handler) -> Handler:
    async def handle(call: ServerCall) -> None:
        try:
            await handler(call)
        except NotReady:
            raise refusals.not_ready() from None

    return handle
