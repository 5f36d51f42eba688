"""The Streams service: its methods by path.

Owns: which class serves which path: the hot methods have a codec of their own. Must not know: what the methods do.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from esdb_lite_protos import tags

from esdb_lite.server.handlers import Handler
from esdb_lite.server.services.append import Appending
from esdb_lite.server.services.batch_append import serve_batch_append
from esdb_lite.server.services.context import Context
from esdb_lite.server.services.delete import Deleting
from esdb_lite.server.services.read import ReadService
from esdb_lite.server.services.unary import routes

SERVICE = tags.PATH_STREAMS_READ[1:].partition("/")[0]


def handlers(context: Context) -> Mapping[str, Handler]:
    """Return the handlers by path, in the order of the schema."""
    deleting = Deleting(context)
    served: dict[str, Handler] = {
        **routes(deleting, context.cold_calls),
        tags.PATH_STREAMS_READ: ReadService(context).handle,
        tags.PATH_STREAMS_APPEND: Appending(context).append,
        tags.PATH_STREAMS_BATCH_APPEND: partial(serve_batch_append, context),
    }
    return {path: served[path] for path in deleting.__mapping__()}
