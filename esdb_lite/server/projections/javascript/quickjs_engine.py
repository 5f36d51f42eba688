"""QuickJS (package `quickjs-ng`) behind the port.

Owns: its limits of time, memory and depth, and what it does with texts and numbers at its border. Must not know:
projections. Imports the package when a script is opened: without the extra nothing else changes.

The package gives up the interpreter lock while JavaScript runs, so a script that computes holds up no other thread.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from esdb_lite.server.projections.javascript.engine import (
    Argument,
    JavaScriptMissing,
    Script,
    ScriptError,
    ScriptTimeout,
)

if TYPE_CHECKING:
    import _quickjs as quickjs

MEMORY_LIMIT = 128 * 1024 * 1024
"""Bytes of one script: its variables, the live state, what it makes on its way."""
STACK_LIMIT = 512 * 1024
"""Bytes: fits the smallest stack that a thread has by default on the systems that the package is made for."""
_PATIENCE = 2
"""QuickJS stops a script by the CPU time of the whole process. A call counts as too long by the time of its own thread;
it is stopped where all threads together took this many times as long."""
_MISSING = "JavaScript projections need a JavaScript engine: pip install quickjs-ng"


def open_quickjs(source: str) -> Script:
    """Open a script; see `engine.Opener`."""
    try:
        # Its wrapper in Python, the module `quickjs`, starts a thread when it is imported.
        import _quickjs as quickjs
    except ImportError as error:
        raise JavaScriptMissing(_MISSING) from error
    context = quickjs.Context()
    context.set_memory_limit(MEMORY_LIMIT)
    context.set_max_stack_size(STACK_LIMIT)
    return _QuickJsScript(context, context.eval(source))


class _QuickJsScript:
    def __init__(self, context: quickjs.Context, find: quickjs.Object) -> None:
        self._context: quickjs.Context | None = context
        self._find: quickjs.Object | None = find
        self._functions: dict[str, quickjs.Object] = {}

    def call(self, function: str, *arguments: Argument, seconds: float) -> str:
        """See `Script`."""
        if any(type(argument) is str and "\0" in argument for argument in arguments):
            # QuickJS's strings come from C strings, which end at the first zero.
            return self._call("with_json", (function, json.dumps(arguments)), seconds)
        return self._call(function, arguments, seconds)

    def _call(self, name: str, arguments: tuple[Argument, ...], seconds: float) -> str:
        context, function = self._ready(name)
        context.set_time_limit(seconds * _PATIENCE)
        began = time.thread_time()
        try:
            answer = function(*arguments)
            while context.execute_pending_job() and time.thread_time() - began <= seconds:
                pass
        except Exception as error:
            self.close()
            raise _translated(error, time.thread_time() - began) from error
        took = time.thread_time() - began
        if took > seconds:
            self.close()
            raise ScriptTimeout(took)
        return str(answer)

    def _ready(self, name: str) -> tuple[quickjs.Context, quickjs.Object]:
        if self._context is None or self._find is None:
            raise ScriptError("the script has been closed")
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._find(name)
        return self._context, function

    def close(self) -> None:
        """See `Script`."""
        self._functions.clear()
        self._find = None
        self._context = None


def _translated(error: Exception, took: float) -> ScriptError:
    text = str(error).partition("\n")[0]
    if text == "InternalError: interrupted":
        return ScriptTimeout(took)
    # When there is no memory left there is none for an exception, either.
    return ScriptError("out of memory" if text in ("null", "") else text.removeprefix("InternalError: "))
