"""Projections: what is written for every event by the server itself.

Owns: definitions, the five system projections, what projections see of the log, and how what they write gets into it.
Must not know: the wire, calls.
"""
