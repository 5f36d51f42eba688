"""The package of esdbclient in which its instrumentors are.

Owns: nothing. Must not know: OpenTelemetry, which need not be installed.
"""
