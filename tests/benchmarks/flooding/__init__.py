"""What a hostile client does: the parts of `python -m tests.benchmarks.floods`."""
