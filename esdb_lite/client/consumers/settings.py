"""What a consumer should do: its arguments, checked, and its store, whatever that can do.

Owns: refusing what cannot be meant, before anything is asked. Must not know: how a consumer does it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from esdb_lite._checks import Seconds, checked_bool, checked_int, checked_seconds
from esdb_lite.checkpoints.positions import source_of
from esdb_lite.checkpoints.store import CheckpointStore
from esdb_lite.client.arguments import (
    checked_end,
    checked_position,
    checked_resume,
    checked_timeout,
)
from esdb_lite.client.consumers.awaiting import WrittenPlace
from esdb_lite.client.consumers.steps import ConsumptionOptions, Store
from esdb_lite.client.credentials import checked_credentials
from esdb_lite.client.projections.progress import writer_of
from esdb_lite.consumers import BatchHandlerError, ConsumerPosition, HandlerError, WrittenLike
from esdb_lite.decisions import AtomicDecisionResult, DecisionResult
from esdb_lite.errors import InvalidArgument, WrongArgumentType
from esdb_lite.events import AppendResult, Checkpoint
from esdb_lite.filters import DEFAULT_EXCLUDE, Filter, make_filter
from esdb_lite.positions import LARGEST, ResumeFrom
from esdb_lite.records import RecordsResult

if TYPE_CHECKING:
    from esdb_lite.settings import CredentialsLike

H = TypeVar("H", bound=Callable[..., object])

CheckpointFunctions = tuple[Callable[[], ConsumerPosition | None], Callable[[ConsumerPosition], object]]
AsyncCheckpointFunctions = tuple[
    Callable[[], ConsumerPosition | Awaitable[ConsumerPosition | None] | None],
    Callable[[ConsumerPosition], object],
]
CheckpointLike = CheckpointStore | CheckpointFunctions
"""A store, or two functions, `(load, save)`."""
AsyncCheckpointLike = CheckpointStore | AsyncCheckpointFunctions
"""A store, or two functions, `(load, save)`, which may be coroutine functions."""


@dataclass(frozen=True)
class ConsumerSettings:
    """What a consumer is to consume, and how."""

    stream_name: str | None
    index: str | None
    filter: Filter | None
    position: ResumeFrom
    from_end: bool
    resolve_links: bool
    timeout: float | None
    credentials: CredentialsLike
    options: ConsumptionOptions


def checked_settings(
    *,
    stream_name: str | None,
    index: str | None,
    chosen: Filter | None,
    position: ResumeFrom,
    from_end: bool,
    resolve_links: bool,
    batch_size: int,
    checkpoint_every: int | None,
    checkpoint_interval: Seconds | None,
    on_error: HandlerError | BatchHandlerError | None,
    retry_pause: Seconds,
    timeout: Seconds | None,
    credentials: CredentialsLike,
) -> ConsumerSettings:
    """What the arguments of `consume` say."""
    if on_error is not None and (not callable(on_error) or inspect.iscoroutinefunction(on_error)):
        raise WrongArgumentType("on_error", on_error, "must be a function, not a coroutine function")
    if index is not None:
        _only_an_index(index, stream_name, chosen, resolve_links=resolve_links)
        chosen = None
    if checkpoint_every is not None:
        checked_int("checkpoint_every", checkpoint_every, 1)
    options = ConsumptionOptions(
        source=source_of(stream_name, chosen, index),
        of_stream=stream_name is not None,
        batch_size=checked_int("batch_size", batch_size, 1),
        checkpoint_every=checkpoint_every,
        checkpoint_interval=None
        if checkpoint_interval is None
        else checked_seconds("checkpoint_interval", checkpoint_interval),
        on_error=on_error,
        retry_pause=checked_seconds("retry_pause", retry_pause),
    )
    return ConsumerSettings(
        stream_name=stream_name,
        index=index,
        filter=chosen,
        position=_checked_start(stream_name, position),
        from_end=checked_end(from_end, position),
        resolve_links=checked_bool("resolve_links", resolve_links),
        timeout=checked_timeout(timeout),
        credentials=checked_credentials(credentials),
        options=options,
    )


def checked_store(value: object, options: ConsumptionOptions, *, blocking: bool = False) -> Store:
    """A store, or two functions; `blocking` ones must not be coroutine functions."""
    if isinstance(value, (str, os.PathLike)):
        raise WrongArgumentType("checkpoint", value, "must be a store, such as FileCheckpoint(path)")
    named = getattr(value, "load", None), getattr(value, "save", None)
    functions: tuple[Any, ...] = value if isinstance(value, tuple) else named
    if len(functions) != 2 or not all(map(callable, functions)):
        raise WrongArgumentType("checkpoint", value, "must have load and save, or be a pair of such functions")
    store = Store(*functions, value)
    if blocking and any(map(inspect.iscoroutinefunction, vars(store).values())):
        raise WrongArgumentType("checkpoint", value, "must not have coroutine functions in EsdbClient")
    if store.transactional:
        for name in ("checkpoint_every", "checkpoint_interval"):
            if getattr(options, name) is not None:
                reason = "is for stores without transactions; with this one a larger batch_size does the same"
                raise InvalidArgument(name, getattr(options, name), reason)
    return store


def checked_coroutine(name: str, function: H) -> H:
    """What a consumer with asyncio can call: refused where it is known, without calling it, that it brings nothing.

    A plain function may return a coroutine, unless it says that it returns None. Raises WrongArgumentType.
    """
    # inspect's guards would narrow the type of what is returned.
    looked_at: object = function
    plain = inspect.isroutine(looked_at) and not inspect.iscoroutinefunction(looked_at)
    nothing = plain and not hasattr(looked_at, "__wrapped__") and _returned(looked_at) in (None, "None")
    generates = inspect.isgeneratorfunction(looked_at) or inspect.isasyncgenfunction(looked_at)
    if not callable(looked_at) or nothing or generates:
        raise WrongArgumentType(name, function, "must be a coroutine function")
    return function


def _returned(function: object) -> object:
    """What a function says that it returns; "" where it says nothing."""
    return getattr(function, "__annotations__", {}).get("return", "")


def checked_place(result: WrittenLike, settings: ConsumerSettings) -> WrittenPlace:
    """Where a consumer must have come to have handled what was written. Raises InvalidArgument, WrongArgumentType."""
    in_all = settings.stream_name is None
    if isinstance(result, (RecordsResult, AppendResult)):
        return WrittenPlace(result.commit_position, True) if in_all else _place_in_stream(result, settings)
    if isinstance(result, Checkpoint) and in_all:
        return WrittenPlace(result.commit_position, True)
    if isinstance(result, (DecisionResult, AtomicDecisionResult)):
        return WrittenPlace(None, in_all) if result.result is None else checked_place(result.result, settings)
    if isinstance(result, bool) or not isinstance(result, int):
        raise WrongArgumentType("result", result, "must be what an append has returned, or a position")
    return WrittenPlace(checked_int("result", result, 0, LARGEST), in_all)


def _place_in_stream(result: RecordsResult | AppendResult, settings: ConsumerSettings) -> WrittenPlace:
    """Where a consumer of one stream must have come: links have numbers of their own there."""
    stream_name = str(settings.stream_name)
    if isinstance(result, RecordsResult):
        positions: Mapping[str, int | None] = result.stream_positions
    else:  # one that names no stream is the caller's own, who knows it
        positions = {stream_name if result.stream_name is None else result.stream_name: result.stream_position}
    if stream_name in positions:
        return WrittenPlace(positions[stream_name], False)
    if writer_of(stream_name) is not None:
        return WrittenPlace(result.commit_position, True)
    if settings.resolve_links:
        raise InvalidArgument("result", result, f"is of {', '.join(positions)}: its link in {stream_name} is not known")
    return WrittenPlace(None, False)


def checked_forgetting(store: Store, clear: object) -> None:
    """Refuse a store that cannot forget. Raises InvalidArgument, WrongArgumentType."""
    if clear is not None and not callable(clear):
        raise WrongArgumentType("clear", clear, "must be a function")
    if store.forget is None:
        raise InvalidArgument("checkpoint", store.itself, "must have a method forget() for rebuild()")


def _only_an_index(index: str, stream_name: str | None, chosen: Filter | None, *, resolve_links: bool) -> None:
    """Refuse what does not go with an index. Raises InvalidArgument."""
    if stream_name is not None:
        raise InvalidArgument("stream_name", stream_name, f"must be left out with the index {index}")
    if chosen is not None and chosen != make_filter(DEFAULT_EXCLUDE, (), None):
        raise InvalidArgument("filter", chosen, f"must be left out with the index {index}")
    if resolve_links:
        raise InvalidArgument("resolve_links", resolve_links, "must be False with an index: there are no links in one")


def _checked_start(stream_name: str | None, position: ResumeFrom) -> ResumeFrom:
    if stream_name is None:
        checked_resume(position)
        return position
    if position is not None and not isinstance(position, int):
        raise WrongArgumentType("position", position, "must be an int for a stream")
    return checked_position(position)
