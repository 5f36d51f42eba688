"""Requests of the PersistentSubscriptions service, but for Read: what they say, in the engine's words.

Owns: reading and checking the messages (sections 18.1 to 18.6 of the protocol notes). Raises RpcError for requests
that say nothing, with a text that names the field. Must not know: groups, the database.
"""

from __future__ import annotations

from typing import NamedTuple

import betterproto
from esdb_lite_protos.event_store.client import persistent_subscriptions as pb

from esdb_lite._status import RpcError, StatusCode, refusals
from esdb_lite.groups import ConsumerStrategy
from esdb_lite.positions import ALL_STREAM, LARGEST
from esdb_lite.server.engine.filters import EventFilter, FilterOn
from esdb_lite.server.engine.groups.settings import GroupSettings, GroupStart
from esdb_lite.server.engine.model import LONGEST_NAME, is_too_long
from esdb_lite.server.services.unary import MINUS_ONE, required, stream_text

_TICKS_PER_MILLISECOND = 10_000
_TYPES = "PersistentSubscriptions."


class GroupName(NamedTuple):
    """Which group: `stream` is `$all` for groups on all events."""

    stream: str
    group: str


class GroupDefinition(NamedTuple):
    """What Create or Update asks for. The settings' strategy is a placeholder, see `strategy`."""

    name: GroupName
    settings: GroupSettings
    strategy: str
    """As given: it may be none that exists."""
    filter: EventFilter | None


def create_request(request: pb.CreateReq) -> GroupDefinition:
    """What a Create asks for. Raises RpcError."""
    options = required(request.options, "options")
    settings = required(options.settings, "options.settings")
    stream, start = _source("CreateReq", options, settings)
    _, all_options = betterproto.which_one_of(options, "stream_option")
    filter_ = _filter(all_options) if isinstance(all_options, pb.CreateReqAllOptions) else None
    if is_too_long(stream) or is_too_long(options.group_name):
        raise refusals.invalid_argument(f"options: names of streams and groups have at most {LONGEST_NAME} bytes.")
    strategy = settings.consumer_strategy or _strategy_name(settings.named_consumer_strategy)
    return GroupDefinition(GroupName(stream, options.group_name), _settings(settings, start), strategy, filter_)


def update_request(request: pb.UpdateReq) -> GroupDefinition:
    """What an Update asks for; it has no filter. Raises RpcError."""
    options = required(request.options, "options")
    settings = required(options.settings, "options.settings")
    stream, start = _source("UpdateReq", options, settings)
    strategy = _strategy_name(settings.named_consumer_strategy)
    return GroupDefinition(GroupName(stream, options.group_name), _settings(settings, start), strategy, None)


def delete_request(request: pb.DeleteReq) -> GroupName:
    """The group to delete. Raises RpcError."""
    options = required(request.options, "options")
    name = _name(options)
    which, _ = betterproto.which_one_of(options, "stream_option")
    if which == "stream_identifier" and name.stream == ALL_STREAM:
        raise _not_a_stream()
    return name


def info_request(request: pb.GetInfoReq) -> GroupName:
    """Which group is asked about. Raises RpcError."""
    return _name(required(request.options, "options"))


class ParkedRequest(NamedTuple):
    """What a ReplayParked or TruncateParked asks for."""

    name: GroupName
    stop_at: int | None


def parked_request(request: pb.ReplayParkedReq | pb.TruncateParkedReq) -> ParkedRequest:
    """What a ReplayParked or TruncateParked asks for. Raises RpcError."""
    options: pb.ReplayParkedReqOptions | pb.TruncateParkedReqOptions = required(request.options, "options")
    which, _ = betterproto.which_one_of(options, "stop_at_option")
    if not which:
        raise refusals.invalid_argument("options.stop_at_option is not set.")
    return ParkedRequest(_name(options), options.stop_at if which == "stop_at" else None)


def list_request(request: pb.ListReq) -> str | None:
    """Of which stream groups are asked for; None = of all. Raises RpcError."""
    options = required(request.options, "options")
    which, _ = betterproto.which_one_of(options, "list_option")
    if which == "list_all_subscriptions":
        return None
    if which != "list_for_stream":
        raise refusals.invalid_argument("options.list_option is not set.")
    which, _ = betterproto.which_one_of(options.list_for_stream, "stream_option")
    if not which:
        raise refusals.invalid_argument("options.list_for_stream.stream_option is not set.")
    return ALL_STREAM if which == "all" else stream_text(options.list_for_stream.stream.stream_name)


def _name(
    options: pb.DeleteReqOptions | pb.GetInfoReqOptions | pb.ReplayParkedReqOptions | pb.TruncateParkedReqOptions,
) -> GroupName:
    which, _ = betterproto.which_one_of(options, "stream_option")
    if not which:
        raise refusals.invalid_argument("options.stream_option is not set.")
    stream = ALL_STREAM if which == "all" else stream_text(options.stream_identifier.stream_name)
    return GroupName(stream, options.group_name)


def _not_a_stream() -> RpcError:
    """A stream called `$all`: the status is that of a real server, which talks about its envelopes."""
    return RpcError(StatusCode.UNKNOWN, "options.stream names $all: use options.all for groups on all events.")


def _source(
    request: str,
    options: pb.CreateReqOptions | pb.UpdateReqOptions,
    settings: pb.CreateReqSettings | pb.UpdateReqSettings,
) -> tuple[str, GroupStart]:
    _, value = betterproto.which_one_of(options, "stream_option")
    if isinstance(value, (pb.CreateReqAllOptions, pb.UpdateReqAllOptions)):
        return ALL_STREAM, _log_start(request, value)
    if isinstance(value, (pb.CreateReqStreamOptions, pb.UpdateReqStreamOptions)):
        identifier = required(value.stream_identifier, "options.stream.stream_identifier")
        stream, start = stream_text(identifier.stream_name), _stream_start(request, value)
    else:
        identifier = required(options.stream_identifier, "options.stream_option")
        stream, start = stream_text(identifier.stream_name), GroupStart(_revision(settings.revision))
    if stream == ALL_STREAM:
        raise _not_a_stream()
    return stream, start


def _stream_start(request: str, options: pb.CreateReqStreamOptions | pb.UpdateReqStreamOptions) -> GroupStart:
    which, _ = betterproto.which_one_of(options, "revision_option")
    if not which:
        raise refusals.not_a_valid("None", f"{_TYPES}{request}+Types+StreamOptions+RevisionOptionOneofCase")
    if which == "revision":
        return GroupStart(_revision(options.revision))
    return GroupStart(-1 if which == "end" else 0)


def _revision(value: int) -> int:
    if value == MINUS_ONE:
        return -1
    if value > LARGEST:
        raise refusals.invalid_argument("options.stream.revision is beyond the range of revisions.")
    return value


def _log_start(request: str, options: pb.CreateReqAllOptions | pb.UpdateReqAllOptions) -> GroupStart:
    which, _ = betterproto.which_one_of(options, "all_option")
    if not which:
        raise refusals.not_a_valid("None", f"{_TYPES}{request}+Types+AllOptions+AllOptionOneofCase")
    if which != "position":
        return GroupStart(-1 if which == "end" else 0)
    commit, prepare = options.position.commit_position, options.position.prepare_position
    if commit == prepare == MINUS_ONE:
        return GroupStart(-1)
    if prepare > commit or commit > LARGEST:
        raise refusals.invalid_argument("options.all.position: the prepare position is beyond the commit position.")
    return GroupStart(commit, None if prepare == commit else prepare)


def _filter(options: pb.CreateReqAllOptions) -> EventFilter | None:
    which, _ = betterproto.which_one_of(options, "filter_option")
    if which != "filter":
        return None
    options_filter: pb.CreateReqAllOptionsFilterOptions = options.filter
    which, _ = betterproto.which_one_of(options_filter, "filter")
    if not which:
        raise refusals.invalid_argument("options.all.filter has neither stream_identifier nor event_type.")
    on = FilterOn.STREAM if which == "stream_identifier" else FilterOn.TYPE
    expression = options_filter.stream_identifier if on is FilterOn.STREAM else options_filter.event_type
    return EventFilter(on, regex=expression.regex, prefixes=() if expression.regex else tuple(expression.prefix))


def _strategy_name(number: int) -> str:
    names = {member.value: member.name for member in pb.CreateReqConsumerStrategy}
    return str(names.get(int(number), number))


def _settings(settings: pb.CreateReqSettings | pb.UpdateReqSettings, start: GroupStart) -> GroupSettings:
    return GroupSettings(
        resolve_links=settings.resolve_links,
        extra_statistics=settings.extra_statistics,
        start=start,
        message_timeout=_milliseconds(settings, "message_timeout"),
        max_retry_count=settings.max_retry_count,
        checkpoint_after=_milliseconds(settings, "checkpoint_after"),
        min_checkpoint_count=settings.min_checkpoint_count,
        max_checkpoint_count=settings.max_checkpoint_count,
        max_subscriber_count=settings.max_subscriber_count,
        live_buffer_size=settings.live_buffer_size,
        read_batch_size=settings.read_batch_size,
        history_buffer_size=settings.history_buffer_size,
        strategy=ConsumerStrategy.DISPATCH_TO_SINGLE,
    )


def _milliseconds(settings: betterproto.Message, group: str) -> int:
    which, value = betterproto.which_one_of(settings, group)
    number = value if isinstance(value, int) else 0
    return number // _TICKS_PER_MILLISECOND if which.endswith("_ticks") else number
