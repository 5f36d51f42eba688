"""Persistent subscriptions at work: the groups of a database, each with its consumers, timers and reads.

The rules are in `engine.groups`.
"""
