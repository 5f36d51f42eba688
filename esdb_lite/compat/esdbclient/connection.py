"""What a client of esdbclient has of a server: what one of kurrentdbclient has.

Owns: the names. Must not know: how anything is done.
"""

from __future__ import annotations

from esdb_lite.compat.kurrentdbclient.connection import AsyncKurrentDBConnection as AsyncESDBConnection
from esdb_lite.compat.kurrentdbclient.connection import BaseKurrentDBConnection as BaseESDBConnection
from esdb_lite.compat.kurrentdbclient.connection import KurrentDBConnection as ESDBConnection

__all__ = ["AsyncESDBConnection", "BaseESDBConnection", "ESDBConnection"]
