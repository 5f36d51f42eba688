"""Where consumers keep their positions: files, databases, functions.

The public names are in `esdb_lite` itself.
"""
