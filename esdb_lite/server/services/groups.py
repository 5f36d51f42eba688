"""The PersistentSubscriptions service.

Owns: its methods and what their failures are on the wire (section 18 of the protocol notes).
Must not know: the rules of a group, how groups are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from esdb_lite_protos import tags
from esdb_lite_protos.event_store.client import Empty
from esdb_lite_protos.event_store.client import persistent_subscriptions as pb

from esdb_lite._status import refusals
from esdb_lite.positions import ALL_STREAM
from esdb_lite.server.engine.filters import UnusableFilter
from esdb_lite.server.engine.groups.config import GroupConfig
from esdb_lite.server.engine.groups.settings import (
    GroupSettings,
    InvalidSettings,
    check_start_in_log,
    check_stop_at,
    check_truncation,
    strategy_of,
)
from esdb_lite.server.groups.registry import GroupExists, GroupMissing, NotReady, NotStored, PersistentGroups
from esdb_lite.server.groups.runner import ParkedEventsBusy
from esdb_lite.server.handlers import Handler, ServerCall
from esdb_lite.server.services import group_requests as requests
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.group_consumers import serve_consumer
from esdb_lite.server.services.group_info import encode_info, encode_list
from esdb_lite.server.services.group_requests import GroupDefinition, GroupName
from esdb_lite.server.services.unary import current_call, encoded, routes


class PersistentSubscriptions(pb.PersistentSubscriptionsBase):
    """The methods of the service over the groups of one server."""

    def __init__(self, groups: PersistentGroups, context: Context) -> None:
        self._context = context
        self._groups = groups

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by path."""
        served = {
            **routes(self, self._context.cold_calls, self._context.pages),
            tags.PATH_PERSISTENT_SUBSCRIPTIONS_READ: self._read,
        }
        return {path: _when_ready(served[path]) for path in self.__mapping__() if path in served}

    async def _read(self, call: ServerCall) -> None:
        await serve_consumer(call, self._groups, self._context)

    async def create(self, create_req: pb.CreateReq) -> pb.CreateResp:
        """Create a group."""
        asked = requests.create_request(create_req)
        with _refusals(asked.name):
            config = GroupConfig(*asked.name, self._checked(asked), asked.filter)
            await self._groups.create(config, username=current_call().principal.name)
        return pb.CreateResp()

    async def update(self, update_req: pb.UpdateReq) -> pb.UpdateResp:
        """Replace the settings of a group."""
        asked = requests.update_request(update_req)
        with _refusals(asked.name):
            self._groups.find(*asked.name)
            await self._groups.update(*asked.name, self._checked(asked), username=current_call().principal.name)
        return pb.UpdateResp()

    def _checked(self, asked: GroupDefinition) -> GroupSettings:
        """The settings, checked in the order of a real server as far as that does not need the group."""
        if not asked.name.stream:
            raise InvalidSettings("Bad stream name.")
        settings = replace(asked.settings, strategy=strategy_of(asked.strategy))
        if asked.name.stream == ALL_STREAM:
            check_start_in_log(settings.start, self._context.database.last_position)
        return settings

    async def delete(self, delete_req: pb.DeleteReq) -> pb.DeleteResp:
        """Delete a group."""
        name = requests.delete_request(delete_req)
        with _refusals(name):
            await self._groups.delete(*name, username=current_call().principal.name)
        return pb.DeleteResp()

    async def get_info(self, get_info_req: pb.GetInfoReq) -> pb.GetInfoResp:
        """Describe a group."""
        name = requests.info_request(get_info_req)
        with _refusals(name):
            runner = self._groups.find(*name)
        return encoded(pb.GetInfoResp, encode_info(runner.config, runner.info()))

    async def list(self, list_req: pb.ListReq) -> pb.ListResp:
        """Describe all groups, or those of a stream."""
        stream = requests.list_request(list_req)
        with _refusals(GroupName(stream or "", "")):
            runners = self._groups.all() if stream is None else self._groups.of_stream(stream)
        return encoded(pb.ListResp, encode_list((runner.config, runner.info()) for runner in runners))

    async def replay_parked(self, replay_parked_req: pb.ReplayParkedReq) -> pb.ReplayParkedResp:
        """Have the parked events of a group delivered again."""
        asked = requests.parked_request(replay_parked_req)
        with _refusals(asked.name):
            check_stop_at(0 if asked.stop_at is None else asked.stop_at)
            self._groups.find(*asked.name).replay(asked.stop_at)
        return pb.ReplayParkedResp()

    async def truncate_parked(self, truncate_parked_req: pb.TruncateParkedReq) -> pb.TruncateParkedResp:
        """Make parked events of a group disappear."""
        asked = requests.parked_request(truncate_parked_req)
        with _refusals(asked.name):
            check_truncation(0 if asked.stop_at is None else asked.stop_at)
            await self._groups.find(*asked.name).truncate(asked.stop_at)
        return pb.TruncateParkedResp()

    async def restart_subsystem(self, client_empty: Empty) -> Empty:
        """Restart all groups."""
        await self._groups.restart()
        return Empty()


@contextmanager
def _refusals(name: GroupName) -> Iterator[None]:
    """What is refused, in the words of a real server."""
    try:
        yield
    except GroupMissing:
        raise refusals.subscription_does_not_exist(*name) from None
    except GroupExists:
        raise refusals.subscription_exists(*name) from None
    except UnusableFilter as error:
        raise refusals.invalid_argument(f"options.all.filter: {error}") from error
    except ParkedEventsBusy:
        raise refusals.subscription_failed(*name, "A replay or truncate is already in progress.") from None
    except (InvalidSettings, NotStored) as error:
        raise refusals.subscription_failed(*name, str(error)) from error


def _when_ready(handler: Handler) -> Handler:
    async def handle(call: ServerCall) -> None:
        try:
            await handler(call)
        except NotReady:
            raise refusals.not_ready() from None

    return handle
