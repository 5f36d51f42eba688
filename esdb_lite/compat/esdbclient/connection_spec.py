"""Connection strings as esdbclient reads them: as kurrentdbclient does.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient.connection_spec import (
    NODE_PREFERENCE_FOLLOWER,
    NODE_PREFERENCE_LEADER,
    NODE_PREFERENCE_RANDOM,
    NODE_PREFERENCE_REPLICA,
    URI_SCHEME_ESDB,
    URI_SCHEME_ESDB_DISCOVER,
    VALID_CONNECTION_QUERY_STRING_FIELDS,
    VALID_NODE_PREFERENCES,
    ConnectionOptions,
    ConnectionSpec,
)
from esdb_lite.compat.kurrentdbclient.connection_spec import URI_SCHEMES_ALL as VALID_URI_SCHEMES

__all__ = [
    "NODE_PREFERENCE_FOLLOWER",
    "NODE_PREFERENCE_LEADER",
    "NODE_PREFERENCE_RANDOM",
    "NODE_PREFERENCE_REPLICA",
    "URI_SCHEME_ESDB",
    "URI_SCHEME_ESDB_DISCOVER",
    "VALID_CONNECTION_QUERY_STRING_FIELDS",
    "VALID_NODE_PREFERENCES",
    "VALID_URI_SCHEMES",
    "ConnectionOptions",
    "ConnectionSpec",
]
