"""What a read request asks for, or what is wrong with it.

Owns: the checks of section 10 of the protocol notes, in their order, and the choice among the reads and subscriptions
of the engine. Must not know: how they are run and answered.
"""

from __future__ import annotations

from typing import NamedTuple

from esdb_lite._status import refusals
from esdb_lite._wire.read_request import AllRange, End, FilterRequest, ReadOptions, StreamRange
from esdb_lite.positions import LARGEST
from esdb_lite.server.engine.filters import EventFilter, FilterOn, Selector, UnusableFilter, selector
from esdb_lite.server.engine.indexes import PREFIX, IndexContent, IndexRead, IndexSubscription
from esdb_lite.server.engine.model import LONGEST_NAME
from esdb_lite.server.engine.read import AllBackwards, AllForwards, Read, StreamBackwards, StreamForwards
from esdb_lite.server.engine.subscriptions import (
    AllSubscription,
    FilteredSubscription,
    StreamSubscription,
    SubscriptionRules,
)
from esdb_lite.server.services.unary import MINUS_ONE

LONGEST_READ = 3 * LONGEST_NAME
"""Characters of the names that are looked for: some of the server's own are made of two."""
_OPTIONS = "Streams.ReadReq+Types+Options"
_DIRECTIONS = {0: "Forwards", 1: "Backwards"}
_BEYOND_THE_END = LARGEST
_LONG = 100
"""Characters of a regular expression that is ready at once."""


class SubscriptionPlan(NamedTuple):
    """A subscription, and the stream it listens to (None: all)."""

    subscription: SubscriptionRules
    stream: str | None


def index_of(request: ReadOptions | None) -> str | None:
    """Return the index that a request reads; None: it reads no index. Raises RpcError."""
    wanted = None if request is None or isinstance(request.source, StreamRange) else request.filter
    if not isinstance(wanted, FilterRequest) or wanted.on_type is not False or wanted.regex:
        return None
    if not any(prefix.startswith(PREFIX) for prefix in wanted.prefixes):
        return None
    index, *others = wanted.prefixes
    if others:
        raise refusals.invalid_argument(
            "Index reads only work with one index name and cannot be combined with stream prefixes or other indexes"
        )
    return index


def plan_index(request: ReadOptions, content: IndexContent) -> Read | SubscriptionPlan:
    """Return what serves a request that reads an index. Raises RpcError."""
    if request.structured is None:
        raise refusals.missing_uuid_option()
    assert isinstance(request.source, AllRange)
    combination = _combination(request)
    start = _all_start(request.source)
    if combination[1:3] == ("Subscription", "Forwards"):
        after = {End.START: 0, End.END: None}[start] if isinstance(start, End) else start[0]
        return SubscriptionPlan(IndexSubscription(content, after), None)
    if combination[1] != "Count" or combination[2] not in _DIRECTIONS.values():
        raise refusals.invalid_combination(*combination)
    backwards = request.direction == 1
    if start is End.END and not backwards:
        raise refusals.invalid_position()
    first = {End.START: -1 if backwards else 0, End.END: None}[start] if isinstance(start, End) else start[0]
    return IndexRead(content, first, request.limit or 0, backwards=backwards)


def has_long_expression(request: ReadOptions | None) -> bool:
    """Whether to plan this may take long: a regular expression of 8,000 characters takes 50 ms."""
    wanted = None if request is None else request.filter
    return isinstance(wanted, FilterRequest) and len(wanted.regex) > _LONG


def plan_read(request: ReadOptions | None) -> Read | SubscriptionPlan:
    """Return what serves a request. Raises RpcError."""
    if request is None:
        raise refusals.invalid_argument("options is missing.")
    if request.structured is None:
        raise refusals.missing_uuid_option()
    if request.source is None:
        raise refusals.not_a_valid("None", f"{_OPTIONS}+StreamOptionOneofCase")
    if isinstance(request.source, StreamRange):
        return _plan_stream(request, request.source)
    return _plan_all(request, request.source)


def _combination(request: ReadOptions) -> tuple[str, str, str, str]:
    return (
        "Stream" if isinstance(request.source, StreamRange) else "All",
        "Count" if request.limit is not None else "Subscription" if request.subscription else "None",
        _DIRECTIONS.get(request.direction, str(request.direction)),
        "None" if request.filter is None else "Filter" if request.filter else "NoFilter",
    )


def _count(request: ReadOptions) -> int:
    if not request.limit:
        raise refusals.invalid_argument("options.count must be at least 1.")
    return request.limit


# --- streams ----------------------------------------------------------------------------------------------------------


def _plan_stream(request: ReadOptions, source: StreamRange) -> Read | SubscriptionPlan:
    if source.stream is None:
        raise refusals.invalid_argument("options.stream.stream_identifier is missing.")
    combination = _combination(request)
    if combination == ("Stream", "Subscription", "Forwards", "NoFilter"):
        return _stream_subscription(request, source.stream, _stream_start(source))
    if combination[1] != "Count" or combination[2] not in _DIRECTIONS.values() or combination[3] != "NoFilter":
        raise refusals.invalid_combination(*combination)
    return _stream_read(request, source.stream, _stream_start(source))


def _stream_start(source: StreamRange) -> int | End:
    if not source.stream:
        raise refusals.invalid_argument("options.stream.stream_identifier is empty.")
    if len(source.stream) > LONGEST_READ:
        raise refusals.invalid_argument(f"options.stream.stream_identifier: names have at most {LONGEST_NAME} bytes.")
    if source.start is None:
        raise refusals.not_a_valid("None", f"{_OPTIONS}+Types+StreamOptions+RevisionOptionOneofCase")
    if isinstance(source.start, End):
        return source.start
    if source.start == MINUS_ONE:
        return End.END
    if source.start > LARGEST:
        raise refusals.invalid_argument("options.stream.revision is greater than 9223372036854775807.")
    return source.start


def _stream_subscription(request: ReadOptions, stream: str, start: int | End) -> SubscriptionPlan:
    after = {End.START: -1, End.END: None}[start] if isinstance(start, End) else start
    return SubscriptionPlan(StreamSubscription(stream, after, resolve_links=request.resolve_links), stream)


def _stream_read(request: ReadOptions, stream: str, start: int | End) -> Read:
    count, links, positions = _count(request), request.resolve_links, request.compatibility >= 1
    if request.direction == 1:
        first = {End.START: 0, End.END: None}[start] if isinstance(start, End) else start
        return StreamBackwards(stream, first, count, resolve_links=links, positions=positions)
    if start is End.END:
        raise refusals.invalid_argument("options.stream.end: a stream cannot be read forwards from its end.")
    revision = 0 if isinstance(start, End) else start
    return StreamForwards(stream, revision, count, resolve_links=links, positions=positions)


# --- $all -------------------------------------------------------------------------------------------------------------


def _plan_all(request: ReadOptions, source: AllRange) -> Read | SubscriptionPlan:
    combination = _combination(request)
    counted = combination[1] == "Count" and combination[2] in _DIRECTIONS.values()
    subscribing = combination[1:3] == ("Subscription", "Forwards")
    if request.filter is None or not (counted or subscribing):
        raise refusals.invalid_combination(*combination)
    start = _all_start(source)
    wanted = request.filter if isinstance(request.filter, FilterRequest) else None
    select = _selector(wanted)
    if counted:
        return _all_read(request, start, select)
    return SubscriptionPlan(_all_subscription(start, wanted, select, resolve_links=request.resolve_links), None)


def _all_start(source: AllRange) -> tuple[int, int] | End:
    if source.start is None:
        raise refusals.not_a_valid("None", f"{_OPTIONS}+Types+AllOptions+AllOptionOneofCase")
    if isinstance(source.start, End):
        return source.start
    if source.start == (MINUS_ONE, MINUS_ONE):
        return End.END
    commit, prepare = source.start
    if commit > LARGEST or prepare > LARGEST:
        raise refusals.invalid_argument("options.all.position is greater than 9223372036854775807.")
    if commit < prepare:
        raise refusals.invalid_argument("options.all.position: commit_position is less than prepare_position.")
    return source.start


def _selector(wanted: FilterRequest | None) -> Selector:
    if wanted is None:
        return selector(None)
    if wanted.on_type is None:
        raise refusals.not_a_valid(_filter_json(wanted), f"{_OPTIONS}+Types+FilterOptions")
    if wanted.window is None:
        raise refusals.not_a_valid("None", f"{_OPTIONS}+Types+FilterOptions+WindowOneofCase")
    if wanted.window == 0:
        raise refusals.invalid_argument("options.filter.max must be at least 1.")
    on = FilterOn.TYPE if wanted.on_type else FilterOn.STREAM
    try:
        return selector(EventFilter(on, wanted.regex, wanted.prefixes))
    except UnusableFilter as error:
        raise refusals.invalid_argument(f"options.filter: {error}.") from error


def _filter_json(wanted: FilterRequest) -> str:
    members = ['"count": { }'] if wanted.counted else []
    if wanted.window is not None and not wanted.counted:
        members.append(f'"max": {wanted.window}')
    if wanted.multiplier:
        members.append(f'"checkpointIntervalMultiplier": {wanted.multiplier}')
    return f"{{ {', '.join(members)} }}"


def _all_read(request: ReadOptions, start: tuple[int, int] | End, select: Selector) -> Read:
    count, links = _count(request), request.resolve_links
    if request.direction == 0:
        places = {End.START: 0, End.END: _BEYOND_THE_END}
        first = places[start] if isinstance(start, End) else start[0]
        return AllForwards(first, count, select, resolve_links=links)
    if isinstance(start, End):
        return AllBackwards({End.START: 0, End.END: None}[start], count, select, resolve_links=links)
    return AllBackwards(start[0], count, select, resolve_links=links, skip_one=start[1] < start[0])


def _all_subscription(
    start: tuple[int, int] | End, wanted: FilterRequest | None, select: Selector, *, resolve_links: bool
) -> SubscriptionRules:
    after = {End.START: (0, 0), End.END: None}[start] if isinstance(start, End) else start
    if wanted is None:
        return AllSubscription(after, select, resolve_links=resolve_links)
    if not wanted.multiplier:
        raise refusals.invalid_argument("options.filter.checkpointIntervalMultiplier must be at least 1.")
    return FilteredSubscription(
        after, select, window=wanted.window or 1, multiplier=wanted.multiplier, resolve_links=resolve_links
    )
