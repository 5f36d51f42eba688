"""Subscriptions that are being opened: what is awaited, entered or iterated.

Owns: `AsyncOpening`. Must not know: what is opened.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from esdb_lite.client.face import short
from esdb_lite.errors import EsdbClientException, WrongContext

if TYPE_CHECKING:
    from typing_extensions import Self

P = ParamSpec("P")
I_co = TypeVar("I_co", covariant=True)

_HOW = "await it, or use it in `async with` or `async for`"


class _Openable(Protocol[I_co]):
    async def __anext__(self) -> I_co: ...
    async def __aenter__(self) -> Any: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


S_co = TypeVar("S_co", bound=_Openable[Any], covariant=True)


class AsyncOpening(Coroutine[Any, Any, S_co], Generic[S_co, I_co]):
    """A subscription that is about to be opened, in whatever way you use it.

    `subscription = await opening` opens it; `async with opening as subscription:` opens it, and closes it at the end;
    `async for event in opening:` opens it for the loop. Once is enough: it cannot be opened again.
    """

    __slots__ = ("_coroutine", "_opened")

    def __init__(self, coroutine: Coroutine[Any, Any, S_co]) -> None:
        self._coroutine = coroutine
        self._opened: S_co | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: await it, or use it in `async with`>"

    def send(self, value: Any) -> Any:
        """As a coroutine has it."""
        __tracebackhide__ = True
        try:
            return self._coroutine.send(value)
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception

    def throw(self, *error: Any) -> Any:
        """As a coroutine has it."""
        __tracebackhide__ = True
        try:
            return self._coroutine.throw(*error)
        except EsdbClientException as found:
            raise short(found)  # noqa: B904 - it is the same exception

    def close(self) -> None:
        """Do not open it. As a coroutine has it."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, S_co]:
        opened: S_co = yield from _Sending(self)
        self._opened = opened
        return opened

    async def __aenter__(self) -> S_co:
        opened = await self
        await opened.__aenter__()
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[I_co]:
        return _Iterating(self)

    if not TYPE_CHECKING:  # type checkers have words of their own for a forgotten `await`

        def __getattr__(self, name: str) -> object:
            raise AttributeError(f"it has no {name!r} before it is open: {_HOW}", name=name, obj=self)

        def __iter__(self) -> Iterator[object]:
            self.close()
            raise WrongContext(f"it does not work in `for`: {_HOW}")

        def __enter__(self) -> object:
            self.close()
            raise WrongContext(f"it does not work in `with`: {_HOW}")

        def __exit__(self, *error: object) -> None: ...


class _Sending:
    """Lets `yield from` drive a coroutine that is not one of Python's own."""

    def __init__(self, opening: AsyncOpening[Any, Any]) -> None:
        self.send = opening.send
        self.throw = opening.throw
        self.close = opening.close

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)


class _Iterating(AsyncIterator[I_co]):
    """Opens a subscription when its first item is asked for, unless it is open."""

    def __init__(self, opening: AsyncOpening[Any, I_co]) -> None:
        self._opening = opening

    async def __anext__(self) -> I_co:
        opened = self._opening._opened or await self._opening
        item: I_co = await opened.__anext__()
        return item


def opening(method: Callable[P, Coroutine[Any, Any, S_co]]) -> Callable[P, AsyncOpening[S_co, Any]]:
    """Decorator: what a coroutine method returns can be awaited, entered and iterated."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> AsyncOpening[S_co, Any]:
        return AsyncOpening(method(*args, **kwargs))

    return call
