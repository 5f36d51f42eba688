"""The PersistentSubscriptions service.

Owns: its methods and what their failures are on the wire (section 18 of the protocol notes).
Must not know: the rules of a group, how groups are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from esdb_lite_protos.event_store.client.persistent_subscriptions import (
    CreateResp,
    DeleteResp,
    GetInfoResp,
    ListResp,
    ReplayParkedResp,
    SubscriptionInfo,
    SubscriptionInfoConnectionInfo,
    SubscriptionInfoMeasurement,
    UpdateResp,
)

from esdb_lite._status import answers
from esdb_lite.server.calls import Call, Handler
from esdb_lite.server.engine.dotnet_regex import UnsupportedRegex
from esdb_lite.server.engine.persistent.config import GroupConfig
from esdb_lite.server.engine.persistent.settings import (
    ALL_STREAM,
    INFINITE_MILLISECONDS,
    InvalidSettings,
    Settings,
    check_start_in_log,
    check_stop_at,
    position_text,
    strategy_of,
)
from esdb_lite.server.engine.persistent.statistics import ConnectionInfo
from esdb_lite.server.persistent_groups import GroupExists, GroupMissing, NotReady, NotStored, PersistentGroups
from esdb_lite.server.persistent_runtime import GroupRunner
from esdb_lite.server.services import persistent_requests as requests
from esdb_lite.server.services.common import unary
from esdb_lite.server.services.persistent_reading import serve_consumer
from esdb_lite.server.services.persistent_requests import Definition, GroupName

PACKAGE = "event_store.client.persistent_subscriptions"
SERVICE = f"{PACKAGE}.PersistentSubscriptions"

USERNAME = "system"
"""Who everybody is on a server without authentication."""


class PersistentSubscriptions:
    """The methods of the service over the groups of one server."""

    def __init__(self, groups: PersistentGroups, last_position: Callable[[], int]) -> None:
        """`last_position`: the position of the last event in the log."""
        self._groups = groups
        self._last_position = last_position

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by path."""
        handlers = {
            "Create": unary(self._create),
            "Update": unary(self._update),
            "Delete": unary(self._delete),
            "Read": self._read,
            "GetInfo": unary(self._get_info),
            "ReplayParked": unary(self._replay_parked),
            "List": unary(self._list),
            "RestartSubsystem": unary(self._restart),
        }
        return {f"/{SERVICE}/{name}": _when_ready(handler) for name, handler in handlers.items()}

    async def _read(self, call: Call) -> None:
        await serve_consumer(call, self._groups, USERNAME)

    async def _create(self, data: bytes) -> bytes:
        asked = requests.create_request(data)
        try:
            config = GroupConfig(*asked.name, self._checked(asked), asked.filter)
            await self._groups.create(config, username=USERNAME)
        except GroupExists:
            raise answers.subscription_exists(*asked.name) from None
        except UnsupportedRegex as error:
            raise answers.invalid_argument(f"options.all.filter: {error}") from error
        except (InvalidSettings, NotStored) as error:
            raise answers.subscription_failed(*asked.name, str(error)) from error
        return bytes(CreateResp())

    async def _update(self, data: bytes) -> bytes:
        asked = requests.update_request(data)
        self._find(asked.name)
        try:
            await self._groups.update(*asked.name, self._checked(asked), username=USERNAME)
        except GroupMissing:
            raise answers.subscription_does_not_exist(*asked.name) from None
        except (InvalidSettings, NotStored) as error:
            raise answers.subscription_failed(*asked.name, str(error)) from error
        return bytes(UpdateResp())

    def _checked(self, asked: Definition) -> Settings:
        """The settings, checked in the order of a real server as far as that does not need the group."""
        if not asked.name.stream:
            raise InvalidSettings("Bad stream name.")
        settings = replace(asked.settings, strategy=strategy_of(asked.strategy))
        if asked.name.stream == ALL_STREAM:
            check_start_in_log(settings.start, self._last_position())
        return settings

    async def _delete(self, data: bytes) -> bytes:
        name = requests.delete_request(data)
        try:
            await self._groups.delete(*name, username=USERNAME)
        except GroupMissing:
            raise answers.subscription_does_not_exist(*name) from None
        except NotStored as error:
            raise answers.subscription_failed(*name, str(error)) from error
        return bytes(DeleteResp())

    async def _get_info(self, data: bytes) -> bytes:
        return bytes(GetInfoResp(subscription_info=_info(self._find(requests.info_request(data)))))

    async def _list(self, data: bytes) -> bytes:
        stream = requests.list_request(data)
        try:
            runners = self._groups.all() if stream is None else self._groups.of_stream(stream)
        except GroupMissing:
            raise answers.subscription_does_not_exist(stream or "", "") from None
        return bytes(ListResp(subscriptions=[_info(runner) for runner in runners]))

    async def _replay_parked(self, data: bytes) -> bytes:
        asked = requests.replay_request(data)
        try:
            check_stop_at(0 if asked.stop_at is None else asked.stop_at)
        except InvalidSettings as error:
            raise answers.subscription_failed(*asked.name, str(error)) from error
        self._find(asked.name).replay(asked.stop_at)
        return bytes(ReplayParkedResp())

    async def _restart(self, data: bytes) -> bytes:
        await self._groups.restart()
        return b""

    def _find(self, name: GroupName) -> GroupRunner:
        try:
            return self._groups.find(*name)
        except GroupMissing:
            raise answers.subscription_does_not_exist(*name) from None


def _when_ready(handler: Handler) -> Handler:
    async def handle(call: Call) -> None:
        try:
            await handler(call)
        except NotReady:
            raise answers.not_ready() from None

    return handle


def _info(runner: GroupRunner) -> SubscriptionInfo:
    config, figures = runner.config, runner.info()
    settings, in_log = config.settings, config.in_log
    return SubscriptionInfo(
        event_source=config.stream,
        group_name=config.group,
        status=figures.status,
        connections=[_connection(connection) for connection in figures.connections],
        average_per_second=figures.average_per_second,
        total_items=figures.total_items,
        count_since_last_measurement=figures.count_since_last_measurement,
        last_checkpointed_event_position=_text(figures.last_checkpointed, in_log=in_log),
        last_known_event_position=_text(figures.last_known, in_log=in_log),
        resolve_link_tos=settings.resolve_links,
        start_from=position_text(settings.start.position, in_log=in_log, prepare=settings.start.prepare),
        message_timeout_milliseconds=settings.message_timeout,
        extra_statistics=settings.extra_statistics,
        max_retry_count=settings.max_retry_count,
        live_buffer_size=settings.live_buffer_size,
        buffer_size=settings.history_buffer_size,
        read_batch_size=settings.read_batch_size,
        check_point_after_milliseconds=settings.checkpoint_after or INFINITE_MILLISECONDS,
        min_check_point_count=settings.min_checkpoint_count,
        max_check_point_count=settings.max_checkpoint_count,
        read_buffer_count=figures.read_buffer_count,
        live_buffer_count=figures.live_buffer_count,
        retry_buffer_count=figures.retry_buffer_count,
        total_in_flight_messages=figures.total_in_flight_messages,
        outstanding_messages_count=figures.outstanding_messages_count,
        named_consumer_strategy=settings.strategy.value,
        max_subscriber_count=settings.max_subscriber_count,
        parked_message_count=figures.parked_message_count,
    )


def _text(position: int | None, *, in_log: bool) -> str:
    return "" if position is None else position_text(position, in_log=in_log)


def _connection(info: ConnectionInfo) -> SubscriptionInfoConnectionInfo:
    return SubscriptionInfoConnectionInfo(
        username=info.username,
        average_items_per_second=info.average_items_per_second,
        total_items=info.total_items,
        count_since_last_measurement=info.count_since_last_measurement,
        observed_measurements=[
            SubscriptionInfoMeasurement(key=key, value=value) for key, value in info.observed_measurements
        ],
        available_slots=info.available_slots,
        in_flight_messages=info.in_flight_messages,
        connection_name=info.connection_name,
    )
