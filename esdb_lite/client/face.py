"""What a user sees of a client beside what it does: short tracebacks, and hints at names that others use.

Owns: hiding frames of this package, and the names of kurrentdbclient. Must not know: what is called.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from esdb_lite.errors import EsdbClientException

_log = logging.getLogger("esdb_lite.client")

E = TypeVar("E", bound=BaseException)
C = TypeVar("C", bound=type)
P = ParamSpec("P")
T = TypeVar("T")

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep

OTHER_NAMES = {
    "append_to_stream": "append_events",
    "append_event": "append_events",
    "get_stream": "read_stream_events",
    "read_stream": "read_stream_events",
    "read_all": "read_all_events",
    "get_current_version": "get_stream_position",
    "iter_stream_events": "read_stream_events",
    "iter_all_events": "read_all_events",
    "subscribe_to_all": "subscribe_all_events",
    "subscribe_to_stream": "subscribe_stream_events",
    "create_subscription_to_all": "create_subscription",
    "create_subscription_to_stream": "create_subscription",
    "update_subscription_to_all": "update_subscription",
    "update_subscription_to_stream": "update_subscription",
    "read_subscription_to_all": "read_subscription",
    "read_subscription_to_stream": "read_subscription",
    "list_subscriptions_to_stream": "list_subscriptions",
}
"""Methods of kurrentdbclient and esdbclient, and those that do it here."""
OTHER_PARAMETERS = {
    "current_version": "expected_position",
    "stream_position": "position",
    "commit_position": "position",
    "event": "events",
    "event_buffer_size": "buffer_size",
    "max_ack_batch_size": "ack_batch_size",
    "max_ack_delay": "ack_delay",
    "subscription_name": "group_name",
}
"""Parameters of these methods, and those that are the same here."""


def short(error: E) -> E:
    """Return an exception that shows what has happened, and not the way through this package.

    What it shows of others is kept: it may have come through a handler, or a generator. With debug logs of
    `esdb_lite.client` it keeps everything.
    """
    if _log.isEnabledFor(logging.DEBUG):
        return error
    seen: set[int] = set()
    left: list[BaseException] = [error]
    while left:
        each = left.pop()
        if id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = _of_others(each.__traceback__)
            left.extend(other for other in (each.__cause__, each.__context__) if other is not None)
    return error


def _of_others(traceback: TracebackType | None) -> TracebackType | None:
    """Leave out the frames of this package, and of the standard library, which it calls and is called by."""
    kept: list[TracebackType] = []
    while traceback is not None:
        if not _is_inner(traceback.tb_frame.f_code.co_filename):
            kept.append(traceback)
        traceback = traceback.tb_next
    for each in reversed(kept):
        traceback = TracebackType(traceback, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return traceback


def _is_inner(file: str) -> bool:
    return file.startswith(_PACKAGE) or (file.startswith(_STANDARD) and "-packages" + os.sep not in file)


def shortening(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: the function raises the package's exceptions without its frames."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception

    return call


def shortens_tracebacks(cls: C) -> C:
    """Class decorator: the public functions of a client raise the package's exceptions without its frames.

    Where arguments do not fit, the functions are called after this class, whatever class has them.
    """
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_"):
            waits = inspect.iscoroutinefunction(method)
            setattr(cls, name, _shortening_awaited(method) if waits else _shortening_called(method))
    return cls


def _shortening_awaited(method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @functools.wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # pytest leaves this frame out, too
        try:
            return await method(*args, **kwargs)
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception
        except TypeError:
            refuse_misfits(f"{type(args[0]).__name__}.{method.__name__}", method, *args, **kwargs)
            raise

    return call


def _shortening_called(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            return method(*args, **kwargs)
        except EsdbClientException as error:
            raise short(error)  # noqa: B904 - it is the same exception
        except TypeError:
            refuse_misfits(f"{type(args[0]).__name__}.{method.__name__}", method, *args, **kwargs)
            raise

    return call


def refuse_misfits(called: str, method: Callable[..., object], /, *args: object, **kwargs: object) -> None:
    """Raise TypeError if a method does not take these arguments; by the name under which its caller knows it."""
    signature = inspect.signature(method)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        strange = next((name for name in kwargs if name not in signature.parameters), "")
        ours = OTHER_PARAMETERS.get(strange)
        hint = f": it is called {ours!r} here" if ours in signature.parameters else ""
        raise TypeError(f"{called}() {error}{hint}") from None


class OtherNames:
    """Says what a method of other clients is called here."""

    if not TYPE_CHECKING:  # type checkers would take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            ours = OTHER_NAMES.get(name)
            hint = "" if ours is None else f": it is called {ours!r} here"
            raise AttributeError(text + hint, name=name, obj=self)
