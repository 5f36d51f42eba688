"""Methods for threads, made of those for asyncio.

Owns: `blocking`, `quickly`, `unsuspended`, `opened` and `reading`, which make such methods, `described` for others,
and the base class of all that have them. Must not know: what is called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from esdb_lite.client.face import refuse_misfits, short
from esdb_lite.errors import EsdbClientException
from esdb_lite.filters import patterns
from esdb_lite.positions import meant

if TYPE_CHECKING:
    from esdb_lite._loop_thread import QuickRun
    from esdb_lite.client.read.iterators import AsyncReadResponse
    from esdb_lite.event_types.registry import EventTypes
    from esdb_lite.sync.live import Live
    from esdb_lite.sync.read import ReadResponse

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


class Face:
    """A part of the client for threads."""

    _event_types: EventTypes | None

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")


Here = Callable[[Any, Any], object]
"""What the client, and what is given for a parameter, make of it before the call leaves the caller's thread."""


def here(function: Callable[[Any], object]) -> Here:
    """Return what is done here where the client does not matter."""
    return lambda _, value: function(value)


MEANT = here(meant)
FILTERS = {name: here(functools.partial(patterns, name)) for name in ("filter_exclude", "filter_include")}


def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], **here: Here
) -> Callable[Concatenate[Face, P], T]:
    """Return the method of the client for threads that does what `method` of `AsyncEsdbClient` does.

    It has the same parameters and documentation. `here` says by parameter what is done on the caller's thread, where
    a generator has to run, for instance.
    """

    def call(face: Face, /, *args: P.args, **kwargs: P.kwargs) -> T:
        live = face._live()
        try:
            if not here:
                return live.portal.run(method, live.client, *args, **kwargs)
            given: list[Any] = list(args)
            for place, name in places.items():
                values: Any = given if place < len(given) else kwargs
                key = place if place < len(given) else name
                if values is given or name in kwargs:
                    values[key] = here[name](face, values[key])
            run: Callable[..., Any] = live.portal.run
            result: T = run(method, live.client, *given, **kwargs)
            return result
        except TypeError:
            refuse_misfits(f"{type(face).__name__}.{method.__name__}", method, face, *args, **kwargs)
            raise

    parameters = list(_describe(call, method).parameters)
    places = {parameters.index(name) - 1: name for name in here}
    return call


def quickly(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
    make: Callable[Concatenate[Any, P], QuickRun[T]],
) -> Callable[Concatenate[Face, P], T]:
    """Return the same of a method that hardly ever needs a task; `make` makes what does it, on the caller's thread."""

    def call(face: Face, /, *args: P.args, **kwargs: P.kwargs) -> T:
        live = face._live()
        try:
            run = make(live.client, *args, **kwargs)
        except TypeError:
            refuse_misfits(f"{type(face).__name__}.{method.__name__}", method, face, *args, **kwargs)
            raise
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception
        return live.portal.run_quick(run)

    _describe(call, method)
    return call


def unsuspended(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Face, P], T]:
    """Return `method` of `AsyncEsdbClient` as one of the client for threads: all that it calls is blocking there.

    So it runs on the caller's thread, and never waits for anything.
    """

    def call(face: Face, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            method(face, *args, **kwargs).send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        except TypeError:
            refuse_misfits(f"{type(face).__name__}.{method.__name__}", method, face, *args, **kwargs)
            raise
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception
        raise AssertionError("it has waited for something")

    _describe(call, method)
    return call


def opened(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, S]], **here: Here
) -> Callable[[Callable[[Any, S], T]], Callable[Concatenate[Any, P], T]]:
    """Decorator: a function that makes of what `method` of `AsyncEsdbClient` returns what the method here returns."""
    begin = blocking(method, **here)

    def decorate(make: Callable[[Any, S], T]) -> Callable[Concatenate[Any, P], T]:
        def call(face: Face, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return make(face, begin(face, *args, **kwargs))

        _describe(call, method)
        return call

    return decorate


def opened_overload(
    method: Callable[..., Coroutine[Any, Any, S]], **here: Here
) -> Callable[[Callable[[Any, S], T]], Callable[..., T]]:
    """Do what `opened` does for a method with overloads, which say what it takes."""
    return opened(method, **here)


def reading(
    method: Callable[Concatenate[Any, P], AsyncReadResponse],
) -> Callable[Concatenate[Face, P], ReadResponse]:
    """Return the method of the client for threads that reads what `method` of `AsyncEsdbClient` reads."""

    def call(face: Face, /, *args: P.args, **kwargs: P.kwargs) -> ReadResponse:
        from esdb_lite.sync.read import ReadResponse

        live = face._live()
        try:
            response = method(live.client, *args, **kwargs)
        except TypeError:
            refuse_misfits(f"{type(face).__name__}.{method.__name__}", method, face, *args, **kwargs)
            raise
        return ReadResponse(face, live.portal.run, response)

    _describe(call, method)
    return call


def described(method: Callable[..., object]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorator: the function takes what `method` of `AsyncEsdbClient` takes, and has its documentation."""

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        _describe(function, method)
        return function

    return decorate


def _describe(call: Callable[..., object], method: Callable[..., object]) -> inspect.Signature:
    functools.update_wrapper(call, method)
    # Not what is wrapped: some frameworks look there whether a function is asynchronous.
    del call.__wrapped__  # type: ignore[attr-defined]
    signature = inspect.signature(method)
    if any("Async" in text for text in call.__annotations__.values()):
        signature = _of_threads(signature)
    call.__signature__ = signature  # type: ignore[attr-defined]
    return signature


def _of_threads(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature with the classes of the client for threads."""
    parameters = [each.replace(annotation=_renamed(each.annotation)) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=_renamed(signature.return_annotation))


def _renamed(annotation: str) -> str:
    return annotation.replace("Async", "") if isinstance(annotation, str) else annotation
