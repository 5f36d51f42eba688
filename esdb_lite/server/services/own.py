"""What servers of others do not have: the Directory and Imports services.

Owns: their methods by path. Must not know: what the methods do.
"""

from __future__ import annotations

from collections.abc import Mapping

from esdb_lite_protos.tags import PATH_DIRECTORY_LIST, PATH_IMPORTS_IMPORT_EVENTS

from esdb_lite.server.handlers import Handler
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.directory import DirectoryService
from esdb_lite.server.services.imports import Imports
from esdb_lite.server.services.unary import routes

PATHS = frozenset((PATH_DIRECTORY_LIST, PATH_IMPORTS_IMPORT_EVENTS))
"""Clients are not told of them: they try, and do without."""


def handlers(context: Context) -> Mapping[str, Handler]:
    """Return the handlers by path."""
    return {
        **routes(DirectoryService(context), context.cold_calls, context.pages),
        **Imports(context).handlers(),
    }
