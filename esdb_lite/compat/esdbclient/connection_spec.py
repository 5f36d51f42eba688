"""Connection strings as esdbclient reads them: as kurrentdbclient does.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient import connection_spec as _named

NODE_PREFERENCE_FOLLOWER = _named.NODE_PREFERENCE_FOLLOWER
NODE_PREFERENCE_LEADER = _named.NODE_PREFERENCE_LEADER
NODE_PREFERENCE_RANDOM = _named.NODE_PREFERENCE_RANDOM
NODE_PREFERENCE_REPLICA = _named.NODE_PREFERENCE_REPLICA
URI_SCHEME_ESDB = _named.URI_SCHEME_ESDB
URI_SCHEME_ESDB_DISCOVER = _named.URI_SCHEME_ESDB_DISCOVER
VALID_CONNECTION_QUERY_STRING_FIELDS = _named.VALID_CONNECTION_QUERY_STRING_FIELDS
VALID_NODE_PREFERENCES = _named.VALID_NODE_PREFERENCES
VALID_URI_SCHEMES = _named.URI_SCHEMES_ALL
ConnectionOptions = _named.ConnectionOptions
ConnectionSpec = _named.ConnectionSpec
