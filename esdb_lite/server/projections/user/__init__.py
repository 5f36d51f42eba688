"""Projections with a query, at work in a server.

Owns: what they read, the thread that runs their JavaScript, what they hold, what they write. Must not know: JavaScript,
commands, calls.
"""
