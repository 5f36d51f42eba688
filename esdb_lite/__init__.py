"""EventStoreDB and KurrentDB for Python without a C extension: a client and an embedded server."""

from esdb_lite._version import __version__ as __version__
