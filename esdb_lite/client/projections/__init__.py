"""Projections: creating, steering and asking them.

Owns: the part of the client for them. Must not know: bytes.
"""
