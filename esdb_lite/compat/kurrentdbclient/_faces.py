"""How one description of a call becomes a method with and without asyncio.

Owns: `Answer`, and making methods from functions that return one. Must not know: which calls there are.

A call is written once, as a function of our client, with or without asyncio, and of the arguments that kurrentdbclient
has. It begins our call, and says how what comes of it becomes what kurrentdbclient returns.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Union, cast, overload

import esdb_lite
from esdb_lite.compat.kurrentdbclient._signatures import OPTIONS, spelled_out

if TYPE_CHECKING:
    from esdb_lite.compat.kurrentdbclient._reads import Kinds

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K")
R_co = TypeVar("R_co", covariant=True)

Ours = Union["esdb_lite.EsdbClient", "esdb_lite.AsyncEsdbClient"]


@dataclass(frozen=True)
class Answer(Generic[R]):
    """What our client gives for a call, at once or once it is awaited, and how that is read."""

    given: object
    read: Callable[[Any], R]
    absent: Callable[[], R] | None = None
    """What there is instead where there is no such stream; None: an exception."""


def nothing(_: object) -> None:
    """How the answer is read of calls that return nothing."""


@dataclass(frozen=True)
class Reading:
    """A read of ours, or a subscription of ours that is opened where it is awaited, and what is handed out."""

    given: object
    kinds: Kinds
    timeout: float | None = None
    """Of a read: our subscriptions begin theirs when they are made."""


@dataclass(frozen=True)
class Consuming:
    """A consumer of ours."""

    given: object


class Method(Protocol[P, R_co]):
    """A function that is a method of its class."""

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[Concatenate[Any, P], R_co]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Callable[P, R_co]: ...


class SyncFace(Protocol):
    """What methods without asyncio need of their client."""

    def _perform(self, name: str, call: Callable[[Ours], K], timeout: float | None) -> K: ...

    def _opened(self, kind: Callable[..., K], source: object, reading: Reading | Consuming) -> K: ...


class AsyncFace(Protocol):
    """What methods with asyncio need of their client."""

    async def _perform(self, name: str, call: Callable[[Ours], Coroutine[Any, Any, K]], timeout: float | None) -> K: ...

    def _opened(self, kind: Callable[..., K], source: object, reading: Reading | Consuming) -> K: ...


def _timeout(options: Mapping[str, object]) -> float | None:
    value = options.get("timeout")
    return value if isinstance(value, (int, float)) else None


def sync(call: Callable[Concatenate[Ours, P], Answer[R]]) -> Method[P, R]:
    """Return the method without asyncio."""

    def method(self: SyncFace, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._perform(call.__name__, lambda ours: _read(call(ours, *args, **kwargs)), _timeout(kwargs))

    return cast("Method[P, R]", _presented(method, call))


def _read(answer: Answer[R]) -> R:
    try:
        return answer.read(answer.given)
    except esdb_lite.StreamNotFound:
        if answer.absent is None:
            raise
        return answer.absent()


def asynchronous(call: Callable[Concatenate[Ours, P], Answer[R]]) -> Method[P, Coroutine[Any, Any, R]]:
    """Return the method with asyncio."""

    async def method(self: AsyncFace, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._perform(call.__name__, lambda ours: _awaited(call(ours, *args, **kwargs)), _timeout(kwargs))

    return cast("Method[P, Coroutine[Any, Any, R]]", _presented(method, call))


async def _awaited(answer: Answer[R]) -> R:
    try:
        return answer.read(await cast("Awaitable[object]", answer.given))
    except esdb_lite.StreamNotFound:
        if answer.absent is None:
            raise
        return answer.absent()


def opening(call: Callable[Concatenate[Ours, P], Reading | Consuming], kind: type[K]) -> Method[P, K]:
    """Return a method without asyncio that returns an iterator of this kind."""

    def method(self: SyncFace, *args: P.args, **kwargs: P.kwargs) -> K:
        def begin(ours: Ours) -> K:
            reading = call(ours, *args, **kwargs)
            return self._opened(kind, reading.given, reading)

        return self._perform(call.__name__, begin, _timeout(kwargs))

    return cast("Method[P, K]", _presented(method, call, kind))


def async_opening(
    call: Callable[Concatenate[Ours, P], Reading | Consuming], kind: type[K]
) -> Method[P, Coroutine[Any, Any, K]]:
    """Return a coroutine method that returns an asynchronous iterator of this kind."""

    async def method(self: AsyncFace, *args: P.args, **kwargs: P.kwargs) -> K:
        async def begin(ours: Ours) -> K:
            reading = call(ours, *args, **kwargs)
            given = reading.given
            # A read can be awaited, too, and is a list then.
            lazy = isinstance(given, esdb_lite.AsyncReadResponse)
            return self._opened(kind, given if lazy else await cast("Awaitable[object]", given), reading)

        return await self._perform(call.__name__, begin, _timeout(kwargs))

    return cast("Method[P, Coroutine[Any, Any, K]]", _presented(method, call, kind))


def _presented(method: Callable[..., Any], call: Callable[..., Any], kind: type | None = None) -> Callable[..., Any]:
    """Give a method the name, documentation and signature of its call: a client in the place of ours."""
    functools.update_wrapper(method, call)
    signature = inspect.signature(call)
    if "options" in signature.parameters:
        signature = spelled_out(signature, OPTIONS)
    ours, *parameters = signature.parameters.values()
    returned = signature.return_annotation.removeprefix("Answer[").removesuffix("]") if kind is None else kind.__name__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[inspect.Parameter("self", ours.kind), *parameters], return_annotation=returned
    )
    return method


def with_defaults(method: Callable[Concatenate[Any, P], R], **defaults: object) -> Method[P, R]:
    """Return a method with other defaults for some of its keyword parameters."""
    function = cast("Callable[..., R]", method)

    @functools.wraps(function)
    def other(*args: Any, **kwargs: Any) -> R:
        return function(*args, **{**defaults, **kwargs})

    signature = inspect.signature(function)
    parameters = [each.replace(default=defaults.get(each.name, each.default)) for each in signature.parameters.values()]
    other.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return cast("Method[P, R]", other)
