"""`backup`, `scavenge` and `verify`: commands on a database file.

Owns: what they print and how they end. Must not know: what a database file looks like.
"""
