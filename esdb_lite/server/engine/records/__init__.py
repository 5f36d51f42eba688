"""Atomic appends to several streams: what is refused, what is written, and how such records look to v1 readers.

Sections B.1 to B.4 of the notes on KurrentDB. Pure: the time and fresh ids are arguments.
"""
