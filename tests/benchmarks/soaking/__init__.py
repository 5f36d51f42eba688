"""The parts of the soak (`tests.benchmarks.soak`)."""
