"""What a client of esdbclient has of a server: what one of kurrentdbclient has.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient import connection as _named

AsyncESDBConnection = _named.AsyncKurrentDBConnection
BaseESDBConnection = _named.BaseKurrentDBConnection
ESDBConnection = _named.KurrentDBConnection
