"""Methods for threads, made of those for asyncio.

Owns: `blocking`, `opened` and `reading`, which make such methods, and the base class of all that have them.
Must not know: what is called.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from esdb_lite.client.face import refuse_misfits
from esdb_lite.sync.read import ReadResponse

if TYPE_CHECKING:
    from esdb_lite.client.read.iterators import AsyncReadResponse
    from esdb_lite.sync.live import Live

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


class Face:
    """A part of the client for threads."""

    def _live(self) -> Live:
        raise AssertionError("the client says where it lives")


def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], **here: Callable[[Any], object]
) -> Callable[Concatenate[Face, P], T]:
    """Return the method of the client for threads that does what `method` of `AsyncEsdbClient` does.

    It has the same parameters and documentation. `here` are functions by parameter: what is given for it is passed
    through the function before the call leaves the caller's thread, such as a generator, which has to run there.
    """
    signature = inspect.signature(method)

    def call(face: Face, /, *args: P.args, **kwargs: P.kwargs) -> T:
        live = face._live()
        try:
            if not here:
                return live.portal.run(method, live.client, *args, **kwargs)
            given = signature.bind(live.client, *args, **kwargs)
            given.arguments.update({name: here[name](value) for name, value in given.arguments.items() if name in here})
            return live.portal.run(method, *given.args, **given.kwargs)
        except TypeError:
            refuse_misfits(type(face).__name__, method, face, *args, **kwargs)
            raise

    _describe(call, method, signature)
    return call


def opened(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, S]], **here: Callable[[Any], object]
) -> Callable[[Callable[[Any, S], T]], Callable[Concatenate[Any, P], T]]:
    """Decorator: a function that makes of what `method` of `AsyncEsdbClient` returns what the method here returns."""
    begin = blocking(method, **here)

    def decorate(make: Callable[[Any, S], T]) -> Callable[Concatenate[Any, P], T]:
        def call(face: Face, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return make(face, begin(face, *args, **kwargs))

        _describe(call, method, inspect.signature(method).replace(return_annotation=make.__annotations__["return"]))
        return call

    return decorate


def opened_overload(
    method: Callable[..., Coroutine[Any, Any, S]], **here: Callable[[Any], object]
) -> Callable[[Callable[[Any, S], T]], Callable[..., T]]:
    """Do what `opened` does for a method with overloads, which say what it takes."""
    return opened(method, **here)


def reading(
    method: Callable[Concatenate[Any, P], AsyncReadResponse],
) -> Callable[Concatenate[Face, P], ReadResponse]:
    """Return the method of the client for threads that reads what `method` of `AsyncEsdbClient` reads."""

    def call(face: Face, /, *args: P.args, **kwargs: P.kwargs) -> ReadResponse:
        live = face._live()
        try:
            response = method(live.client, *args, **kwargs)
        except TypeError:
            refuse_misfits(type(face).__name__, method, face, *args, **kwargs)
            raise
        return ReadResponse(face, live.portal.run, response)

    _describe(call, method, inspect.signature(method).replace(return_annotation=ReadResponse.__name__))
    return call


def _describe(call: Callable[..., object], method: Callable[..., object], signature: inspect.Signature) -> None:
    functools.update_wrapper(call, method)
    # Not what is wrapped: some frameworks look there whether a function is asynchronous.
    del call.__wrapped__  # type: ignore[attr-defined]
    call.__signature__ = signature  # type: ignore[attr-defined]
