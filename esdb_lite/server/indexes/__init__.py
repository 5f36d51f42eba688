"""Indexes that users define: their definitions in the log, their functions, and the events that are in them.

Owns: commands, evaluating filters and selectors off the event loop, what is stored of that. Must not know: messages,
statuses. (Names of indexes and reads by them are in `engine.indexes`.)
"""
