"""Measurements side by side with kurrentdbclient: `python -m tests.benchmarks`."""

from importlib.util import find_spec

_MISSING = [name for name in ("betterproto", "grpclib", "h2", "pytest", "esdb_lite_protos") if find_spec(name) is None]
if _MISSING:
    raise SystemExit(f"the benchmarks need {', '.join(_MISSING)}: pip install -e '.[dev]' brings all of it")
