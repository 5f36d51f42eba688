"""The database of a server: what is committed, by whom, and who hears of it.

Owns: threads, turns of the loop, commits. Must not know: messages, statuses.
"""
