"""The package of kurrentdbclient in which its instrumentors are.

Owns: nothing. Must not know: OpenTelemetry, which need not be installed.
"""
