"""The schema registry: schemas and their versions in the log, and whether versions are compatible.

Owns: commands, what is written for them, checks of JSON schemas. Must not know: messages, statuses, who may do what.
"""
