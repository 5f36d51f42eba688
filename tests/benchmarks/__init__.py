"""Measurements side by side with kurrentdbclient: `python -m tests.benchmarks`."""
